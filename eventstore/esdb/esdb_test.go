package esdb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	official "github.com/EventStore/EventStore-Client-Go/v4/esdb"
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
// a server holds, and the streams that were written to are deleted in the end.

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
	t.Cleanup(func() { s.clean(t) })
	return s
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

// clean deletes the streams that were written to, through the official client.
func (s *server) clean(t *testing.T) {
	config, err := official.ParseConnectionString(s.connection)
	if err != nil {
		t.Error(err)
		return
	}
	config.Logger = official.NoopLogging()
	client, err := official.NewClient(config)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	for stream := range s.written {
		todo <- stream
	}
	close(todo)
	group.Wait()
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
	stop    func(t *testing.T)
}

func startVault(t *testing.T, log eventstore.Log, address string, more ...grpc.ServerOption) *vault {
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
	return &vault{address: listener.Addr().String(), stop: func(t *testing.T) {
		server.Stop()
		end()
		if err := errors.Join(<-ran, <-served); err != nil {
			t.Error(fmt.Errorf("the server: %w", err))
		}
	}}
}
