package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestAServerThatWasAwayIsFoundAgain(t *testing.T) {
	t.Parallel()
	store := memory.New()
	v := startVault(t, storetest.Sparse(store), "127.0.0.1:0")
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, live := make(chan uuid.UUID, 100), make(chan bool, 100)
	done := make(chan error, 1)
	go func() { // ends with ctx
		var last error
		for b, err := range log.Follow(ctx, 0, eventstore.Filter{Categories: []string{"test"}}) {
			if last = err; err != nil {
				break
			}
			for _, raw := range b.Events {
				got <- raw.ID
			}
			if b.Live {
				select {
				case live <- true:
				default:
				}
			}
		}
		done <- last
	}()
	<-live
	wants := func(e eventstore.Entry) {
		t.Helper()
		select {
		case id := <-got:
			if id != e.ID {
				t.Fatalf("got %s, want %s", id, e.ID)
			}
		case err := <-done:
			t.Fatalf("the follower ended with %v", err)
		}
	}
	for range 4 {
		e := happened()
		if _, err := log.Append(ctx, "test-1", eventstore.Any, e); err != nil {
			t.Fatal(err)
		}
		wants(e)
		// Appended while the server is away: it waits, and is there once.
		v.stop(t)
		later, acked := happened(), make(chan error, 1)
		go func() {
			_, err := log.Append(ctx, "test-1", eventstore.Any, later)
			acked <- err
		}()
		v = startVault(t, storetest.Sparse(store), v.address)
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
		wants(later)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the follower ended with %v", err)
	}
	v.stop(t)
	n := 0
	for range store.ReadStream(t.Context(), "test-1", eventstore.StreamRead{}) {
		n++
	}
	if n != 8 {
		t.Errorf("%d events, want 8", n)
	}
}

func TestAServerThatStaysAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0")
	log, err := logAt(t, "esdb://"+v.address+"?tls=false", esdb.WithTimeout(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	v.stop(t)
	if _, err := log.Append(t.Context(), "test-1", eventstore.Any, happened()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if _, err := log.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	for _, err := range log.ReadAll(t.Context(), eventstore.Read{}) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
	}
	for _, err := range log.Follow(t.Context(), 0, eventstore.Filter{}) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("follow: %v", err)
		}
	}
	log.Close()
	if _, err := log.Append(t.Context(), "test-1", eventstore.Any, happened()); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

func TestClosingEndsFollowers(t *testing.T) {
	t.Parallel()
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0")
	defer v.stop(t)
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for b, err := range log.Follow(t.Context(), 0, eventstore.Filter{}) {
		if last = err; b.Live {
			log.Close()
		}
	}
	if !errors.Is(last, eventstore.ErrClosed) {
		t.Errorf("ended with %v", last)
	}
}

// scripted answers as no good server does.
type scripted struct {
	streams.UnimplementedStreamsServer
	gossip.UnimplementedGossipServer
	read   func(streams.Streams_ReadServer, *streams.ReadReq) error
	add    func(streams.Streams_AppendServer) error
	leader func() string // host:port
}

func (s *scripted) Read(r *streams.ReadReq, call streams.Streams_ReadServer) error {
	return s.read(call, r)
}
func (s *scripted) Append(call streams.Streams_AppendServer) error { return s.add(call) }

type scriptedGossip struct {
	gossip.UnimplementedGossipServer
	leader func() string
}

func (s scriptedGossip) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port, err := net.SplitHostPort(s.leader())
	if err != nil {
		return nil, err
	}
	var n uint32
	if _, err := fmt.Sscan(port, &n); err != nil {
		return nil, err
	}
	at := &gossip.EndPoint{Address: host, Port: n}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{
		{State: gossip.MemberInfo_Follower, IsAlive: true, HttpEndPoint: &gossip.EndPoint{Address: "127.0.0.1", Port: 1}},
		{State: gossip.MemberInfo_Leader, IsAlive: false, HttpEndPoint: &gossip.EndPoint{Address: "127.0.0.1", Port: 2}},
		{State: gossip.MemberInfo_Leader, IsAlive: true, HttpEndPoint: at},
	}}, nil
}

func (s *scripted) serve(t *testing.T) string {
	t.Helper()
	return serveGRPC(t, func(server *grpc.Server) {
		streams.RegisterStreamsServer(server, s)
		if s.leader != nil {
			gossip.RegisterGossipServer(server, scriptedGossip{leader: s.leader})
		}
	})
}

