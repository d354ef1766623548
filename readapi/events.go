package readapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// The bounds of a page of events.
const (
	eventPage    = 100
	maxEventPage = 1000
)

// eventPageAnswer is a part of the log or of a stream.
type eventPageAnswer struct {
	Items   []projections.HistoryEvent `json:"items"`
	Through int64                      `json:"through"` // reading goes on behind it
	HasNext bool                       `json:"has_next"`
}

// fetchPage reads the next page of events; each call goes on behind the one before.
type fetchPage func(ctx context.Context, limit int) (projections.HistoryPage, error)

func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	from, limit := q.Int("from", 0, 0, 1<<62), int(q.Int("limit", 0, 1, maxEventPage))
	form, err := form(r, q, formJSON, formNDJSON)
	m := asOf(q)
	if err := firstOf(q.Done(), err); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.AccessName, projections.SharesName, projections.ReviewName); err != nil {
		return err
	}
	viewer, name := web.Actor(r), mux.Vars(r)["stream"]
	return answerEvents(w, r, form, limit, func(ctx context.Context, limit int) (projections.HistoryPage, error) {
		page, err := s.history.Stream(ctx, viewer, name, from, limit, m)
		if n := len(page.Items); n > 0 {
			from = page.Items[n-1].Revision + 1
		}
		return page, err
	})
}

// errLive is a live stream of the past.
var errLive = domain.ErrInvalid.On("as_of").Because("a live stream goes on with what is appended; as_of is accepted for JSON and NDJSON")

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	after, limit := q.Int("after", 0, 0, 1<<62), int(q.Int("limit", 0, 1, maxEventPage))
	filter := projections.HistoryFilter{Types: q.Strings("types", 100), Categories: q.Strings("category", 100)}
	form, err := form(r, q, formJSON, formNDJSON, formSSE)
	m := asOf(q)
	last, resumed, broken := web.LastEventID(r)
	if err := firstOf(q.Done(), err, broken); err != nil {
		return err
	}
	if form == formSSE {
		if !m.IsNow() {
			return errLive
		}
		if resumed {
			after = last
		}
		return s.live(w, r, after, filter)
	}
	if err := s.ready(w, r, m); err != nil {
		return err
	}
	viewer, behind := web.Actor(r), projections.Position(after)
	return answerEvents(w, r, form, limit, func(ctx context.Context, limit int) (projections.HistoryPage, error) {
		page, err := s.history.Events(ctx, viewer, behind, filter, limit, m)
		behind = page.Through
		return page, err
	})
}

// answerEvents answers one page as JSON, or as NDJSON everything that is there, page by page, up to the limit if one is given.
func answerEvents(w http.ResponseWriter, r *http.Request, form string, limit int, fetch fetchPage) error {
	size := limit
	if limit == 0 {
		size = eventPage
		if form == formNDJSON {
			size = maxEventPage
		}
	}
	page, err := fetch(r.Context(), size)
	if err != nil {
		return err
	}
	if form == formJSON {
		w.Header().Set("Vault-Position", strconv.FormatInt(int64(page.Through), 10))
		return web.JSON(w, http.StatusOK, eventPageAnswer{Items: page.Items, Through: int64(page.Through), HasNext: page.More})
	}
	return web.ServeLines(w, r, func(ctx context.Context, out *web.Lines) error {
		for {
			for _, e := range page.Items {
				if err := out.Write(e); err != nil {
					return err
				}
			}
			if !page.More || limit > 0 {
				return nil
			}
			if page, err = fetch(ctx, size); err != nil {
				return err
			}
		}
	})
}

// live answers server-sent events: what is behind the position, then what comes. The id of each is its position, so that
// whoever reconnects with it misses nothing and gets nothing twice.
func (s *Server) live(w http.ResponseWriter, r *http.Request, after int64, filter projections.HistoryFilter) error {
	viewer := web.Actor(r)
	// Whether the viewer may, and whether the log can be read at all, is answered before the stream begins.
	if _, err := s.history.Events(r.Context(), viewer, projections.Position(after), filter, 1, projections.Moment{}); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.ServeEvents(w, r, s.beat, func(ctx context.Context, out *web.Events) error {
		batches, err := s.history.Follow(ctx, viewer, projections.Position(after), filter)
		if err != nil {
			return err
		}
		if err := out.Open(); err != nil {
			return err
		}
		for batch, err := range batches {
			if err != nil {
				return err
			}
			for _, e := range batch.Items {
				if err := out.SendJSON(strconv.FormatInt(int64(e.Position), 10), e.Type, e); err != nil {
					return err
				}
			}
			if len(batch.Items) == 0 {
				continue
			}
			if err := out.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
}
