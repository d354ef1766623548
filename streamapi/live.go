package streamapi

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// live holds the newest events of the log, once for all subscribers: what is appended is read once, however many wait for it.
// Subscribers take from it at their own pace; one that falls behind what is held reads from the log again, and delays only
// itself.
type live struct {
	log    eventstore.Log
	logger *slog.Logger
	want   chan struct{} // closed when somebody subscribes; nothing is read before
	once   sync.Once     // closes want

	mu      sync.Mutex // guards what follows
	started bool
	base    eventstore.Position // everything behind it, up to head, is in batches
	head    eventstore.Position
	batches []liveBatch
	size    int
	more    chan struct{} // closed and replaced when head moves
}

type liveBatch struct {
	events  []eventstore.Raw
	frames  []frame
	through eventstore.Position
	size    int
}

// What is held at most, of events as they are stored and as they are sent. A batch of the log's is never cut.
const (
	liveBytes  = 32 << 20
	liveEvents = 64 // bytes that an event costs beside its own
)

// errBehind is a subscriber who is behind what is held.
var errBehind = errors.New("behind the live events")

func newLive(log eventstore.Log, logger *slog.Logger) *live {
	return &live{log: log, logger: logger, want: make(chan struct{}), more: make(chan struct{})}
}

// run reads the log for all until ctx ends.
func (l *live) run(ctx context.Context) {
	select {
	case <-l.want:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		if err := l.follow(ctx); err != nil && ctx.Err() == nil {
			l.logger.Warn("stream API: the log cannot be followed now", "error", err)
			pause(ctx, 200*time.Millisecond)
		}
	}
}

func (l *live) follow(ctx context.Context) error {
	l.mu.Lock()
	after, started := l.head, l.started
	l.mu.Unlock()
	if !started {
		head, err := l.log.Head(ctx)
		if err != nil {
			return err
		}
		after = head
	}
	for batch, err := range l.log.Follow(ctx, after, eventstore.Filter{}) {
		if err != nil {
			return err
		}
		l.publish(batch, after)
		after = batch.Through
	}
	return nil
}

func (l *live) publish(b eventstore.Batch[eventstore.Raw], after eventstore.Position) {
	size := 0
	for i := range b.Events {
		size += len(b.Events[i].Data) + len(b.Events[i].Metadata) + len(b.Events[i].Stream) + liveEvents
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		l.started, l.base, l.head = true, after, after
	} else if len(b.Events) == 0 && b.Through == l.head {
		return
	}
	if len(b.Events) > 0 {
		if size < compacted {
			b.Events = compact(b.Events, size)
		}
		size *= 2 // frames, too
		l.batches = append(l.batches, liveBatch{events: b.Events, frames: make([]frame, len(b.Events)), through: b.Through, size: size})
		l.size += size
	}
	l.head = max(l.head, b.Through)
	for l.size > liveBytes && len(l.batches) > 1 {
		l.size -= l.batches[0].size
		l.base = l.batches[0].through
		l.batches[0] = liveBatch{} // let it go
		l.batches = l.batches[1:]
	}
	close(l.more)
	l.more = make(chan struct{})
}

// compacted is the size, bytes, below which a batch is copied: what a log answers may keep far more memory than it fills.
const compacted = 128 << 10

func compact(events []eventstore.Raw, size int) []eventstore.Raw {
	kept := make([]eventstore.Raw, len(events))
	block := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		from := len(block)
		block = append(block, b...)
		return block[from:len(block):len(block)]
	}
	for i, raw := range events {
		raw.Data, raw.Metadata = keep(raw.Data), keep(raw.Metadata)
		kept[i] = raw
	}
	return kept
}

// now is where the live events stand. It waits until they are followed.
func (l *live) now(ctx context.Context) (eventstore.Position, error) {
	l.once.Do(func() { close(l.want) })
	for {
		l.mu.Lock()
		started, head, more := l.started, l.head, l.more
		l.mu.Unlock()
		if started {
			return head, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// next answers the next events behind a position, and how far they reach; it waits for some. Nobody may change them.
// errBehind: what is next is not held any more.
func (l *live) next(ctx context.Context, after eventstore.Position) (fed, error) {
	for {
		l.mu.Lock()
		base, head, more := l.base, l.head, l.more
		var found liveBatch
		if after >= base && head > after {
			if i := sort.Search(len(l.batches), func(i int) bool { return l.batches[i].through > after }); i < len(l.batches) {
				found = l.batches[i]
			}
		}
		l.mu.Unlock()
		switch {
		case after < base:
			return fed{}, errBehind
		case found.events != nil:
			i := sort.Search(len(found.events), func(i int) bool { return found.events[i].Position > after })
			return fed{events: found.events[i:], frames: found.frames[i:], through: found.through}, nil
		case head > after:
			return fed{through: head}, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fed{}, ctx.Err()
		}
	}
}
