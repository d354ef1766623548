package streamapi

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// indexing is how long the index of correlations rests after it was brought up to date. What is behind it is found by looking
// at the log itself, so that nothing is missed meanwhile.
const indexing = 500 * time.Millisecond

// correlate keeps the index of correlations up to date until ctx ends. Several processes may: each goes on where the index is.
func (s *Server) correlate(ctx context.Context) {
	if s.Correlations == nil {
		return
	}
	for ctx.Err() == nil {
		if err := s.correlateFrom(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Debug("stream API: the index of correlations begins anew", "error", err)
			pause(ctx, time.Second)
		}
	}
}

func (s *Server) correlateFrom(ctx context.Context) error {
	after, err := s.Correlations.Through(ctx)
	if err != nil {
		return err
	}
	for batch, err := range s.Log.Follow(ctx, eventstore.Position(after), eventstore.Filter{}) {
		if err != nil {
			return err
		}
		var names []string
		var positions []int64
		for i := range batch.Events {
			if c := CorrelationOf(batch.Events[i].Metadata); c != "" && len(c) <= MaxCorrelation {
				names, positions = append(names, c), append(positions, int64(batch.Events[i].Position))
			}
		}
		if int64(batch.Through) > after {
			if err := s.Correlations.Add(ctx, after, int64(batch.Through), names, positions); err != nil {
				return err
			}
			after = int64(batch.Through)
		}
		if batch.Live {
			pause(ctx, indexing)
		}
	}
	return nil
}

// MaxCorrelation bounds a correlation's name, bytes; events of longer ones are not found by it.
const MaxCorrelation = 255
