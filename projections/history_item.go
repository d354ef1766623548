package projections

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Item is the whole history of one item, oldest first: its own stream, its shares', its cases' and its accesses', in the order
// in which they happened. Total counts nothing here (it would mean reading all): it is the number of items of this page, and
// Next says whether there is more.
func (h *History) Item(ctx context.Context, viewer domain.Actor, id domain.MediaID, p Paging, m Moment) (List[HistoryEntry], error) {
	p, err := p.checked()
	if err != nil {
		return List[HistoryEntry]{}, err
	}
	bound := "history " + string(id)
	var after eventstore.Position
	if p.Cursor != "" {
		place, err := decodeCursor(bound, p.Cursor, 1)
		if err != nil {
			return List[HistoryEntry]{}, err
		}
		n, err := strconv.ParseInt(place[0], 10, 64)
		if err != nil {
			return List[HistoryEntry]{}, errCursor()
		}
		after = eventstore.Position(n)
	}
	if _, err := domain.ParseMediaID(string(id)); err != nil {
		return List[HistoryEntry]{}, ErrHidden
	}
	s, err := h.sightOfItem(ctx, viewer, id, m)
	if err != nil {
		return List[HistoryEntry]{}, err
	}
	recs, err := h.merged(ctx, id, after, p.Offset+p.Size+1, m)
	if err != nil {
		return List[HistoryEntry]{}, err
	}
	if len(recs) == 0 && after == 0 && p.Offset == 0 {
		return List[HistoryEntry]{}, ErrHidden
	}
	recs = recs[min(p.Offset, len(recs)):]
	var out List[HistoryEntry]
	if len(recs) > p.Size {
		recs = recs[:p.Size]
		out.Next = encodeCursor(bound, []string{strconv.FormatInt(int64(recs[p.Size-1].Position), 10)})
	}
	for _, rec := range recs {
		entry, err := h.entry(rec, s)
		if err != nil {
			return List[HistoryEntry]{}, err
		}
		out.Items = append(out.Items, entry)
	}
	out.Total = int64(len(out.Items))
	return out, nil
}

// merged are the first n events that concern an item, behind a position.
func (h *History) merged(ctx context.Context, id domain.MediaID, after eventstore.Position, n int, m Moment) ([]eventstore.Recorded, error) {
	end, err := h.end(ctx, m)
	if err != nil {
		return nil, err
	}
	streams, err := h.streamsOf(ctx, id, m)
	if err != nil {
		return nil, err
	}
	var all []eventstore.Recorded
	for _, stream := range streams {
		from := eventstore.Revision(0)
		if stream.Category() == access.Category { // the only ones that grow long
			if from, err = h.begin(ctx, id, stream, after); err != nil {
				return nil, err
			}
		}
		recs, err := h.read(ctx, stream, from, after, end, n)
		if err != nil {
			return nil, err
		}
		all = append(all, recs...)
		if len(all) > 4*n { // keep what can still be on the page, so that memory follows the page and not the number of streams
			all = earliest(all, n)
		}
	}
	return earliest(all, n), nil
}

func earliest(recs []eventstore.Recorded, n int) []eventstore.Recorded {
	slices.SortFunc(recs, func(a, b eventstore.Recorded) int { return cmp.Compare(a.Position, b.Position) })
	return recs[:min(n, len(recs))]
}

// streamsOf are the streams that concern an item: its own, its shares', its cases', and those of who was served or refused.
func (h *History) streamsOf(ctx context.Context, id domain.MediaID, m Moment) ([]eventstore.Stream, error) {
	at, err := h.engine.Resolve(ctx, m, SharesName, ReviewName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	streams := []eventstore.Stream{eventstore.StreamOf(media.Category, id), eventstore.StreamOf(access.Category, id)}
	shares, err := h.shares.OfItem(ctx, at, id)
	if err != nil {
		return nil, err
	}
	for _, v := range shares {
		streams = append(streams, eventstore.StreamOf(share.Category, v.Row.Share))
		if v.Row.Limited || v.Row.Opens > 0 {
			streams = append(streams, eventstore.StreamOf(access.Category, v.Row.Share))
		}
	}
	cases, err := h.cases.OfItem(ctx, at, id)
	if err != nil {
		return nil, err
	}
	for _, v := range cases {
		streams = append(streams, eventstore.StreamOf(moderation.Category, v.Row.Case))
	}
	return streams, nil
}

func (h *History) entry(rec eventstore.Recorded, s sight) (HistoryEntry, error) {
	e, err := h.renderer.event(rec, s)
	if err != nil {
		return HistoryEntry{}, err
	}
	actor := rec.Metadata.Actor
	entry := HistoryEntry{HistoryEvent: e, Who: Who{ID: actor.ID, Org: actor.Org, Roles: actor.Roles}, Summary: summarize(rec.Event, s)}
	hidden := !s.staff && discreet(rec.Type) && actor.ID != s.viewer
	if hidden {
		entry.Who = Who{ID: Withheld}
	}
	reason := rec.Metadata.Reason
	switch {
	case reason.IsZero():
	case hidden:
		entry.Why = Withheld
	case reason.Erased():
		entry.Why = Erased
	case s.opens(reason, s.meta):
		entry.Why = reason.Text()
	default:
		entry.Why = Closed
	}
	return entry, nil
}
