// Package reactors is what the vault does by itself: events in, effects and commands out, on a watermill router. Side effects
// live only here, so that a rebuild never repeats one. It decides nothing: what follows from an event goes through the front
// door, package commands.
//
// Every event is reacted to at least once, in the order of its key; every effect is idempotent by the event's position, so
// that it shows once. What keeps failing is parked and does not stop the other keys.
package reactors

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Reactor reacts to events. React may be called again for the same event, and from several goroutines for different keys.
type Reactor interface {
	// Name names the reactor's checkpoint. It never changes.
	Name() string
	// Types are the stored names of the events that it reacts to.
	Types() []string
	// React has the effect. A refusal means that the rules say no to what would follow, now and later: it is logged and
	// done with, unless its kind is Unavailable. Any other error is tried again.
	React(ctx context.Context, rec eventstore.Recorded) error
}

// Tuned is a Reactor with bounds of its own.
type Tuned interface {
	Tuning() Tuning
}

// Tuning bounds one reactor; the zero value of a field means the engine's.
type Tuning struct {
	// Neighbours name the outside programs that the reactor needs. Reactors with the same neighbour share a circuit breaker: when it
	// fails again and again, nobody asks it for a while, and nothing is parked on its account.
	Neighbours  []string
	Concurrency int           // reactions at once
	Attempts    int           // of one event before it is parked
	Timeout     time.Duration // of one attempt
}

// The neighbours that reactors of this package name.
const (
	Storage      = "storage" // of bytes
	VirusScanner = "virus scanner"
)

// Keyed is a Reactor whose events keep another order than that of their streams: two events of one key never overlap.
type Keyed interface {
	Key(rec eventstore.Recorded) string
}

// Clocked is a Reactor that also acts by the clock. The engine calls Due about every Options.Poll, in the one process that
// runs the reactor, never twice at once.
type Clocked interface {
	Due(ctx context.Context, now time.Time) error
}

// Options of an Engine; the zero value of each field means its default.
type Options struct {
	Concurrency int           // reactions at once, per reactor; 8
	InFlight    int           // events handed out and not done, per reactor; 1,024
	Attempts    int           // of one event before it is parked; 8
	Backoff     time.Duration // before the second attempt, doubling with jitter; 100 ms
	Timeout     time.Duration // of one attempt; 1 min
	// BreakAfter is how many failures of a neighbour in a row open its circuit breaker; 5. BreakFor is how long it stays
	// open before one attempt is let through; 5 s.
	BreakAfter int
	BreakFor   time.Duration
	// Lease is how long a process that fell silent keeps others from taking over its reactors; 5 s.
	Lease time.Duration
	// Poll is how often Clocked reactors are asked; 1 s.
	Poll   time.Duration
	Logger *slog.Logger
	// Transient says which faults are no fault of the event: they are tried again for as long as they last.
	Transient func(error) bool
	// Neighbour says whose fault such a fault is; "" is nobody's who is asked by reactors. nil: each of the reactor's neighbours'.
	Neighbour func(error) string
	// Now is the clock that Clocked reactors are told; time.Now.
	Now func() time.Time
	// Metrics gets the engine's metrics; nil: nobody does.
	Metrics prometheus.Registerer
}

// Engine runs reactors. Processes with the same database share them: each reactor runs in one of them at a time, and each
// process takes its even share.
type Engine struct {
	store    *eventstore.Store
	pool     *pgxpool.Pool
	reactors []Reactor
	opts     Options
	process  uuid.UUID
	breakers *breakers
	metrics  *metrics

	mu    sync.Mutex // guards what follows
	held  int        // reactors that this process runs
	peers int        // processes that react, with this one
}

