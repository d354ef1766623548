package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	official "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// The server is the vault's own, over a database of the test's, unless MEDIAVAULT_TEST_ESDB names one to use instead, as a
// connection string such as esdb://admin:changeit@host:2113?tlsVerifyCert=false. Nothing is taken for granted about what such
// a server holds, and the streams that were written to are deleted in the end: that none of the test's streams can be read any more is
// looked for in all that was written since the test began.

func TestESDB(t *testing.T) {
	t.Parallel()
	server := serverFor(t)
	log := server.open(t)
	storetest.Run(t, func(*testing.T) eventstore.Log { return log }, storetest.Lacking("esdb")...)
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	server := serverFor(t)
	storetest.RunTogether(t, func(t *testing.T) (eventstore.Log, eventstore.Log) { return server.open(t), server.open(t) })
}

// server is an EventStoreDB, or what speaks like one.
type server struct {
	connection string
	began      official.AllPosition // where $all ended before the test
	mu         sync.Mutex
	written    map[eventstore.Stream]bool // guarded by mu
}

// serverFor answers a server. What was written there is deleted with the test.
func serverFor(t *testing.T) *server {
	t.Helper()
	s := &server{connection: os.Getenv("MEDIAVAULT_TEST_ESDB"), written: map[eventstore.Stream]bool{}}
	if s.connection == "" {
		s.connection = "esdb://" + serveVault(t) + "?tls=false"
	}
	client := s.client(t)
	s.began = official.Start{}
	if last, err := read(t.Context(), client, official.ReadAllOptions{From: official.End{}, Direction: official.Backwards}, 1); err != nil {
		t.Fatal(err)
	} else if len(last) > 0 {
		s.began = last[0].OriginalEvent().Position
	}
	t.Cleanup(func() { s.clean(t, client) })
	return s
}

// client is the official one, for what the log does not do.
func (s *server) client(t *testing.T) *official.Client {
	t.Helper()
	config, err := official.ParseConnectionString(s.connection)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = official.NoopLogging()
	client, err := official.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func read(ctx context.Context, c *official.Client, o official.ReadAllOptions, count uint64) ([]*official.ResolvedEvent, error) {
	r, err := c.ReadAll(ctx, o, count)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []*official.ResolvedEvent
	for {
		e, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
}

// open makes a log as a process of its own would have it.
func (s *server) open(t *testing.T) eventstore.Log {
	t.Helper()
	settings, err := esdb.Parse(s.connection, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log, err := esdb.Open(t.Context(), settings, esdb.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return &noting{Log: log, server: s}
}

// noting notes which streams are written to.
type noting struct {
	eventstore.Log
	server *server
}

func (n *noting) Append(ctx context.Context, stream eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	r, err := n.Log.Append(ctx, stream, expected, entries...)
	if err == nil || !errors.Is(err, eventstore.ErrInvalid) {
		n.server.mu.Lock()
		defer n.server.mu.Unlock()
		n.server.written[stream] = true
	}
	return r, err
}

// clean deletes the streams that were written to, and holds the server to it that none of the test's can be read any more, whether it is
// known to have been written or not.
func (s *server) clean(t *testing.T, client *official.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	todo := make(chan eventstore.Stream)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for stream := range todo {
				_, err := client.DeleteStream(ctx, string(stream), official.DeleteStreamOptions{ExpectedRevision: official.Any{}})
				var e *official.Error
				// Of an append that was refused, or withdrawn, there is no stream.
				if err != nil && (!errors.As(err, &e) || (e.Code() != official.ErrorCodeStreamDeleted && e.Code() != official.ErrorCodeWrongExpectedVersion && e.Code() != official.ErrorCodeUnknown)) {
					t.Errorf("delete %s: %v", stream, err)
				}
			}
		})
	}
	categories := map[string]bool{}
	for stream := range s.written {
		categories[stream.Category()] = true
		todo <- stream
	}
	close(todo)
	group.Wait()

	since, err := read(ctx, client, official.ReadAllOptions{From: s.began}, math.MaxUint64)
	if err != nil {
		t.Errorf("what was written since the test began: %v", err)
	}
	ours := map[string]bool{}
	for _, e := range since {
		if stream := e.OriginalEvent().StreamID; categories[eventstore.Stream(stream).Category()] {
			ours[stream] = true
		}
	}
	for stream := range ours {
		r, err := client.ReadStream(ctx, stream, official.ReadStreamOptions{}, 1)
		if err == nil {
			_, err = r.Recv()
			r.Close()
		}
		var e *official.Error
		if !errors.As(err, &e) || e.Code() != official.ErrorCodeResourceNotFound {
			t.Errorf("left behind: %s, %v", stream, err)
		}
	}
	if len(ours) < len(categories) {
		t.Errorf("of %d categories %d streams are found", len(categories), len(ours))
	}
}

// anybody may do everything.
type anybody struct{}

func (anybody) Basic(context.Context, string, string) (streamapi.Principal, error) {
	return streamapi.Principal{
		ID: "admin", Roles: []string{"$admins"}, Categories: []string{streamapi.Everything}, Organisations: []string{streamapi.Everything},
		WriteFree: true, WriteOwn: true, Opened: true,
	}, nil
}

func (a anybody) Bearer(ctx context.Context, _ string) (streamapi.Principal, error) {
	return a.Basic(ctx, "", "")
}

func (a anybody) Nobody(ctx context.Context) (streamapi.Principal, error) {
	return a.Basic(ctx, "", "")
}

// serveVault serves the vault's stream API on a free port, until the test ends.
func serveVault(t *testing.T) string {
	t.Helper()
	log, err := postgres.Open(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	v := startVault(t, storetest.Sparse(log), "127.0.0.1:0")
	t.Cleanup(func() { v.stop(t) })
	return v.address
}

// vault is a stream API that runs.
type vault struct {
	address string
	stop    func(t testing.TB)
}

func startVault(t testing.TB, log eventstore.Log, address string, more ...grpc.ServerOption) *vault {
	t.Helper()
	api, err := streamapi.New(streamapi.Options{Log: log, Authenticate: anybody{}, MaxAppend: eventstore.MaxAppend, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	server := api.GRPC(append(more, grpc.ChainStreamInterceptor(strict))...)
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- api.Run(ctx) }()
	go func() { served <- server.Serve(listener) }()
	return &vault{address: listener.Addr().String(), stop: func(t testing.TB) {
		server.Stop()
		end()
		if err := errors.Join(<-ran, <-served); err != nil {
			t.Error(fmt.Errorf("the server: %w", err))
		}
	}}
}

func logAt(t *testing.T, connection string, opts ...esdb.Option) (*esdb.Log, error) {
	t.Helper()
	settings, err := esdb.Parse(connection, "", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log, err := esdb.Open(ctx, settings, append([]esdb.Option{esdb.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	if err == nil {
		t.Cleanup(log.Close)
	}
	return log, err
}

func happened() eventstore.Entry {
	return eventstore.Entry{ID: uuid.New(), Type: "test.happened", Data: []byte(`{}`)}
}
