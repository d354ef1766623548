package reactors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/mediavault-io/mediavault/domain"
)

// run reacts on a watermill router from the reactor's checkpoint on, for as long as the lease lasts.
func (e *Engine) run(ctx context.Context, r Reactor, l *lease) error {
	m := &marks{pool: e.pool, reactor: r.Name(), epoch: l.epoch}
	if err := m.load(ctx); err != nil {
		return err
	}
	e.metrics.parkedKeys.WithLabelValues(r.Name()).Set(float64(m.count()))
	sub := &subscriber{engine: e, marks: m, reactor: r, opts: e.opts, from: l.from}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NewSlogLogger(quiet(e.opts.Logger)))
	if err != nil {
		return fmt.Errorf("make router of %s: %w", r.Name(), err)
	}
	h := router.AddConsumerHandler(r.Name(), r.Name(), sub, e.handler(r))
	h.AddMiddleware(e.parking(r, m), middleware.CorrelationID, e.retry(r).Middleware)
	err = router.Run(ctx)
	return errors.Join(err, sub.Close())
}

// handler hands the event of a message to the reactor: not more at once than its tuning says, within its time, through the
// circuit breakers of its neighbours. A refusal ends the event: the rules will not change their mind.
func (e *Engine) handler(r Reactor) message.NoPublishHandlerFunc {
	name, tuning := r.Name(), e.tuning(r)
	circuits := e.breakers.of(tuning.Neighbours)
	seats := make(chan struct{}, tuning.Concurrency)
	reactions, failures, took := e.metrics.reactions.WithLabelValues(name), e.metrics.failures.WithLabelValues(name), e.metrics.took.WithLabelValues(name)
	return func(msg *message.Message) error {
		d := deliveryOf(msg)
		if d.rec.Undecodable != nil {
			failures.Inc()
			return d.rec.Undecodable
		}
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
		case <-msg.Context().Done():
			return msg.Context().Err()
		}
		ctx, cancel := context.WithTimeout(msg.Context(), tuning.Timeout)
		defer cancel()
		began := time.Now()
		err := circuits.call(func() error { return recovered(func() error { return r.React(ctx, d.rec) }) })
		if held(err) {
			return err // nobody was asked
		}
		took.Observe(time.Since(began).Seconds())
		if refusal, ok := domain.AsRefusal(err); ok && refusal.Kind != domain.Unavailable {
			e.opts.Logger.Info("nothing follows from the event", "reactor", name, "type", d.rec.Type,
				"position", d.rec.Position, "code", refusal.Code)
			err = nil
		}
		if err != nil && msg.Context().Err() != nil {
			return errEnded // it comes again, wherever the reactor runs then
		}
		if err != nil {
			failures.Inc()
			return err
		}
		reactions.Inc()
		return nil
	}
}

// errEnded is a reaction that its reactor's end cut short. The router does not complain of what was cancelled.
var errEnded = fmt.Errorf("the reactor ended: %w", context.Canceled)

// recovered makes a panic a fault like any other.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

func (e *Engine) retry(r Reactor) middleware.Retry {
	retries := e.metrics.retries.WithLabelValues(r.Name())
	return middleware.Retry{
		MaxRetries:          e.tuning(r).Attempts - 1,
		InitialInterval:     e.opts.Backoff,
		MaxInterval:         10 * time.Second,
		Multiplier:          1.5, // the middleware takes two steps for each attempt
		RandomizationFactor: 0.5,
		ResetContextOnRetry: true,
		ShouldRetry: func(p middleware.RetryParams) bool {
			if held(p.Err) || errors.Is(p.Err, errEnded) {
				return false // its attempts are for when there is somebody to ask, and somebody who asks
			}
			retries.Inc()
			e.opts.Logger.Warn("reaction failed; trying again", "reactor", r.Name(), "attempt", p.RetryNum, "error", p.Err)
			return true
		},
	}
}

// parking sets aside what still fails after all attempts, with everything of the same key that comes later, in order. A
// transient fault is not the event's: the message is handed back and comes again. What was parked and is reacted to after all
// is parked no longer.
func (e *Engine) parking(r Reactor, m *marks) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			d := deliveryOf(msg)
			if !d.again && m.isParked(d.key) {
				return nil, m.park(msg.Context(), d.rec, d.key, behind)
			}
			_, err := next(msg)
			switch {
			case err == nil && d.again:
				return nil, m.unpark(msg.Context(), d.rec.Position)
			case err == nil:
				return nil, nil
			case msg.Context().Err() != nil:
				return nil, errEnded
			case held(err) || e.transient(err):
				return nil, err
			}
			e.opts.Logger.Error("event parked", "reactor", r.Name(), "key", d.key, "type", d.rec.Type, "position", d.rec.Position, "error", err)
			e.metrics.parked.WithLabelValues(r.Name()).Inc()
			if err := m.park(msg.Context(), d.rec, d.key, clip(err.Error(), 2_000)); err != nil {
				return nil, err
			}
			d.parked = true
			e.metrics.parkedKeys.WithLabelValues(r.Name()).Set(float64(m.count()))
			return nil, nil
		}
	}
}

// transient reports a fault of the surroundings: no event is to blame, and asking again later helps.
func (e *Engine) transient(err error) bool {
	refusal, ok := domain.AsRefusal(err)
	return ok && refusal.Kind == domain.Unavailable || e.opts.Transient(err)
}

// clip is the first n bytes of a text of whatever origin, as Postgres stores text: whole characters, and none of them NUL.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
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
