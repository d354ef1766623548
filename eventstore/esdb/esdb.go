// Package esdb is the event log in EventStoreDB (KurrentDB): a position is a commit position of the server, a revision a
// revision of its stream. What the server promises less than eventstore.Log the log makes up for, where it can
// (docs/adr/0072-esdb.md has the table). System streams, whose names begin with $, are not part of it.
package esdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

var _ eventstore.Log = (*Log)(nil)

// Log is an eventstore.Log on a server or cluster. Several processes may have one on the same.
type Log struct {
	options
	cluster *cluster
	known   *known
	times   *times
	ends    *rounds // which findEnd answers
	events  *rounds // which findEvents answers
	head    headline
	stats   stats

	life context.Context //nolint:containedctx // ends with Close, and with it whatever waits
	end  context.CancelFunc
}

type options struct {
	timeout time.Duration // for a call to succeed, reconnecting included
	silence time.Duration // a server that is read from says nothing for at most so long
	poll    time.Duration // between looks at the head, while a follower hears nothing
	logger  *slog.Logger
}

// Option changes how a Log works.
type Option func(*options)

// WithTimeout bounds how long an append may take, and how long a lost server is waited for, before eventstore.ErrUnavailable;
// the default is 10 s, in which a cluster finds a new leader.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithLogger tells of lost servers and new leaders; the default is slog.Default().
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// Open makes a log on a server that Parse understood. It fails when no server answers, or it refuses the credentials.
func Open(ctx context.Context, s Settings, opts ...Option) (*Log, error) {
	o := options{timeout: 10 * time.Second, silence: 30 * time.Second, poll: 250 * time.Millisecond, logger: slog.Default()}
	for _, option := range opts {
		option(&o)
	}
	l := &Log{options: o, known: newKnown(), times: &times{}}
	l.ends, l.events = &rounds{answer: l.findEnd, most: 1}, &rounds{answer: l.findEvents, most: 2}
	l.life, l.end = context.WithCancel(context.Background())
	var err error
	if l.cluster, err = newCluster(s, o); err != nil {
		l.end()
		return nil, fmt.Errorf("open event log: %w", err)
	}
	l.head.more = make(chan struct{})
	if _, err := l.Head(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("open event log: %w", err)
	}
	return l, nil
}

// Close ends every call and every follower with eventstore.ErrClosed, and the connection.
func (l *Log) Close() {
	l.end()
	l.cluster.close()
	l.ends.close()
	l.events.close()
}

// Stats are counts since Open, for metrics.
type Stats struct {
	Appends   int64 // that were appended
	Events    int64
	Repeats   int64 // answered with the receipt of an earlier append
	Conflicts int64
	Retries   int64               // calls that were tried again
	Links     int64               // connections that were made
	Head      eventstore.Position // as far as this process has heard
}

type stats struct {
	appends, events, repeats, conflicts, retries atomic.Int64
}

// Stats answers the counts.
func (l *Log) Stats() Stats {
	at, _ := l.head.wait()
	return Stats{
		Appends: l.stats.appends.Load(), Events: l.stats.events.Load(), Repeats: l.stats.repeats.Load(),
		Conflicts: l.stats.conflicts.Load(), Retries: l.stats.retries.Load(), Links: l.cluster.links.Load(), Head: at,
	}
}

// Head implements eventstore.Log.
func (l *Log) Head(ctx context.Context) (eventstore.Position, error) {
	ctx, cancel := l.bounded(ctx, l.timeout)
	defer cancel()
	for raw, err := range l.readAll(ctx, reading{backward: true, choice: chosen(eventstore.Filter{}), limit: 1}) {
		if err != nil {
			return 0, err
		}
		l.head.publish(raw.Position)
		return raw.Position, nil
	}
	return 0, nil
}

// errTimeout is why a context of bounded ended.
var errTimeout = errors.New("no answer in time")

// bounded ends with ctx, with the log, and after a time (0: never).
func (l *Log) bounded(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	stop := context.CancelFunc(func() {})
	bounded, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(l.life, func() { cancel(eventstore.ErrClosed) })
	if after > 0 {
		bounded, stop = context.WithTimeoutCause(bounded, after, errTimeout)
	}
	return bounded, func() { release(); stop(); cancel(context.Canceled) }
}

// retrying calls until the call answers, says no, or the context (one of bounded) ends. A call is made again only after a fault
// that may pass. progress, called by the call, gives it its full time again.
func (l *Log) retrying(ctx context.Context, call func(context.Context, *link) error) error {
	began, wait := time.Now(), 20*time.Millisecond
	for {
		link, err := l.cluster.get(ctx)
		if err == nil {
			err = call(ctx, link)
		}
		if err == nil {
			return nil
		}
		f := faultOf(ctx, err)
		if !f.passing || time.Since(began) > l.timeout {
			return f.err
		}
		if link != nil {
			l.cluster.failed(link, f)
		}
		l.stats.retries.Add(1)
		if !pause(ctx, wait/2+rand.N(wait)) { //nolint:gosec // jitter
			return faultOf(ctx, f.err).err
		}
		wait = min(2*wait, time.Second)
	}
}

// pause waits; false: the context ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// system reports whether a stream is EventStoreDB's own.
func system(stream eventstore.Stream) bool { return strings.HasPrefix(string(stream), "$") }

// headline is the head as far as this process has heard, and wakes those who wait for more. It may lag behind the server, never
// run ahead of it.
type headline struct {
	mu   sync.Mutex
	at   eventstore.Position // guarded by mu
	more chan struct{}       // guarded by mu; closed and replaced when at grows
}

func (h *headline) publish(p eventstore.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p > h.at {
		h.at = p
		close(h.more)
		h.more = make(chan struct{})
	}
}

func (h *headline) wait() (eventstore.Position, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, h.more
}
