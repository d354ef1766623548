package reactors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/reactors"
)

// named is a witness under another name.
type named struct {
	*witness
	name string
}

func (n named) Name() string { return n.name }

// tuned is a witness with bounds.
type tuned struct {
	*witness
	tuning reactors.Tuning
}

func (t tuned) Tuning() reactors.Tuning { return t.tuning }

// renamed is a witness with another name.
type renamed struct {
	tuned
	name string
}

func (r renamed) Name() string { return r.name }

func TestParked(t *testing.T) {
	t.Parallel()

	t.Run("what is parked is listed, and reacted to again in order with what came meanwhile", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		var broken atomic.Bool
		broken.Store(true)
		w.fail = func(rec eventstore.Recorded) error {
			if rec.Stream == "thing-bad" && broken.Load() {
				return errors.New("always")
			}
			return nil
		}
		for n := range 3 {
			happen(t, store, "thing-bad", n)
		}
		run(t, store, pool, quick(), w)
		waitFor(t, func() bool { return parked(t, pool) == 3 })
		desk := reactors.NewEngine(store, pool, reactors.Options{})
		list, err := desk.Parked(t.Context())
		if err != nil || len(list) != 1 || list[0].Key != "thing-bad" || list[0].Events != 3 || list[0].Reason != "always" || list[0].Position != 1 || list[0].Retrying {
			t.Fatalf("%+v %v", list, err)
		}
		// Still broken: it stays, all of it.
		if err := desk.Retry(t.Context(), "witness", "thing-bad"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			list, err = desk.Parked(t.Context())
			return err == nil && len(list) == 1 && !list[0].Retrying
		})
		if list[0].Events != 3 {
			t.Errorf("%+v", list)
		}
		broken.Store(false)
		happen(t, store, "thing-bad", 3)
		waitFor(t, func() bool { return parked(t, pool) == 4 })
		if err := desk.Retry(t.Context(), "witness", "thing-bad"); err != nil {
			t.Fatal(err)
		}
		w.await(t, 4)
		happen(t, store, "thing-bad", 4)
		w.await(t, 1)
		if got := w.of("thing-bad"); !slices.Equal(got, []int{0, 1, 2, 3, 4}) || parked(t, pool) != 0 {
			t.Errorf("reacted to %v, %d parked", got, parked(t, pool))
		}
		if err := desk.Retry(t.Context(), "witness", "thing-bad"); !errors.Is(err, reactors.ErrNotParked) {
			t.Errorf("retrying what is not parked: %v", err)
		}
	})

	t.Run("an event that is dropped lets those behind it through", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		w.fail = func(rec eventstore.Recorded) error {
			if rec.Event.(Happened).N == 0 { //nolint:forcetypeassert // our own type
				return errors.New("always")
			}
			return nil
		}
		happen(t, store, "thing-a", 0)
		happen(t, store, "thing-a", 1)
		stop := run(t, store, pool, quick(), w)
		waitFor(t, func() bool { return parked(t, pool) == 2 })
		stop()
		desk := reactors.NewEngine(store, pool, reactors.Options{})
		if err := desk.Drop(t.Context(), "witness", "thing-a", 2); err != nil { // any position that is parked
			t.Fatal(err)
		}
		if err := desk.Drop(t.Context(), "witness", "thing-a", 7); !errors.Is(err, reactors.ErrNotParked) {
			t.Errorf("dropping what is not parked: %v", err)
		}
		if err := desk.Drop(t.Context(), "witness", "thing-a", 1); err != nil {
			t.Fatal(err)
		}
		// Asked for while nobody ran it: whoever comes does it.
		run(t, store, pool, quick(), w)
		waitFor(t, func() bool { return parked(t, pool) == 0 })
		happen(t, store, "thing-a", 2)
		w.await(t, 1)
		if got := w.of("thing-a"); !slices.Equal(got, []int{2}) {
			t.Errorf("reacted to %v", got)
		}
	})
}

func gauge(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return 0
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	store, pool, w := newStore(t), pgtest.New(t), newWitness()
	var now, most atomic.Int64
	w.fail = func(eventstore.Recorded) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		for range 200 { // work
			runtime.Gosched()
		}
		return nil
	}
	for n := range 100 {
		happen(t, store, streamOf(n), 0)
	}
	run(t, store, pool, quick(), tuned{w, reactors.Tuning{Concurrency: 3}})
	w.await(t, 100)
	if most.Load() > 3 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestOneKeyThatHangsDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	store, pool, w := newStore(t), pgtest.New(t), newWitness()
	opts := quick()
	opts.Attempts, opts.Backoff = 3, 200*time.Millisecond
	w.fail = func(rec eventstore.Recorded) error {
		if rec.Stream == "thing-0" {
			return errors.New("always")
		}
		return nil
	}
	for range 50 {
		for key := range 20 {
			happen(t, store, streamOf(key), 0)
		}
	}
	run(t, store, pool, opts, w)
	w.await(t, 19*50)
	waitFor(t, func() bool { return parked(t, pool) == 50 })
}

