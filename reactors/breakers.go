package reactors

import (
	"context"
	"errors"
	"sync"

	"github.com/sony/gobreaker/v2"
)

// breakers keeps one circuit breaker for each neighbour. While it is open nobody asks the neighbour, so that one that is down
// is not also overrun, and what waits for it is not parked.
type breakers struct {
	engine *Engine

	mu  sync.Mutex // guards all
	all map[string]*breaker
}

// breaker is nil for reactors that need no neighbour.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
}

func newBreakers(e *Engine) *breakers { return &breakers{engine: e, all: map[string]*breaker{}} }

func (b *breakers) of(neighbour string) *breaker {
	if neighbour == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if found, ok := b.all[neighbour]; ok {
		return found
	}
	e := b.engine
	state := e.metrics.open.WithLabelValues(neighbour)
	state.Set(0)
	made := &breaker{circuit: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: neighbour, MaxRequests: 1, Timeout: e.opts.BreakFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= e.opts.BreakAfter },
		OnStateChange: func(name string, from, to gobreaker.State) {
			e.opts.Logger.Warn("circuit breaker", "neighbour", name, "from", from.String(), "to", to.String())
			state.Set(map[gobreaker.State]float64{gobreaker.StateOpen: 1, gobreaker.StateHalfOpen: 0.5}[to])
		},
		// What is wrong with an event says nothing about the neighbour.
		IsSuccessful: func(err error) bool {
			return err == nil || !errors.Is(err, context.DeadlineExceeded) && !e.transient(err)
		},
	})}
	b.all[neighbour] = made
	return made
}

func (b *breaker) call(f func() error) error {
	if b == nil {
		return f()
	}
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// held reports an event that nobody was asked about, because the circuit is open.
func held(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}
