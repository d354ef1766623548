package projections

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Review answers moderation cases and their queue.
type Review struct {
	engine *Engine
	view   View[CaseRow]
	keys   Opener
	log    Times
}

// NewReview makes the queries. The engine must run ReviewProjection; the log says what time it was at a position.
func NewReview(e *Engine, keys Opener, log Times) (*Review, error) {
	view, err := ViewOf(e, ReviewProjection())
	return &Review{engine: e, view: view, keys: keys, log: log}, err
}

// moment is a moment, and what time it was then.
func (r *Review) moment(ctx context.Context, m Moment) (At, time.Time, error) {
	at, err := r.view.Resolve(ctx, m)
	if err != nil {
		return At{}, time.Time{}, err
	}
	now, err := timeOfMoment(ctx, r.engine, r.log, m)
	return at, now, err
}

// lapsed is the row as it is once a claim's time is over, of which no event tells.
func lapsed(row CaseRow, now time.Time) CaseRow {
	if row.Lease.IsZero() || now.Before(row.Lease) {
		return row
	}
	return row.free()
}

// Case is one moderation case as its reader may see it. Staff sees all of it; the owner of the item sees what a statement of
// reasons owes him (Digital Services Act, article 17: whether a report, a detector or a moderator began it, decisions, policy and
// statement), and neither who reported or judged nor what they wrote for each other.
type Case struct {
	ID        domain.CaseID       `json:"id"`
	MediaID   domain.MediaID      `json:"media_id"`
	Owner     domain.UserID       `json:"owner"`
	Origin    string              `json:"origin,omitempty"` // report, detector, referral
	Category  string              `json:"category"`
	Status    CaseStatus          `json:"status"`
	Moderator domain.UserID       `json:"moderator,omitempty"` // staff only
	Reports   int                 `json:"reports"`
	Score     int                 `json:"score"`                   // 0..100; staff only
	Priority  int                 `json:"priority,omitempty"`      // points; each hour of waiting counts one more; staff only
	Reach     *Reach              `json:"reach,omitempty"`         // staff only
	Version   int                 `json:"version,omitempty"`       // of the media, that was reported first: it stays evidence
	Until     *time.Time          `json:"claimed_until,omitempty"` // when the moderator's claim ends; staff only
	Escalated bool                `json:"escalated,omitempty"`     // staff only
	Lapses    bool                `json:"-"`                       // it was claimed: time changes it without a new revision
	Waits     bool                `json:"waits"`                   // for somebody to decide something
	Again     bool                `json:"reopened,omitempty"`      // it was decided, and waits for another decision
	Since     *time.Time          `json:"waits_since,omitempty"`
	Closed    string              `json:"closed_code,omitempty"`
	OpenedAt  time.Time           `json:"opened_at"`
	UpdatedAt time.Time           `json:"updated_at"`
	ClosedAt  *time.Time          `json:"closed_at,omitempty"`
	Revision  int64               `json:"revision"` // of the case's stream
	Position  eventstore.Position `json:"position"` // of the event that made it what it is

	ReportList  []Report     `json:"report_list,omitempty"` // the first 20, or the first 10 and 10 since it was reopened last; staff only
	Proposals   []Proposal   `json:"proposals,omitempty"`   // staff only
	Escalations []Escalation `json:"escalations,omitempty"` // staff only
	Decisions   []Decision   `json:"decisions"`
	Appeals     []Appeal     `json:"appeals"`
	Reopenings  []Reopening  `json:"reopenings,omitempty"` // staff only
}

// Reopening is that a decided case waited again, because something was said that the decision could not know.
type Reopening struct {
	Why      string    `json:"why"`              // version, finding, referral, reports
	Decision int       `json:"decision"`         // the last one then
	People   int       `json:"people,omitempty"` // who had reported since that, when it is reports
	At       time.Time `json:"at"`
}

