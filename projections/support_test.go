package projections

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// world is a log in memory with a real codec, for tests of projections.
type world struct {
	*eventstore.Store
	keys *storetest.MemoryKeys
}

func newWorld(t testing.TB) *world {
	t.Helper()
	keys := storetest.Keys()
	codec, err := eventstore.NewCodec(keys, catalog.Types())
	sure(t, err)
	log := memory.New()
	t.Cleanup(log.Close)
	return &world{Store: eventstore.New(log, codec), keys: keys}
}

// append appends events as somebody.
func (w *world) append(t testing.TB, stream eventstore.Stream, events ...domain.Event) eventstore.Position {
	t.Helper()
	meta := eventstore.Metadata{Command: uuid.New(), Actor: domain.Actor{ID: "alice"}, Correlation: uuid.New()}
	receipt, err := w.Append(t.Context(), stream, eventstore.Any, meta, events...)
	sure(t, err)
	return receipt.Position
}

func sure(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// journal collects log lines.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.buf.String(), s)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func newEngine(t testing.TB, pool *pgxpool.Pool, source Source, o Options, models ...Model) *Engine {
	t.Helper()
	if o.Log == nil {
		o.Log = new(journal).logger()
	}
	e, err := New(pool, source, o, models...)
	sure(t, err)
	sure(t, e.Prepare(t.Context()))
	return e
}

// running runs an engine; the answered function stops it and waits.
func running(t testing.TB, e *Engine, names ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, names...) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// arrive waits until the engine's models are where the log is, however long it takes within reason.
func arrive(t testing.TB, e *Engine) {
	t.Helper()
	head, err := e.source.Head(t.Context())
	sure(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, name := range e.Names() {
		sure(t, e.marks.wait(ctx, name, head))
	}
}

// caughtUp runs the engine until its models are where the log is.
func caughtUp(t testing.TB, e *Engine) {
	t.Helper()
	stop := running(t, e)
	arrive(t, e)
	stop()
}

// allEvents is all events of the log that a projection takes.
func allEvents[R any](t testing.TB, source Source, p Projection[R]) []eventstore.Recorded {
	t.Helper()
	head, err := source.Head(t.Context())
	sure(t, err)
	var all []eventstore.Recorded
	sure(t, readThrough(t.Context(), source, 0, head, eventstore.Filter{Types: p.Types()}, func(events []eventstore.Recorded, _ eventstore.Position) error {
		all = append(all, events...)
		return nil
	}))
	return all
}

// scratch folds events, one after the other and without any of the engine's means, into rows by key, as they are stored.
func scratch[R any](t testing.TB, p Projection[R], events []eventstore.Recorded, through eventstore.Position) map[string]string {
	t.Helper()
	s, err := shapeOf(reflect.TypeFor[R]())
	sure(t, err)
	rows, all := map[string]R{}, map[string]string{}
	for _, rec := range events {
		if rec.Position > through {
			break
		}
		for _, key := range slices.Compact(slices.Sorted(slices.Values(p.Keys(rec)))) {
			var row R
			if !p.Table().AppendOnly {
				row = rows[key]
			}
			row, there := p.Evolve(key, row, rec)
			if !there {
				delete(rows, key)
				delete(all, key)
				continue
			}
			rows[key] = row
			columns, err := s.append(nil, reflect.ValueOf(&row).Elem())
			sure(t, err)
			all[key] = string(columns)
		}
	}
	return all
}

// stands is what the table holds at a moment, as scratch has it.
func stands[R any](t testing.TB, e *Engine, p Projection[R], at At) map[string]string {
	t.Helper()
	view, err := ViewOf(e, p)
	sure(t, err)
	var args Args
	found, err := view.Query(t.Context(), "select "+view.Columns("m")+" from "+p.Name()+" m where "+at.Where("m", &args), &args)
	sure(t, err)
	all := map[string]string{}
	for _, v := range found {
		if _, twice := all[v.Key]; twice {
			t.Fatalf("%s: two versions of %s at once", p.Name(), v.Key)
		}
		columns, err := view.model.shape.append(nil, reflect.ValueOf(&v.Row).Elem())
		sure(t, err)
		all[v.Key] = string(columns)
	}
	return all
}

// sameAtEveryMoment asserts that the table of p, as of every position and now, is what a fold from scratch makes.
func sameAtEveryMoment[R any](t testing.TB, e *Engine, p Projection[R]) {
	t.Helper()
	events := allEvents(t, e.source, p)
	head, err := e.source.Head(t.Context())
	sure(t, err)
	for at := eventstore.Position(0); at <= head; at++ {
		same(t, fmt.Sprintf("%s as of %d", p.Name(), at), scratch(t, p, events, at), stands(t, e, p, At{Position: at, Past: true}))
	}
	same(t, p.Name()+" now", scratch(t, p, events, head), stands(t, e, p, At{}))
}

func same(t testing.TB, what string, want, got map[string]string) {
	t.Helper()
	for key, row := range want {
		if got[key] != row {
			t.Fatalf("%s: row %s is\n%q, want\n%q", what, key, got[key], row)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Fatalf("%s: row %s should not be there", what, key)
		}
	}
}

// verified asserts that every model is what the log says.
func verified(t testing.TB, e *Engine) {
	t.Helper()
	found, err := e.Verify(t.Context(), VerifyOptions{})
	sure(t, err)
	for _, v := range found {
		if v.Differences > 0 {
			t.Fatalf("%s differs from the log in %d ways: %v", v.Name, v.Differences, v.Details)
		}
	}
}
