package reactors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/reactors"
)

// Happened is an event of the tests.
type Happened struct {
	N int `json:"n"`
}

// EventType implements domain.Event.
func (Happened) EventType() string { return "thing.happened" }

// witness writes down what it is told, in order by stream, and fails as it is asked to.
type witness struct {
	fail func(rec eventstore.Recorded) error

	mu   sync.Mutex // guards seen
	seen map[eventstore.Stream][]int
	more chan struct{} // gets a token for each reaction
}

func newWitness() *witness {
	return &witness{seen: map[eventstore.Stream][]int{}, more: make(chan struct{}, 1<<16)}
}

func (*witness) Name() string    { return "witness" }
func (*witness) Types() []string { return []string{"thing.happened"} }

func (w *witness) React(_ context.Context, rec eventstore.Recorded) error {
	if w.fail != nil {
		if err := w.fail(rec); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[rec.Stream] = append(w.seen[rec.Stream], rec.Event.(Happened).N) //nolint:forcetypeassert // our own type
	w.more <- struct{}{}
	return nil
}

func (w *witness) of(stream eventstore.Stream) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen[stream])
}

func (w *witness) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-w.more:
		case <-t.Context().Done():
			t.Fatal("the reactions did not come")
		case <-time.After(30 * time.Second):
			t.Fatal("the reactions did not come in 30 s")
		}
	}
}

func newStore(t *testing.T) *eventstore.Store {
	t.Helper()
	codec, err := eventstore.NewCodec(storetest.Keys(), []domain.Type{domain.TypeOf[Happened]()})
	if err != nil {
		t.Fatal(err)
	}
	return eventstore.New(memory.New(), codec)
}

func happen(t *testing.T, store *eventstore.Store, stream eventstore.Stream, n int) {
	t.Helper()
	_, err := store.Append(t.Context(), stream, eventstore.Any, eventstore.Metadata{Command: uuid.New()}, Happened{N: n})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs an engine and answers how to stop it; it has stopped when stop returns.
func run(t *testing.T, store *eventstore.Store, pool *pgxpool.Pool, opts reactors.Options, rs ...reactors.Reactor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- reactors.NewEngine(store, pool, opts, rs...).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("engine: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func quick() reactors.Options {
	return reactors.Options{Backoff: time.Millisecond, Attempts: 3, Timeout: 5 * time.Second}
}

func streamOf(i int) eventstore.Stream { return eventstore.Stream(fmt.Sprintf("thing-%d", i)) }

func TestEngine(t *testing.T) {
	t.Parallel()

	t.Run("reacts to what was there and to what comes, in the order of each key", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		for n := range 50 {
			for key := range 20 {
				happen(t, store, streamOf(key), n)
			}
		}
		run(t, store, pool, quick(), w)
		w.await(t, 1000)
		for key := range 20 {
			happen(t, store, streamOf(key), 50)
		}
		w.await(t, 20)
		for key := range 20 {
			got := w.of(streamOf(key))
			if len(got) != 51 || !slices.IsSorted(got) {
				t.Errorf("key %d: got %v, want 0..50 in order", key, got)
			}
		}
	})

	t.Run("goes on from its checkpoint after a stop", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		for n := range 100 {
			happen(t, store, "thing-a", n)
		}
		stop := run(t, store, pool, quick(), w)
		w.await(t, 100)
		stop()
		happen(t, store, "thing-a", 100)
		again := newWitness()
		run(t, store, pool, quick(), again)
		again.await(t, 1)
		if got := again.of("thing-a"); !slices.Equal(got, []int{100}) {
			t.Errorf("after the stop it reacted to %v, want only what was new", got)
		}
	})

	t.Run("tries again until a passing fault has passed", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		tries := 0
		w.fail = func(eventstore.Recorded) error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			return nil
		}
		happen(t, store, "thing-a", 1)
		run(t, store, pool, quick(), w)
		w.await(t, 1)
		if tries != 3 {
			t.Errorf("tried %d times, want 3", tries)
		}
	})

	t.Run("tries a transient fault for longer than the attempts of one event", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		down := errors.New("neighbour is down")
		tries := 0
		w.fail = func(eventstore.Recorded) error {
			if tries++; tries < 10 {
				return down
			}
			return nil
		}
		opts := quick()
		opts.Transient = func(err error) bool { return errors.Is(err, down) }
		happen(t, store, "thing-a", 1)
		run(t, store, pool, opts, w)
		w.await(t, 1)
		if n := parked(t, pool); n != 0 {
			t.Errorf("%d events are parked, want none", n)
		}
	})

	t.Run("parks what keeps failing with all of its key, and goes on with the others", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		w.fail = func(rec eventstore.Recorded) error {
			if rec.Stream == "thing-bad" {
				return errors.New("always")
			}
			return nil
		}
		happen(t, store, "thing-bad", 1)
		happen(t, store, "thing-good", 1)
		happen(t, store, "thing-bad", 2)
		happen(t, store, "thing-good", 2)
		stop := run(t, store, pool, quick(), w)
		w.await(t, 2)
		waitFor(t, func() bool { return parked(t, pool) == 2 })
		stop()
		if got := w.of("thing-good"); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("the other key got %v, want [1 2]", got)
		}
	})

	for name, fail := range map[string]func() error{
		"a panic is a failure like any other": func() error { panic("boom") },
		"parks what fails with words that a database does not store": func() error {
			return errors.New("x\x00\xff" + strings.Repeat("ü", 2_000)) // cut in the middle of a character
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, pool, w := newStore(t), pgtest.New(t), newWitness()
			w.fail = func(rec eventstore.Recorded) error {
				if rec.Stream == "thing-bad" {
					return fail()
				}
				return nil
			}
			happen(t, store, "thing-bad", 1)
			happen(t, store, "thing-good", 1)
			run(t, store, pool, quick(), w)
			w.await(t, 1)
			waitFor(t, func() bool { return parked(t, pool) == 1 })
		})
	}

	t.Run("a refusal is an answer, not a failure", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		asked := 0
		w.fail = func(rec eventstore.Recorded) error {
			if rec.Event.(Happened).N == 1 { //nolint:forcetypeassert // our own type
				asked++
				return domain.Refuse(domain.Conflict, "gone", "it is gone")
			}
			return nil
		}
		happen(t, store, "thing-a", 1)
		happen(t, store, "thing-a", 2)
		run(t, store, pool, quick(), w)
		w.await(t, 1)
		if asked != 1 || parked(t, pool) != 0 {
			t.Errorf("asked %d times and parked %d, want 1 and 0", asked, parked(t, pool))
		}
	})

	t.Run("two engines share the work, and each event is reacted to once", func(t *testing.T) {
		t.Parallel()
		store, pool, w := newStore(t), pgtest.New(t), newWitness()
		stop := run(t, store, pool, quick(), w)
		run(t, store, pool, quick(), w)
		for n := range 100 {
			happen(t, store, "thing-a", n)
		}
		w.await(t, 100)
		stop() // one of them leads; whichever remains has to take over
		for n := 100; n < 120; n++ {
			happen(t, store, "thing-a", n)
		}
		w.await(t, 20)
		if got := w.of("thing-a"); len(got) != 120 || !slices.IsSorted(got) {
			t.Errorf("got %d reactions, want 0..119 once each and in order: %v", len(got), got)
		}
	})
}

func parked(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM reactor_parked`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatal("it did not come to pass in 30 s")
		case <-tick.C:
		}
	}
}
