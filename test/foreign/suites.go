package main

import (
	"context"
	"os"
	"path/filepath"
)

// suite is one stranger's tests.
type suite struct {
	name, module string
	folder       string // of the tests
	mod          string // how go may treat the suite's go.mod; "": as it likes, for it is a copy
	addresses    string // that it dials; "": it starts vaults of its own
	then         *suite // what is run on the same vault afterwards, with all that this one left there
	modes        []mode
	prepare      func(ctx context.Context, dir string) error
	again        []string // tests that run others once more
	neverRun     []string // those that could only wait for what does not come
	notOurs      []notOurs
}

// mode is a way in which a suite is run.
type mode struct {
	name string // with a slash behind it; "" when there is one mode alone
	env  []string
	only []string // nil: all top tests
}

// A vault is not everything that KurrentDB is. These tests are about what it does not have, and why; whatever else fails, fails.
type notOurs struct{ part, why string }

var suites = []suite{kurrent(), eventStore()}

// kurrent is dialled at addresses of its own, the only fixed ones in this repository.
func kurrent() suite {
	return suite{
		name: "kurrentdb", module: "github.com/kurrent-io/KurrentDB-Client-Go@v1.1.0", folder: "test",
		addresses: "plain://127.0.0.1:2114,tls://127.0.0.1:2115,tls://127.0.0.1:2111,tls://127.0.0.1:2112,tls://127.0.0.1:2113",
		modes:     []mode{{env: []string{"KURRENTDB_DOCKER_TAG=ci"}}},
		prepare:   func(_ context.Context, dir string) error { return certificates(dir, "node1") },
		then:      ours(),
		again:     []string{"TestStreams", "TestPersistentSubscriptions", "TestMisc", "TestProjections"},
		neverRun:  []string{"TestProjectionSuite", "TestClusterSuite"},
		notOurs: []notOurs{
			{"TestProjectionSuite", "JavaScript projections are not offered"},
			{"TestClusterSuite", "cluster fail-over: every process of a vault may write, and there is no leader to lose"},
			{"TestMultiAppendEventsSuite", "multi-stream append came with protocol v2 of KurrentDB 25.1; the server says that it is 24.10"},
		},
	}
}

// ours is no stranger's: the event store's own suite, as the static program that is carried to a real EventStoreDB, on a server that is not
// empty, twice. It fails when it leaves anything behind.
func ours() *suite {
	server := "MEDIAVAULT_TEST_ESDB=esdb://127.0.0.1:2114?tls=false"
	only := []string{"TestESDB", "TestTwoProcesses"}
	return &suite{
		name: "esdb", module: "eventstore/esdb, on the vault that holds what the suite before left", folder: "eventstore/esdb", mod: "readonly",
		modes: []mode{{name: "first/", env: []string{server}, only: only}, {name: "again/", env: []string{server}, only: only}},
	}
}

// eventStore starts what it tests in containers. Instead of the library that does so there is ./containers, which starts a vault.
func eventStore() suite {
	const places = "compares with places and times in the data file of an image that EventStoreDB's makers keep; in a vault places are 1, 2, 3, ..."
	served := []string{"TestStreams", "TestPersistentSubscriptions", "TestProjections"}
	return suite{
		name: "eventstore", module: "github.com/EventStore/EventStore-Client-Go/v4@v4.2.0", folder: "esdb",
		modes: []mode{
			{name: "plain/", env: []string{"EVENTSTORE_INSECURE=true"}, only: served},
			{name: "tls/", env: []string{"EVENTSTORE_INSECURE=false"}, only: append([]string{"TestExpectations", "TestPlugins"}, served...)},
			{only: []string{"TestMisc", "TestPositionParsing"}},
		},
		prepare: func(ctx context.Context, dir string) error {
			if err := certificates(dir, "node"); err != nil {
				return err
			}
			here, err := os.Getwd()
			if err != nil {
				return err
			}
			return command(ctx, dir, "go", "mod", "edit", "-replace", "github.com/testcontainers/testcontainers-go="+filepath.Join(here, "containers"))
		},
		neverRun: []string{"TestProjections"},
		notOurs: []notOurs{
			{"TestProjections", "JavaScript projections are not offered"},
			{"TestPlugins/AuthenticationTests/InvalidUserCertificates", "users by certificate are a plugin of EventStoreDB's; a vault knows API keys and tokens"},
			{"readStreamEventsForwardsFromZeroPosition", places},
			{"readStreamEventsBackwardsFromEndPosition", places},
			{"allSubscriptionWithFilterDeliversCorrectEvents", places},
			{"readAllEventsForwardsFromZeroPosition", places},
			{"readAllEventsForwardsFromNonZeroPosition", places},
			{"readAllEventsBackwardsFromZeroPosition", places},
			{"readAllEventsBackwardsFromNonZeroPosition", places},
		},
	}
}

// certificates makes those that suites dial with.
func certificates(dir, node string) error {
	dir = filepath.Join(dir, "certs")
	a, err := newAuthority(filepath.Join(dir, "ca"), "Media Vault foreign tests")
	if err != nil {
		return err
	}
	if _, err := newAuthority(filepath.Join(dir, "untrusted-ca"), "somebody else"); err != nil {
		return err
	}
	for _, user := range []string{"admin", "invalid"} {
		if err := a.node(filepath.Join(dir, "user-"+user), "user-"+user); err != nil {
			return err
		}
	}
	return a.node(filepath.Join(dir, node), "node")
}
