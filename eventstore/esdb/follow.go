package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/mediavault-io/mediavault/eventstore"
)

type batch = eventstore.Batch[eventstore.Raw]

// errStopped is a follower whose caller stopped.
var errStopped = errors.New("the caller stopped")

// Follow implements eventstore.Log, by a subscription to $all that the server filters. Where the server is lost it subscribes again
// behind what was handed over. How far a follower is whose filter holds everything back the server says only now and then: in
// silence the follower looks for itself.
func (l *Log) Follow(ctx context.Context, after eventstore.Position, filter eventstore.Filter) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		ctx, cancel := l.bounded(ctx, 0)
		defer cancel()
		f := &follower{log: l, choice: chosen(filter), through: max(after, 0), yield: yield}
		for {
			f.progress = false
			err := l.retrying(ctx, f.session)
			if errors.Is(err, errStopped) {
				return
			}
			if errors.Is(err, errBadPosition) {
				if err = f.catchUp(ctx); err == nil {
					continue
				}
				if errors.Is(err, errStopped) {
					return
				}
			}
			if f.progress && ctx.Err() == nil && errors.Is(err, eventstore.ErrUnavailable) {
				continue // it went well for a while: time to wait for the server begins anew
			}
			if err == nil {
				err = fmt.Errorf("%w: a subscription ended", eventstore.ErrUnavailable)
			}
			yield(batch{}, err)
			return
		}
	}
}

// follower is one call of Follow. One goroutine has it.
type follower struct {
	log      *Log
	choice   choice
	yield    func(batch, error) bool
	through  eventstore.Position // everything up to here was handed over
	progress bool                // something came
	live     bool                // the server said that what comes now is new
	told     bool                // the caller knows that through is the end
	settled  time.Time           // when it looked for itself last
	behind   time.Time           // since when it is known that the log goes on behind through; zero: it is not
}

// How a follower looks for itself.
const (
	settleAfter = 3 * time.Millisecond  // an append of this process, which its subscription is silent about
	settleEvery = 20 * time.Millisecond // at most
)

// session subscribes, and hands over what comes until the subscription ends.
func (f *follower) session(ctx context.Context, to *link) error {
	o := readRequest(false, 0)
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	o.StreamOption, o.FilterOption = place(f.through, false), f.choice.option()
	in, err := f.log.ask(ctx, to, o)
	if err != nil {
		return err
	}
	box := newMailbox()
	var pump sync.WaitGroup
	defer pump.Wait()
	defer in.close()
	defer box.close()
	m, err := in.next() // within the time of silence
	if err != nil {
		return ended(err)
	}
	if m.GetConfirmation() == nil {
		return fmt.Errorf("%w: a subscription without a confirmation", errMalformed)
	}
	in.silence = 0 // what is new may come late; a lost connection is found by keep-alive
	pump.Go(func() {
		for {
			m, err := in.next()
			if !box.put(m, ended(err)) || err != nil {
				return
			}
		}
	})
	f.live, f.told, f.progress = false, false, true
	return f.run(ctx, box)
}

// catchUp reads up to the head instead of subscribing: from a position in the middle of a record, which the server never told
// anybody, it does not subscribe.
func (f *follower) catchUp(ctx context.Context) error {
	head, err := f.log.Head(ctx)
	if err != nil {
		return err
	}
	if head <= f.through {
		return fmt.Errorf("%w: %d is behind the end", errBadPosition, f.through)
	}
	var b batch
	for raw, err := range f.log.readAll(ctx, reading{after: f.through, before: head + 1, choice: f.choice}) {
		if err != nil {
			return err
		}
		b.Events, b.Through = append(b.Events, raw), raw.Position
		if len(b.Events) == mailboxMessages {
			if f.through = b.Through; !f.yield(b, nil) {
				return errStopped
			}
			b.Events = nil
		}
	}
	f.through, b.Through = head, head
	if !f.yield(b, nil) {
		return errStopped
	}
	return nil
}

// ended makes an error of a subscription that the server ends without one, as it does when it stops.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errSilent
	}
	return err
}

func (f *follower) run(ctx context.Context, box *mailbox) error {
	for {
		messages, err := box.take()
		settle := false
		switch {
		case len(messages) > 0:
			settle, err = f.hand(messages, err)
		case err == nil:
			settle, err = f.await(ctx, box)
		}
		if err != nil {
			return err
		}
		if settle {
			if err := f.settle(ctx); err != nil {
				return err
			}
		}
	}
}

