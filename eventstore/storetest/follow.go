package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

var followCases = map[string]func(*testing.T, *world){
	"a follower gets history, then what is appended, without gap or duplicate": func(t *testing.T, w *world) {
		followWriters(t, w, w)
	},
	"a follower that begins at the end is told so at once": func(_ *testing.T, w *world) {
		w.append(w.stream("1"), eventstore.Any, entry(1))
		head, err := w.log.Head(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for b, err := range w.log.Follow(w.ctx, head, w.only()) {
			if err != nil || len(b.Events) > 0 || b.Through < head {
				w.t.Fatalf("got %+v, %v", b, err)
			}
			if b.Live {
				break
			}
		}
	},
	"a filtered follower learns of progress that is not its own": func(_ *testing.T, w *world) {
		mine, err := w.log.Head(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		filter := eventstore.Filter{Types: []string{"nobody." + w.category}}
		var target eventstore.Position
		for b, err := range w.log.Follow(w.ctx, mine, filter) {
			if err != nil || len(b.Events) > 0 || b.Through < mine {
				w.t.Fatalf("got %+v, %v", b, err)
			}
			mine = b.Through
			if target == 0 {
				target = w.append(w.stream("1"), eventstore.Any, entries(3000)...).Position
			}
			if mine >= target {
				break
			}
		}
	},
	"a filtered follower gets its own, rare or not": func(_ *testing.T, w *world) {
		var want []uuid.UUID
		for i := range 60 {
			e := entry(i)
			e.Type = w.category + ".rare"
			w.append(eventstore.StreamOf(w.category+"y", fmt.Sprint(i)), eventstore.Any, entries(100)...)
			w.append(w.stream(fmt.Sprint(i)), eventstore.Any, e)
			want = append(want, e.ID)
		}
		for _, f := range []eventstore.Filter{w.only(), {Types: []string{w.category + ".rare"}}} {
			var got []uuid.UUID
			w.follow(w.base, f, func(b eventstore.Batch[eventstore.Raw]) bool {
				got = append(got, ids(b.Events)...)
				return len(got) < len(want)
			})
			w.same(fmt.Sprintf("%+v", f), got, want)
		}
	},
	"a slow follower delays nobody and loses nothing": func(t *testing.T, w *world) {
		const n = 3000
		release := make(chan struct{})
		var (
			group sync.WaitGroup
			slow  []uuid.UUID
		)
		group.Go(func() {
			w.follow(w.base, w.only(), func(b eventstore.Batch[eventstore.Raw]) bool {
				<-release
				slow = append(slow, ids(b.Events)...)
				return len(slow) < n
			})
		})
		var want []uuid.UUID
		for range n / 100 {
			es := entries(100)
			want = append(want, idsOf(es)...)
			w.append(w.stream("1"), eventstore.Any, es...)
		}
		var fast []uuid.UUID
		w.follow(w.base, w.only(), func(b eventstore.Batch[eventstore.Raw]) bool {
			fast = append(fast, ids(b.Events)...)
			return len(fast) < n
		})
		w.same("the fast one", fast, want)
		close(release)
		group.Wait()
		w.same("the slow one", slow, want)
	},
	"a follower ends with its context": func(_ *testing.T, w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		var last error
		for b, err := range w.log.Follow(ctx, w.base, eventstore.Filter{}) {
			if last = err; b.Live {
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) {
			w.t.Fatalf("ended with %v", last)
		}
	},
}

// follow hands batches to take until that answers false, and checks what holds for every batch.
func (w *world) follow(after eventstore.Position, f eventstore.Filter, take func(eventstore.Batch[eventstore.Raw]) bool) {
	for b, err := range w.log.Follow(w.ctx, after, f) {
		if err != nil {
			w.t.Errorf("follow: %v", err)
			return
		}
		if b.Through < after {
			w.t.Errorf("went back from %d to %d", after, b.Through)
			return
		}
		for _, raw := range b.Events {
			if raw.Position <= after || raw.Position > b.Through {
				w.t.Errorf("event at %d after %d in a batch through %d", raw.Position, after, b.Through)
				return
			}
			after = raw.Position
		}
		after = b.Through
		if !take(b) {
			return
		}
	}
}

// followWriters follows the first world while both write.
func followWriters(t *testing.T, a, b *world) {
	t.Helper()
	const writers, rounds = 8, 40
	a.append(a.stream("history"), eventstore.NoStream, entries(1200)...)
	const n = 1200 + writers*rounds*2
	var (
		group     sync.WaitGroup
		followers [3][]eventstore.Raw
		caughtUp  = make(chan struct{})
	)
	for i := range followers {
		group.Go(func() {
			first := true
			a.follow(a.base, a.only(), func(batch eventstore.Batch[eventstore.Raw]) bool {
				followers[i] = append(followers[i], batch.Events...)
				if i == 0 && batch.Live && first {
					first = false
					close(caughtUp)
				}
				return len(followers[i]) < n
			})
		})
	}
	select {
	case <-caughtUp:
	case <-a.ctx.Done():
		t.Fatal("the follower did not catch up")
	}
	together(t, writers, func(i int) error {
		w := a
		if i%2 == 1 {
			w = b
		}
		for range rounds {
			if _, err := w.log.Append(w.ctx, a.stream(fmt.Sprint(i)), eventstore.Any, entries(2)...); err != nil {
				return err
			}
		}
		return nil
	})
	group.Wait()
	want := ids(a.all(eventstore.Read{After: a.base, Filter: a.only()}))
	for i, got := range followers {
		a.same(fmt.Sprintf("follower %d", i), ids(got), want)
	}
}
