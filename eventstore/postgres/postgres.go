// Package postgres is the event log in Postgres: one head row is the lock, the counter and the proof of order, and group
// commit makes it fast (docs/adr/0021-order-by-head-row.md). It stores bytes as it is given them and knows no event.
package postgres

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
)

var _ eventstore.Log = (*Log)(nil)

// Log is an eventstore.Log in Postgres. Several processes may have one on the same database.
type Log struct {
	pool *pgxpool.Pool // for reading; writing and listening have a connection each of their own
	options
	stats stats

	queue   chan *request
	closing chan struct{}  // closed by Close
	stopped chan struct{}  // closed when nothing will be committed any more
	work    sync.WaitGroup // the committer and the listener
	close   sync.Once

	head     headline
	listen   sync.Once     // closes followed
	followed chan struct{} // closed when somebody follows: only then is there a listener
}

type options struct {
	now     func() time.Time
	timeout time.Duration // for a batch to be committed, connecting anew included
	reading time.Duration // for one page to be read
	poll    time.Duration // between looks at the head, beside notifications
	waiting int           // appends that may wait for their batch; more wait for a place
}

// Option changes how a Log works.
type Option func(*options)

// WithClock takes the time of recording from now; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithTimeout bounds how long a batch of appends may take, a lost connection included; the default is 5 s. An append answers
// eventstore.ErrUnavailable after at most twice as long: it may have had to wait for the batch before.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithPoll looks at the head each d even when no notification came; the default is 1 s.
func WithPoll(d time.Duration) Option { return func(o *options) { o.poll = d } }

// Open makes a log on a migrated database. The pool stays the caller's, and has to stay open until Close. It fails when the
// database does not answer or is not migrated.
func Open(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Log, error) {
	l := &Log{
		pool:    pool,
		options: options{now: time.Now, timeout: 5 * time.Second, reading: 30 * time.Second, poll: time.Second, waiting: 1024},
		closing: make(chan struct{}),
		stopped: make(chan struct{}),

		followed: make(chan struct{}),
	}
	for _, o := range opts {
		o(&l.options)
	}
	l.queue = make(chan *request, l.waiting)
	l.head.init()
	head, err := l.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	l.head.publish(head, nil)
	c := &committer{log: l}
	l.work.Go(c.run)
	l.work.Go(l.listener)
	return l, nil
}

// Close completes the batch that is being committed, answers eventstore.ErrClosed to whoever waits or follows, and waits for
// the log's own work to end.
func (l *Log) Close() {
	l.close.Do(func() { close(l.closing) })
	l.work.Wait()
}

// Stats are counts since Open, for metrics.
type Stats struct {
	Appends   int64 // that were appended
	Events    int64
	Batches   int64 // committed transactions
	Repeats   int64 // answered with the receipt of an earlier append
	Conflicts int64
	Retries   int64 // batches that were tried again, after a lost connection or a repeated id
	Waiting   int   // appends waiting for their batch, now
	Head      eventstore.Position
}

type stats struct {
	appends, events, batches, repeats, conflicts, retries atomic.Int64
}

// Stats answers the counts.
func (l *Log) Stats() Stats {
	return Stats{
		Appends: l.stats.appends.Load(), Events: l.stats.events.Load(), Batches: l.stats.batches.Load(),
		Repeats: l.stats.repeats.Load(), Conflicts: l.stats.conflicts.Load(), Retries: l.stats.retries.Load(),
		Waiting: len(l.queue), Head: l.head.position(),
	}
}

// A request is one append on its way through the queue.
type request struct {
	stream   eventstore.Stream
	expected eventstore.Expected
	entries  []eventstore.Entry
	size     int

	state atomic.Int32  // queued, then taken or withdrawn
	done  chan struct{} // closed once receipt and err are set

	// Owned by the committer until done.
	receipt eventstore.Receipt
	err     error
	check   bool                 // its ids must be looked up before it is placed
	tried   []eventstore.Receipt // where attempts placed it whose commit was never answered
}

const (
	queued int32 = iota
	taken
	withdrawn
)

// Append implements eventstore.Log. A context that ends while the append waits for its batch withdraws it; later, the
// outcome is waited for, at most as long as WithTimeout says, because it is better known than guessed.
func (l *Log) Append(ctx context.Context, stream eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	if err := eventstore.CheckAppend(stream, expected, entries); err != nil {
		return eventstore.Receipt{}, err
	}
	r := &request{stream: stream, expected: expected, entries: entries, done: make(chan struct{})}
	for _, e := range entries {
		r.size += len(e.Data) + len(e.Metadata)
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Receipt{}, err
	}
	select {
	case <-l.closing:
		return eventstore.Receipt{}, eventstore.ErrClosed
	default:
	}
	select {
	case l.queue <- r:
	case <-ctx.Done():
		return eventstore.Receipt{}, ctx.Err()
	case <-l.closing:
		return eventstore.Receipt{}, eventstore.ErrClosed
	}
	select {
	case <-r.done:
		return r.receipt, r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, withdrawn) {
			return eventstore.Receipt{}, ctx.Err()
		}
	case <-l.stopped:
		if r.state.CompareAndSwap(queued, withdrawn) {
			return eventstore.Receipt{}, eventstore.ErrClosed
		}
	}
	<-r.done
	return r.receipt, r.err
}

// connect makes a connection of the log's own, so that readers who hold the whole pool stop neither appends nor wake-ups.
func (l *Log) connect(ctx context.Context, settings map[string]string) (*pgx.Conn, error) {
	config := l.pool.Config().ConnConfig.Copy()
	maps.Copy(config.RuntimeParams, settings)
	return pgx.ConnectConfig(ctx, config)
}
