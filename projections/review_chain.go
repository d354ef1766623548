package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Chain is all that moderation did about one item, from what detectors said to what people decided. Its owner sees neither
// who reported and judged nor what they wrote for each other.
type Chain struct {
	MediaID    domain.MediaID `json:"media_id"`
	Owner      domain.UserID  `json:"owner"`
	Hold       string         `json:"hold"` // what counts now: "", restricted, quarantined, removed
	Version    int            `json:"version"`
	Screenings []Screening    `json:"screenings"`
	Measures   []Measure      `json:"measures"`
	Cases      []Case         `json:"cases"` // oldest first
}

// Screening is what the detectors said about one version.
type Screening struct {
	At       time.Time           `json:"at"`
	Position eventstore.Position `json:"position"`
	Version  int                 `json:"version"`
	Verdict  string              `json:"verdict"`
	Score    int                 `json:"score"`  // security score, 0 to 100
	Stages   json.RawMessage     `json:"stages"` // as they are in the event: each with its version, model and threshold
}

// Measure is what was laid upon the item, or lifted.
type Measure struct {
	At       time.Time           `json:"at"`
	Position eventstore.Position `json:"position"`
	Measure  string              `json:"measure"`            // restricted, quarantined, removed, released
	Code     string              `json:"code,omitempty"`     // of a quarantine: screening, moderation
	CaseID   domain.CaseID       `json:"case_id,omitempty"`  // whose decision it follows; none where screening did it
	Decision int                 `json:"decision,omitempty"` // its number in the case
	Version  int                 `json:"version,omitempty"`  // of the item, that was looked at
	By       domain.UserID       `json:"by,omitempty"`       // staff only
}

// maxChain bounds how many events of an item are looked at.
const maxChain = 10_000

// Chain answers it for staff and for the item's owner. Errors: ErrHidden; ErrMayNotSee for who sees the item by another right.
func (h *History) Chain(ctx context.Context, r *Review, viewer domain.Actor, id domain.MediaID, m Moment) (Chain, error) {
	right, err := h.access.Right(ctx, viewer, id, m)
	if err != nil {
		return Chain{}, err
	}
	owner := right.Via == access.ViaOwner
	if !owner && !isStaff(viewer) {
		return Chain{}, ErrMayNotSee
	}
	at, now, err := r.moment(ctx, m)
	if err != nil {
		return Chain{}, err
	}
	end := Forever
	if at.Past {
		end = at.Position
	}
	recs, err := h.read(ctx, eventstore.StreamOf(media.Category, id), 0, 0, end, maxChain)
	if err != nil {
		return Chain{}, err
	}
	c := Chain{MediaID: id, Screenings: []Screening{}, Measures: []Measure{}, Cases: []Case{}}
	var state media.State
	for _, rec := range recs {
		e, ok := rec.Event.(media.Event)
		if !ok {
			continue // what this version cannot read says nothing here; the history marks it
		}
		state = media.Evolve(state, e)
		if err := h.link(&c, rec, sight{viewer: viewer.ID, data: !owner, staff: !owner}); err != nil {
			return Chain{}, err
		}
	}
	c.Owner, c.Hold, c.Version = state.Owner, string(state.Hold()), state.Current
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := r.view.OfItem(ctx, at, id)
	if err != nil {
		return Chain{}, understood(err)
	}
	slices.SortFunc(rows, func(a, b Version[CaseRow]) int {
		return cmp.Or(a.Row.OpenedAt.Compare(b.Row.OpenedAt), cmp.Compare(a.Key, b.Key))
	})
	for _, v := range rows {
		shown, err := r.shown(ctx, v, !owner, now)
		if err != nil {
			return Chain{}, err
		}
		c.Cases = append(c.Cases, shown)
	}
	return c, nil
}

// link adds what an event says.
func (h *History) link(c *Chain, rec eventstore.Recorded, s sight) error {
	measure := func(code string, source media.Source) {
		m := Measure{At: rec.At, Position: rec.Position, Code: code, CaseID: source.Case, Decision: source.Number, Version: source.Version}
		m.Measure = rec.Type[len(media.Category)+1:]
		if s.staff {
			m.By = source.By
		}
		c.Measures = append(c.Measures, m)
	}
	switch e := rec.Event.(type) {
	case media.Screened:
		stages, err := h.renderer.render(reflect.ValueOf(e.Stages), s, s.data, nil)
		if err != nil {
			return err
		}
		if e.Stages == nil {
			stages = json.RawMessage("[]")
		}
		c.Screenings = append(c.Screenings, Screening{
			At: rec.At, Position: rec.Position, Version: e.Version, Verdict: string(e.Verdict), Score: e.Score, Stages: stages,
		})
	case media.Quarantined:
		measure(e.Code, e.Source)
	case media.Restricted:
		measure("", e.Source)
	case media.Removed:
		measure("", e.Source)
	case media.Released:
		measure("", e.Source)
	}
	return nil
}
