package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

var readCases = map[string]func(*testing.T, *world){
	"a stream that is not there has no events": func(_ *testing.T, w *world) {
		w.holds(w.stream("nobody"))
		w.holds(w.stream("no\x00body"))
		if got := w.collect(w.log.ReadStream(w.ctx, w.stream("x"), eventstore.StreamRead{From: -1, Backward: true})); len(got) != 0 {
			w.t.Fatalf("got %+v", got)
		}
	},
	"a stream is read from any revision, either way, up to a limit": func(t *testing.T, w *world) {
		const n = 2500 // more than a page of any log
		s := w.stream("1")
		es := entries(n)
		for chunk := range slices.Chunk(es, 500) {
			w.append(s, eventstore.Any, chunk...)
		}
		want := idsOf(es)
		back := slices.Clone(want)
		slices.Reverse(back)
		for _, c := range []struct {
			r    eventstore.StreamRead
			want []uuid.UUID
		}{
			{eventstore.StreamRead{}, want},
			{eventstore.StreamRead{From: -1}, want},
			{eventstore.StreamRead{From: 1}, want[1:]},
			{eventstore.StreamRead{From: n - 1}, want[n-1:]},
			{eventstore.StreamRead{From: n}, nil},
			{eventstore.StreamRead{From: 10, Limit: 3}, want[10:13]},
			{eventstore.StreamRead{From: 10, Limit: 1500}, want[10:1510]},
			{eventstore.StreamRead{From: -1, Backward: true}, back},
			{eventstore.StreamRead{From: -1, Backward: true, Limit: 1}, back[:1]},
			{eventstore.StreamRead{From: n + 5, Backward: true}, back},
			{eventstore.StreamRead{From: 0, Backward: true}, want[:1]},
			{eventstore.StreamRead{From: 2, Backward: true}, back[n-3:]},
			{eventstore.StreamRead{From: n - 2, Backward: true, Limit: 2000}, back[1:2001]},
		} {
			w.same(fmt.Sprintf("%+v", c.r), ids(w.collect(w.log.ReadStream(w.ctx, s, c.r))), c.want)
		}
	},
	"the log is read from any position, either way, up to a limit": func(t *testing.T, w *world) {
		const n = 2500
		es := entries(n)
		for i, chunk := range slices.Collect(slices.Chunk(es, 100)) {
			w.append(w.stream(fmt.Sprint(i%3)), eventstore.Any, chunk...)
		}
		f := w.only()
		all := w.all(eventstore.Read{After: w.base, Filter: f})
		w.inOrder(all)
		want := ids(all)
		w.same("everything", want, idsOf(es))
		at := func(i int) eventstore.Position { return all[i].Position }
		for _, c := range []struct {
			r    eventstore.Read
			want []uuid.UUID
		}{
			{eventstore.Read{After: at(0), Filter: f}, want[1:]},
			{eventstore.Read{After: at(n - 1), Filter: f}, nil},
			{eventstore.Read{After: at(n-1) + 1_000_000, Filter: f}, nil},
			{eventstore.Read{After: at(99), Limit: 7, Filter: f}, want[100:107]},
			{eventstore.Read{After: at(99), Before: at(1600), Filter: f}, want[100:1600]},
			{eventstore.Read{After: at(99), Before: at(100), Filter: f}, nil},
		} {
			w.same(fmt.Sprintf("%+v", c.r), ids(w.all(c.r)), c.want)
		}
		if !w.has(Backwards) {
			return
		}
		back := slices.Clone(want)
		slices.Reverse(back)
		for _, c := range []struct {
			r    eventstore.Read
			want []uuid.UUID
		}{
			{eventstore.Read{After: w.base, Filter: f, Backward: true}, back},
			{eventstore.Read{Filter: f, Backward: true, Limit: 1200}, back[:1200]},
			{eventstore.Read{Filter: f, Backward: true, Before: at(10)}, back[n-10:]},
			{eventstore.Read{After: w.base, Before: w.base + 1, Filter: f, Backward: true}, nil},
		} {
			w.same(fmt.Sprintf("%+v", c.r), ids(w.all(c.r)), c.want)
		}
	},
	"a filter lets through what is in both of its lists": func(t *testing.T, w *world) {
		one, two := w.category, w.category+"x" // one is the beginning of the other
		var all []eventstore.Entry
		categories := map[uuid.UUID]string{}
		for i := range 300 {
			es := entries(20)
			category := two
			if i%50 == 0 {
				category = one // rare: 6 of 300 appends
			}
			for j := range es {
				es[j].Type = w.category + []string{".common", ".rare"}[min(1, (i+j)%97/96)]
				categories[es[j].ID] = category
			}
			all = append(all, es...)
			w.append(eventstore.StreamOf(category, fmt.Sprint(i)), eventstore.NoStream, es...)
		}
		types := func(names ...string) (full []string) {
			for _, n := range names {
				full = append(full, w.category+n)
			}
			return full
		}
		for _, f := range []eventstore.Filter{
			{Categories: []string{one}},
			{Categories: []string{two}},
			{Categories: []string{one, two, one}},
			{Types: types(".rare")},
			{Types: types(".common")},
			{Types: types(".rare", ".common", ".rare", ".never")},
			{Types: types(".rare"), Categories: []string{one}},
			{Types: types(".common"), Categories: []string{one}},
			{Types: types(".common", ".rare"), Categories: []string{one, two}},
			{Types: types(".never"), Categories: []string{one, two}},
			{Categories: []string{"nobody-" + w.category}},
			{Types: []string{"a\x00b"}},
		} {
			var want []uuid.UUID
			for _, e := range all {
				if (f.Types == nil || slices.Contains(f.Types, e.Type)) && (f.Categories == nil || slices.Contains(f.Categories, categories[e.ID])) {
					want = append(want, e.ID)
				}
			}
			w.same(fmt.Sprintf("%+v", f), ids(w.all(eventstore.Read{After: w.base, Filter: f})), want)
			w.same(fmt.Sprintf("%+v, 10", f), ids(w.all(eventstore.Read{After: w.base, Filter: f, Limit: 10})), want[:min(10, len(want))])
			if w.has(Backwards) {
				slices.Reverse(want)
				w.same(fmt.Sprintf("%+v, backwards", f), ids(w.all(eventstore.Read{After: w.base, Filter: f, Backward: true})), want)
			}
		}
	},
	"what is appended while the log is read is not in it": func(_ *testing.T, w *world) {
		w.append(w.stream("1"), eventstore.Any, entries(2000)...)
		n := 0
		for _, err := range w.log.ReadAll(w.ctx, eventstore.Read{After: w.base, Filter: w.only()}) {
			if err != nil {
				w.t.Fatal(err)
			}
			if n++; n == 1 {
				w.append(w.stream("1"), eventstore.Any, entries(50)...)
			}
		}
		if n != 2000 {
			w.t.Fatalf("read %d events, want 2000", n)
		}
	},
	"a reader may stop anywhere, and events are its own to keep": func(_ *testing.T, w *world) {
		es := entries(2100)
		w.append(w.stream("1"), eventstore.Any, es...)
		for _, stop := range []int{1, 999, 1000, 1001, 2050} {
			var kept []eventstore.Raw
			for raw, err := range w.log.ReadAll(w.ctx, eventstore.Read{After: w.base, Filter: w.only()}) {
				if err != nil {
					w.t.Fatal(err)
				}
				if kept = append(kept, raw); len(kept) == stop {
					break
				}
			}
			for i, raw := range kept {
				if string(raw.Data) != string(es[i].Data) || raw.ID != es[i].ID {
					w.t.Fatalf("event %d changed to %+v", i, raw)
				}
			}
		}
	},
	"large events are read in bounded pieces, none missing": func(_ *testing.T, w *world) {
		if !w.has(Large) {
			return
		}
		var want []uuid.UUID
		for range 6 {
			es := entries(10)
			for i := range es[:5] {
				es[i].Data = make([]byte, 1<<20)
			}
			want = append(want, idsOf(es)...)
			w.append(w.stream("1"), eventstore.Any, es...)
		}
		w.same("the stream", ids(w.read(w.stream("1"))), want)
		w.same("the log", ids(w.all(eventstore.Read{After: w.base, Filter: w.only()})), want)
		w.same("its beginning", ids(w.all(eventstore.Read{After: w.base, Filter: w.only(), Limit: 20})), want[:20])
	},
	"a read whose context ends answers the context's error": func(_ *testing.T, w *world) {
		w.append(w.stream("1"), eventstore.Any, entries(2000)...)
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		var last error
		for _, err := range w.log.ReadAll(ctx, eventstore.Read{After: w.base, Filter: w.only()}) {
			cancel()
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			w.t.Fatalf("the log ended with %v", last)
		}
		for _, err := range w.log.ReadStream(ctx, w.stream("1"), eventstore.StreamRead{}) {
			if last = err; err == nil {
				w.t.Fatal("an event, although the context had ended")
			}
		}
		if !errors.Is(last, context.Canceled) {
			w.t.Fatalf("the stream ended with %v", last)
		}
	},
	"the head is the position of the last event": func(_ *testing.T, w *world) {
		r := w.append(w.stream("1"), eventstore.Any, entries(3)...)
		head, err := w.log.Head(w.ctx)
		if err != nil || head < r.Position {
			w.t.Fatalf("head is %d, %v; appended at %d", head, err, r.Position)
		}
	},
}

