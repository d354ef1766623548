package esdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/mediavault-io/mediavault/eventstore"
)

// rounds are reads that appends share: of where the log ends, before an append is sent; of when its events were recorded, behind
// it. A round answers all who asked before it began. Few rounds run at a time, and who asks meanwhile waits for the next: the more
// appends there are, the more of them a round answers.
type rounds struct {
	answer func([]*question) error // answers all of them
	most   int                     // rounds at a time

	mu      sync.Mutex
	waiting []*question // for the next round; guarded by mu
	running int         // rounds; guarded by mu
	closed  bool        // guarded by mu
	work    sync.WaitGroup
}

// question is what one append wants to know of a round.
type question struct {
	at    eventstore.Position // asked: an event's position
	event eventstore.Raw      // answered: the event, without its bytes; Position is 0 when the round did not come upon it
	head  eventstore.Position // answered: where the log ended during the round
	err   error
	done  chan struct{} // closed when it is answered
}

// ask waits for the answer. at is of no meaning where the log's end is asked for.
func (r *rounds) ask(ctx context.Context, at eventstore.Position) (question, error) {
	q := &question{at: at, done: make(chan struct{})}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return question{}, eventstore.ErrClosed
	}
	r.waiting = append(r.waiting, q)
	if r.running < r.most {
		r.running++
		r.work.Go(r.run)
	}
	r.mu.Unlock()
	select {
	case <-q.done:
		return *q, q.err
	case <-ctx.Done():
		return question{}, faultOf(ctx, ctx.Err()).err
	}
}

// run runs rounds as long as somebody asks.
func (r *rounds) run() {
	for {
		r.mu.Lock()
		asked := r.waiting
		r.waiting = nil
		if len(asked) == 0 {
			r.running--
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		err := r.answer(asked)
		for _, q := range asked {
			q.err = err
			close(q.done)
		}
	}
}

// close waits for the rounds that run, which end with the log's life.
func (r *rounds) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.work.Wait()
}

// findEnd is the round that asks where the log ends.
func (l *Log) findEnd(asked []*question) error {
	ctx, cancel := l.bounded(context.Background(), l.timeout)
	defer cancel()
	var head eventstore.Position
	for raw, err := range l.readAll(ctx, reading{backward: true, before: math.MaxInt64, limit: 1, system: true}) {
		if err != nil {
			return err
		}
		head = raw.Position
		break
	}
	for _, q := range asked {
		q.head = head
	}
	return nil
}

// A round reads so many events for each that is asked for, and these on top, before it leaves the others to who asked: an event costs
// about a twentieth of a call.
const (
	roundEach = smallEvents + 1
	roundMore = 64
)

// What an append has at most whose time is looked for in a round: what is larger reads its last event back itself, so that nobody
// reads all of it only to see when it came.
const (
	smallEvents = 16
	smallBytes  = 64 << 10
)

// small reports whether the time of an append is looked for in a round.
func small(entries []eventstore.Entry) bool {
	size := 0
	for _, e := range entries {
		size += len(e.Data) + len(e.Metadata)
	}
	return len(entries) <= smallEvents && size <= smallBytes
}

// findEvents is the round that reads events: $all, from the first of them on.
func (l *Log) findEvents(asked []*question) error {
	ctx, cancel := l.bounded(context.Background(), l.timeout)
	defer cancel()
	lowest, at := asked[0].at, make(map[eventstore.Position]*question, len(asked))
	for _, q := range asked {
		lowest, at[q.at] = min(lowest, q.at), q // no two appends end at one place, but for one that is there twice: the other asks itself
	}
	var wrong error
	read := reading{after: lowest - 1, choice: chosen(eventstore.Filter{}), limit: roundEach*len(at) + roundMore}
	l.readFrom(ctx, read, lowest, func(raw eventstore.Raw, err error) bool {
		if wrong = err; err != nil {
			return false
		}
		if q := at[raw.Position]; q != nil {
			q.event = raw
			q.event.Data, q.event.Metadata = nil, nil
			delete(at, raw.Position)
		}
		return len(at) > 0
	})
	if wrong != nil && !errors.Is(wrong, errBadPosition) { // as a server may answer a repeat
		return fmt.Errorf("look for what was appended: %w", wrong)
	}
	return nil
}
