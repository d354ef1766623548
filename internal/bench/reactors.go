package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// ReactorOptions say how much to measure. The zero options measure what docs/benchmarks.md shows.
type ReactorOptions struct {
	Events int // queued and drained by a reactor that does nothing; 200,000
	Slow   int // queued and drained by a reactor that takes a millisecond, while memory is watched; 10,000
	Single int // appended one by one to a reactor that waits; 500
}

// Reactors measures the reactor engine on the migrated database at url and prints what it found to w: how fast a reactor that
// does nothing is given events, beside reading them alone; memory while a queue drains; and how long after its append an event
// is given to a reactor that waits.
func Reactors(ctx context.Context, url string, w io.Writer, o ReactorOptions) error {
	o.Events, o.Slow, o.Single = cmpOr(o.Events, 200_000), cmpOr(o.Slow, 10_000), cmpOr(o.Single, 500)
	opened, err := openStore(ctx, url, media.Types)
	if err != nil {
		return err
	}
	defer opened.close()
	b := reactorBench{ReactorOptions: o, ctx: ctx, w: w, pool: opened.pool, store: opened.store}
	for _, step := range []func() error{b.fill, b.reading, b.nothing, b.slow, b.single} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func cmpOr(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

type reactorBench struct {
	ReactorOptions
	ctx   context.Context //nolint:containedctx // it lives for one run
	w     io.Writer
	pool  *pgxpool.Pool
	store *eventstore.Store
}

func (b *reactorBench) say(format string, args ...any) { fmt.Fprintf(b.w, format+"\n", args...) }

// fill appends uploads, each an item of its own.
func (b *reactorBench) fill() error {
	head, err := b.store.Head(b.ctx)
	if err != nil {
		return err
	}
	const callers = 64
	var group errgroup.Group
	for range callers {
		group.Go(func() error {
			for range (b.Events - int(head)) / callers / 10 {
				id := domain.MediaID(uuid.NewString())
				events := []domain.Event{b.upload(id)}
				for range 9 {
					events = append(events, media.RolledBack{Version: 1, From: 1})
				}
				meta := eventstore.Metadata{Command: uuid.New(), Actor: domain.System(), Correlation: uuid.New()}
				if _, err := b.store.Append(b.ctx, eventstore.StreamOf(media.Category, id), eventstore.NoStream, meta, events...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (*reactorBench) upload(id domain.MediaID) media.Uploaded {
	return media.Uploaded{
		Media: id, Owner: "alice", Title: domain.NewPersonal("alice", "Harbour at dawn"),
		File: media.File{Name: domain.NewPersonal("alice", "harbour.jpg"), Type: "image/jpeg", Size: 4 << 20, Object: "0f/1e2d", Way: media.WayForm},
	}
}

func (b *reactorBench) reading() error {
	began, n := time.Now(), 0
	for _, err := range b.store.ReadAll(b.ctx, eventstore.Read{}) {
		if err != nil {
			return err
		}
		n++
	}
	b.say("reading and opening %d events, without a reactor: %.0f ev/s", n, float64(n)/time.Since(began).Seconds())
	return nil
}

// probe is a reactor that does what it is told.
type probe struct {
	name  string
	types []string
	react func(rec eventstore.Recorded)
}

func (p probe) Name() string    { return p.name }
func (p probe) Types() []string { return p.types }
func (p probe) React(_ context.Context, rec eventstore.Recorded) error {
	p.react(rec)
	return nil
}

// with runs a reactor while f lasts.
func (b *reactorBench) with(p probe, f func() error) error {
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- reactors.NewEngine(b.store, b.pool, reactors.Options{}, p).Run(ctx) }()
	err := f()
	cancel()
	return errors.Join(err, <-done)
}

func (b *reactorBench) nothing() error {
	head, err := b.store.Head(b.ctx)
	if err != nil {
		return err
	}
	var n atomic.Int64
	all := make(chan struct{})
	p := probe{name: "bench-nothing-" + uuid.NewString(), types: []string{"media.uploaded", "media.rolled_back"}, react: func(eventstore.Recorded) {
		if n.Add(1) == int64(head) {
			close(all)
		}
	}}
	began := time.Now()
	return b.with(p, func() error {
		if err := b.await(all); err != nil {
			return err
		}
		took := time.Since(began)
		b.say("a reactor that does nothing: %d events in %.2f s, %.0f ev/s (10 events per item, in order)", head, took.Seconds(), float64(head)/took.Seconds())
		return nil
	})
}

func (b *reactorBench) await(done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(2 * time.Minute):
		return errors.New("the reactor did not come to the end in 2 minutes")
	}
}

// slow drains a queue with a reactor that takes its time, and watches the heap.
func (b *reactorBench) slow() error {
	var n atomic.Int64
	var heaps []uint64
	all := make(chan struct{})
	p := probe{name: "bench-slow-" + uuid.NewString(), types: []string{"media.rolled_back"}, react: func(eventstore.Recorded) {
		time.Sleep(time.Millisecond)
		got := int(n.Add(1))
		if got%(b.Slow/10) == 0 && got <= b.Slow { // by whoever gets there: one at a time
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heaps = append(heaps, m.HeapAlloc>>20)
		}
		if got == b.Slow {
			close(all)
		}
	}}
	return b.with(p, func() error {
		if err := b.await(all); err != nil {
			return err
		}
		b.say("%d queued events drained by a reactor that takes 1 ms: heap at each tenth %v MiB", b.Slow, heaps)
		return nil
	})
}

// single appends one event at a time to a reactor that waits.
func (b *reactorBench) single() error {
	started := make(chan time.Time, 1)
	p := probe{name: "bench-single-" + uuid.NewString(), types: []string{"media.deleted"}, react: func(eventstore.Recorded) { started <- time.Now() }}
	return b.with(p, func() error {
		var took []time.Duration
		for i := range b.Single + 1 {
			id := domain.MediaID(uuid.NewString())
			meta := eventstore.Metadata{Command: uuid.New(), Actor: domain.System(), Correlation: uuid.New()}
			if _, err := b.store.Append(b.ctx, eventstore.StreamOf(media.Category, id), eventstore.Any, meta, media.Deleted{By: "alice"}); err != nil {
				return err
			}
			durable := time.Now()
			select {
			case at := <-started:
				if i > 0 { // the first waits for the reactor to begin
					took = append(took, max(0, at.Sub(durable)))
				}
			case <-time.After(time.Minute):
				return errors.New("the event did not reach the reactor in a minute")
			}
		}
		slices.Sort(took)
		b.say("from an event's being durable to its reaction's start, idle: p50 %v, p99 %v, most %v",
			took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
		return nil
	})
}
