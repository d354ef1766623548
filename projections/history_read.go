package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// readAll answers up to n events of the log, behind one position and up to another. What this version of the program cannot
// decode is among them, marked: a history with a hole, or one that ends at the first such event, would not be one.
func (h *History) readAll(
	ctx context.Context, after, end eventstore.Position, filter eventstore.Filter, n int,
) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var recs []eventstore.Recorded
	for len(recs) < n {
		read := eventstore.Read{After: after, Filter: filter, Limit: n - len(recs)}
		var failed error
		for rec, err := range h.store.ReadAll(ctx, read) {
			if failed = err; err != nil || rec.Position > end {
				break
			}
			recs = append(recs, rec)
			after = rec.Position
		}
		if failed == nil {
			return recs, nil
		}
		read.After, read.Limit, read.Filter = after, 1, h.store.Own(filter)
		rec, ok, err := h.leniently(ctx, h.store.Log().ReadAll(ctx, read), failed)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if !ok || rec.Position > end {
			return recs, nil
		}
		recs = append(recs, rec)
		after = rec.Position
	}
	return recs, nil
}

// read answers up to n events of a stream, from a revision on, behind one position and up to another; see readAll.
func (h *History) read(
	ctx context.Context, stream eventstore.Stream, from eventstore.Revision, after, end eventstore.Position, n int,
) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var recs []eventstore.Recorded
	for len(recs) < n {
		var failed error
		done := true
		for rec, err := range h.store.Stream(ctx, stream, from) {
			if failed = err; err != nil {
				done = false
				break
			}
			if rec.Position > end || len(recs) == n {
				break
			}
			from = rec.Revision + 1
			if rec.Position > after {
				recs = append(recs, rec)
			}
		}
		if done {
			return recs, nil
		}
		rec, ok, err := h.leniently(ctx, h.store.Log().ReadStream(ctx, stream, eventstore.StreamRead{From: from, Limit: 1}), failed)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
		if !ok || rec.Position > end {
			return recs, nil
		}
		from = rec.Revision + 1
		if rec.Position > after {
			recs = append(recs, rec)
		}
	}
	return recs, nil
}

// leniently answers the first of raws as a follower gets it, with a mark when it cannot be decoded. When something else is
// wrong, such as a neighbour that does not answer, it answers that error, or the one that came first.
func (h *History) leniently(
	ctx context.Context, raws iter.Seq2[eventstore.Raw, error], first error,
) (eventstore.Recorded, bool, error) {
	if errors.Is(first, eventstore.ErrUnavailable) || ctx.Err() != nil {
		return eventstore.Recorded{}, false, first
	}
	for raw, err := range raws {
		if err != nil {
			return eventstore.Recorded{}, false, errors.Join(first, err)
		}
		for batch, err := range h.store.Follow(ctx, raw.Position-1, eventstore.Filter{Types: []string{raw.Type}}) {
			if err != nil {
				return eventstore.Recorded{}, false, errors.Join(first, err)
			}
			for _, rec := range batch.Events {
				return rec, rec.Position == raw.Position, nil
			}
		}
		return eventstore.Recorded{}, false, first
	}
	return eventstore.Recorded{}, false, nil
}

// begin is from which revision an item's stream of accesses has to be read to find what is behind a position. The audit log
// knows; where it does not, reading begins at 0 and passes over what came before.
func (h *History) begin(ctx context.Context, id domain.MediaID, stream eventstore.Stream, after eventstore.Position) (eventstore.Revision, error) {
	if after == 0 || h.engine.find(AuditName) == nil {
		return 0, nil
	}
	return h.engine.audited(ctx, id, stream, after)
}