// Reach is how many may see the item besides its owner.
type Reach struct {
	Users         int `json:"users"`
	Organisations int `json:"organisations"`
	Links         int `json:"links"`
}

// Proposal is a decision that needs, or needed, a second moderator.
type Proposal struct {
	Number    int           `json:"number"`
	By        domain.UserID `json:"by"`
	Action    string        `json:"action"`
	Version   int           `json:"version,omitempty"`
	Policy    string        `json:"policy"`
	Reason    string        `json:"reason,omitempty"`
	Statement string        `json:"statement,omitempty"`
	At        time.Time     `json:"at"`
	Outcome   string        `json:"outcome,omitempty"` // confirmed, declined; "" while it waits
	EndedBy   domain.UserID `json:"ended_by,omitempty"`
	Why       string        `json:"why,omitempty"` // of a proposal that was declined
	EndedAt   *time.Time    `json:"ended_at,omitempty"`
}

// Escalation is that a case was put before an admin.
type Escalation struct {
	By   domain.UserID `json:"by"`
	Note string        `json:"note,omitempty"`
	At   time.Time     `json:"at"`
}

// Report is what was said against an item.
type Report struct {
	Origin   string        `json:"origin"`
	By       domain.UserID `json:"by"`
	Category string        `json:"category"`
	Note     string        `json:"note,omitempty"`
	Score    int           `json:"score,omitempty"`
	Version  int           `json:"version,omitempty"` // of the media
	At       time.Time     `json:"at"`

	Finding domain.FindingID `json:"finding_id,omitempty"` // what was found, when that is the report
}

// Decision is what a moderator decided.
type Decision struct {
	Number    int           `json:"number"`
	Action    string        `json:"action"` // approve, restrict, quarantine, remove
	Policy    string        `json:"policy"`
	Statement string        `json:"statement,omitempty"`
	Version   int           `json:"version,omitempty"` // of the media, that was looked at
	At        time.Time     `json:"at"`
	By        domain.UserID `json:"by,omitempty"`           // staff only
	Confirmed domain.UserID `json:"confirmed_by,omitempty"` // the second moderator, where one was needed; staff only
	Reason    string        `json:"reason,omitempty"`       // staff only
}

// Appeal is the owner's objection, and how it ended.
type Appeal struct {
	Number    int           `json:"number"`
	Decision  int           `json:"decision"`
	Note      string        `json:"note,omitempty"`
	At        time.Time     `json:"at"`
	By        domain.UserID `json:"by"`
	Outcome   string        `json:"outcome,omitempty"` // uphold, overturn; "" while it waits
	Statement string        `json:"statement,omitempty"`
	DecidedAt *time.Time    `json:"decided_at,omitempty"`
	DecidedBy domain.UserID `json:"decided_by,omitempty"` // staff only
	Reason    string        `json:"reason,omitempty"`     // staff only
}

// CaseQuery filters cases. The zero query is all of them, what waits most urgently first.
type CaseQuery struct {
	Status    []CaseStatus
	Media     domain.MediaID
	Moderator domain.UserID
	Category  string
	Origin    string
	Owner     domain.UserID
	Sort      string // -priority, opened_at, updated_at, score, reports; a leading - turns it round; "" is -priority, then the oldest
}

// Queue is one page of cases. Moderators, auditors and admins see all, owners those of their own items.
func (r *Review) Queue(ctx context.Context, viewer domain.Actor, q CaseQuery, p Paging, m Moment) (List[Case], error) {
	if !viewer.Known() {
		return List[Case]{}, ErrMayNotSee
	}
	at, now, err := r.moment(ctx, m)
	if err != nil {
		return List[Case]{}, err
	}
	l := &listing[CaseRow]{view: r.view, from: "review s", paging: p, bound: fmt.Sprintf("review %s %+v", viewer.ID, q)}
	l.and(at.Where("s", &l.args))
	staff := isStaff(viewer)
	if !staff {
		l.and("s.owner = " + l.args.Add(string(viewer.ID)))
	}
	if err := q.filter(l, staff, now); err != nil {
		return List[Case]{}, err
	}
	if err := q.sort(l, staff); err != nil {
		return List[Case]{}, err
	}
	rows, err := l.page(ctx)
	if err != nil {
		return List[Case]{}, err
	}
	return shownAll(rows, func(v Version[CaseRow]) (Case, error) { return r.shown(ctx, v, staff && v.Row.Owner != viewer.ID, now) })
}

