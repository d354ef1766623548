package storetest

import (
	"context"
	"iter"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Gap is how far positions of Sparse are apart.
const Gap = 100

// Sparse is a log whose positions have gaps, as those of EventStoreDB do, which count bytes. Only multiples of Gap are positions
// of events. It shows who takes positions for numbers of events.
func Sparse(log eventstore.Log) eventstore.Log { return sparse{log} }

type sparse struct{ log eventstore.Log }

// Append implements eventstore.Log.
func (s sparse) Append(ctx context.Context, stream eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	r, err := s.log.Append(ctx, stream, expected, entries...)
	r.Position *= Gap
	return r, err
}

func spread(raws iter.Seq2[eventstore.Raw, error]) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		for raw, err := range raws {
			raw.Position *= Gap
			if !yield(raw, err) {
				return
			}
		}
	}
}

// ReadStream implements eventstore.Log.
func (s sparse) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	return spread(s.log.ReadStream(ctx, stream, r))
}

// ReadAll implements eventstore.Log.
func (s sparse) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	if r.After < 0 {
		r.After = 0
	}
	r.After /= Gap
	if r.Before > 0 {
		r.Before = (r.Before-1)/Gap + 1
	}
	return spread(s.log.ReadAll(ctx, r))
}

// Follow implements eventstore.Log.
func (s sparse) Follow(ctx context.Context, after eventstore.Position, f eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	return func(yield func(eventstore.Batch[eventstore.Raw], error) bool) {
		for b, err := range s.log.Follow(ctx, after/Gap, f) {
			b.Through *= Gap
			for i := range b.Events {
				b.Events[i].Position *= Gap
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// Head implements eventstore.Log.
func (s sparse) Head(ctx context.Context) (eventstore.Position, error) {
	p, err := s.log.Head(ctx)
	return p * Gap, err
}

// PositionAt implements eventstore.Log.
func (s sparse) PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error) {
	p, err := s.log.PositionAt(ctx, t)
	return p * Gap, err
}
