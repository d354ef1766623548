package eventstore

import (
	"context"
	"iter"
	"sync/atomic"
)

const (
	aheadAfter = 256  // events; a shorter read is not worth a goroutine
	aheadMost  = 1024 // events decoded together
)

type decodedChunk struct {
	events []Recorded
	err    error // after the events
}

// decodedAhead decodes in chunks, one chunk ahead of the reader. The first chunks are small, so that whoever wants only the
// first events does not pay for many. It waits for its goroutine before it returns.
func (s *Store) decodedAhead(ctx context.Context, raws iter.Seq2[Raw, error]) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		var (
			chunks = make(chan decodedChunk, 1)
			used   = make(chan []Recorded, 3) // were yielded: there is room in them again
			stop   = make(chan struct{})
			over   atomic.Bool
		)
		go func() {
			defer close(chunks)
			s.decodeChunks(ctx, raws, used, &over, func(c decodedChunk) bool {
				select {
				case chunks <- c:
					return c.err == nil
				case <-stop:
					return false
				}
			})
		}()
		defer func() {
			over.Store(true)
			close(stop)
			for range chunks { //nolint:revive // waits for the goroutine
			}
		}()
		for c := range chunks {
			for i := range c.events {
				if err := c.events[i].Undecodable; err != nil {
					yield(c.events[i], err)
					return
				}
				if !yield(c.events[i], nil) {
					return
				}
			}
			select {
			case used <- c.events:
			default:
			}
			if c.err != nil {
				yield(Recorded{}, c.err)
				return
			}
		}
	}
}

func (s *Store) decodeChunks(ctx context.Context, raws iter.Seq2[Raw, error], used <-chan []Recorded, over *atomic.Bool, send func(decodedChunk) bool) {
	size := 32
	chunk := make([]Raw, 0, size)
	flush := func(after error) bool {
		var events []Recorded
		select {
		case events = <-used:
			clear(events[:cap(events)])
		default:
		}
		if cap(events) < len(chunk) {
			events = make([]Recorded, size)
		}
		events = events[:len(chunk)]
		if err := s.codec.decodeAll(ctx, chunk, events); err != nil {
			return send(decodedChunk{err: err})
		}
		chunk = chunk[:0]
		return send(decodedChunk{events: events, err: after})
	}
	for raw, err := range raws {
		if err != nil {
			flush(err)
			return
		}
		if over.Load() {
			return
		}
		chunk = append(chunk, raw)
		if len(chunk) < size {
			continue
		}
		if !flush(nil) {
			return
		}
		size = min(2*size, aheadMost)
	}
	if len(chunk) > 0 {
		flush(nil)
	}
}
