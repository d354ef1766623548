package postgres

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mediavault-io/mediavault/eventstore"
)

// channel is where every batch tells its head, once, in its own transaction.
const channel = "mediavault_events"

// headline is the head as far as this process has heard, and wakes those who wait for more. It may lag behind the database,
// never run ahead of it.
type headline struct {
	mu   sync.Mutex
	at   eventstore.Position // guarded by mu
	more chan struct{}       // guarded by mu; closed and replaced when at grows
	tail tail                // guarded by mu; up to at, or empty; its events do not change
	own  eventstore.Position // guarded by mu; where this process is committing to: that it will tell itself
}

func (h *headline) init() { h.more = make(chan struct{}) }

// publish tells that the log reaches to p, with the events that took it there where they are known.
func (h *headline) publish(p eventstore.Position, batch []eventstore.Raw) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case p > h.at:
		if len(batch) > 0 && batch[0].Position != h.at+1 {
			h.tail = tail{}
		}
		h.tail.add(batch)
		h.at = p
		close(h.more)
		h.more = make(chan struct{})
	case p == h.at && len(h.tail.events) == 0: // somebody else told first
		h.tail.add(batch)
	}
}

// committing tells where this process is committing to; 0 when it is not.
func (h *headline) committing(p eventstore.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = p
}

// heard is the position up to which a notification says nothing new.
func (h *headline) heard() eventstore.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.at, h.own)
}

// since answers a page of events behind a position, if they are at hand.
func (h *headline) since(p eventstore.Position) ([]eventstore.Raw, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tail.after(p)
}

func (h *headline) position() eventstore.Position { p, _ := h.wait(); return p }

func (h *headline) wait() (eventstore.Position, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, h.more
}

// Follow implements eventstore.Log. The first batch comes at once, so that a follower learns where it stands. What is live is
// told by the committer of this process, by notifications from others, and by a look at the head each WithPoll.
func (l *Log) Follow(ctx context.Context, after eventstore.Position, filter eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	type batch = eventstore.Batch[eventstore.Raw]
	return func(yield func(batch, error) bool) {
		l.listen.Do(func() { close(l.followed) })
		head, err := l.Head(ctx)
		if err != nil {
			yield(batch{}, err)
			return
		}
		l.head.publish(head, nil)
		if head <= after && !yield(batch{Through: after, Live: true}, nil) {
			return
		}
		for {
			head, more := l.head.wait()
			if head <= after {
				select {
				case <-more:
					continue
				case <-ctx.Done():
					err = ctx.Err()
				case <-l.closing:
					err = eventstore.ErrClosed
				}
				yield(batch{}, err)
				return
			}
			if events, ok := l.head.since(after); ok {
				select {
				case <-l.closing:
					err = eventstore.ErrClosed
				default:
					err = ctx.Err()
				}
				if err != nil {
					yield(batch{}, err)
					return
				}
				after = events[len(events)-1].Position
				if !yield(batch{Events: through(filter, events), Through: after, Live: after >= l.head.position()}, nil) {
					return
				}
				continue
			}
			s := scan{log: l, filter: filter, after: after, before: head + 1, left: limitOf(0)}
			for p, err := range s.pages(ctx) {
				if err != nil {
					yield(batch{}, err)
					return
				}
				after = p.through
				if !yield(batch{Events: p.events, Through: after, Live: after >= l.head.position()}, nil) {
					return
				}
			}
		}
	}
}

// listener hears of other processes' batches for all followers, on one connection, and looks at the head itself when it has
// heard nothing for a while or its connection is lost. It ends with the log.
func (l *Log) listener() {
	select {
	case <-l.followed:
	case <-l.closing:
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.work.Go(func() {
		select {
		case <-l.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	for ctx.Err() == nil {
		if err := l.hear(ctx); err == nil || ctx.Err() != nil {
			continue
		}
		select { // the database is away; followers that read will say so
		case <-ctx.Done():
		case <-time.After(l.poll):
		}
	}
}

func (l *Log) hear(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	conn, err := l.connect(connecting, map[string]string{"application_name": "mediavault-follow"})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(closing) // it is given up: there is nobody to tell
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		if err := l.look(ctx, conn); err != nil {
			return err
		}
		if err := l.await(ctx, conn); err != nil {
			return err
		}
	}
}

// look reads the head; what was committed before listening began is found so.
func (l *Log) look(ctx context.Context, conn *pgx.Conn) error {
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var head eventstore.Position
	if err := conn.QueryRow(bounded, headSQL).Scan(&head); err != nil {
		return err
	}
	l.head.publish(head, nil)
	return nil
}

// await looks at the head whenever it is notified of more than is known, until there was silence for the time of a poll. What
// a notification says is not believed: anybody who may connect can send one.
func (l *Log) await(ctx context.Context, conn *pgx.Conn) error {
	for {
		silence, cancel := context.WithTimeout(ctx, l.poll)
		n, err := conn.WaitForNotification(silence)
		cancel()
		switch {
		case err == nil && parsePosition(n) <= l.head.heard():
			continue // from this process
		case err == nil:
			if err := l.look(ctx, conn); err != nil {
				return err
			}
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			return nil
		default:
			return err
		}
	}
}

// parsePosition reads a notification's payload; 0, which wakes nobody, when it is not ours.
func parsePosition(n *pgconn.Notification) eventstore.Position {
	var p eventstore.Position
	for _, c := range []byte(n.Payload) {
		if c < '0' || c > '9' || len(n.Payload) > 18 {
			return 0
		}
		p = 10*p + eventstore.Position(c-'0')
	}
	return p
}
