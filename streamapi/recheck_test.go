package streamapi_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// changing authenticates as consumers do, until somebody changes that.
type changing struct {
	mu     sync.Mutex // guards what follows
	who    consumers
	nobody int // how often it was asked who shows nothing
}

func (c *changing) set(who string, p *streamapi.Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.who, who); p != nil {
		c.who[who] = *p
	}
}

func (c *changing) Basic(ctx context.Context, login, password string) (streamapi.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.who.Basic(ctx, login, password)
}

func (c *changing) Bearer(ctx context.Context, token string) (streamapi.Principal, error) {
	return c.who.Bearer(ctx, token)
}

func (c *changing) Nobody(ctx context.Context) (streamapi.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nobody++
	return c.who.Nobody(ctx)
}

func TestWhatIsOpenEndsWhenItsKeyIsRevoked(t *testing.T) {
	t.Parallel()
	app := streamapi.Principal{ID: "shop", Categories: []string{"app"}, WriteFree: true}
	for what, change := range map[string]*streamapi.Principal{
		"revoked":              nil,
		"granted another role": {ID: "shop", Categories: []string{"app"}, Roles: []string{"other"}, WriteFree: true},
	} {
		t.Run("it is "+what, func(t *testing.T) {
			t.Parallel()
			who := &changing{who: consumers{"": admin(), "shop:x": app, "other:x": app}}
			s := serve(t, func(o *streamapi.Options) {
				o.Authenticate, o.Recheck, o.Subscriptions = who, 20*time.Millisecond, subscriptions.New(pgtest.New(t))
			})
			boss, shop, other := s.client(t, ""), s.client(t, "shop:x"), s.client(t, "other:x")
			stream := name("app")
			appended(t, boss, stream, esdb.AppendToStreamOptions{}, events(1, "e")...)
			created(t, boss, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
			if err := boss.CreatePersistentSubscriptionToAll(within(t), "all", esdb.PersistentAllSubscriptionOptions{}); err != nil {
				t.Fatal(err)
			}
			catchUp := map[string]func(c *esdb.Client) (*esdb.Subscription, error){
				"a stream": func(c *esdb.Client) (*esdb.Subscription, error) {
					return c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
				},
				"a virtual stream": func(c *esdb.Client) (*esdb.Subscription, error) {
					return c.SubscribeToStream(within(t), "$ce-app", esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
				},
				"$all": func(c *esdb.Client) (*esdb.Subscription, error) {
					return c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
				},
			}
			ends := map[string]func() error{}
			goOn := map[string]*esdb.Subscription{}
			for to, how := range catchUp {
				sub, err := how(shop)
				if err != nil {
					t.Fatal(err)
				}
				stays, err := how(other)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range []*esdb.Subscription{sub, stays} {
					got(t, one, func(e *esdb.SubscriptionEvent) bool { return e.CaughtUp != nil })
				}
				goOn[to] = stays
				ends[to] = func() error {
					for {
						if e := sub.Recv(); e.SubscriptionDropped != nil {
							return e.SubscriptionDropped.Error
						}
					}
				}
			}
			persistent := subscribed(t, shop, stream, "g", 1)
			acked(t, persistent, received(t, persistent, 1)...)
			ends["a persistent subscription"] = func() error {
				for {
					if e := persistent.Recv(); e.SubscriptionDropped != nil {
						return e.SubscriptionDropped.Error
					}
				}
			}

			who.set("shop:x", change)
			for to, end := range ends {
				if err := end(); status.Code(err) != codes.Unauthenticated {
					t.Errorf("%s ended with %v", to, err)
				}
			}
			// Nobody else notices.
			appended(t, boss, stream, esdb.AppendToStreamOptions{}, events(1, "later")...)
			for _, sub := range goOn {
				got(t, sub, func(e *esdb.SubscriptionEvent) bool {
					return e.EventAppeared != nil && e.EventAppeared.Event.EventType == "later"
				})
			}
			_, err := collect(shop.ReadStream(within(t), stream, esdb.ReadStreamOptions{}, 1))
			if (change == nil) != (err != nil) {
				t.Errorf("a new call: %v", err)
			}
		})
	}
}

func TestABatchOfAppendsEndsWhenItsKeyIsRevoked(t *testing.T) {
	t.Parallel()
	who := &changing{who: consumers{"": {ID: "shop", Categories: []string{"app"}, WriteFree: true}}}
	s := serve(t, func(o *streamapi.Options) { o.Authenticate, o.Recheck = who, 20*time.Millisecond })
	appends := func(call streams.Streams_BatchAppendClient) error {
		err := call.Send(&streams.BatchAppendReq{
			CorrelationId: textID([16]byte{1}), ProposedMessages: messages(1), IsFinal: true,
			Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier(name("app"))},
		})
		if err == nil {
			_, err = call.Recv()
		}
		return err
	}
	var idle, busy streams.Streams_BatchAppendClient
	for _, call := range []*streams.Streams_BatchAppendClient{&idle, &busy} {
		var err error
		if *call, err = s.raw(t).BatchAppend(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := appends(*call); err != nil {
			t.Fatal(err)
		}
	}
	who.set("", nil)
	if _, err := idle.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("while nothing is appended it ended with %v", err)
	}
	eventually(t, "the call ends", func() bool { return appends(busy) != nil })
	if _, err := busy.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("while something is appended it ended with %v", err)
	}
}

func TestAnAppendThatWasBegunBeforeItsKeyWasRevokedIsRefused(t *testing.T) {
	t.Parallel()
	who := &changing{who: consumers{"": {ID: "shop", Categories: []string{"app"}, WriteFree: true}, "boss:x": admin()}}
	s := serve(t, func(o *streamapi.Options) { o.Authenticate, o.Recheck = who, time.Nanosecond })
	stream := name("app")
	call, err := s.raw(t).Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call is let in", func() bool {
		who.mu.Lock()
		defer who.mu.Unlock()
		return who.nobody > 0
	})
	who.set("", nil)
	if err := call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: textID([16]byte{1}), Metadata: map[string]string{"type": "e", "content-type": "application/json"}, Data: []byte(`{}`),
	}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := call.CloseAndRecv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("it ended with %v", err)
	}
	if all, err := collect(s.client(t, "boss:x").ReadStream(within(t), stream, esdb.ReadStreamOptions{}, 1)); err == nil {
		t.Errorf("%d events were appended", len(all))
	}
}

func TestASubscriptionEndsWhenItsStreamIsClosedToIt(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	shop, boss := s.client(t, "shop:x"), s.client(t, "admin:x")
	sub, err := shop.SubscribeToStream(within(t), "shop-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	got(t, sub, func(e *esdb.SubscriptionEvent) bool { return e.CaughtUp != nil })
	m, a := esdb.StreamMetadata{}, esdb.Acl{}
	a.AddReadRoles("somebody")
	m.SetAcl(a)
	if _, err := boss.SetStreamMetadata(t.Context(), "shop-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m); err != nil {
		t.Fatal(err)
	}
	appended(t, boss, "shop-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1, "secret")...)
	for {
		e := sub.Recv()
		if e.EventAppeared != nil {
			t.Fatalf("told %+v", e.EventAppeared.Event)
		}
		if e.SubscriptionDropped != nil {
			if code := status.Code(e.SubscriptionDropped.Error); code != codes.PermissionDenied {
				t.Errorf("ended with %v", e.SubscriptionDropped.Error)
			}
			return
		}
	}
}
