// Package storetest is the specification of eventstore.Log: every promise is a case here, and every log passes them all, but
// for those that it says it lacks. It is for tests only.
//
// The cases take nothing for granted about what is in a log already, use names of their own and leave nothing running, so
// that they can run against a server that others use.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Lack is a promise that a log does not keep.
type Lack string

// What a log may lack. It says so in docs/architecture.md, too.
const (
	// Contiguous: positions count every event, from 1, without a gap.
	Contiguous Lack = "contiguous positions"
	// LongMemory: ids are known for ever even where no revision was expected. A log that lacks it knows them while they are the
	// latest of their stream.
	LongMemory Lack = "permanent idempotency"
	// Backwards: the whole log can be read backwards under a filter.
	Backwards Lack = "filtered reading backwards"
	// Times: PositionAt is exact to the microsecond.
	Times Lack = "positions at a time"
	// Large: one append may have eventstore.MaxEntries entries.
	Large Lack = "large appends"
)

// Lacking is what a log lacks, by the name of its package; docs/architecture.md has it as a table.
func Lacking(log string) []Lack {
	return map[string][]Lack{
		"memory": nil, "postgres": nil,
		"esdb": {Contiguous, Large}, // positions are bytes of its transaction log, and an append has 1 MiB
	}[log]
}

// patience bounds one case. It is only reached when something is broken.
const patience = 60 * time.Second

type suite struct {
	open  func(t *testing.T) eventstore.Log
	lacks []Lack
}

// Run runs the specification. Each case opens a log, which may be the same one each time.
func Run(t *testing.T, open func(t *testing.T) eventstore.Log, lacks ...Lack) {
	t.Helper()
	s := suite{open: open, lacks: lacks}
	for name, cases := range map[string]map[string]func(*testing.T, *world){
		"append": appendCases, "idempotency": idempotencyCases, "concurrency": concurrencyCases,
		"read": readCases, "follow": followCases, "time": timeCases,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, run := range cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, s.world(t))
				})
			}
		})
	}
}

// RunTogether runs the promises that hold between two processes with a log each on the same database.
func RunTogether(t *testing.T, open func(t *testing.T) (a, b eventstore.Log)) {
	t.Helper()
	for name, run := range togetherCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			w := (&suite{open: func(*testing.T) eventstore.Log { return a }}).world(t)
			run(t, w, w.with(b))
		})
	}
}

// world is what a case works with: a log, and names that no other case has.
type world struct {
	t        *testing.T
	log      eventstore.Log
	ctx      context.Context //nolint:containedctx // the test's own
	category string
	base     eventstore.Position // the head when the case began
	lacks    []Lack
}

func (s *suite) world(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	w := &world{t: t, log: s.open(t), ctx: ctx, category: "t" + uuid.NewString()[:8], lacks: s.lacks}
	var err error
	if w.base, err = w.log.Head(ctx); err != nil {
		t.Fatalf("head: %v", err)
	}
	return w
}

func (w *world) with(log eventstore.Log) *world {
	other := *w
	other.log = log
	return &other
}

func (w *world) has(l Lack) bool { return !slices.Contains(w.lacks, l) }

func (w *world) stream(id string) eventstore.Stream { return eventstore.StreamOf(w.category, id) }

func (w *world) only() eventstore.Filter { return eventstore.Filter{Categories: []string{w.category}} }

func entry(n int) eventstore.Entry {
	return eventstore.Entry{ID: uuid.New(), Type: "test.happened", Data: fmt.Appendf(nil, `{"n":%d}`, n), Metadata: []byte(`{}`)}
}

func entries(n int) []eventstore.Entry {
	es := make([]eventstore.Entry, n)
	for i := range es {
		es[i] = entry(i)
	}
	return es
}

func (w *world) append(s eventstore.Stream, expected eventstore.Expected, es ...eventstore.Entry) eventstore.Receipt {
	w.t.Helper()
	r, err := w.log.Append(w.ctx, s, expected, es...)
	if err != nil {
		w.t.Fatalf("append to %s: %v", s, err)
	}
	return r
}

func (w *world) refused(want error, s eventstore.Stream, expected eventstore.Expected, es ...eventstore.Entry) {
	w.t.Helper()
	r, err := w.log.Append(w.ctx, s, expected, es...)
	if !errors.Is(err, want) {
		w.t.Fatalf("append to %s expecting %d: got %+v, %v; want %v", s, expected, r, err, want)
	}
}

func (w *world) collect(raws iter.Seq2[eventstore.Raw, error]) []eventstore.Raw {
	w.t.Helper()
	var all []eventstore.Raw
	for raw, err := range raws {
		if err != nil {
			w.t.Fatalf("read: %v", err)
		}
		all = append(all, raw)
	}
	return all
}

func (w *world) read(s eventstore.Stream) []eventstore.Raw {
	w.t.Helper()
	return w.collect(w.log.ReadStream(w.ctx, s, eventstore.StreamRead{}))
}

func (w *world) all(r eventstore.Read) []eventstore.Raw {
	w.t.Helper()
	return w.collect(w.log.ReadAll(w.ctx, r))
}

// holds checks that a stream has exactly these entries, numbered from 0, with their bytes.
func (w *world) holds(s eventstore.Stream, want ...eventstore.Entry) []eventstore.Raw {
	w.t.Helper()
	got := w.read(s)
	if len(got) != len(want) {
		w.t.Fatalf("%s has %d events, want %d", s, len(got), len(want))
	}
	for i, raw := range got {
		e := want[i]
		if raw.ID != e.ID || raw.Type != e.Type || !bytes.Equal(raw.Data, e.Data) || !bytes.Equal(raw.Metadata, e.Metadata) ||
			raw.Stream != s || raw.Revision != eventstore.Revision(i) {
			w.t.Fatalf("event %d of %s is %+v, want %+v", i, s, raw, e)
		}
	}
	return got
}

// inOrder checks that positions increase and times do not go back.
func (w *world) inOrder(raws []eventstore.Raw) {
	w.t.Helper()
	for i := 1; i < len(raws); i++ {
		if raws[i].Position <= raws[i-1].Position || raws[i].At.Before(raws[i-1].At) {
			w.t.Fatalf("%+v comes after %+v", raws[i], raws[i-1])
		}
	}
}

func ids(raws []eventstore.Raw) []uuid.UUID {
	list := make([]uuid.UUID, len(raws))
	for i, raw := range raws {
		list[i] = raw.ID
	}
	return list
}

func idsOf(es []eventstore.Entry) []uuid.UUID {
	list := make([]uuid.UUID, len(es))
	for i, e := range es {
		list[i] = e.ID
	}
	return list
}

func (w *world) same(what string, got, want []uuid.UUID) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Fatalf("%s: got %d events %v, want %d %v", what, len(got), head(got), len(want), head(want))
	}
}

func head(list []uuid.UUID) []uuid.UUID { return list[:min(len(list), 5)] }
