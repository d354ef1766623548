package projections

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Findings answers what was found in items, and how great the risk is.
type Findings struct {
	view   View[FindingRow]
	shares View[ShareRow]
	keys   Opener

	findingsOf *together[domain.MediaID, []domain.FindingID]
	sharesOf   *together[domain.MediaID, []domain.ShareID]
}

// NewFindings makes the queries. The engine must run FindingsProjection and SharesProjection.
func NewFindings(e *Engine, keys Opener) (*Findings, error) {
	view, err := ViewOf(e, FindingsProjection())
	if err != nil {
		return nil, err
	}
	shares, err := ViewOf(e, SharesProjection())
	f := &Findings{view: view, shares: shares, keys: keys}
	f.findingsOf = ofItems(e, view, func(r FindingRow) (domain.MediaID, domain.FindingID) { return r.Media, r.Finding })
	f.sharesOf = ofItems(e, shares, func(r ShareRow) (domain.MediaID, domain.ShareID) { return r.Media, r.Share })
	return f, err
}

// Finding is one finding as the owner of its item, moderators, auditors and admins see it. The value that was found is nowhere; the owner
// sees a sample of it with most of it masked.
type Finding struct {
	ID          domain.FindingID    `json:"id"`
	MediaID     domain.MediaID      `json:"media_id"`
	Owner       domain.UserID       `json:"owner"`
	Version     int                 `json:"version,omitempty"` // of the media
	Type        string              `json:"type"`
	Place       string              `json:"place"` // name, title, description, tags, content
	Count       int                 `json:"count"`
	Confidence  int                 `json:"confidence"`            // percent
	Sensitivity int                 `json:"sensitivity"`           // 1 to 10
	Exposure    string              `json:"exposure"`              // private, organisation, partner, anyone
	Risk        int                 `json:"risk"`                  // 1 to 100
	Level       finding.Level       `json:"level"`                 // low, medium, high, urgent
	Status      string              `json:"status"`                // open, accepted, resolved, false_positive
	StatusBy    domain.UserID       `json:"status_by,omitempty"`   // of another than the owner: staff only
	StatusCode  string              `json:"status_code,omitempty"` // gone, back, approved: the vault itself
	Case        domain.CaseID       `json:"case_id,omitempty"`     // in which moderators look at it, or did, since it was opened
	Note        string              `json:"note,omitempty"`
	Sample      string              `json:"sample,omitempty"` // the owner only
	Detector    string              `json:"detector"`
	Threshold   int                 `json:"threshold,omitempty"`
	RaisedAt    time.Time           `json:"raised_at"`
	UpdatedAt   time.Time           `json:"updated_at"`
	Revision    int64               `json:"revision"` // of the finding's stream
	Position    eventstore.Position `json:"position"` // of the event that made it what it is
}

// FindingQuery filters findings. The zero query is all of them, the greatest risk first.
type FindingQuery struct {
	Status   []string
	Media    domain.MediaID
	Type     []string
	Place    string
	Exposure string
	Level    string // at least
	Owner    domain.UserID
	Sort     string // risk, raised_at, updated_at; a leading - turns it round; "" is -risk
}

// List is one page of findings. Moderators, auditors and admins see all, everybody else those of his own items.
func (f *Findings) List(ctx context.Context, viewer domain.Actor, q FindingQuery, p Paging, m Moment) (List[Finding], error) {
	if !viewer.Known() {
		return List[Finding]{}, ErrMayNotSee
	}
	at, err := f.view.Resolve(ctx, m)
	if err != nil {
		return List[Finding]{}, err
	}
	l := &listing[FindingRow]{view: f.view, from: "findings s", paging: p, bound: fmt.Sprintf("findings %s %+v", viewer.ID, q)}
	l.and(at.Where("s", &l.args))
	if !seesFindings(viewer) {
		l.and("s.owner = " + l.args.Add(string(viewer.ID)))
	}
	if err := q.filter(l); err != nil {
		return List[Finding]{}, err
	}
	if err := q.sort(l); err != nil {
		return List[Finding]{}, err
	}
	rows, err := l.page(ctx)
	if err != nil {
		return List[Finding]{}, err
	}
	return shownAll(rows, func(v Version[FindingRow]) (Finding, error) { return f.shown(ctx, v, viewer) })
}

