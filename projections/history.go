package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// History answers what happened, straight from the log: it has no table. Who sees what:
//
//	auditor, admin   every event, personal texts open
//	analyst          every event, personal texts closed (Closed), whatever they are about
//	moderator        the streams of items, their shares and cases, personal texts of the facts open, those of the envelope closed
//	owner            the streams of his items, their shares, cases and accesses; texts about himself open; not who reported or
//	                 judged, and not what they wrote for each other (Withheld)
//	anybody          the stream of his own refusals
//
// The hash of a link's password is withheld from everybody.
type History struct {
	store    *eventstore.Store
	engine   *Engine
	access   *Access
	shares   View[ShareRow]
	cases    View[CaseRow]
	renderer *renderer
}

// NewHistory makes the queries. The engine must run the projections of shares, access and review.
func NewHistory(e *Engine, store *eventstore.Store, a *Access) (*History, error) {
	shares, err := ViewOf(e, SharesProjection())
	if err != nil {
		return nil, err
	}
	cases, err := ViewOf(e, ReviewProjection())
	return &History{store: store, engine: e, access: a, shares: shares, cases: cases, renderer: &renderer{}}, err
}

// HistoryEvent is one event as its reader may see it. A personal text is shown as text, Erased, Closed or Withheld.
type HistoryEvent struct {
	Position   eventstore.Position `json:"position"`
	Stream     string              `json:"stream"`
	Revision   int64               `json:"revision"`
	ID         uuid.UUID           `json:"id"`
	Type       string              `json:"type"`
	RecordedAt time.Time           `json:"recorded_at"`
	Data       json.RawMessage     `json:"data"`
	Metadata   json.RawMessage     `json:"metadata"`
	// Undecodable marks an event that this version of the program cannot read; Data is null.
	Undecodable bool `json:"undecodable,omitempty"`
}

// HistoryEntry is one event of an item's history, told to people.
type HistoryEntry struct {
	HistoryEvent
	Who     Who    `json:"who"`
	Why     string `json:"why,omitempty"` // as the actor said it
	Summary string `json:"summary"`       // what happened, an English sentence without its subject
}

// Who is who acted. The id is Withheld where the reader may not know.
type Who struct {
	ID    domain.UserID `json:"id"`
	Org   domain.OrgID  `json:"organisation,omitempty"`
	Roles []domain.Role `json:"roles,omitempty"`
}

// HistoryFilter chooses events. The zero filter is all of them.
type HistoryFilter struct {
	Categories []string // media, share, moderation, access
	Types      []string // such as media.uploaded
}

// HistoryPage is part of the log or of a stream.
type HistoryPage struct {
	Items []HistoryEvent
	// Through is how far the page reaches: after it, reading goes on behind Through.
	Through eventstore.Position
	More    bool // there was more when it was read
}

// HistoryBatch is what a follower gets. It may be empty: then Through says that nothing came by that is for this reader.
type HistoryBatch struct {
	Items   []HistoryEvent
	Through eventstore.Position // behind which to go on after a broken connection
	Live    bool                // Through was the end of the log
}

// The bounds of one page of events.
const (
	defaultEvents = 100
	maxEvents     = 1_000
)

func eventsLimit(limit int) (int, error) {
	if limit == 0 {
		return defaultEvents, nil
	}
	if limit < 1 || limit > maxEvents {
		return 0, domain.ErrInvalid.On("limit").Because(fmt.Sprintf("a page has 1 to %d events", maxEvents))
	}
	return limit, nil
}

func (f HistoryFilter) checked() (eventstore.Filter, error) {
	types := auditModel{}.Types()
	for _, t := range f.Types {
		if !slices.Contains(types, t) {
			return eventstore.Filter{}, domain.ErrInvalid.On("types").Because("there is no type of event " + strconv.Quote(t))
		}
	}
	for _, c := range f.Categories {
		if !slices.Contains([]string{media.Category, share.Category, moderation.Category, access.Category}, c) {
			return eventstore.Filter{}, domain.ErrInvalid.On("category").Because("accepted are media, share, moderation and access")
		}
	}
	return eventstore.Filter{Categories: f.Categories, Types: f.Types}, nil
}

// everything is the sight of those who may read the whole log.
func everything(viewer domain.Actor) (sight, error) {
	switch {
	case viewer.Known() && viewer.Is(domain.RoleAuditor, domain.RoleAdmin):
		return sight{viewer: viewer.ID, data: true, meta: true, staff: true}, nil
	case viewer.Known() && viewer.Is(domain.RoleAnalyst):
		return sight{staff: true}, nil // no viewer: not even texts about himself, so that all analysts see the same
	default:
		return sight{}, ErrMayNotSee
	}
}

