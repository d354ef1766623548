package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

var (
	// ErrUnknown is a name that no read model has.
	ErrUnknown = domain.Refuse(domain.NotFound, "unknown_projection", "there is no such read model")
	// ErrShape is a table in another shape than this program needs: another version of the program built it. Rebuilding helps.
	ErrShape = errors.New("read model has another shape")
)

// Options of an engine. The zero Options are good for production.
type Options struct {
	// Log gets one line for what goes wrong and for what begins and ends. nil: slog.Default().
	Log *slog.Logger
	// Observe is told of every batch that was written, for metrics. It must not block.
	Observe func(Batch)
	// BatchSize is how many events one transaction takes in at most. 0: 5,000.
	BatchSize int
	// CachedRows is how many current rows each projection keeps in memory at most. 0: 100,000.
	CachedRows int
	// RebuildKeys is how many keys a rebuild or verification holds in memory at once; a model with more is gone through in
	// several passes over the log. 0: 1,000,000.
	RebuildKeys int
	// Lease is how long a process that fell silent keeps others from taking over its projections. 0: 1.5 seconds.
	Lease time.Duration
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Batch is what Options.Observe is told.
type Batch struct {
	Projection string
	Events     int
	Parked     int                 // events that were set aside
	Position   eventstore.Position // of the read model afterwards
	Took       time.Duration
	Age        time.Duration // between the last event's recording and its being visible; 0 without events
	Live       bool
}

// Engine keeps read models up to date, answers how far they are, rebuilds and verifies them. Its methods are safe for
// concurrent use.
type Engine struct {
	pool    *pgxpool.Pool
	source  Source
	models  []*model
	options Options
	id      uuid.UUID // as holder of leases
	log     *slog.Logger
	now     func() time.Time
	marks   *marks
}

// New makes an engine for the models. It touches nothing; Prepare makes the tables.
func New(pool *pgxpool.Pool, source Source, options Options, models ...Model) (*Engine, error) {
	e := &Engine{pool: pool, source: source, options: options, id: uuid.New(), log: options.Log, now: options.Now}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.options.BatchSize <= 0 {
		e.options.BatchSize = 5_000
	}
	if e.options.CachedRows <= 0 {
		e.options.CachedRows = 100_000
	}
	if e.options.RebuildKeys <= 0 {
		e.options.RebuildKeys = 1_000_000
	}
	if e.options.Lease <= 0 {
		e.options.Lease = 1500 * time.Millisecond
	}
	for _, m := range models {
		if err := e.add(m.model()); err != nil {
			return nil, fmt.Errorf("projection %s: %w", m.Name(), err)
		}
	}
	e.marks = newMarks(pool, e.models)
	return e, nil
}

func (e *Engine) add(m *model) error {
	switch {
	case m.err != nil:
		return m.err
	case !plainName(m.name):
		return errors.New("the name must be of the form [a-z][a-z_]*, at most 30 characters")
	case slices.ContainsFunc([]string{rebuilt, old, "_current", "_closed"}, func(s string) bool { return strings.HasSuffix(m.name, s) }):
		return errors.New("the name ends like a name of the engine's own")
	case e.find(m.name) != nil:
		return errors.New("the name is taken")
	case len(m.types) == 0:
		return errors.New("it takes no events")
	}
	e.models = append(e.models, m)
	return nil
}

func plainName(s string) bool {
	for i, c := range s {
		if (c < 'a' || c > 'z') && (i == 0 || c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 30
}

func (e *Engine) find(name string) *model {
	for _, m := range e.models {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (e *Engine) known(name string) (*model, error) {
	if m := e.find(name); m != nil {
		return m, nil
	}
	return nil, ErrUnknown.Because("there is no read model " + name)
}

// Names are the read models, in the order in which they were given.
func (e *Engine) Names() []string {
	names := make([]string, len(e.models))
	for i, m := range e.models {
		names[i] = m.name
	}
	return names
}

// Run keeps the named read models (all, when none is named) up to date until ctx ends, then answers nil. It makes missing
// tables, rebuilds those of another shape, goes on after a lost connection, and waits while another process projects.
func (e *Engine) Run(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = e.Names()
	}
	chosen := make([]*model, len(names))
	for i, name := range names {
		m, err := e.known(name)
		if err != nil {
			return err
		}
		chosen[i] = m
	}
	if e.retrying(ctx, "prepare", e.Prepare) != nil {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range chosen {
		group.Go(func() error {
			_ = e.retrying(ctx, m.name, func(ctx context.Context) error { return e.project(ctx, m) })
			return nil
		})
	}
	return group.Wait()
}

// How a failing runner comes back. A database that was killed is back within moments, and what was asked for waits for the read
// models: while trouble is young it is tried again quickly; only what lasts is left in peace.
const (
	shortestWait = 20 * time.Millisecond
	youngWait    = 200 * time.Millisecond // at most, while trouble is young
	longestWait  = 5 * time.Second
	young        = 30 * time.Second
	works        = 500 * time.Millisecond // what ran for so long had come back
	complaint    = 5 * time.Second        // how often the same trouble is told
)

// trouble is one run of failures.
type trouble struct {
	since time.Time // zero: there is none
	told  time.Time
	wait  time.Duration
}

// failed takes in that something failed that had run for so long, and answers how long to wait, and whether to tell of it.
func (t *trouble) failed(now time.Time, ran time.Duration) (wait time.Duration, tell bool) {
	if t.since.IsZero() || ran >= works {
		*t = trouble{since: now, told: t.told, wait: shortestWait}
	} else {
		most := youngWait
		if now.Sub(t.since) > young {
			most = longestWait
		}
		t.wait = min(2*t.wait, most)
	}
	if tell = t.told.IsZero() || now.Sub(t.told) >= complaint; tell {
		t.told = now
	}
	return t.wait, tell
}

// retrying calls f again and again until it succeeds. Its error is that of ctx.
func (e *Engine) retrying(ctx context.Context, what string, f func(context.Context) error) error {
	var t trouble
	for {
		began := time.Now()
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		now := time.Now()
		wait, tell := t.failed(now, now.Sub(began))
		switch {
		case errors.Is(err, errMoved):
			e.log.Info("projection was taken over", "projection", what)
		case tell:
			e.log.Error("projection stumbles", "projection", what, "error", err, "again_in", wait)
		}
		if !pause(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
