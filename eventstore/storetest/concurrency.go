package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// together runs n calls at once and waits for them; an error fails the test.
func together(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	var (
		group sync.WaitGroup
		start = make(chan struct{})
		errs  = make([]error, n)
	)
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

var concurrencyCases = map[string]func(*testing.T, *world){
	"many writers leave streams and log in order, with nothing missing or twice": func(t *testing.T, w *world) {
		writeFromMany(t, w, w)
	},
	"of those who expect the same revision exactly one wins": func(t *testing.T, w *world) {
		race(t, w, w)
	},
	"a loser does not fail its neighbours": func(t *testing.T, w *world) {
		busy := w.stream("busy")
		w.append(busy, eventstore.NoStream, entry(0))
		reused := entries(2)
		w.append(w.stream("reused"), eventstore.NoStream, reused...)
		together(t, 60, func(i int) error {
			switch i % 4 {
			case 0:
				if _, err := w.log.Append(w.ctx, busy, eventstore.NoStream, entry(i)); !errors.Is(err, eventstore.ErrConflict) {
					return fmt.Errorf("a wrong expectation: %w", err)
				}
			case 1:
				_, err := w.log.Append(w.ctx, w.stream("reused"), eventstore.Any, reused[1], entry(i))
				if w.has(LongMemory) && !errors.Is(err, eventstore.ErrIDReused) {
					return fmt.Errorf("a reused id: %w", err)
				}
			default:
				s := w.stream(fmt.Sprint(i))
				if _, err := w.log.Append(w.ctx, s, eventstore.NoStream, entry(i)); err != nil {
					return fmt.Errorf("a good append: %w", err)
				}
			}
			return nil
		})
	},
	"appends to one stream at once see each other": func(t *testing.T, w *world) {
		s := w.stream("1")
		var revisions sync.Map
		together(t, 50, func(i int) error {
			r, err := w.log.Append(w.ctx, s, eventstore.Any, entries(1+i%3)...)
			for rev := r.First; err == nil && rev <= r.Revision; rev++ {
				if _, twice := revisions.LoadOrStore(rev, i); twice {
					return fmt.Errorf("revision %d was given twice", rev)
				}
			}
			return err
		})
		w.inOrder(w.read(s))
	},
	"an append whose caller leaves is there wholly or not at all": func(t *testing.T, w *world) {
		const n = 100
		all := make([][]eventstore.Entry, n)
		acked := make([]atomic.Bool, n)
		together(t, n, func(i int) error {
			all[i] = entries(3)
			ctx, cancel := context.WithCancel(w.ctx)
			left := make(chan struct{})
			go func() {
				defer close(left)
				if i%3 > 0 {
					cancel()
				}
			}()
			_, err := w.log.Append(ctx, w.stream(fmt.Sprint(i)), eventstore.NoStream, all[i]...)
			<-left
			cancel()
			acked[i].Store(err == nil)
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		})
		for i, es := range all {
			s := w.stream(fmt.Sprint(i))
			if got := len(w.read(s)); got != 3 && (got != 0 || acked[i].Load()) {
				t.Fatalf("%s has %d of 3 events, acknowledged: %v", s, got, acked[i].Load())
			}
			w.append(s, eventstore.NoStream, es...) // the same ids settle it
			w.holds(s, es...)
		}
	},
}

var togetherCases = map[string]func(*testing.T, *world, *world){
	"two processes write as one": func(t *testing.T, a, b *world) { writeFromMany(t, a, b) },
	"of two processes that expect the same revision one wins": func(t *testing.T, a, b *world) {
		race(t, a, b)
	},
	"what one appended the other repeats": func(_ *testing.T, a, b *world) {
		es := entries(3)
		original := a.append(a.stream("1"), eventstore.NoStream, es...)
		b.repeats(original, a.stream("1"), eventstore.NoStream, es...)
		b.repeats(original, a.stream("1"), eventstore.Any, es...)
		more := entry(1)
		b.append(a.stream("1"), eventstore.Exactly(2), more)
		a.holds(a.stream("1"), append(es, more)...)
	},
	"what one appended the other repeats, whatever it knew of the stream before": func(_ *testing.T, a, b *world) {
		s := a.stream("1")
		expected := eventstore.NoStream
		for round := range 4 {
			w, other := a, b
			if round%2 == 1 {
				w, other = b, a
			}
			es := entries(1 + round)
			original := w.append(s, expected, es...)
			other.repeats(original, s, eventstore.Any, es...)
			w.repeats(original, s, expected, es...)
			before := es
			es = entries(2)
			original = other.append(s, eventstore.Exactly(original.Revision), es...)
			w.repeats(original, s, eventstore.Exactly(original.First-1), es...)
			for _, expected := range []eventstore.Expected{eventstore.Any, eventstore.NoStream, eventstore.Exactly(original.Revision)} {
				if r, err := w.log.Append(w.ctx, s, expected, before[0], es[1]); !errors.Is(err, eventstore.ErrIDReused) {
					w.t.Fatalf("expecting %d: %+v, %v", expected, r, err)
				}
			}
			expected = eventstore.Exactly(original.Revision)
		}
	},
	"a process follows what the other appends": func(t *testing.T, a, b *world) { followWriters(t, a, b) },
}

// writeFromMany writes to shared and own streams through two worlds at once, and checks everything afterwards.
func writeFromMany(t *testing.T, a, b *world) {
	t.Helper()
	const writers, rounds = 16, 12
	receipts := make([][]eventstore.Receipt, writers)
	written := make([]map[uuid.UUID]eventstore.Stream, writers)
	together(t, writers, func(i int) error {
		w := a
		if i%2 == 1 {
			w = b
		}
		written[i] = map[uuid.UUID]eventstore.Stream{}
		for n := range rounds {
			s := a.stream(fmt.Sprint("shared", n%3))
			if n%2 == 0 {
				s = a.stream(fmt.Sprint("own", i))
			}
			es := entries(1 + n%4)
			r, err := w.log.Append(w.ctx, s, eventstore.Any, es...)
			if err != nil {
				return err
			}
			if r.Repeated || int(r.Revision-r.First) != len(es)-1 {
				return fmt.Errorf("receipt %+v for %d events", r, len(es))
			}
			receipts[i] = append(receipts[i], r)
			for _, e := range es {
				written[i][e.ID] = s
			}
		}
		return nil
	})
	all := a.all(eventstore.Read{After: a.base, Filter: a.only()})
	a.inOrder(all)
	at := map[eventstore.Position]eventstore.Raw{}
	next := map[eventstore.Stream]eventstore.Revision{}
	want := 0
	for _, ids := range written {
		want += len(ids)
	}
	for _, raw := range all {
		if raw.Revision != next[raw.Stream] {
			t.Fatalf("%s: revision %d comes where %d was due", raw.Stream, raw.Revision, next[raw.Stream])
		}
		next[raw.Stream]++
		at[raw.Position] = raw
	}
	if len(all) != want {
		t.Fatalf("%d events, want %d", len(all), want)
	}
	for i, rs := range receipts {
		for _, r := range rs {
			raw := at[r.Position]
			if raw.Stream != r.Stream || raw.Revision != r.Revision || !raw.At.Equal(r.At) || written[i][raw.ID] != raw.Stream {
				t.Fatalf("receipt %+v, but there is %+v", r, raw)
			}
		}
	}
}

// race lets writers of two worlds expect the same revision, round by round.
func race(t *testing.T, a, b *world) {
	t.Helper()
	s := a.stream("1")
	expected := eventstore.NoStream
	for round := range 10 {
		var won atomic.Int32
		together(t, 8, func(i int) error {
			w := a
			if i%2 == 1 {
				w = b
			}
			_, err := w.log.Append(w.ctx, s, expected, entry(i))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, eventstore.ErrConflict) {
				return err
			}
			return nil
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, won.Load())
		}
		expected++
	}
	if n := len(a.read(s)); n != 10 {
		t.Fatalf("%d events after 10 rounds", n)
	}
}
