// Package bench measures what the vault promises, beside a peer on the same machine in the same run. It changes the
// database that it is given, and is for measuring only.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Options say how much to measure. The zero Options measure what docs/benchmarks.md shows.
type Options struct {
	Callers int           // that append at once; 64
	For     time.Duration // each measurement of appending; 10 s
	Events  int           // that are there before anything is measured, and are read in the end; 500,000
	Fill    int           // 0, or: only appending is measured, once with 1 M events there and once with so many
}

func (o Options) orDefault() Options {
	if o.Callers == 0 {
		o.Callers = 64
	}
	if o.For == 0 {
		o.For = 10 * time.Second
	}
	if o.Events == 0 {
		o.Events = 500_000
	}
	return o
}

// Store measures the event store on the migrated database at url, with keys of its own making, and prints what it found to w.
func Store(ctx context.Context, url string, w io.Writer, o Options) error {
	o = o.orDefault()
	opened, err := openStore(ctx, url, media.Types)
	if err != nil {
		return err
	}
	defer opened.close()
	b := storeBench{
		Options: o, ctx: ctx, w: w, url: url, pool: opened.pool, log: opened.log, store: opened.store, codec: opened.codec, cpu: opened.cpu,
	}
	return b.run()
}

type storeBench struct {
	Options
	ctx   context.Context //nolint:containedctx // it lives for one run
	w     io.Writer
	pool  *pgxpool.Pool
	url   string
	log   eventstore.Log
	store *eventstore.Store
	codec *eventstore.Codec
	cpu   *cpuMeter
}

func (b *storeBench) run() error {
	prepared, err := b.prepare(20_000)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.w, "an event is %d bytes of data and %d of metadata, with sealed title, address and user agent\n\n",
		len(prepared[0].Data), len(prepared[0].Metadata))
	if b.Fill > 0 {
		return b.filled(prepared)
	}
	if err := b.fillTo(prepared, b.Events); err != nil {
		return err
	}
	one, err := b.appends(prepared, 1)
	if err != nil {
		return err
	}
	ten, err := b.appends(prepared, 10)
	if err != nil {
		return err
	}
	if err := b.peers(prepared[0], one, ten); err != nil {
		return err
	}
	if err := b.messageDB(prepared, one, ten); err != nil {
		return err
	}
	sealed, err := b.sealed()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.w, "the same with sealing and encoding, 1 event each: %s\n\n", sealed)
	return b.reads(prepared)
}

// figures are what was measured of appending.
type figures struct {
	perSecond     float64 // events
	p50, p99, max time.Duration
	cpu           string // what each event cost
}

func (f figures) String() string {
	return fmt.Sprintf("%9.0f ev/s   p50 %7s   p99 %7s   max %7s   %s", f.perSecond, short(f.p50), short(f.p99), short(f.max), f.cpu)
}

func short(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// prepare encodes events, so that the log is measured and not the sealing of text.
func (b *storeBench) prepare(n int) ([]eventstore.Entry, error) {
	entries := make([]eventstore.Entry, 0, n)
	for i := range n {
		es, err := b.codec.Encode(b.ctx, metadata(i), described(i))
		if err != nil {
			return nil, err
		}
		entries = append(entries, es...)
	}
	return entries, nil
}

const subjects = 1000 // owners of the events

func subject(i int) domain.UserID {
	return domain.UserID(domain.Derive("bench", fmt.Sprint(i%subjects)).String())
}

func described(i int) domain.Event {
	return media.Described{Title: domain.NewPersonal(subject(i), fmt.Sprintf("Grandma's 80th birthday, picture %d", i))}
}

func metadata(i int) eventstore.Metadata {
	return eventstore.Metadata{
		Command:     uuid.New(),
		Actor:       domain.Actor{ID: subject(i), Roles: []domain.Role{domain.RoleUser}},
		Address:     domain.NewPersonal(subject(i), "203.0.113.42"),
		UserAgent:   domain.NewPersonal(subject(i), "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
		Correlation: uuid.New(), Took: 1234 * time.Microsecond,
	}
}

func newStream() eventstore.Stream {
	return eventstore.StreamOf("media", uuid.Must(uuid.NewV7()).String())
}

func (b *storeBench) appends(prepared []eventstore.Entry, each int) (figures, error) {
	f, err := b.measure(each, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		entries := make([]eventstore.Entry, each)
		for i := range entries {
			entries[i] = prepared[rnd.IntN(len(prepared))]
			entries[i].ID = newID(rnd)
		}
		_, err := b.log.Append(b.ctx, stream, expected, entries...)
		return err
	})
	if err != nil {
		return f, err
	}
	fmt.Fprintf(b.w, "append, %d callers x %2d: %s\n", b.Callers, each, f)
	return f, nil
}

func newID(rnd *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(rnd.Uint32())
	}
	return id
}