func TestProcessesShareTheReactors(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t), pgtest.New(t)
	const n = 4
	witnesses := make([]*witness, n)
	var rs []reactors.Reactor
	for i := range witnesses {
		witnesses[i] = newWitness()
		rs = append(rs, named{witnesses[i], fmt.Sprintf("witness-%d", i)})
	}
	opts := quick()
	opts.Lease = 400 * time.Millisecond
	stop := run(t, store, pool, opts, rs...)
	waitFor(t, func() bool { return len(holders(t, pool)) == 1 })
	run(t, store, pool, opts, rs...)
	waitFor(t, func() bool {
		by := holders(t, pool)
		return len(by) == 2 && slices.Max(by) == n/2
	})
	for i := range 50 {
		happen(t, store, "thing-a", i)
	}
	for _, w := range witnesses {
		w.await(t, 50)
	}
	stop()
	for i := 50; i < 60; i++ {
		happen(t, store, "thing-a", i)
	}
	for i, w := range witnesses {
		w.await(t, 10)
		if got := w.of("thing-a"); len(got) != 60 || !slices.IsSorted(got) {
			t.Errorf("witness %d: %d reactions, want 60 in order", i, len(got))
		}
	}
}

// holders is how many reactors each process holds.
func holders(t *testing.T, pool *pgxpool.Pool) []int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT count(*) FROM reactor_checkpoints WHERE holder IS NOT NULL AND held_until > now() GROUP BY holder`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

func TestAnOldLeaderStopsBeforeANewOneBegins(t *testing.T) {
	t.Parallel()
	store, pool, w := newStore(t), pgtest.New(t), newWitness()
	entered, left := make(chan struct{}), make(chan struct{})
	var once sync.Once
	opts := quick()
	opts.Lease = 500 * time.Millisecond
	blocking := blocker{witness: w, react: func(ctx context.Context) error {
		first := false
		once.Do(func() { first = true })
		if !first {
			return nil
		}
		close(entered)
		<-ctx.Done()
		close(left)
		return ctx.Err()
	}}
	happen(t, store, "thing-a", 1)
	run(t, store, pool, opts, blocking)
	<-entered
	// The database gives the reactor to somebody else: whoever ran it has to stop, and can write nothing any more.
	if _, err := pool.Exec(t.Context(), `UPDATE reactor_checkpoints SET holder = gen_random_uuid(), epoch = epoch + 1, held_until = now() + interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	<-left
	w.await(t, 1) // when the other let it run out, it is reacted to again
}

type blocker struct {
	*witness
	react func(ctx context.Context) error
}

func (b blocker) React(ctx context.Context, rec eventstore.Recorded) error {
	if err := b.react(ctx); err != nil {
		return err
	}
	return b.witness.React(ctx, rec)
}

// clock is a witness that also acts by the clock.
type clock struct {
	*witness
	due func(now time.Time) error
}

func (c clock) Due(_ context.Context, now time.Time) error { return c.due(now) }

func TestWhatIsDueIsAskedForByOneProcess(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t), pgtest.New(t)
	var at atomic.Int64
	asked := make(chan time.Time, 1<<16)
	var inside atomic.Int64
	opts := quick()
	opts.Poll, opts.Lease = time.Millisecond, 300*time.Millisecond
	opts.Now = func() time.Time { return time.Unix(at.Load(), 0) }
	c := clock{newWitness(), func(now time.Time) error {
		if inside.Add(1) != 1 {
			t.Error("two at once")
		}
		defer inside.Add(-1)
		asked <- now
		if now.Unix() == 1 {
			panic("at one o'clock")
		}
		return nil
	}}
	stop := run(t, store, pool, opts, c)
	run(t, store, pool, opts, c)
	for hour := range int64(3) {
		at.Store(hour)
		waitFor(t, func() bool { return (<-asked).Unix() == hour })
	}
	stop()
	at.Store(9)
	waitFor(t, func() bool { return (<-asked).Unix() == 9 })
}

func TestARefusalThatIsUnavailableIsTriedAgain(t *testing.T) {
	t.Parallel()
	store, pool, w := newStore(t), pgtest.New(t), newWitness()
	tries := 0
	w.fail = func(eventstore.Recorded) error {
		if tries++; tries < 10 {
			return domain.Refuse(domain.Unavailable, "busy", "ask again")
		}
		return nil
	}
	happen(t, store, "thing-a", 1)
	run(t, store, pool, quick(), w)
	w.await(t, 1)
	if parked(t, pool) != 0 {
		t.Error("it was parked")
	}
}