// Get is one case. Errors: ErrHidden for everybody but staff and the owner of the item.
func (r *Review) Get(ctx context.Context, viewer domain.Actor, id domain.CaseID, m Moment) (Case, error) {
	at, now, err := r.moment(ctx, m)
	if err != nil {
		return Case{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	v, ok, err := r.view.Find(ctx, at, string(id))
	if err != nil {
		return Case{}, understood(err)
	}
	owner := viewer.Known() && v.Row.Owner == viewer.ID
	if !ok || !owner && !isStaff(viewer) {
		return Case{}, ErrHidden
	}
	return r.shown(ctx, v, !owner, now)
}

func (q CaseQuery) filter(l *listing[CaseRow], staff bool, now time.Time) error {
	if len(q.Status) > 0 {
		var names []string
		for _, s := range q.Status {
			if !slices.Contains(CaseStatuses(), s) {
				return domain.ErrInvalid.On("status").Because("accepted are open, assigned, proposed, decided, appealed and closed")
			}
			names = append(names, string(s))
		}
		// A claim whose time is over leaves the case open again.
		l.and("case when s.status = 'assigned' and s.lease <= " + l.args.Add(now) + " then 'open' else s.status end = any (" + l.args.Add(names) + ")")
	}
	if q.Media != "" {
		l.and("s.media = " + l.args.Add(string(q.Media)))
	}
	if q.Owner != "" {
		l.and("s.owner = " + l.args.Add(string(q.Owner)))
	}
	if q.Category != "" {
		l.and("s.category = " + l.args.Add(q.Category))
	}
	if (q.Moderator != "" || q.Origin != "") && !staff {
		return ErrMayNotSee.On("moderator")
	}
	if q.Moderator != "" {
		l.and("s.moderator = " + l.args.Add(string(q.Moderator)) + " and (s.lease is null or s.lease > " + l.args.Add(now) + ")")
	}
	switch moderation.Origin(q.Origin) {
	case "":
	case moderation.FromReport, moderation.FromDetector, moderation.FromReferral:
		l.and("s.origin = " + l.args.Add(q.Origin))
	default:
		return domain.ErrInvalid.On("origin").Because("accepted are report, detector and referral")
	}
	return nil
}

func (q CaseQuery) sort(l *listing[CaseRow], staff bool) error {
	usual := "-updated_at"
	if staff {
		usual = "-priority"
	}
	name, down := direction(q.Sort, usual)
	var value func(CaseRow) string
	kind, column := "bigint", name
	switch name {
	case "priority":
		column, value = "urgency", func(r CaseRow) string { return strconv.FormatInt(r.Urgency, 10) }
	case "score":
		value = func(r CaseRow) string { return strconv.Itoa(r.Score) }
	case "reports":
		value = func(r CaseRow) string { return strconv.Itoa(r.Count) }
	case "opened_at":
		value, kind = func(r CaseRow) string { return placeTime(r.OpenedAt) }, "timestamptz"
	case "updated_at":
		value, kind = func(r CaseRow) string { return placeTime(r.UpdatedAt) }, "timestamptz"
	default:
		return domain.ErrInvalid.On("sort").Because("accepted are priority, score, reports, opened_at and updated_at, each also with a leading -")
	}
	if !staff && (name == "priority" || name == "score") {
		return ErrMayNotSee.On("sort")
	}
	l.order = []sorted{{column: "s." + column, sql: kind, down: down}, {column: "s.opened_at", sql: "timestamptz"}, {column: "s.key", sql: "text"}}
	l.place = func(v Version[CaseRow]) []string { return []string{value(v.Row), placeTime(v.Row.OpenedAt), v.Key} }
	return nil
}

// shown renders a case for staff, or for the owner of the item; who judges and owns is shown what an owner is.
func (r *Review) shown(ctx context.Context, v Version[CaseRow], staff bool, now time.Time) (Case, error) {
	row := lapsed(v.Row, now)
	c := Case{
		ID: row.Case, MediaID: row.Media, Owner: row.Owner, Origin: row.Origin, Category: row.Category, Status: row.Status, Closed: row.Closed,
		Reports: row.Count, OpenedAt: row.OpenedAt, UpdatedAt: row.UpdatedAt, ClosedAt: optional(row.ClosedAt), Revision: row.Revision,
		Position: v.From, Decisions: []Decision{}, Appeals: []Appeal{}, Version: row.Version, Waits: row.Waits,
		Lapses: !v.Row.Lease.IsZero(), Again: !row.Again.IsZero() && row.Status != CaseClosed,
	}
	if row.Waits {
		c.Since = optional(row.Since)
	}
	if row.Status == CaseProposed && !staff {
		c.Status = CaseAssigned // what moderators consider among themselves is not the owner's to know
		if len(row.Decisions) > 0 && row.Again.IsZero() {
			c.Status = CaseDecided
		}
	}
	var err error
	open := func(p domain.Personal) string {
		if err != nil {
			return ""
		}
		var text string
		text, err = reveal(ctx, r.keys, p)
		return text
	}
	for _, d := range row.Decisions {
		shown := Decision{Number: d.Number, Action: d.Action, Policy: d.Policy, Statement: open(d.Statement), At: d.At, Version: d.Version}
		if staff {
			shown.By, shown.Confirmed, shown.Reason = d.By, d.Confirmed, open(d.Reason)
		}
		c.Decisions = append(c.Decisions, shown)
	}
	for _, a := range row.Appeals {
		shown := Appeal{
			Number: a.Number, Decision: a.Decision, Note: open(a.Note), At: a.At, By: a.By, Outcome: a.Outcome,
			Statement: open(a.Statement), DecidedAt: optional(a.DecidedAt),
		}
		if staff {
			shown.DecidedBy, shown.Reason = a.Judge, open(a.Reason)
		}
		c.Appeals = append(c.Appeals, shown)
	}
	if !staff {
		return c, err
	}
	c.Moderator, c.Score, c.Priority = row.Moderator, row.Score, row.Priority
	c.Reach = &Reach{Users: row.Reach.Users, Organisations: row.Reach.Organisations, Links: row.Reach.Links}
	c.Until, c.Escalated = optional(row.Lease), row.Escalated
	for _, p := range row.Reports {
		c.ReportList = append(c.ReportList, Report{
			Origin: p.Origin, By: p.By, Category: p.Category, Note: open(p.Note), Score: p.Score, Version: p.Version, At: p.At, Finding: p.Finding,
		})
	}
	for _, p := range row.Proposals {
		c.Proposals = append(c.Proposals, Proposal{
			Number: p.Number, By: p.By, Action: p.Action, Version: p.Version, Policy: p.Policy, Reason: open(p.Reason),
			Statement: open(p.Statement), At: p.At, Outcome: p.Outcome, EndedBy: p.EndedBy, Why: open(p.Why), EndedAt: optional(p.EndedAt),
		})
	}
	for _, e := range row.Reopenings {
		c.Reopenings = append(c.Reopenings, Reopening(e))
	}
	for _, e := range row.Escalations {
		c.Escalations = append(c.Escalations, Escalation{By: e.By, Note: open(e.Note), At: e.At})
	}
	return c, err
}