// sealed is appending as commands do it, from event to receipt.
func (b *storeBench) sealed() (figures, error) {
	return b.measure(1, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		i := rnd.IntN(subjects)
		_, err := b.store.Append(b.ctx, stream, expected, metadata(i), described(i))
		return err
	})
}

// measure lets callers append, each to streams of its own with some twenty appends, and expecting the right revision.
func (b *storeBench) measure(each int, appendOne func(*rand.Rand, eventstore.Stream, eventstore.Expected) error) (figures, error) {
	const perStream = 20
	var (
		group  sync.WaitGroup
		stop   atomic.Bool
		mu     sync.Mutex
		took   []time.Duration // guarded by mu
		failed error           // guarded by mu
	)
	b.cpu.start()
	start := time.Now()
	for c := range b.Callers {
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(start.UnixNano()), uint64(c))) //nolint:gosec // a load needs no secrets
			var mine []time.Duration
			stream, expected := newStream(), eventstore.NoStream
			for n := 1; !stop.Load() && b.ctx.Err() == nil; n++ {
				from := time.Now()
				if err := appendOne(rnd, stream, expected); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(from))
				if expected += eventstore.Expected(each); n%perStream == 0 {
					stream, expected = newStream(), eventstore.NoStream
				}
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	timer := time.AfterFunc(b.For, func() { stop.Store(true) })
	defer timer.Stop()
	group.Wait()
	seconds := time.Since(start).Seconds()
	if failed != nil || len(took) == 0 {
		return figures{}, errors.Join(failed, b.ctx.Err())
	}
	slices.Sort(took)
	return figures{
		perSecond: float64(len(took)*each) / seconds,
		p50:       took[len(took)/2], p99: took[len(took)*99/100], max: took[len(took)-1],
		cpu: b.cpu.per(len(took) * each),
	}, nil
}

// reads reads everything by one reader: as bytes, and decoded and opened.
func (b *storeBench) reads(prepared []eventstore.Entry) error {
	if err := b.fillTo(prepared, b.Events); err != nil {
		return err
	}
	for range 2 { // the second time Postgres has it in memory
		b.cpu.start()
		start, n := time.Now(), 0
		for _, err := range b.log.ReadAll(b.ctx, eventstore.Read{}) {
			if err != nil {
				return err
			}
			n++
		}
		fmt.Fprintf(b.w, "read everything, one reader, %d events, as bytes:  %9.0f ev/s   %s\n", n, float64(n)/time.Since(start).Seconds(), b.cpu.per(n))
		b.cpu.start()
		start, n = time.Now(), 0
		for rec, err := range b.store.ReadAll(b.ctx, eventstore.Read{}) {
			if err != nil {
				return err
			}
			if d, ok := rec.Event.(media.Described); !ok || d.Title.Text() == "" {
				return fmt.Errorf("event at %d came back as %+v", rec.Position, rec.Event)
			}
			n++
		}
		fmt.Fprintf(b.w, "read everything, one reader, %d events, decoded and opened: %9.0f ev/s   %s\n", n, float64(n)/time.Since(start).Seconds(), b.cpu.per(n))
	}
	return nil
}
