package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/projections"
)

// ProjectionOptions say how much to measure. The zero options measure what docs/benchmarks.md shows.
type ProjectionOptions struct {
	Events int           // in the log; appended first where there are fewer; 1,000,000
	Rate   int           // events per second while latency is measured; 1,000
	For    time.Duration // of measuring latency, and of the peer; 5 s
	Pages  int           // list pages of each kind; 300
}

func (o ProjectionOptions) orDefault() ProjectionOptions {
	if o.Events == 0 {
		o.Events = 1_000_000
	}
	if o.Rate == 0 {
		o.Rate = 1000
	}
	if o.For == 0 {
		o.For = 5 * time.Second
	}
	if o.Pages == 0 {
		o.Pages = 300
	}
	return o
}

// Projections measures the library's projection on the migrated database at url and prints what it found to w: projecting
// live beside a transaction for each event, rebuilding beside a plain COPY of the same rows, and lists of now beside lists as of
// the middle of the log. Beside the rates it prints the CPU time of each event, which says more on a busy machine.
func Projections(ctx context.Context, url string, w io.Writer, o ProjectionOptions) error {
	o = o.orDefault()
	opened, err := openStore(ctx, url, catalog.Types())
	if err != nil {
		return err
	}
	defer opened.close()
	b := projectionBench{ProjectionOptions: o, ctx: ctx, w: w, pool: opened.pool, log: opened.log, store: opened.store, cpu: opened.cpu}
	return b.run()
}

type projectionBench struct {
	ProjectionOptions
	ctx    context.Context //nolint:containedctx // it lives for one run
	w      io.Writer
	pool   *pgxpool.Pool
	log    eventstore.Log
	store  *eventstore.Store
	engine *projections.Engine // of the library alone
	cpu    *cpuMeter
}

func (b *projectionBench) run() (err error) {
	if b.engine, err = projections.New(b.pool, b.store, projections.Options{}, projections.Define(projections.LibraryProjection())); err != nil {
		return err
	}
	if err := b.engine.Prepare(b.ctx); err != nil {
		return err
	}
	for _, step := range []func() error{b.fill, b.decoding, b.live, b.latency, b.peer, b.everything, b.rebuild, b.copying, b.lists} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *projectionBench) say(format string, args ...any) { fmt.Fprintf(b.w, format+"\n", args...) }
