package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/eventstore"
)

// History answers what happened, straight from the log: it has no table. Who sees what:
//
//	auditor, admin   every event, personal texts open
//	analyst          every event, personal texts closed (Closed), whatever they are about
//	moderator        the streams of items, their shares and cases, personal texts of the facts open, those of the envelope closed
//	owner            the streams of his items, their shares, cases and accesses; texts about himself open; not who reported or
//	                 judged, what they wrote for each other, and how urgent they take a case to be (Withheld)
//	member           of the item's organisation: as the owner, texts of the facts open, but for where, when and with what it was
//	                 taken, unless its owner leaves that in the bytes that others get
//	anybody          the stream of his own refusals
//
// The hash of a link's password and what signs the messages to a webhook are withheld from everybody.
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
	Categories []string // of catalog.Categories
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
		if !slices.Contains(catalog.Categories(), c) {
			return eventstore.Filter{}, domain.ErrInvalid.On("category").Because("accepted are " + strings.Join(catalog.Categories(), ", "))
		}
	}
	return eventstore.Filter{Categories: f.Categories, Types: f.Types}, nil
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
	recs, err := h.readAll(ctx, after, end, filter, limit+1)
	if err != nil {
		return HistoryPage{}, err
	}
	return h.page(recs, limit, max(after, end), s)
}

// page renders what was read for a page of limit events; one more than that means that there is more.
func (h *History) page(recs []eventstore.Recorded, limit int, through eventstore.Position, s sight) (HistoryPage, error) {
	page := HistoryPage{Items: make([]HistoryEvent, 0, min(limit, len(recs))), Through: through}
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
	if len(stream) > eventstore.MaxStream || !strings.Contains(stream, "-") || !utf8.ValidString(stream) || strings.ContainsRune(stream, 0) {
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
	return h.page(recs, limit, end, s)
}