// Events is a page of the whole log, behind a position. Errors: ErrMayNotSee but for auditors, admins and analysts.
func (h *History) Events(
	ctx context.Context, viewer domain.Actor, after eventstore.Position, f HistoryFilter, limit int, m Moment,
) (HistoryPage, error) {
	s, err := everything(viewer)
	if err != nil {
		return HistoryPage{}, err
	}
	filter, err := f.checked()
	if err != nil {
		return HistoryPage{}, err
	}
	if limit, err = eventsLimit(limit); err != nil {
		return HistoryPage{}, err
	}
	if after < 0 {
		return HistoryPage{}, domain.ErrInvalid.On("after").Because("a position is not negative")
	}
	end, err := h.end(ctx, m)
	if err != nil {
		return HistoryPage{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	page := HistoryPage{Items: []HistoryEvent{}, Through: max(after, end)}
	for rec, err := range h.store.ReadAll(ctx, eventstore.Read{After: after, Filter: filter, Limit: limit + 1}) {
		if err != nil {
			return HistoryPage{}, fmt.Errorf("read events: %w", err)
		}
		if rec.Position > end {
			break
		}
		if len(page.Items) == limit {
			page.More = true
			page.Through = page.Items[limit-1].Position
			break
		}
		e, err := h.renderer.event(rec, s)
		if err != nil {
			return HistoryPage{}, err
		}
		page.Items = append(page.Items, e)
	}
	return page, nil
}

// end is the last position that a moment includes.
func (h *History) end(ctx context.Context, m Moment) (eventstore.Position, error) {
	if m.IsNow() {
		head, err := h.store.Head(ctx)
		if err != nil {
			return 0, fmt.Errorf("head of the log: %w", err)
		}
		return head, nil
	}
	at, err := h.engine.Resolve(ctx, m)
	return at.Position, err
}

// Follow yields what is behind a position, first what was, then what comes, until ctx ends or the reader stops. Nothing is
// left out and nothing comes twice: whoever goes on behind the Through of the last batch has everything. A refusal is answered
// before anything is yielded.
func (h *History) Follow(
	ctx context.Context, viewer domain.Actor, after eventstore.Position, f HistoryFilter,
) (iter.Seq2[HistoryBatch, error], error) {
	s, err := everything(viewer)
	if err != nil {
		return nil, err
	}
	filter, err := f.checked()
	if err != nil {
		return nil, err
	}
	if after < 0 {
		return nil, domain.ErrInvalid.On("after").Because("a position is not negative")
	}
	return func(yield func(HistoryBatch, error) bool) {
		for batch, err := range h.store.Follow(ctx, after, filter) {
			if err != nil {
				yield(HistoryBatch{}, err)
				return
			}
			out := HistoryBatch{Items: make([]HistoryEvent, 0, len(batch.Events)), Through: batch.Through, Live: batch.Live}
			for _, rec := range batch.Events {
				e, err := h.renderer.event(rec, s)
				if err != nil {
					yield(HistoryBatch{}, err)
					return
				}
				out.Items = append(out.Items, e)
			}
			if !yield(out, nil) {
				return
			}
		}
	}, nil
}

// Stream is a page of one stream, from a revision. Errors: ErrHidden for streams that there are not and that the viewer may
// not know of.
func (h *History) Stream(
	ctx context.Context, viewer domain.Actor, stream string, from int64, limit int, m Moment,
) (HistoryPage, error) {
	if from < 0 {
		return HistoryPage{}, domain.ErrInvalid.On("from").Because("a revision is not negative")
	}
	limit, err := eventsLimit(limit)
	if err != nil {
		return HistoryPage{}, err
	}
	if len(stream) > eventstore.MaxStream || !strings.Contains(stream, "-") {
		return HistoryPage{}, ErrHidden
	}
	s, err := h.sightOf(ctx, viewer, eventstore.Stream(stream), m)
	if err != nil {
		return HistoryPage{}, err
	}
	end, err := h.end(ctx, m)
	if err != nil {
		return HistoryPage{}, err
	}
	recs, err := h.read(ctx, eventstore.Stream(stream), eventstore.Revision(from), 0, end, limit+1)
	if err != nil {
		return HistoryPage{}, err
	}
	if len(recs) == 0 && from == 0 {
		return HistoryPage{}, ErrHidden
	}
	page := HistoryPage{Items: []HistoryEvent{}, Through: end}
	if len(recs) > limit {
		recs, page.More, page.Through = recs[:limit], true, recs[limit-1].Position
	}
	for _, rec := range recs {
		e, err := h.renderer.event(rec, s)
		if err != nil {
			return HistoryPage{}, err
		}
		page.Items = append(page.Items, e)
	}
	return page, nil
}

// read answers up to n events of a stream, from a revision on, behind one position and up to another.
func (h *History) read(
	ctx context.Context, stream eventstore.Stream, from eventstore.Revision, after, end eventstore.Position, n int,
) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var recs []eventstore.Recorded
	for rec, err := range h.store.Stream(ctx, stream, from) {
		switch {
		case errors.Is(err, context.DeadlineExceeded) && len(recs) > 0:
			return nil, fmt.Errorf("read %s: %w", stream, err)
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", stream, err)
		case rec.Position <= after:
			continue
		case rec.Position > end || len(recs) == n:
			return recs, nil
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// sightOf is what the viewer may see of a stream. Errors: ErrHidden.
func (h *History) sightOf(ctx context.Context, viewer domain.Actor, stream eventstore.Stream, m Moment) (sight, error) {
	if s, err := everything(viewer); err == nil {
		return s, nil
	}
	if !viewer.Known() {
		return sight{}, ErrHidden
	}
	switch stream.Category() {
	case media.Category:
		return h.sightOfItem(ctx, viewer, domain.MediaID(stream.ID()), m)
	case share.Category:
		return h.sightOfShare(ctx, viewer, stream.ID(), m)
	case moderation.Category:
		return h.sightOfCase(ctx, viewer, stream.ID(), m)
	case access.Category:
		if stream.ID() == string(viewer.ID) {
			return sight{viewer: viewer.ID}, nil
		}
		s, err := h.sightOfShare(ctx, viewer, stream.ID(), m)
		if errors.Is(err, ErrHidden) {
			s, err = h.sightOfItem(ctx, viewer, domain.MediaID(stream.ID()), m)
		}
		return s, err
	default:
		return sight{}, ErrHidden
	}
}

// sightOfItem is what the viewer may see of what happened to an item. A share gives none of it: what was before the share is
// not the recipient's to know.
func (h *History) sightOfItem(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (sight, error) {
	if s, err := everything(viewer); err == nil {
		return s, nil
	}
	right, err := h.access.Right(ctx, viewer, id, m)
	if err != nil {
		return sight{}, err
	}
	switch {
	case right.Via == access.ViaOwner:
		return sight{viewer: viewer.ID}, nil
	case viewer.Is(domain.RoleModerator):
		return sight{viewer: viewer.ID, data: true, staff: true}, nil
	case viewer.MemberOf(right.Org):
		return sight{viewer: viewer.ID, data: true}, nil
	default:
		return sight{}, ErrMayNotSee
	}
}

func (h *History) sightOfShare(ctx context.Context, viewer domain.Actor, id string, m Moment) (sight, error) {
	at, err := h.shares.Resolve(ctx, m)
	if err != nil {
		return sight{}, err
	}
	v, ok, err := h.shares.Find(ctx, at, id)
	if err != nil {
		return sight{}, err
	}
	if !ok {
		return sight{}, ErrHidden
	}
	if viewer.ID == v.Row.Owner || viewer.ID == v.Row.By {
		return sight{viewer: viewer.ID}, nil
	}
	s, err := h.sightOfItem(ctx, viewer, v.Row.Media, m)
	if errors.Is(err, ErrMayNotSee) {
		err = ErrHidden
	}
	return s, err
}

func (h *History) sightOfCase(ctx context.Context, viewer domain.Actor, id string, m Moment) (sight, error) {
	at, err := h.cases.Resolve(ctx, m)
	if err != nil {
		return sight{}, err
	}
	v, ok, err := h.cases.Find(ctx, at, id)
	switch {
	case err != nil:
		return sight{}, err
	case !ok:
		return sight{}, ErrHidden
	case v.Row.Owner == viewer.ID:
		return sight{viewer: viewer.ID}, nil
	case viewer.Is(domain.RoleModerator):
		return sight{viewer: viewer.ID, data: true, staff: true}, nil
	default:
		return sight{}, ErrHidden
	}
}

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
		recs, err := h.read(ctx, stream, 0, after, end, n)
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
	var args Args
	shares, err := h.shares.Query(ctx, "select "+h.shares.Columns("s")+" from shares s where s.media = "+args.Add(string(id))+" and "+at.Where("s", &args), &args)
	if err != nil {
		return nil, err
	}
	for _, v := range shares {
		streams = append(streams, eventstore.StreamOf(share.Category, v.Row.Share))
		if v.Row.Limited || v.Row.Opens > 0 {
			streams = append(streams, eventstore.StreamOf(access.Category, v.Row.Share))
		}
	}
	var caseArgs Args
	cases, err := h.cases.Query(ctx, "select "+h.cases.Columns("s")+" from review s where s.media = "+caseArgs.Add(string(id))+" and "+at.Where("s", &caseArgs), &caseArgs)
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
