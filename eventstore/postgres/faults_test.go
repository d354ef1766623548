package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/migrations"
)

func entry(n int) eventstore.Entry {
	return eventstore.Entry{ID: uuid.New(), Type: "test.happened", Data: fmt.Append(nil, n), Metadata: []byte("{}")}
}

func TestHistoryCannotBeChanged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	log := open(t, pool)
	if _, err := log.Append(ctx, "test-1", eventstore.Any, entry(1)); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE events SET data = 'x'`, `DELETE FROM events`, `TRUNCATE events`, `DELETE FROM events_head`, `TRUNCATE events_head`,
		`UPDATE events SET position = position WHERE false`,
	} {
		var refused *pgconn.PgError
		if _, err := pool.Exec(ctx, sql); !errors.As(err, &refused) || refused.Code != "23001" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestLostConnections kills the connections of the log while many write: what is acknowledged is there once, at its place, and
// nobody sees an error.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := pgtest.New(t)
	log := open(t, pool)
	var (
		writers, killer sync.WaitGroup
		done            = make(chan struct{})
		progress        = make(chan struct{}, 1)
		mu              sync.Mutex
		acked           = map[uuid.UUID]eventstore.Receipt{} // guarded by mu
	)
	killer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-progress: // what is killed before it has done anything never ends
			}
			if n%5 != 0 {
				continue
			}
			if _, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name IN ('mediavault-append', 'mediavault-follow')`); err != nil {
				t.Errorf("kill: %v", err)
				return
			}
		}
	})
	for w := range 16 {
		writers.Go(func() {
			for n := range 40 {
				e := entry(n)
				r, err := log.Append(ctx, eventstore.Stream(fmt.Sprint("test-", w)), eventstore.Expected(n-1), e)
				if err != nil || r.Repeated {
					t.Errorf("writer %d, append %d: %+v, %v", w, n, r, err)
					return
				}
				mu.Lock()
				acked[e.ID] = r
				mu.Unlock()
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	killer.Wait()
	seen := 0
	for raw, err := range log.ReadAll(ctx, eventstore.Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		r, ok := acked[raw.ID]
		if !ok || raw.Position != eventstore.Position(seen) || r.Position != raw.Position || r.Revision != raw.Revision || !r.At.Equal(raw.At) {
			t.Fatalf("%+v is there, acknowledged as %+v", raw, r)
		}
	}
	if seen != len(acked) {
		t.Fatalf("%d events, %d acknowledged", seen, len(acked))
	}
	if log.Stats().Retries == 0 {
		t.Error("no connection was lost on the way: the test shows nothing")
	}
}

func TestFollowerSurvivesItsListener(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := pgtest.New(t)
	log, other := open(t, pool, postgres.WithPoll(20*time.Millisecond)), open(t, pool)
	n := 0
	for b, err := range log.Follow(ctx, 0, eventstore.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n += len(b.Events); n == 20 {
			break
		}
		if !b.Live || int(b.Through) != n {
			t.Fatalf("got %+v after %d events", b, n)
		}
		if _, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'mediavault-follow'`); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Append(ctx, "test-1", eventstore.Any, entry(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotificationsAreNotBelieved(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := pgtest.New(t)
	log, other := open(t, pool), open(t, pool)
	for b, err := range log.Follow(ctx, 0, eventstore.Filter{}) {
		if err != nil || b.Through > 1 {
			t.Fatalf("got %+v, %v", b, err)
		}
		if b.Through == 1 {
			break
		}
		for _, lie := range []string{"1000", "999999999999999999999999", "-5", "x"} {
			if _, err := pool.Exec(ctx, `SELECT pg_notify('mediavault_events', $1)`, lie); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := other.Append(ctx, "test-1", eventstore.Any, entry(1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster := pgtest.Cluster(t)
	url, err := cluster.Ensure(ctx, "vault")
	if err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(ctx, url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	log := open(t, pool, postgres.WithTimeout(500*time.Millisecond))
	before := entry(1)
	original, err := log.Append(ctx, "test-1", eventstore.NoStream, before)
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	<-cluster.Done()

	start := time.Now()
	during := entry(2)
	_, err = log.Append(ctx, "test-1", eventstore.Exactly(0), during)
	for err == nil { // a session may outlive its postmaster for a moment, and still commit
		_, err = log.Append(ctx, "test-1", eventstore.Exactly(0), during)
	}
	if !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if _, err := log.Head(ctx); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	for _, err := range log.ReadAll(ctx, eventstore.Read{}) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
	}
	for _, err := range log.ReadStream(ctx, "test-1", eventstore.StreamRead{}) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("read a stream: %v", err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}

	if err := cluster.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := log.Append(ctx, "test-1", eventstore.Any, before)
	if again.Repeated = false; err != nil || again.Position != original.Position || !again.At.Equal(original.At) {
		t.Errorf("what was acknowledged is %+v, %v; was %+v", again, err, original)
	}
	if r, err := log.Append(ctx, "test-1", eventstore.Exactly(0), during); err != nil || r.Position != 2 {
		t.Errorf("append afterwards: %+v, %v", r, err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	log, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	started := make(chan struct{}, 1)
	for range 3 {
		group.Go(func() {
			for _, err := range log.Follow(ctx, 0, eventstore.Filter{}) {
				if err != nil && !errors.Is(err, eventstore.ErrClosed) {
					t.Errorf("a follower ended with %v", err)
				}
			}
		})
	}
	var mu sync.Mutex
	acked := 0 // guarded by mu
	for w := range 32 {
		group.Go(func() {
			for n := 0; ; n++ {
				_, err := log.Append(ctx, eventstore.Stream(fmt.Sprint("test-", w)), eventstore.Any, entry(n))
				if errors.Is(err, eventstore.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				acked++
				mu.Unlock()
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	<-started
	log.Close()
	log.Close()
	group.Wait()
	if _, err := log.Head(ctx); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("head: %v", err)
	}
	if head, err := open(t, pool).Head(ctx); err != nil || int(head) != acked {
		t.Errorf("%d events, %v; %d were acknowledged", head, err, acked)
	}
}

func TestOpenNeedsTheTables(t *testing.T) {
	t.Parallel()
	if _, err := postgres.Open(context.Background(), pgtest.New(t, pgtest.Empty())); err == nil {
		t.Error("opened a database without the log's tables")
	}
}

func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	log := open(t, pgtest.New(t), postgres.WithClock(func() time.Time { return now }))
	for i, step := range []time.Duration{0, time.Hour, -2 * time.Hour, time.Minute, 5 * time.Hour} {
		now = now.Add(step) // no append is under way
		if _, err := log.Append(ctx, "test-1", eventstore.Expected(i-1), entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	var last time.Time
	for raw, err := range log.ReadAll(ctx, eventstore.Read{}) {
		if err != nil || raw.At.Before(last) {
			t.Fatalf("%+v comes after %v, %v", raw, last, err)
		}
		last = raw.At
	}
	if !last.Equal(now) {
		t.Errorf("the clock is held at %v, although it is %v", last, now)
	}
}
