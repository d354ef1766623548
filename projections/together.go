package projections

import (
	"context"
	"errors"
	"sync"
	"time"
)

// together answers questions about single things that come at the same time by one query: while one is being asked, the next
// gathers. Who asks shares no question that was sent before he asked.
type together[K ~string, V any] struct {
	ask     func(context.Context, []K) (map[K]V, error)
	timeout time.Duration // of one query

	turn chan struct{} // held by who asks

	mu   sync.Mutex // guards next
	next *round[K, V]
}

// round is what one query is asked about. answers and err are written before done is closed.
type round[K ~string, V any] struct {
	keys    map[K]bool // guarded by the mutex of together until the round is asked
	done    chan struct{}
	answers map[K]V
	err     error
}

func newTogether[K ~string, V any](timeout time.Duration, ask func(context.Context, []K) (map[K]V, error)) *together[K, V] {
	return &together[K, V]{ask: ask, timeout: timeout, turn: make(chan struct{}, 1)}
}

// togetherMost bounds one query.
const togetherMost = 1_000

var errNotAsked = errors.New("what was asked together was not answered")

// about answers what there is about one thing; the zero V when there is nothing. The first of a round asks for all of it, and
// goes on when nobody waits for his own answer any more: the others must not suffer from his impatience.
func (t *together[K, V]) about(ctx context.Context, key K) (V, error) {
	t.mu.Lock()
	r := t.next
	first := r == nil || len(r.keys) >= togetherMost
	if first {
		r = &round[K, V]{keys: map[K]bool{}, done: make(chan struct{})}
		t.next = r
	}
	r.keys[key] = true
	t.mu.Unlock()
	if first {
		t.lead(context.WithoutCancel(ctx), r)
	}
	var none V
	select {
	case <-r.done:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if r.err != nil {
		return none, r.err
	}
	return r.answers[key], nil
}

// lead asks when it is the round's turn. Rounds before it are bounded by their timeout.
func (t *together[K, V]) lead(ctx context.Context, r *round[K, V]) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	t.mu.Lock()
	if t.next == r {
		t.next = nil
	}
	keys := make([]K, 0, len(r.keys))
	for key := range r.keys {
		keys = append(keys, key)
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	defer close(r.done)
	r.err = errNotAsked // should asking panic
	r.answers, r.err = t.ask(ctx, keys)
}
