package streamapi

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/mediavault-io/mediavault/eventstore"
)

// batch of a feed: events in order, how far they reach, and where the reader stands.
type fed struct {
	events  []eventstore.Raw    // shared with others: not to be changed
	through eventstore.Position // everything up to here that the feed lets through has been handed over
	state   feedState
	frames  []frame // beside events: what is sent for each; nil: they are not shared
}

// frame is how most are sent an event, once somebody was.
type frame = atomic.Pointer[encoded]

func (b *fed) frame(i int) *frame {
	if b.frames == nil {
		return nil
	}
	return &b.frames[i]
}

type feedState int

const (
	catchingUp feedState = iota
	caughtUp             // said once: what comes now is new
	fellBehind           // said once: what comes now is history again
)

// follow yields what is behind a position and passes the filter, history first, then what is new, until ctx ends. An event may
// be yielded that the filter does not let pass: the caller looks at each. The last error is that of ctx or of the log.
func (s *Server) follow(ctx context.Context, history *history, after eventstore.Position, f eventstore.Filter) iter.Seq2[fed, error] {
	return func(yield func(fed, error) bool) {
		for {
			end, err := s.live.now(ctx)
			if err != nil {
				yield(fed{}, err)
				return
			}
			for after < end {
				var ok bool
				if after, ok = s.followTurn(ctx, history, after, end, f, yield); !ok {
					return
				}
			}
			if !yield(fed{through: after, state: caughtUp}, nil) {
				return
			}
			for err == nil {
				var next fed
				next, err = s.live.next(ctx, after)
				if err == nil {
					after = next.through
					if !yield(next, nil) {
						return
					}
				}
			}
			if !errors.Is(err, errBehind) {
				yield(fed{}, err)
				return
			}
			if !yield(fed{through: after, state: fellBehind}, nil) {
				return
			}
		}
	}
}

// followTurn yields a part of what is in the log, up to end, and answers how far that reaches; false: that was all.
func (s *Server) followTurn(
	ctx context.Context, history *history, after, end eventstore.Position, f eventstore.Filter, yield func(fed, error) bool,
) (eventstore.Position, bool) {
	if err := history.begin(ctx); err != nil {
		yield(fed{}, err)
		return after, false
	}
	defer history.over()
	for batch, err := range s.Log.Follow(ctx, after, f) {
		if err != nil {
			yield(fed{}, err)
			return after, false
		}
		after = batch.Through
		if !yield(fed{events: batch.Events, through: after}, nil) {
			return after, false
		}
		if after >= end || history.wanted() {
			break
		}
	}
	return after, true
}

// followStream yields the events of one stream behind a revision, history first, then what is new.
func (s *Server) followStream(ctx context.Context, history *history, stream eventstore.Stream, after eventstore.Revision) iter.Seq2[fed, error] {
	return func(yield func(fed, error) bool) {
		for {
			end, err := s.live.now(ctx)
			if err != nil {
				yield(fed{}, err)
				return
			}
			// What is in the log up to end is there to be read, so that nothing is missed between reading and following.
			for page, err := range pagesOf(history.stream(ctx, s.Log, stream, eventstore.StreamRead{From: after + 1})) {
				if err != nil {
					yield(fed{}, err)
					return
				}
				after = page[len(page)-1].Revision
				if !yield(fed{events: page}, nil) {
					return
				}
			}
			if !yield(fed{through: end, state: caughtUp}, nil) {
				return
			}
			if after, err = s.followLive(ctx, stream, after, end, yield); err == nil {
				return
			}
			if !errors.Is(err, errBehind) {
				yield(fed{}, err)
				return
			}
			if !yield(fed{state: fellBehind}, nil) {
				return
			}
		}
	}
}

// followLive yields what is new in a stream. It answers no error when the caller stops.
func (s *Server) followLive(
	ctx context.Context, stream eventstore.Stream, after eventstore.Revision, from eventstore.Position, yield func(fed, error) bool,
) (eventstore.Revision, error) {
	for {
		next, err := s.live.next(ctx, from)
		if err != nil {
			return after, err
		}
		from = next.through
		events := next.events
		for i := range events {
			if events[i].Stream != stream || events[i].Revision <= after {
				continue
			}
			after = events[i].Revision
			if !yield(fed{events: events[i : i+1], through: events[i].Position, frames: next.frames[i : i+1]}, nil) {
				return after, nil
			}
		}
	}
}

// pagesOf gathers events, so that those who follow take some at a time.
func pagesOf(events iter.Seq2[eventstore.Raw, error]) iter.Seq2[[]eventstore.Raw, error] {
	const most = 256
	return func(yield func([]eventstore.Raw, error) bool) {
		var page []eventstore.Raw
		for raw, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if page = append(page, raw); len(page) == most {
				if !yield(page, nil) {
					return
				}
				page = nil
			}
		}
		if len(page) > 0 {
			yield(page, nil)
		}
	}
}
