// Package memory is a log in memory, for tests: it keeps every promise of eventstore.Log but that of surviving the process.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

var _ eventstore.Log = (*Log)(nil)

// Log is an eventstore.Log in memory. The zero Log is not ready; make one with New.
type Log struct {
	now func() time.Time

	mu      sync.RWMutex
	events  []eventstore.Raw // guarded by mu; position p is entry p-1, and what is there never changes
	streams map[eventstore.Stream]*stream
	changed chan struct{} // guarded by mu; closed and replaced at each append
	closed  bool
}

type stream struct {
	positions []eventstore.Position // by revision
	ids       map[uuid.UUID]eventstore.Revision
}

// New makes an empty log.
func New() *Log { return NewWithClock(time.Now) }

// NewWithClock makes an empty log that asks now for the time. A clock that goes back is held at its latest time.
func NewWithClock(now func() time.Time) *Log {
	return &Log{now: now, streams: map[eventstore.Stream]*stream{}, changed: make(chan struct{})}
}

// Close refuses further use and ends all followers.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.changed)
	}
}

// Append implements eventstore.Log.
func (l *Log) Append(ctx context.Context, name eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	if err := eventstore.CheckAppend(name, expected, entries); err != nil {
		return eventstore.Receipt{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return eventstore.Receipt{}, err
	}
	if l.closed {
		return eventstore.Receipt{}, eventstore.ErrClosed
	}
	s := l.streams[name]
	if s == nil {
		s = &stream{ids: map[uuid.UUID]eventstore.Revision{}}
	}
	if receipt, repeated, err := l.repeated(name, s, entries); repeated || err != nil {
		return receipt, err
	}
	last := eventstore.Revision(len(s.positions)) - 1
	if expected != eventstore.Any && expected != eventstore.Expected(last) {
		return eventstore.Receipt{}, &eventstore.ConflictError{Stream: name, Expected: expected, Actual: last}
	}
	l.streams[name] = s
	at := l.now().UTC().Truncate(time.Microsecond)
	if n := len(l.events); n > 0 && at.Before(l.events[n-1].At) {
		at = l.events[n-1].At
	}
	receipt := eventstore.Receipt{Stream: name, First: last + 1, At: at}
	for _, e := range entries {
		last++
		raw := eventstore.Raw{
			Position: eventstore.Position(len(l.events) + 1), Stream: name, Revision: last, ID: e.ID, Type: e.Type, At: at,
			Data: bytes.Clone(e.Data), Metadata: bytes.Clone(e.Metadata),
		}
		l.events = append(l.events, raw)
		s.positions = append(s.positions, raw.Position)
		s.ids[e.ID] = last
	}
	receipt.Revision, receipt.Position = last, eventstore.Position(len(l.events))
	close(l.changed)
	l.changed = make(chan struct{})
	return receipt, nil
}

// repeated answers the receipt of the append that used these ids first.
func (l *Log) repeated(name eventstore.Stream, s *stream, entries []eventstore.Entry) (eventstore.Receipt, bool, error) {
	first, known := s.ids[entries[0].ID]
	for i, e := range entries {
		rev, ok := s.ids[e.ID]
		if ok != known || (ok && rev != first+eventstore.Revision(i)) {
			return eventstore.Receipt{}, false, fmt.Errorf("%w: %s in %s", eventstore.ErrIDReused, e.ID, name)
		}
	}
	if !known {
		return eventstore.Receipt{}, false, nil
	}
	last := l.events[s.positions[first+eventstore.Revision(len(entries))-1]-1]
	return eventstore.Receipt{
		Stream: name, First: first, Revision: last.Revision, Position: last.Position, At: last.At, Repeated: true,
	}, true, nil
}

// ReadStream implements eventstore.Log.
func (l *Log) ReadStream(ctx context.Context, name eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		l.mu.RLock()
		var positions []eventstore.Position
		if s := l.streams[name]; s != nil {
			positions = slices.Clone(s.positions)
		}
		events, closed := l.events, l.closed
		l.mu.RUnlock()
		if closed {
			yield(eventstore.Raw{}, eventstore.ErrClosed)
			return
		}
		from, step := max(r.From, 0), eventstore.Revision(1)
		if r.Backward {
			step = -1
			if from = r.From; from < 0 || int(from) >= len(positions) {
				from = eventstore.Revision(len(positions)) - 1
			}
		}
		for n := 0; from >= 0 && int(from) < len(positions) && (r.Limit <= 0 || n < r.Limit); n++ {
			if err := ctx.Err(); err != nil {
				yield(eventstore.Raw{}, err)
				return
			}
			if !yield(events[positions[from]-1], nil) {
				return
			}
			from += step
		}
	}
}

// ReadAll implements eventstore.Log.
func (l *Log) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		l.mu.RLock()
		events, closed := l.events, l.closed
		l.mu.RUnlock()
		if closed {
			yield(eventstore.Raw{}, eventstore.ErrClosed)
			return
		}
		from, to := min(max(r.After, 0), eventstore.Position(len(events))), eventstore.Position(len(events))
		if r.Before > 0 {
			to = min(r.Before-1, to)
		}
		events = events[from:max(from, to)]
		for n, i := 0, 0; i < len(events) && (r.Limit <= 0 || n < r.Limit); i++ {
			raw := events[i]
			if r.Backward {
				raw = events[len(events)-1-i]
			}
			if !Lets(r.Filter, raw) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(eventstore.Raw{}, err)
				return
			}
			if n++; !yield(raw, nil) {
				return
			}
		}
	}
}

// Lets reports whether a filter lets an event through.
func Lets(f eventstore.Filter, raw eventstore.Raw) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, raw.Type)) &&
		(len(f.Categories) == 0 || slices.Contains(f.Categories, raw.Stream.Category()))
}

// Follow implements eventstore.Log.
func (l *Log) Follow(ctx context.Context, after eventstore.Position, filter eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	const most = 512 // events looked at for one batch
	return func(yield func(eventstore.Batch[eventstore.Raw], error) bool) {
		for first := true; ; first = false {
			l.mu.RLock()
			events, changed, closed := l.events, l.changed, l.closed
			l.mu.RUnlock()
			if err := ctx.Err(); err != nil || closed {
				if err == nil {
					err = eventstore.ErrClosed
				}
				yield(eventstore.Batch[eventstore.Raw]{}, err)
				return
			}
			head := eventstore.Position(len(events))
			if after >= head && !first {
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			}
			batch := eventstore.Batch[eventstore.Raw]{Through: max(after, min(after+most, head))}
			for _, raw := range events[min(after, head):min(batch.Through, head)] {
				if Lets(filter, raw) {
					batch.Events = append(batch.Events, raw)
				}
			}
			batch.Live = batch.Through >= head
			after = batch.Through
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// Head implements eventstore.Log.
func (l *Log) Head(ctx context.Context) (eventstore.Position, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, eventstore.ErrClosed
	}
	return eventstore.Position(len(l.events)), ctx.Err()
}

// PositionAt implements eventstore.Log.
func (l *Log) PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, eventstore.ErrClosed
	}
	later := sort.Search(len(l.events), func(i int) bool { return l.events[i].At.After(t) })
	return eventstore.Position(later), ctx.Err()
}
