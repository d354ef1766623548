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

// breaker is the circuit of one neighbour.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
}

func newBreakers(e *Engine) *breakers { return &breakers{engine: e, all: map[string]*breaker{}} }

// circuits are those of all neighbours that a reactor needs.
type circuits []*breaker

func (b *breakers) of(neighbours []string) circuits {
	var all circuits
	for _, name := range neighbours {
		all = append(all, b.one(name))
	}
	return all
}

func (b *breakers) one(neighbour string) *breaker {
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
		IsSuccessful: func(err error) bool { return err == nil || !e.blames(err, neighbour) },
	})}
	b.all[neighbour] = made
	return made
}

// blames reports whether a fault is the neighbour's. What is wrong with an event says nothing about any; of what took too long nobody
// knows whose fault it was.
func (e *Engine) blames(err error, neighbour string) bool {
	switch {
	case held(err):
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return true
	case !e.transient(err):
		return false
	case e.opts.Neighbour == nil:
		return true
	}
	return e.opts.Neighbour(err) == neighbour
}

// call asks, unless the circuit of one of the neighbours is open.
func (c circuits) call(f func() error) error {
	for _, b := range c {
		if b.circuit.State() == gobreaker.StateOpen {
			return gobreaker.ErrOpenState
		}
	}
	for _, b := range c {
		asked := f
		f = func() error {
			_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, asked() })
			return err
		}
	}
	return f()
}

// held reports an event that nobody was asked about, because a circuit is open.
func held(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}
