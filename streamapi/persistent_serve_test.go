package streamapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// vault is a database that servers of persistent subscriptions share.
type vault struct {
	pool *pgxpool.Pool
	who  consumers
}

func newVault(t testing.TB) *vault {
	t.Helper()
	return &vault{pool: pgtest.New(t), who: consumers{"": admin()}}
}

// process is one server over it.
type process struct {
	served
	stop func() // as SIGTERM does; again is nothing
	kill func() // lets nothing be written any more, as kill -9; again is nothing
}

// serve starts a server, at addr or, "", anywhere.
func (v *vault) serve(t testing.TB, addr string) *process {
	t.Helper()
	// A killed process loses its connections, so that each has a pool of its own.
	pool, err := pgxpool.NewWithConfig(context.Background(), v.pool.Config())
	if err != nil {
		t.Fatal(err)
	}
	log, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	store := &mortal{Store: subscriptions.New(pool)}
	server, err := streamapi.New(streamapi.Options{
		Log: log, Authenticate: v.who, Own: own(), Subscriptions: store, Lead: 2 * time.Second, // so that a busy machine does not end it
	})
	if err != nil {
		t.Fatal(err)
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, tls := server.GRPC(), server.GRPC(grpc.Creds(credentials.NewServerTLSFromCert(certificate(t))))
	ran, done := make(chan error, 1), make(chan error, 2)
	go func() { ran <- server.Run(ctx) }()
	go func() { done <- g.Serve(listener) }()
	go func() { done <- tls.Serve(secure) }()
	p := &process{served: served{log: log, server: server, addr: listener.Addr().String(), tls: secure.Addr().String()}}
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		err := <-ran
		g.Stop()
		tls.Stop()
		if err := errors.Join(err, <-done, <-done); err != nil {
			t.Error(err)
		}
		log.Close()
		pool.Close()
	}
	p.stop = end
	p.kill = func() { store.dead.Store(true); end() }
	t.Cleanup(end)
	return p
}

// stub speaks the protocol itself, for what the client has no words for.
func (p *process) stub(t testing.TB) persistent.PersistentSubscriptionsClient {
	t.Helper()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return persistent.NewPersistentSubscriptionsClient(conn)
}

// received are the next n events of a subscription.
func received(t testing.TB, sub *esdb.PersistentSubscription, n int) []*esdb.EventAppeared {
	t.Helper()
	list := make([]*esdb.EventAppeared, 0, n)
	for len(list) < n {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatalf("dropped after %d of %d events: %v", len(list), n, e.SubscriptionDropped.Error)
		}
		if e.EventAppeared != nil {
			list = append(list, e.EventAppeared)
		}
	}
	return list
}

// tries are which events they are, and how often they were tried before.
func tries(list []*esdb.EventAppeared) string {
	s := ""
	for _, e := range list {
		s += fmt.Sprintf("%d/%d ", e.Event.OriginalEvent().EventNumber, e.RetryCount)
	}
	return s
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// settings are the client's defaults, changed.
func settings(change func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	change(&s)
	return &s
}

func subscribed(t testing.TB, c *esdb.Client, stream, group string, buffer uint32) *esdb.PersistentSubscription {
	t.Helper()
	sub, err := c.SubscribeToPersistentSubscription(t.Context(), stream, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer})
	if err != nil {
		t.Fatalf("subscribe to %s::%s: %v", stream, group, err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

func created(t testing.TB, c *esdb.Client, stream, group string, o esdb.PersistentStreamSubscriptionOptions) {
	t.Helper()
	if err := c.CreatePersistentSubscription(t.Context(), stream, group, o); err != nil {
		t.Fatalf("create %s::%s: %v", stream, group, err)
	}
}

func informed(t testing.TB, c *esdb.Client, stream, group string) *esdb.PersistentSubscriptionInfo {
	t.Helper()
	info, err := c.GetPersistentSubscriptionInfo(t.Context(), stream, group, esdb.GetPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatalf("info of %s::%s: %v", stream, group, err)
	}
	return info
}

func acked(t testing.TB, sub *esdb.PersistentSubscription, list ...*esdb.EventAppeared) {
	t.Helper()
	for _, e := range list {
		if err := sub.Ack(e.Event); err != nil {
			t.Fatal(err)
		}
	}
}

func nacked(t testing.TB, sub *esdb.PersistentSubscription, action esdb.NackAction, list ...*esdb.EventAppeared) {
	t.Helper()
	for _, e := range list {
		if err := sub.Nack("a test says so", action, e.Event); err != nil {
			t.Fatal(err)
		}
	}
}

// refused is how a consumer is refused.
func refused(t testing.TB, p *process, stream, group string) (codes.Code, map[string]string) {
	t.Helper()
	call, err := p.stub(t).Read(within(t))
	if err != nil {
		t.Fatal(err)
	}
	err = call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}},
		GroupName:    group, BufferSize: 1,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := call.Recv(); err == nil {
		t.Fatalf("not refused, but %v", m)
	}
	facts := map[string]string{}
	for key, values := range call.Trailer() {
		facts[key] = values[0]
	}
	_, err = call.Recv()
	return status.Code(err), facts
}