// serveGRPC serves what is registered until the test's end, and answers where.
func serveGRPC(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// notLeader is what a follower answers.
func notLeader(call grpc.ServerStream, leader string) error {
	host, port, _ := strings.Cut(leader, ":")
	call.SetTrailer(metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
	return status.Error(codes.NotFound, "Leader info available")
}

func TestANewLeaderIsFollowed(t *testing.T) {
	t.Parallel()
	store := memory.New()
	one, two := startVault(t, storetest.Sparse(store), "127.0.0.1:0"), startVault(t, storetest.Sparse(store), "127.0.0.1:0")
	t.Cleanup(func() { one.stop(t); two.stop(t) })
	t.Run("told by a follower", func(t *testing.T) {
		t.Parallel()
		follower := &scripted{
			read: func(call streams.Streams_ReadServer, _ *streams.ReadReq) error { return notLeader(call, one.address) },
			add:  func(call streams.Streams_AppendServer) error { return notLeader(call, one.address) },
		}
		log, err := logAt(t, "esdb://"+follower.serve(t)+"?tls=false")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := log.Append(t.Context(), "test-told", eventstore.NoStream, happened()); err != nil || r.Position == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("found by gossip, when the old one steps down", func(t *testing.T) {
		t.Parallel()
		var leader atomic.Pointer[string]
		old := &scripted{}
		var stepped atomic.Int32
		old.read = func(call streams.Streams_ReadServer, _ *streams.ReadReq) error {
			if stepped.Add(1) == 1 {
				return nil // an empty log: it leads, yet
			}
			leader.Store(&two.address)
			return status.Error(codes.Unavailable, "Server Is Not Ready")
		}
		old.leader = func() string { return *leader.Load() }
		address := old.serve(t)
		leader.Store(&address)
		log, err := logAt(t, "esdb+discover://"+address+"?tls=false")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := log.Append(t.Context(), "test-found", eventstore.NoStream, happened()); err != nil || r.Position == 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if log.Stats().Links < 2 {
			t.Errorf("%+v", log.Stats())
		}
	})
}

// The official client ends the program, or panics, at some of these.
func TestMalformedAnswersAreErrors(t *testing.T) {
	t.Parallel()
	event := func(change func(*streams.ReadResp_ReadEvent_RecordedEvent)) *streams.ReadResp {
		e := &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}, StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("test-1")},
			CommitPosition: 7, PreparePosition: 7, Metadata: map[string]string{"type": "a", "created": "17000000000000000"},
		}
		change(e)
		return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: e}}}
	}
	for name, m := range map[string]*streams.ReadResp{
		"created is not a number": event(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Metadata["created"] = "yesterday" }),
		"created is missing":      event(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Metadata = nil }),
		"no id":                   event(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.Id = nil }),
		"no stream":               event(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.StreamIdentifier = nil }),
		"a position beyond all":   event(func(e *streams.ReadResp_ReadEvent_RecordedEvent) { e.CommitPosition = 1<<64 - 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{read: func(call streams.Streams_ReadServer, _ *streams.ReadReq) error { return call.Send(m) }}
			if _, err := logAt(t, "esdb://"+s.serve(t)+"?tls=false"); err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("messages of a newer server are passed over", func(t *testing.T) {
		t.Parallel()
		s := &scripted{read: func(call streams.Streams_ReadServer, _ *streams.ReadReq) error {
			for _, m := range []*streams.ReadResp{{}, {Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: 4}}, {Content: &streams.ReadResp_CaughtUp_{}}} {
				if err := call.Send(m); err != nil {
					return err
				}
			}
			return call.Send(event(func(*streams.ReadResp_ReadEvent_RecordedEvent) {}))
		}}
		log, err := logAt(t, "esdb://"+s.serve(t)+"?tls=false")
		if err != nil {
			t.Fatal(err)
		}
		if head, err := log.Head(t.Context()); err != nil || head != 7 {
			t.Errorf("%d, %v", head, err)
		}
	})
	t.Run("refused credentials are no reason to ask again", func(t *testing.T) {
		t.Parallel()
		s := &scripted{read: func(streams.Streams_ReadServer, *streams.ReadReq) error {
			return status.Error(codes.Unauthenticated, "no")
		}}
		_, err := logAt(t, "esdb://u:hush-hush@"+s.serve(t)+"?tls=false")
		if err == nil || errors.Is(err, eventstore.ErrUnavailable) || strings.Contains(err.Error(), "hush") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAConnectionStringIsChecked(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"esdb://localhost", "esdb://localhost:2113?tls=false", "esdb+discover://cluster.example.org:2113", "esdb://a:1,b:2,c:3?tlsVerifyCert=false",
		"esdb://user:p%40ss@host?keepAliveInterval=-1&nodePreference=leader&defaultDeadline=5000",
	} {
		if _, err := esdb.Parse(good, "", ""); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "esdb://", "http://localhost", "localhost:2113", "esdb://host:0", "esdb://host:70000", "esdb://host:x", "esdb://host/path", "esdb://a,,b",
		"esdb://host?tsl=false", "esdb://host?tls=maybe", "esdb://host?tls=false&tls=true", "esdb://host?nodePreference=follower", "esdb://host?gossipTimeout=-1",
		"esdb://host?keepAliveInterval=-5", "esdb://host?defaultDeadline=soon", "esdb://u:hush-hush@host:bad", "esdb://host?userCertFile=/a", "esdb://host?tlsCAFile=/nowhere",
		"esdb://:hush-hush@host", "esdb://%zz:hush-hush@host", "esdb://host?%zz",
	} {
		if _, err := esdb.Parse(bad, "", ""); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := esdb.Parse("esdb://host", "a:b", "x"); err == nil {
		t.Error("a user with a colon was accepted")
	}
}

func TestStreamsOfTheSystemAreNotTheLogs(t *testing.T) {
	t.Parallel()
	store := memory.New()
	v := startVault(t, storetest.Sparse(store), "127.0.0.1:0")
	defer v.stop(t)
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), "$settings", eventstore.Any, happened()); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("append: %v", err)
	}
	r, err := log.Append(t.Context(), "test-1", eventstore.Any, happened())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), "$$test-1", eventstore.Any, eventstore.Entry{ID: uuid.New(), Type: "$metadata", Data: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if head, err := log.Head(t.Context()); err != nil || head != r.Position {
		t.Errorf("head is %d, %v", head, err)
	}
	for raw, err := range log.ReadAll(t.Context(), eventstore.Read{}) {
		if err != nil || raw.Stream != "test-1" {
			t.Errorf("%+v, %v", raw, err)
		}
	}
	for range log.ReadStream(t.Context(), "$$test-1", eventstore.StreamRead{}) {
		t.Error("a stream of the system is shown")
	}
}