// hand hands messages over; err is what came behind them.
func (f *follower) hand(messages []*streams.ReadResp, err error) (settle bool, _ error) {
	b := batch{Through: f.through}
	for _, m := range messages {
		switch {
		case m.GetEvent() != nil:
			e := m.GetEvent().GetEvent()
			if e == nil {
				continue // a link whose target is gone
			}
			raw, wrong := rawOf(e)
			if wrong != nil {
				return false, wrong
			}
			if raw.Position <= b.Through {
				continue
			}
			b.Through = raw.Position
			if f.choice.lets(&raw) {
				b.Events = append(b.Events, raw)
			}
		case m.GetCheckpoint() != nil:
			b.Through = max(b.Through, eventstore.Position(min(m.GetCheckpoint().GetCommitPosition(), unbounded))) //nolint:gosec // bounded
		case m.GetCaughtUp() != nil:
			f.live, settle = true, true
		case m.GetFellBehind() != nil:
			f.live, f.told = false, false
		}
	}
	f.log.head.publish(b.Through)
	head, _ := f.log.head.wait()
	b.Live = f.live && !settle && b.Through >= head
	if b.Through > f.through || (b.Live && !f.told) {
		f.progress = true
		f.through, f.told = b.Through, b.Live
		if !f.yield(b, nil) {
			return false, errStopped
		}
	}
	return settle, err
}

// await waits for the next message, or until it is time to look.
func (f *follower) await(ctx context.Context, box *mailbox) (settle bool, _ error) {
	head, more := f.log.head.wait()
	wait := f.log.poll
	switch {
	case head <= f.through:
		f.behind = time.Time{}
	case f.behind.IsZero():
		f.behind = time.Now()
		fallthrough
	default: // what this process appends meanwhile does not put it off
		wait, more = max(settleAfter-time.Since(f.behind), settleEvery-time.Since(f.settled)), nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-box.ready:
		return false, nil
	case <-more:
		return false, nil
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// settle looks whether there is anything between what was handed over and the head. If there is not, that is how far the follower
// is; if there is, the subscription is about to bring it.
func (f *follower) settle(ctx context.Context) error {
	f.settled, f.behind = time.Now(), time.Time{}
	head, err := f.log.Head(ctx)
	if err != nil {
		return fmt.Errorf("look for the head: %w", err)
	}
	if head <= f.through && f.told {
		return nil
	}
	if head > f.through {
		looking, cancel := f.log.bounded(ctx, f.log.timeout)
		defer cancel()
		for _, err := range f.log.readAll(looking, reading{after: f.through, before: head + 1, choice: f.choice, limit: 1}) {
			if err != nil {
				return fmt.Errorf("look for what is next: %w", err)
			}
			return nil
		}
	}
	f.progress = true
	if head > f.through {
		f.through = head
	}
	f.told = true
	if !f.yield(batch{Through: f.through, Live: true}, nil) {
		return errStopped
	}
	return nil
}

// mailbox holds what a subscription brought and nobody took yet: a bounded amount, so that a slow caller holds the server up and
// nobody else.
type mailbox struct {
	ready chan struct{} // has a token when there is something

	mu     sync.Mutex
	list   []*streams.ReadResp // guarded by mu
	size   int                 // bytes in list; guarded by mu
	err    error               // came behind list; guarded by mu
	closed bool                // guarded by mu
	room   *sync.Cond          // of mu
}

// What a mailbox holds at most, and one message more.
const (
	mailboxMessages = 512
	mailboxBytes    = 4 << 20
)

func newMailbox() *mailbox {
	b := &mailbox{ready: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put waits for room; false: nobody will take it.
func (b *mailbox) put(m *streams.ReadResp, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && err == nil && (len(b.list) >= mailboxMessages || b.size >= mailboxBytes) {
		b.room.Wait()
	}
	if b.closed {
		return false
	}
	if b.err = err; err == nil {
		b.list = append(b.list, m)
		e := m.GetEvent().GetEvent()
		b.size += len(e.GetData()) + len(e.GetCustomMetadata())
	}
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return true
}

// take answers what there is, and the error behind it.
func (b *mailbox) take() ([]*streams.ReadResp, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list, b.size = nil, 0
	b.room.Broadcast()
	return list, b.err
}

func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}
