// Package reactors is what the vault does by itself: events in, effects and commands out, on a watermill router. Side effects
// live only here, so that a rebuild never repeats one. It decides nothing: what follows from an event goes through the front
// door, package commands.
//
// Every event is reacted to at least once, in the order of its key; every effect is idempotent by the event's position, so
// that it shows once. What keeps failing is parked and does not stop the other keys.
package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Reactor reacts to events. React may be called again for the same event, and from several goroutines for different keys.
type Reactor interface {
	// Name names the reactor's checkpoint. It never changes.
	Name() string
	// Types are the stored names of the events that it reacts to.
	Types() []string
	// React has the effect. A refusal means that the rules say no to what would follow, now and later: it is logged and
	// done with. Any other error is tried again.
	React(ctx context.Context, rec eventstore.Recorded) error
}

// Options of an Engine; the zero value of each field means its default.
type Options struct {
	Lanes    int           // keys reacted to at once, per reactor; 8
	InFlight int           // events handed out and not done, per reactor; 1,024
	Attempts int           // of one event before it is parked; 8
	Backoff  time.Duration // before the second attempt, doubling with jitter; 100 ms
	Timeout  time.Duration // of one attempt; 1 min
	Logger   *slog.Logger
	// Transient says which faults are no fault of the event: they are tried again for as long as they last.
	Transient func(error) bool
}

// Engine runs reactors. Of several processes with the same database one at a time runs each reactor, the others stand by.
type Engine struct {
	store    *eventstore.Store
	pool     *pgxpool.Pool
	reactors []Reactor
	opts     Options
}

// NewEngine makes an engine over the store; checkpoints and parked events are kept in the pool's database.
func NewEngine(store *eventstore.Store, pool *pgxpool.Pool, opts Options, reactors ...Reactor) *Engine {
	opts.Lanes = orDefault(opts.Lanes, 8)
	opts.InFlight = orDefault(opts.InFlight, 1024)
	opts.Attempts = orDefault(opts.Attempts, 8)
	opts.Backoff = orDefault(opts.Backoff, 100*time.Millisecond)
	opts.Timeout = orDefault(opts.Timeout, time.Minute)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Transient == nil {
		opts.Transient = func(error) bool { return false }
	}
	return &Engine{store: store, pool: pool, reactors: reactors, opts: opts}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Run reacts until ctx ends, and returns when everything that it started has ended. A fault of a reactor's surroundings
// (a lost database) starts that reactor again after a pause.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range e.reactors {
		g.Go(func() error {
			for ctx.Err() == nil {
				if err := e.lead(ctx, r); err != nil && ctx.Err() == nil {
					e.opts.Logger.Error("reactor stopped; it starts again", "reactor", r.Name(), "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// lead waits until this process may run the reactor, and runs it for as long as it may.
func (e *Engine) lead(ctx context.Context, r Reactor) error {
	lock, err := acquire(ctx, e.pool, r.Name())
	if err != nil {
		return err
	}
	defer lock.release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return lock.hold(ctx) })
	g.Go(func() error { defer cancel(); return e.run(ctx, r) })
	return g.Wait()
}

// run reacts on a watermill router from the reactor's checkpoint on.
func (e *Engine) run(ctx context.Context, r Reactor) error {
	marks := &marks{pool: e.pool, reactor: r.Name()}
	sub, err := newSubscriber(ctx, e.store, marks, r, e.opts)
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NewSlogLogger(quiet(e.opts.Logger)))
	if err != nil {
		return fmt.Errorf("make router of %s: %w", r.Name(), err)
	}
	h := router.AddConsumerHandler(r.Name(), r.Name(), sub, e.handler(r))
	h.AddMiddleware(e.parking(marks, sub), middleware.CorrelationID, e.retry(r).Middleware, middleware.Recoverer)
	err = router.Run(ctx)
	return errors.Join(err, sub.Close())
}

// handler hands the event of a message to the reactor. A refusal ends the event: the rules will not change their mind.
func (e *Engine) handler(r Reactor) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		rec := recordedOf(msg)
		ctx, cancel := context.WithTimeout(msg.Context(), e.opts.Timeout)
		defer cancel()
		if rec.Undecodable != nil {
			return rec.Undecodable
		}
		err := r.React(ctx, rec)
		if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind != domain.Unavailable {
			e.opts.Logger.Info("nothing follows from the event", "reactor", r.Name(), "type", rec.Type,
				"position", rec.Position, "code", refusal.Code)
			return nil
		}
		return err
	}
}

func (e *Engine) retry(r Reactor) middleware.Retry {
	return middleware.Retry{
		MaxRetries:          e.opts.Attempts - 1,
		InitialInterval:     e.opts.Backoff,
		MaxInterval:         10 * time.Second,
		Multiplier:          2,
		RandomizationFactor: 0.5,
		ResetContextOnRetry: true,
		ShouldRetry: func(p middleware.RetryParams) bool {
			e.opts.Logger.Warn("reaction failed; trying again", "reactor", r.Name(), "attempt", p.RetryNum, "error", p.Err)
			return true
		},
	}
}

// parking sets aside what still fails after all attempts, with everything of the same key that comes later, in order. A
// transient fault is not the event's: the message is handed back and comes again.
func (e *Engine) parking(m *marks, sub *subscriber) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			rec := recordedOf(msg)
			key := string(rec.Stream)
			if m.isParked(key) {
				return nil, m.park(msg.Context(), rec, "behind an event of the same key that is parked")
			}
			_, err := next(msg)
			if err == nil || msg.Context().Err() != nil || e.opts.Transient(err) {
				return nil, err
			}
			e.opts.Logger.Error("event parked", "reactor", sub.reactor.Name(), "key", key, "type", rec.Type,
				"position", rec.Position, "error", err)
			return nil, m.park(msg.Context(), rec, err.Error())
		}
	}
}

// quiet lets only what went wrong through: the router says a lot about itself.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(minLevel{l.Handler(), slog.LevelWarn}) }

type minLevel struct {
	slog.Handler
	level slog.Level
}

func (h minLevel) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h minLevel) WithAttrs(a []slog.Attr) slog.Handler {
	return minLevel{h.Handler.WithAttrs(a), h.level}
}
func (h minLevel) WithGroup(n string) slog.Handler { return minLevel{h.Handler.WithGroup(n), h.level} }
