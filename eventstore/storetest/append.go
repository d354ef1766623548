package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

var appendCases = map[string]func(*testing.T, *world){
	"events come back as they were given": func(_ *testing.T, w *world) {
		s := w.stream("1")
		es := entries(3)
		first := w.append(s, eventstore.NoStream, es[0])
		rest := w.append(s, eventstore.Exactly(first.Revision), es[1:]...)
		if first.First != 0 || first.Revision != 0 || rest.First != 1 || rest.Revision != 2 || rest.Stream != s || rest.Repeated {
			w.t.Fatalf("receipts are %+v and %+v", first, rest)
		}
		got := w.holds(s, es...)
		w.inOrder(got)
		if got[0].Position != first.Position || got[2].Position != rest.Position || !got[2].At.Equal(rest.At) {
			w.t.Fatalf("receipts %+v and %+v do not say where %+v is", first, rest, got)
		}
	},
	"any bytes and names are preserved": func(_ *testing.T, w *world) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		es := []eventstore.Entry{
			{ID: uuid.New(), Type: "test.bytes", Data: all, Metadata: all[128:]},
			{ID: uuid.New(), Type: "Ünüsual type, \"quoted\"\t'", Data: []byte("\xff\xfe\x00"), Metadata: []byte{0}},
			{ID: uuid.New(), Type: strings.Repeat("t", eventstore.MaxType), Data: nil, Metadata: nil},
			{ID: uuid.UUID{}, Type: "$system", Data: []byte{}, Metadata: []byte("not json")},
		}
		for _, id := range []string{"ü—👵", "with space", "a-b-c", `quo"te's\`, "%_$1"} {
			for i := range es {
				es[i].ID = uuid.New()
			}
			w.append(w.stream(id), eventstore.NoStream, es...)
			w.holds(w.stream(id), es...)
		}
		long := w.stream(strings.Repeat("x", eventstore.MaxStream-len(w.category)-1))
		w.append(long, eventstore.NoStream, es[0])
		w.holds(long, es[0])
	},
	"a stream without a dash is its own category": func(_ *testing.T, w *world) {
		e := entry(1)
		w.append(eventstore.Stream(w.category), eventstore.NoStream, e)
		w.same("category", ids(w.all(eventstore.Read{After: w.base, Filter: w.only()})), []uuid.UUID{e.ID})
	},
	"an expectation that does not hold is a conflict that says what is there": func(_ *testing.T, w *world) {
		s := w.stream("1")
		w.refused(eventstore.ErrConflict, s, eventstore.Exactly(0), entry(0))
		es := entries(2)
		w.append(s, eventstore.NoStream, es...)
		for _, wrong := range []eventstore.Expected{eventstore.NoStream, 0, 2, 1000} {
			_, err := w.log.Append(w.ctx, s, wrong, entry(9))
			var conflict *eventstore.ConflictError
			if !errors.As(err, &conflict) || conflict.Actual != 1 || conflict.Expected != wrong || conflict.Stream != s {
				w.t.Fatalf("expecting %d: %v", wrong, err)
			}
		}
		w.holds(s, es...)
		more := entry(3)
		w.append(s, eventstore.Any, more)
		w.holds(s, append(es, more)...)
	},
	"what no log can hold is refused, and leaves nothing": func(_ *testing.T, w *world) {
		s := w.stream("1")
		w.refused(eventstore.ErrInvalid, s, eventstore.Any)
		w.refused(eventstore.ErrInvalid, "", eventstore.Any, entry(0))
		w.refused(eventstore.ErrInvalid, s, -3, entry(0))
		w.refused(eventstore.ErrInvalid, s+"\x00", eventstore.Any, entry(0))
		w.refused(eventstore.ErrInvalid, s+"\xff", eventstore.Any, entry(0))
		w.refused(eventstore.ErrInvalid, w.stream(strings.Repeat("x", eventstore.MaxStream)), eventstore.Any, entry(0))
		bad := entry(0)
		bad.Type = ""
		w.refused(eventstore.ErrInvalid, s, eventstore.Any, entry(0), bad)
		w.refused(eventstore.ErrTooLarge, s, eventstore.Any, entries(eventstore.MaxEntries+1)...)
		large := entry(0)
		large.Data = make([]byte, eventstore.MaxEntrySize)
		w.refused(eventstore.ErrTooLarge, s, eventstore.Any, large)
		twice := entry(0)
		w.refused(eventstore.ErrIDReused, s, eventstore.Any, twice, twice)
		w.holds(s)
	},
	"a large append is whole and in order": func(_ *testing.T, w *world) {
		n, size := eventstore.MaxEntries, 1<<20
		if !w.has(Large) {
			n, size = 500, 512<<10
		}
		es := entries(n)
		es[n/2].Data = make([]byte, size)
		r := w.append(w.stream("1"), eventstore.NoStream, es...)
		if r.Revision != eventstore.Revision(n-1) {
			w.t.Fatalf("receipt is %+v", r)
		}
		w.inOrder(w.holds(w.stream("1"), es...))
	},
	"the largest entry is kept": func(_ *testing.T, w *world) {
		if !w.has(Large) {
			return
		}
		e := entry(0)
		e.Metadata = make([]byte, 1000)
		e.Data = make([]byte, eventstore.MaxEntrySize-1000)
		e.Data[len(e.Data)-1] = 7
		more := entries(3)
		w.append(w.stream("1"), eventstore.NoStream, append([]eventstore.Entry{e}, more...)...)
		w.holds(w.stream("1"), append([]eventstore.Entry{e}, more...)...)
	},
	"a context that ended appends nothing": func(_ *testing.T, w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := w.log.Append(ctx, w.stream("1"), eventstore.Any, entry(0)); !errors.Is(err, context.Canceled) {
			w.t.Fatalf("got %v", err)
		}
		w.holds(w.stream("1"))
	},
	"positions count every event": func(_ *testing.T, w *world) {
		if !w.has(Contiguous) {
			return
		}
		w.append(w.stream("1"), eventstore.NoStream, entries(10)...)
		w.refused(eventstore.ErrConflict, w.stream("1"), eventstore.NoStream, entries(3)...)
		w.append(w.stream("2"), eventstore.NoStream, entries(10)...)
		for i, raw := range w.all(eventstore.Read{After: w.base}) {
			if want := w.base + eventstore.Position(i+1); raw.Position != want {
				w.t.Fatalf("event %d is at %d, want %d", i, raw.Position, want)
			}
		}
	},
}

var idempotencyCases = map[string]func(*testing.T, *world){
	"the same ids answer the original receipt, whatever is expected": func(_ *testing.T, w *world) {
		s := w.stream("1")
		es := entries(3)
		original := w.append(s, eventstore.NoStream, es...)
		for _, expected := range []eventstore.Expected{eventstore.NoStream, eventstore.Any, 0, 2, 77} {
			w.repeats(original, s, expected, es...)
		}
		w.holds(s, es...)
	},
	"they do so after other events, too": func(_ *testing.T, w *world) {
		s := w.stream("1")
		es := entries(2)
		original := w.append(s, eventstore.NoStream, es...)
		others := entries(20)
		for _, other := range others {
			w.append(s, eventstore.Any, other)
		}
		w.repeats(original, s, eventstore.NoStream, es...)
		if w.has(LongMemory) {
			w.repeats(original, s, eventstore.Any, es...)
			w.repeats(original, s, eventstore.Exactly(21), es...)
			w.repeats(original, s, eventstore.Exactly(500), es...)
		}
		w.holds(s, append(es, others...)...)
	},
	"what is different under a known id is not appended": func(_ *testing.T, w *world) {
		s := w.stream("1")
		e := entry(1)
		original := w.append(s, eventstore.NoStream, e)
		changed := e
		changed.Data = []byte(`{"n":2}`)
		w.repeats(original, s, eventstore.NoStream, changed)
		w.holds(s, e)
	},
	"ids of which some are known, or in another order, are refused": func(_ *testing.T, w *world) {
		s := w.stream("1")
		es := entries(4)
		w.append(s, eventstore.NoStream, es...)
		if !w.has(LongMemory) {
			return
		}
		for name, mixed := range map[string][]eventstore.Entry{
			"known then new":   {es[3], entry(9)},
			"new then known":   {entry(9), es[0]},
			"another order":    {es[1], es[0]},
			"not side by side": {es[0], es[2]},
		} {
			for _, expected := range []eventstore.Expected{eventstore.Any, 3, eventstore.NoStream} {
				if r, err := w.log.Append(w.ctx, s, expected, mixed...); !errors.Is(err, eventstore.ErrIDReused) {
					w.t.Fatalf("%s expecting %d: %+v, %v", name, expected, r, err)
				}
			}
		}
		w.holds(s, es...)
		w.append(s, eventstore.Exactly(3), entry(5))
	},
	"the same id in another stream is another event": func(_ *testing.T, w *world) {
		e := entry(1)
		a := w.append(w.stream("a"), eventstore.NoStream, e)
		b := w.append(w.stream("b"), eventstore.NoStream, e)
		if b.Repeated || a.Position == b.Position {
			w.t.Fatalf("receipts are %+v and %+v", a, b)
		}
	},
	"an append at once with itself is appended once": func(t *testing.T, w *world) {
		for round := range 10 {
			s := w.stream(uuid.NewString())
			es := entries(1 + round%3)
			expected := []eventstore.Expected{eventstore.NoStream, eventstore.Any}[round%2]
			receipts := make([]eventstore.Receipt, 16)
			together(t, len(receipts), func(i int) error {
				var err error
				receipts[i], err = w.log.Append(w.ctx, s, expected, es...)
				return err
			})
			fresh := 0
			for _, r := range receipts {
				if !r.Repeated {
					fresh++
				}
				r.Repeated = receipts[0].Repeated
				if !sameReceipt(r, receipts[0]) {
					t.Fatalf("receipts differ: %+v and %+v", r, receipts[0])
				}
			}
			if fresh != 1 {
				t.Fatalf("%d appends say that they were the first", fresh)
			}
			w.holds(s, es...)
		}
	},
}

func (w *world) repeats(original eventstore.Receipt, s eventstore.Stream, expected eventstore.Expected, es ...eventstore.Entry) {
	w.t.Helper()
	r := w.append(s, expected, es...)
	if !r.Repeated {
		w.t.Fatalf("expecting %d: %+v does not say that it is a repeat", expected, r)
	}
	if r.Repeated = false; !sameReceipt(r, original) {
		w.t.Fatalf("expecting %d: got %+v, want the original %+v", expected, r, original)
	}
}

func sameReceipt(a, b eventstore.Receipt) bool {
	at := a.At.Equal(b.At)
	a.At = b.At
	return at && a == b
}
