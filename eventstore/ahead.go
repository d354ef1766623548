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
			chunks = make(chan decodedChunk)
			stop   = make(chan struct{})
			over   atomic.Bool
		)
		go func() {
			defer close(chunks)
			s.decodeChunks(ctx, raws, &over, func(c decodedChunk) bool {
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
			for _, rec := range c.events {
				if rec.Undecodable != nil {
					yield(rec, rec.Undecodable)
					return
				}
				if !yield(rec, nil) {
					return
				}
			}
			if c.err != nil {
				yield(Recorded{}, c.err)
				return
			}
		}
	}
}

func (s *Store) decodeChunks(ctx context.Context, raws iter.Seq2[Raw, error], over *atomic.Bool, send func(decodedChunk) bool) {
	size := 32
	chunk := make([]Raw, 0, size)
	flush := func(after error) bool {
		events, err := s.codec.DecodeAll(ctx, chunk)
		if err != nil {
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
