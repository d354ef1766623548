package reactors

import (
	"slices"
	"sync"

	"github.com/mediavault-io/mediavault/eventstore"
)

// progress knows what was handed out and what is done. Positions are handed out in their order.
type progress struct {
	mu      sync.Mutex // guards all below
	steps   []step     // handed out, in order; those before head are done
	head    int
	reached eventstore.Position // the store has handed over everything up to here
	upTo    eventstore.Position // everything up to here is done
}

type step struct {
	position eventstore.Position
	done     bool
}

func newProgress(from eventstore.Position) *progress { return &progress{reached: from, upTo: from} }

func (p *progress) start(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head > 0 && len(p.steps) == cap(p.steps) {
		p.steps = slices.Delete(p.steps, 0, p.head) // room is made, not taken: what is in flight is bounded, and so is this
		p.head = 0
	}
	p.steps = append(p.steps, step{position: pos})
}

func (p *progress) finish(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.steps[p.head:]
	at, found := slices.BinarySearchFunc(open, pos, func(s step, pos eventstore.Position) int { return int(s.position - pos) })
	if !found {
		return
	}
	open[at].done = true
	for p.head < len(p.steps) && p.steps[p.head].done {
		p.upTo = p.steps[p.head].position
		p.head++
	}
	if p.head == len(p.steps) {
		p.steps, p.head = p.steps[:0], 0
	}
}

func (p *progress) reach(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = pos
}

// through is the position up to which nothing remains to be done.
func (p *progress) through() eventstore.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head == len(p.steps) {
		return max(p.upTo, p.reached)
	}
	return p.upTo
}

// inFlight is how many were handed out and are not known to be done up to the first that is not.
func (p *progress) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.steps) - p.head
}
