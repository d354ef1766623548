package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/domain/catalog"
)

// program is one that uses the stream API with a key, of one process or of the other.
type program struct {
	t           *testing.T
	key, secret string
}

func (p program) at(v *vault) *esdb.Client {
	p.t.Helper()
	_, rest, ok := strings.Cut(v.log.String(), "EventStoreDB's protocol is spoken at ")
	address, _, _ := strings.Cut(rest, "\n")
	if !ok {
		p.t.Fatalf("the process does not say where:\n%s", v.log)
	}
	config, err := esdb.ParseConnectionString(fmt.Sprintf("esdb://%s:%s@%s?tlsVerifyCert=false&keepAliveInterval=-1", p.key, p.secret, address))
	if err != nil {
		p.t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// streamBeside is a process that serves the stream API with TLS on what a dev vault uses.
func streamBeside(t *testing.T, v *vault) *vault {
	t.Helper()
	certificate, key := selfSigned(t)
	p := serveBeside(t, v, "MEDIAVAULT_STREAM_ADDR=tls://127.0.0.1:0", "MEDIAVAULT_STREAM_TLS_CERT="+certificate, "MEDIAVAULT_STREAM_TLS_KEY="+key)
	waitForLog(t, p, "EventStoreDB's protocol is spoken at ")
	return p
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func (v *vault) key(t *testing.T, args ...string) string {
	t.Helper()
	out, err := v.run(append([]string{"apikey"}, args...)...)
	if err != nil {
		t.Fatalf("apikey %v: %v\n%s", args, err, out)
	}
	secret, _, _ := strings.Cut(out, "\n")
	return secret
}

// Two processes serve one persistent subscription. The one that leads it is killed; what was written by the time goes on at the other.
func TestAPersistentSubscriptionSurvivesTheProcessThatLeadsIt(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	processes := []*vault{streamBeside(t, v), streamBeside(t, v)}
	shop := program{t: t, key: "shop", secret: v.key(t, "create", "shop", "--category", "app", "--write")}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	clients := []*esdb.Client{shop.at(processes[0]), shop.at(processes[1])}
	appends := func(c *esdb.Client, n int) {
		t.Helper()
		for range n {
			_, err := c.AppendToStream(ctx, "app-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.EventData{EventType: "e", Data: []byte("{}")})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	settings := esdb.SubscriptionSettingsDefault()
	settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
	var e *esdb.Error
	// The one that does not lead answers not-leader, with where the leader is, and the client goes there with its next call.
	err := clients[0].CreatePersistentSubscription(ctx, "app-1", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings})
	leader := 0
	for errors.As(err, &e) && e.Code() == esdb.ErrorUnavailable && ctx.Err() == nil { // it is not known yet who leads
		err = clients[0].CreatePersistentSubscription(ctx, "app-1", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings})
	}
	if errors.As(err, &e) && e.Code() == esdb.ErrorCodeNotLeader {
		leader = 1
		err = clients[0].CreatePersistentSubscription(ctx, "app-1", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings})
	}
	if err != nil {
		t.Fatal(err)
	}
	other := 1 - leader
	until(t, "the one that does not lead sends clients to the one that does", func() bool {
		_, err := shop.at(processes[other]).GetPersistentSubscriptionInfo(ctx, "app-1", "g", esdb.GetPersistentSubscriptionOptions{})
		return errors.As(err, &e) && e.Code() == esdb.ErrorCodeNotLeader
	})

	appends(clients[0], 10)
	appends(clients[1], 10) // every process may write
	subscribe := func(c *esdb.Client) *esdb.PersistentSubscription {
		t.Helper()
		sub, err := c.SubscribeToPersistentSubscription(ctx, "app-1", "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Close() })
		return sub
	}
	seen := map[uint64]bool{}
	take := func(sub *esdb.PersistentSubscription, n int) (last *esdb.ResolvedEvent) {
		t.Helper()
		for range n {
			m := sub.Recv()
			if m.EventAppeared == nil {
				t.Fatalf("after %d events: %+v", len(seen), m.SubscriptionDropped)
			}
			last = m.EventAppeared.Event
			seen[last.OriginalEvent().EventNumber] = true
			if err := sub.Ack(last); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	led := shop.at(processes[leader])
	sub := subscribe(led)
	take(sub, 5)
	bad := sub.Recv().EventAppeared.Event
	seen[bad.OriginalEvent().EventNumber] = true
	if err := sub.Nack("it is bad", esdb.NackActionPark, bad); err != nil {
		t.Fatal(err)
	}
	take(sub, 5)
	info := func(c *esdb.Client) *esdb.PersistentSubscriptionInfo {
		found, err := c.GetPersistentSubscriptionInfo(ctx, "app-1", "g", esdb.GetPersistentSubscriptionOptions{})
		if err != nil {
			return nil
		}
		return found
	}
	until(t, "what was done is written", func() bool {
		i := info(led)
		return i != nil && i.Stats.ParkedMessagesCount == 1 && i.Stats.LastCheckpointedEventRevision != nil && *i.Stats.LastCheckpointedEventRevision == 10
	})
	processes[leader].kill()

	heir := shop.at(processes[other])
	until(t, "the other process leads", func() bool { return info(heir) != nil })
	if n := info(heir).Stats.ParkedMessagesCount; n != 1 {
		t.Errorf("%d messages are parked", n)
	}
	sub = subscribe(heir)
	before := len(seen)
	take(sub, 9)
	if len(seen) != 20 || before != 11 {
		t.Errorf("of 20 events %d came, %d of them before the kill", len(seen), before)
	}
	if err := heir.ReplayParkedMessages(ctx, "app-1", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := sub.Recv().EventAppeared; again == nil || again.Event.Event.EventID != bad.Event.EventID {
		t.Errorf("replayed: %+v", again)
	}

	// A revoked key ends what is open with it, within five seconds; another client of another key goes on.
	begun := time.Now()
	v.key(t, "revoke", "shop")
	dropped := sub.Recv().SubscriptionDropped
	if dropped == nil || status.Code(dropped.Error) != codes.Unauthenticated {
		t.Errorf("revoked, and then %+v", dropped)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it went on for %v", took)
	}
	v.stop()
}

func TestASecretIsRotatedWhileProgramsGoOn(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	p := streamBeside(t, v)
	first := program{t: t, key: "shop", secret: v.key(t, "create", "shop", "--category", "app", "--write")}
	works := func(as program) error {
		ctx, cancel := context.WithTimeout(t.Context(), startTime)
		defer cancel()
		_, err := as.at(p).AppendToStream(ctx, "app-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.EventData{EventType: "e", Data: []byte("{}")})
		return err
	}
	if err := works(first); err != nil {
		t.Fatal(err)
	}
	second := first
	second.secret = v.key(t, "rotate", "shop", "--keep", "1h")
	until(t, "the new secret is believed", func() bool { return works(second) == nil })
	if err := works(first); err != nil {
		t.Errorf("the secret of before: %v", err)
	}
	third := first
	third.secret = v.key(t, "rotate", "shop")
	until(t, "the secret of before is not believed any more", func() bool { return works(second) != nil })
	if err := works(third); err != nil {
		t.Error(err)
	}
	if out, err := v.run("apikey", "list"); err != nil || !strings.Contains(out, "shop") || strings.Contains(out, third.secret) {
		t.Errorf("listed: %v\n%s", err, out)
	}
	p.stop()
	v.stop()
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTime)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("it never came to be that %s", what)
		case <-tick.C:
		}
	}
}

func TestTheDocsNameTheVaultsOwnStreams(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "streamapi.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(page), "The vault's own streams are those of ")
	line, _, _ = strings.Cut(line, ". All others are")
	var named []string
	for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(line, -1) {
		named = append(named, m[1])
	}
	if want := catalog.Categories(); len(named) != len(want) || slices.ContainsFunc(want, func(c string) bool { return !slices.Contains(named, c) }) {
		t.Errorf("docs/streamapi.md names %v, and the vault has %v", named, want)
	}
}
