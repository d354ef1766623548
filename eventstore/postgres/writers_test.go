package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// TestManyWriters lets appends be repeated at once and refused, another process come between, and connections be killed: what is
// acknowledged is there once, at its place, and nothing else.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		processes int
		kill      bool
	}{
		"of one process": {1, false},
		"of one process whose connections are killed":       {1, true},
		"of two processes":                                  {2, false},
		"of two processes whose connections are killed too": {2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			pool := pgtest.New(t)
			logs := make([]*postgres.Log, c.processes)
			for i := range logs {
				logs[i] = open(t, pool, postgres.WithTimeout(20*time.Second))
			}
			m := manyWriters{acked: map[uuid.UUID]eventstore.Position{}, progress: make(chan struct{}, 1)}
			var killer, writers sync.WaitGroup
			done := make(chan struct{})
			if c.kill {
				killer.Go(func() { m.kill(ctx, t, pool, done) })
			}
			for w := range 16 {
				writers.Go(func() { m.write(ctx, t, logs[w%len(logs)], w) })
			}
			writers.Wait()
			close(done)
			killer.Wait()
			m.check(ctx, t, logs[0])
			checkBlocks(t, pool)
		})
	}
}

type manyWriters struct {
	mu       sync.Mutex
	acked    map[uuid.UUID]eventstore.Position // guarded by mu
	progress chan struct{}
}

// write appends to a stream of its own, expecting the right revision, then the wrong one, and to one that all share; some of it twice at once.
func (m *manyWriters) write(ctx context.Context, t *testing.T, log *postgres.Log, w int) {
	own, shared := eventstore.Stream(fmt.Sprint("own-", w)), eventstore.Stream("shared-1")
	revision := eventstore.Expected(eventstore.NoStream)
	for n := range 40 {
		entries := make([]eventstore.Entry, 1+rand.IntN(40)) //nolint:gosec // no secret
		for i := range entries {
			entries[i] = entry(n)
		}
		r, err := log.Append(ctx, own, revision, entries...)
		if err != nil || r.Repeated {
			t.Errorf("writer %d, append %d: %+v, %v", w, n, r, err)
			return
		}
		m.ack(r, entries)
		if _, err := log.Append(ctx, own, revision, entry(n)); err == nil {
			t.Errorf("writer %d: %d was expected again, and held", w, revision)
		}
		revision = eventstore.Exactly(r.Revision)

		e := entry(n)
		var twice sync.WaitGroup
		var receipts [2]eventstore.Receipt
		for i := range receipts {
			twice.Go(func() {
				var err error
				if receipts[i], err = log.Append(ctx, shared, eventstore.Any, e); err != nil {
					t.Errorf("writer %d, append %d for all: %v", w, n, err)
				}
			})
		}
		twice.Wait()
		if a, b := receipts[0], receipts[1]; a.Position != b.Position || a.Repeated == b.Repeated {
			t.Errorf("the same append, twice: %+v and %+v", a, b)
		}
		m.ack(receipts[0], []eventstore.Entry{e})
		select {
		case m.progress <- struct{}{}:
		default:
		}
	}
}

func (m *manyWriters) ack(r eventstore.Receipt, entries []eventstore.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range entries {
		m.acked[e.ID] = r.Position - eventstore.Position(len(entries)-1-i)
	}
}

// kill ends the sessions that append, now the one and now both, each time something was acknowledged.
func (m *manyWriters) kill(ctx context.Context, t *testing.T, pool *pgxpool.Pool, done <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-m.progress:
		}
		if n%8 != 0 {
			continue
		}
		if _, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'mediavault-append' ORDER BY random() LIMIT $1`, 1+n%2); err != nil {
			t.Errorf("kill: %v", err)
			return
		}
	}
}

func (m *manyWriters) check(ctx context.Context, t *testing.T, log *postgres.Log) {
	t.Helper()
	var seen eventstore.Position
	revisions := map[eventstore.Stream]eventstore.Revision{}
	for raw, err := range log.ReadAll(ctx, eventstore.Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if at, ok := m.acked[raw.ID]; !ok || raw.Position != seen || at != seen || raw.Revision != revisions[raw.Stream] {
			t.Fatalf("%+v is event %d of the log, acknowledged at %d, and should be revision %d", raw, seen, at, revisions[raw.Stream])
		}
		revisions[raw.Stream]++
	}
	if int(seen) != len(m.acked) {
		t.Errorf("%d events, %d acknowledged", seen, len(m.acked))
	}
}

// TestWhatAnotherProcessWroteIsSeenAfterALostConnection loses the connection on which a stream was written last, and lets another process go on.
func TestWhatAnotherProcessWroteIsSeenAfterALostConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := pgtest.New(t)
	log, other := open(t, pool), open(t, pool)
	write := func(log eventstore.Log, stream eventstore.Stream, expected eventstore.Expected) {
		t.Helper()
		if _, err := log.Append(ctx, stream, expected, entry(1)); err != nil {
			t.Fatal(err)
		}
	}
	write(log, "test-1", eventstore.NoStream)
	if _, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'mediavault-append'`); err != nil {
		t.Fatal(err)
	}
	write(other, "test-1", eventstore.Exactly(0))
	write(log, "test-2", eventstore.NoStream)
	write(log, "test-1", eventstore.Exactly(1))
}
