package streamapi_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// believing authenticates as changing does, but believes what it found for fresh: as API keys are.
type believing struct {
	changing
	fresh time.Duration

	found     sync.Mutex // guards what follows
	principal streamapi.Principal
	err       error
	at        time.Time
}

func (b *believing) Nobody(ctx context.Context) (streamapi.Principal, error) {
	b.found.Lock()
	defer b.found.Unlock()
	if time.Since(b.at) > b.fresh {
		b.principal, b.err = b.changing.Nobody(ctx)
		b.at = time.Now()
	}
	return b.principal, b.err
}

// revoke takes the key away in the worst moment: when it was just found good. It answers when that was.
func (b *believing) revoke() time.Time {
	b.found.Lock()
	defer b.found.Unlock()
	b.changing.set("", nil)
	b.at = time.Now()
	return b.at
}

// counted is a log that counts who reads its history.
type counted struct {
	eventstore.Log
	readers atomic.Int32
}

func (l *counted) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return during(&l.readers, l.Log.ReadAll(ctx, r))
}

func (l *counted) Follow(ctx context.Context, after eventstore.Position, f eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	if after > 0 || len(f.Types) > 0 { // what the server itself follows
		return l.Log.Follow(ctx, after, f)
	}
	return during(&l.readers, l.Log.Follow(ctx, after, f))
}

func during[E any](n *atomic.Int32, events iter.Seq2[E, error]) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		n.Add(1)
		defer n.Add(-1)
		events(yield)
	}
}

func TestWhatIsOpenEndsWithinItsBoundOfARevocation(t *testing.T) {
	t.Parallel()
	all := []string{streamapi.Everything}
	who := &believing{fresh: 2 * time.Second, changing: changing{who: consumers{
		"": {ID: "shop", Categories: all, Organisations: all, WriteFree: true}, "boss:x": admin(),
	}}}
	log := &counted{}
	s := serve(t, func(o *streamapi.Options) { // Recheck is as it is for everybody
		log.Log = o.Log
		o.Log, o.Authenticate, o.Fresh, o.Subscriptions = log, who, who.fresh, subscriptions.New(pgtest.New(t))
	})
	stream := name("app")
	for range 5 { // more than a call may have under way, and than a read has at hand
		entries := make([]eventstore.Entry, 1000)
		for i := range entries {
			entries[i] = eventstore.Entry{ID: uuid.New(), Type: "e", Data: make([]byte, 1000)}
		}
		if _, err := s.log.Append(t.Context(), eventstore.Stream(stream), eventstore.Any, entries...); err != nil {
			t.Fatal(err)
		}
	}
	created(t, s.client(t, "boss:x"), stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.End{}})

	// Each has a connection of its own, because what is under way on one is bounded for all that is on it.
	dial := func() *grpc.ClientConn { return s.dialled(t) }
	open := func(change func(*streams.ReadReq_Options)) streams.Streams_ReadClient { return s.opened(t, change) }
	toItsEnd := func(call interface {
		Recv() (*streams.ReadResp, error)
	}) func() error {
		return func() error {
			for {
				if _, err := call.Recv(); err != nil {
					return err
				}
			}
		}
	}
	fromEnd := func(o *streams.ReadReq_Options) {
		o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}}}}
	}
	ends := map[string]func() error{
		"a subscription to $all": toItsEnd(open(fromEnd)),
		"a subscription to a stream": toItsEnd(open(func(o *streams.ReadReq_Options) {
			o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
				StreamIdentifier: identifier(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}},
			}}
		})),
	}
	for _, what := range []string{"a batch of appends", "an idle batch of appends"} {
		call, err := streams.NewStreamsClient(dial()).BatchAppend(within(t))
		if err != nil {
			t.Fatal(err)
		}
		append := func() error {
			if err := call.Send(&streams.BatchAppendReq{
				CorrelationId: textID(uuid.New()), ProposedMessages: messages(1), IsFinal: true,
				Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier(name("app"))},
			}); err != nil {
				_, err = call.Recv()
				return err
			}
			_, err := call.Recv()
			return err
		}
		if err := append(); err != nil {
			t.Fatal(err)
		}
		ends[what] = func() error {
			if what != "a batch of appends" {
				_, err := call.Recv()
				return err
			}
			for {
				if err := append(); err != nil {
					return err
				}
			}
		}
	}
	shared, err := persistent.NewPersistentSubscriptionsClient(dial()).Read(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Send(joining(stream, "g")); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Recv(); err != nil {
		t.Fatal(err)
	}
	ends["a persistent subscription"] = func() error {
		for {
			if _, err := shared.Recv(); err != nil {
				return err
			}
		}
	}
	// These two take nothing of what they are sent.
	still := map[string]streams.Streams_ReadClient{
		"a read that takes nothing":         open(func(o *streams.ReadReq_Options) { o.CountOption = &streams.ReadReq_Options_Count{Count: 1 << 40} }),
		"a subscription that takes nothing": open(func(*streams.ReadReq_Options) {}),
	}
	eventually(t, "both have begun", func() bool { return log.readers.Load() == 2 })

	began := who.revoke()
	var work sync.WaitGroup
	inTime := func(what string) {
		if took := time.Since(began); took > streamapi.EndsWithin {
			t.Errorf("%s ended after %v", what, took)
		}
	}
	for what, end := range ends {
		work.Go(func() {
			if err := end(); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s ended with %v", what, err)
			}
			inTime(what)
		})
	}
	eventually(t, "who takes nothing is sent nothing any more", func() bool { return log.readers.Load() == 0 })
	inTime("what takes nothing")
	for what, call := range still {
		if err := toItsEnd(call)(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s ended with %v", what, err)
		}
	}
	work.Wait()
}

func TestAServerThatCouldNotKeepTheBoundOfARevocationIsNotMade(t *testing.T) {
	t.Parallel()
	for _, o := range []streamapi.Options{{Recheck: streamapi.EndsWithin}, {Fresh: streamapi.EndsWithin - streamapi.DefaultRecheck}} {
		o.Log, o.Authenticate = &counted{}, consumers{}
		if _, err := streamapi.New(o); err == nil {
			t.Errorf("asking every %v who is believed for %v is accepted", o.Recheck, o.Fresh)
		}
	}
}

func joining(stream, group string) *persistent.ReadReq {
	return &persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier(stream)}, GroupName: group, BufferSize: 10,
		UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
	}}}
}

// dialled is a connection on which no credentials are shown.
func (s *served) dialled(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// opened is a subscription to $all from its start, or what change makes of it, on a connection of its own, of which one message was taken.
func (s *served) opened(t testing.TB, change func(*streams.ReadReq_Options)) streams.Streams_ReadClient {
	t.Helper()
	o := &streams.ReadReq_Options{
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
	}
	change(o)
	call, err := streams.NewStreamsClient(s.dialled(t)).Read(within(t), &streams.ReadReq{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); err != nil {
		t.Fatal(err)
	}
	return call
}

// standing is a call that takes nothing until it is asked for the rest.
type standing struct {
	call streams.Streams_ReadClient
}

func (s *served) standing(t testing.TB, subscribes bool) *standing {
	t.Helper()
	return &standing{s.opened(t, func(o *streams.ReadReq_Options) {
		if !subscribes {
			o.CountOption = &streams.ReadReq_Options_Count{Count: 1 << 40}
		}
	})}
}

// rest takes what comes until the call ends, or its subscription caught up, and answers how many messages that was.
func (s *standing) rest() (n int, err error) {
	for {
		m, err := s.call.Recv()
		if errors.Is(err, io.EOF) || (err == nil && m.GetCaughtUp() != nil) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
	}
}