// Get is one finding. Errors: ErrHidden for everybody but the owner of the item, moderators, auditors and admins.
func (f *Findings) Get(ctx context.Context, viewer domain.Actor, id domain.FindingID, m Moment) (Finding, error) {
	at, err := f.view.Resolve(ctx, m)
	if err != nil {
		return Finding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	v, ok, err := f.view.Find(ctx, at, string(id))
	if err != nil {
		return Finding{}, understood(err)
	}
	if !ok || !viewer.Known() || v.Row.Owner != viewer.ID && !seesFindings(viewer) {
		return Finding{}, ErrHidden
	}
	return f.shown(ctx, v, viewer)
}

func seesFindings(viewer domain.Actor) bool {
	return viewer.Is(domain.RoleModerator, domain.RoleAuditor, domain.RoleAdmin)
}

// FindingsOf answers all findings of an item. It has everything that the log had when it was asked. Errors: ErrNotYet.
func (f *Findings) FindingsOf(ctx context.Context, item domain.MediaID) ([]domain.FindingID, error) {
	return f.findingsOf.about(ctx, item)
}

// AllSharesOf answers all shares of an item, in any state. It has everything that the log had when it was asked. Errors: ErrNotYet.
func (f *Findings) AllSharesOf(ctx context.Context, item domain.MediaID) ([]domain.ShareID, error) {
	return f.sharesOf.about(ctx, item)
}

// ofItems answers what a model has of items. Every description of an item asks, mostly in vain: those of many ask together.
func ofItems[R any, ID ~string](e *Engine, view View[R], of func(R) (domain.MediaID, ID)) *together[domain.MediaID, []ID] {
	return newTogether(patience+queryTimeout, func(ctx context.Context, items []domain.MediaID) (map[domain.MediaID][]ID, error) {
		head, err := e.source.Head(ctx)
		if err != nil {
			return nil, err
		}
		if err := e.WaitFor(ctx, view.model.name, head); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		var args Args
		rows, err := view.Query(ctx, "select "+view.Columns("s")+" from "+view.model.name+" s where s.media = any ("+args.Add(items)+
			") and "+At{}.Where("s", &args), &args)
		if err != nil {
			return nil, err
		}
		all := map[domain.MediaID][]ID{}
		for _, row := range rows {
			item, id := of(row.Row)
			all[item] = append(all[item], id)
		}
		return all, nil
	})
}

func (q FindingQuery) filter(l *listing[FindingRow]) error {
	if len(q.Status) > 0 {
		for _, s := range q.Status {
			if !slices.Contains(finding.Statuses(), finding.Status(s)) {
				return domain.ErrInvalid.On("status").Because("accepted are open, accepted, resolved and false_positive")
			}
		}
		l.and("s.status = any (" + l.args.Add(q.Status) + ")")
	}
	if len(q.Type) > 0 {
		l.and("s.type = any (" + l.args.Add(q.Type) + ")")
	}
	for _, is := range [][2]string{{"media", string(q.Media)}, {"owner", string(q.Owner)}, {"place", q.Place}, {"exposure", q.Exposure}} {
		if is[1] != "" {
			l.and("s." + is[0] + " = " + l.args.Add(is[1]))
		}
	}
	if q.Level != "" {
		if !slices.Contains(finding.Levels(), finding.Level(q.Level)) {
			return domain.ErrInvalid.On("level").Because("accepted are low, medium, high and urgent")
		}
		l.and("s.risk >= " + l.args.Add(finding.Level(q.Level).Least()))
	}
	return nil
}

func (q FindingQuery) sort(l *listing[FindingRow]) error {
	name, down := direction(q.Sort, "-risk")
	kind := "timestamptz"
	var value func(FindingRow) string
	switch name {
	case "risk":
		l.order = []sorted{{column: "s.risk", sql: "bigint", down: down}, {column: "s.raised_at", sql: kind}, {column: "s.key", sql: "text"}}
		l.place = func(v Version[FindingRow]) []string {
			return []string{strconv.Itoa(v.Row.Risk), placeTime(v.Row.RaisedAt), v.Key}
		}
		return nil
	case "raised_at":
		value = func(r FindingRow) string { return placeTime(r.RaisedAt) }
	case "updated_at":
		value = func(r FindingRow) string { return placeTime(r.UpdatedAt) }
	default:
		return domain.ErrInvalid.On("sort").Because("accepted are risk, raised_at and updated_at, each also with a leading -")
	}
	l.order = []sorted{{column: "s." + name, sql: kind, down: down}, {column: "s.key", sql: "text", down: down}}
	l.place = func(v Version[FindingRow]) []string { return []string{value(v.Row), v.Key} }
	return nil
}

func (f *Findings) shown(ctx context.Context, v Version[FindingRow], viewer domain.Actor) (Finding, error) {
	row := v.Row
	shown := Finding{
		ID: row.Finding, MediaID: row.Media, Owner: row.Owner, Version: row.Version, Type: row.Type, Place: row.Place, Count: row.Count,
		Confidence: row.Confidence, Sensitivity: row.Sensitivity, Exposure: row.Exposure, Risk: row.Risk, Level: finding.LevelOf(row.Risk),
		Status: row.Status, StatusCode: row.Code, Case: row.Case, Detector: row.Detector, Threshold: row.Threshold,
		RaisedAt: row.RaisedAt, UpdatedAt: row.UpdatedAt, Revision: row.Revision, Position: v.From,
	}
	var err error
	if shown.Note, err = reveal(ctx, f.keys, row.Note); err != nil {
		return Finding{}, err
	}
	if viewer.ID != row.Owner || viewer.ID == row.By {
		shown.StatusBy = row.By
	}
	if viewer.ID == row.Owner {
		shown.Sample, err = reveal(ctx, f.keys, row.Sample)
	}
	return shown, err
}