var timeCases = map[string]func(*testing.T, *world){
	"events carry their time in UTC, to the microsecond": func(_ *testing.T, w *world) {
		before := time.Now().Add(-time.Minute)
		r := w.append(w.stream("1"), eventstore.Any, entries(2)...)
		for _, raw := range w.read(w.stream("1")) {
			if raw.At.Location() != time.UTC || raw.At.Nanosecond()%1000 != 0 || raw.At.Before(before) || raw.At.After(r.At) ||
				(raw.Revision == r.Revision && !raw.At.Equal(r.At)) {
				w.t.Fatalf("recorded at %v, receipt says %v", raw.At, r.At)
			}
		}
	},
	"a time finds the last event that was recorded until then": func(_ *testing.T, w *world) {
		if !w.has(Times) {
			return
		}
		for i := range 30 {
			w.append(w.stream("1"), eventstore.Any, entries(1+i)...)
		}
		all := w.all(eventstore.Read{After: w.base})
		at := func(when time.Time) eventstore.Position {
			p, err := w.log.PositionAt(w.ctx, when)
			if err != nil {
				w.t.Fatalf("position at %v: %v", when, err)
			}
			return p
		}
		for i, raw := range all[:len(all)-1] {
			next := all[i+1]
			want := raw.Position
			if next.At.Equal(raw.At) {
				continue // the last of those recorded together is the one
			}
			if got := at(raw.At); got != want {
				w.t.Fatalf("at %v: %d, want %d", raw.At, got, want)
			}
			if got := at(next.At.Add(-time.Nanosecond)); got != want {
				w.t.Fatalf("just before %v: %d, want %d", next.At, got, want)
			}
		}
		if got := at(time.Now().Add(time.Hour)); got < all[len(all)-1].Position {
			w.t.Fatalf("in an hour: %d, want at least %d", got, all[len(all)-1].Position)
		}
		for _, long := range []time.Time{{}, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			if got := at(long); got != 0 {
				w.t.Fatalf("at %v: %d, want 0", long, got)
			}
		}
		if got := at(time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)); got < all[len(all)-1].Position {
			w.t.Fatalf("at the end of time: %d", got)
		}
	},
}