// NewEngine makes an engine over the store; checkpoints, timers and parked events are kept in the pool's database. Without
// reactors it still lists, retries and drops what is parked.
func NewEngine(store *eventstore.Store, pool *pgxpool.Pool, opts Options, reactors ...Reactor) *Engine {
	opts.Concurrency = orDefault(opts.Concurrency, 8)
	opts.InFlight = orDefault(opts.InFlight, 1024)
	opts.Attempts = orDefault(opts.Attempts, 8)
	opts.Backoff = orDefault(opts.Backoff, 100*time.Millisecond)
	opts.Timeout = orDefault(opts.Timeout, time.Minute)
	opts.BreakAfter = orDefault(opts.BreakAfter, 5)
	opts.BreakFor = orDefault(opts.BreakFor, 5*time.Second)
	opts.Lease = orDefault(opts.Lease, 5*time.Second)
	opts.Poll = orDefault(opts.Poll, time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Transient == nil {
		opts.Transient = func(error) bool { return false }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	e := &Engine{store: store, pool: pool, reactors: reactors, opts: opts, process: uuid.New(), peers: 1}
	e.metrics = newMetrics(opts.Metrics)
	e.breakers = newBreakers(e)
	return e
}

// Add adds reactors, before Run.
func (e *Engine) Add(reactors ...Reactor) { e.reactors = append(e.reactors, reactors...) }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// tuning is the reactor's own bounds, filled up with the engine's.
func (e *Engine) tuning(r Reactor) Tuning {
	var t Tuning
	if tuned, ok := r.(Tuned); ok {
		t = tuned.Tuning()
	}
	t.Concurrency = orDefault(t.Concurrency, e.opts.Concurrency)
	t.Attempts = orDefault(t.Attempts, e.opts.Attempts)
	t.Timeout = orDefault(t.Timeout, e.opts.Timeout)
	return t
}

func keyOf(r Reactor, rec eventstore.Recorded) string {
	if keyed, ok := r.(Keyed); ok && rec.Undecodable == nil {
		if key := keyed.Key(rec); key != "" {
			return key
		}
	}
	return string(rec.Stream)
}

// Run reacts until ctx ends, and returns when everything that it started has ended. A fault of a reactor's surroundings
// (a lost database) starts that reactor again after a pause.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.join(ctx); err != nil && ctx.Err() == nil {
		e.opts.Logger.Warn("not counted among the processes that react; it goes on", "error", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { e.stay(ctx); return nil })
	for _, r := range e.reactors {
		g.Go(func() error {
			for ctx.Err() == nil {
				wait := e.opts.Lease / 10
				switch led, err := e.lead(ctx, r); {
				case ctx.Err() != nil:
				case err != nil:
					e.opts.Logger.Error("reactor stopped; it starts again", "reactor", r.Name(), "error", err)
					wait = max(wait, e.opts.Backoff)
				case led: // handed over: others come first
					wait = e.opts.Lease
				}
				pause(ctx, jitter(wait))
			}
			return nil
		})
	}
	return g.Wait()
}

// lead runs the reactor for as long as this process may; false when it may not.
func (e *Engine) lead(ctx context.Context, r Reactor) (led bool, err error) {
	if !e.take() {
		return false, nil
	}
	surplus := false
	defer func() {
		if !surplus {
			e.give()
		}
	}()
	l, err := acquire(ctx, e.pool, r.Name(), e.process, e.opts.Lease)
	if err != nil || l == nil {
		return false, err
	}
	defer l.release()
	// What runs under the lease ends before the lease does, even when the database does not answer.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.endAfter(cancel)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		return l.keep(ctx, func() bool { surplus = e.surplus(); return surplus })
	})
	g.Go(func() error { defer cancel(); return e.run(ctx, r, l) })
	if clocked, ok := r.(Clocked); ok {
		g.Go(func() error { e.tick(ctx, r, clocked); return nil })
	}
	return true, g.Wait()
}

// tick asks a Clocked reactor what is due, until ctx ends.
func (e *Engine) tick(ctx context.Context, r Reactor, c Clocked) {
	timeout := e.tuning(r).Timeout
	for ctx.Err() == nil {
		err := func() error {
			within, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return recovered(func() error { return c.Due(within, e.opts.Now().UTC()) })
		}()
		wait := e.opts.Poll
		if err != nil && ctx.Err() == nil {
			e.opts.Logger.Warn("what is due was not done; it comes again", "reactor", r.Name(), "error", err)
			e.metrics.failures.WithLabelValues(r.Name()).Inc()
			wait = max(wait, e.opts.Backoff)
		}
		pause(ctx, jitter(wait))
	}
}
