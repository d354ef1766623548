package projections

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
)

// ReviewName is the name of the read model.
const ReviewName = "review"

// CaseStatus is how far a moderation case is.
type CaseStatus string

// The states of a case.
const (
	CaseOpen     CaseStatus = "open"     // nobody has it
	CaseAssigned CaseStatus = "assigned" // a moderator has it, by name or by a claim
	CaseProposed CaseStatus = "proposed" // a decision waits for a second moderator
	CaseDecided  CaseStatus = "decided"  // decided; the owner may appeal
	CaseAppealed CaseStatus = "appealed" // waits for another moderator
	CaseClosed   CaseStatus = "closed"
)

// CaseStatuses are all of them, in the order of a case's life.
func CaseStatuses() []CaseStatus {
	return []CaseStatus{CaseOpen, CaseAssigned, CaseProposed, CaseDecided, CaseAppealed, CaseClosed}
}

// CaseRow is one moderation case. Personal texts stay sealed in the table, so that forgetting a person reaches them.
type CaseRow struct {
	Case      domain.CaseID  `db:"case_id"`
	Media     domain.MediaID `db:"media"`
	Owner     domain.UserID  `db:"owner"`
	Origin    string         `db:"origin"`
	Category  string         `db:"category"`
	Status    CaseStatus     `db:"status"`
	Moderator domain.UserID  `db:"moderator"`
	Score     int            `db:"score"` // the highest that a detector gave, 0..100
	Count     int            `db:"reports"`
	Priority  int            `db:"priority"` // points: see priority
	Urgency   int64          `db:"urgency"`  // what the queue is sorted by: see urgency
	Version   int            `db:"version"`  // of the media, that was reported first
	Lease     time.Time      `db:"lease"`    // until when the moderator's claim lasts; zero: without an end
	Escalated bool           `db:"escalated"`
	Waits     bool           `db:"waits"`       // for somebody to decide something
	Since     time.Time      `db:"waits_since"` // opened, reopened or appealed
	Again     time.Time      `db:"reopened_at"` // since when it waits for another decision; zero: it does not
	Claimers  []string       `db:"claimers"`    // who ever claimed it, each once
	Reporters []string       `db:"reporters"`   // the first countedReporters who reported it, each once
	Barred    []string       `db:"barred"`      // who may not decide what waits: he decided, or proposed, it
	Closed    string         `db:"closed_code"`
	OpenedAt  time.Time      `db:"opened_at"`
	Opened    Position       `db:"opened_position"` // of the event that opened it
	UpdatedAt time.Time      `db:"updated_at"`
	ClosedAt  time.Time      `db:"closed_at"`
	Revision  int64          `db:"revision"` // of the case's stream

	Reach       moderation.Reach `db:"reach,json"`
	Reports     []ReportRow      `db:"report_list,json"` // see keptReports
	Proposals   []ProposalRow    `db:"proposals,json"`
	Escalations []EscalationRow  `db:"escalations,json"`
	Decisions   []DecisionRow    `db:"decisions,json"`
	Appeals     []AppealRow      `db:"appeals,json"`
	Reopenings  []ReopeningRow   `db:"reopenings,json"`
}

// ReopeningRow is that a decided case waited again.
type ReopeningRow struct {
	Why      string    `json:"why"`
	Decision int       `json:"decision"`
	People   int       `json:"people,omitempty"`
	At       time.Time `json:"at"`
}

// ProposalRow is a decision that needs, or needed, a second moderator.
type ProposalRow struct {
	Number    int             `json:"number"`
	By        domain.UserID   `json:"by"`
	Action    string          `json:"action"`
	Version   int             `json:"version,omitempty"`
	Reason    domain.Personal `json:"reason,omitzero"`
	Policy    string          `json:"policy"`
	Statement domain.Personal `json:"statement,omitzero"`
	At        time.Time       `json:"at"`
	Outcome   string          `json:"outcome,omitempty"` // confirmed, declined
	EndedBy   domain.UserID   `json:"ended_by,omitempty"`
	Why       domain.Personal `json:"why,omitzero"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
}

// EscalationRow is that a case was put before an admin.
type EscalationRow struct {
	By   domain.UserID   `json:"by"`
	Note domain.Personal `json:"note,omitzero"`
	At   time.Time       `json:"at"`
}

// ReportRow is what a person, a detector or a moderator said against an item.
type ReportRow struct {
	Origin   string          `json:"origin"`
	By       domain.UserID   `json:"by"`
	Category string          `json:"category"`
	Note     domain.Personal `json:"note,omitzero"`
	Score    int             `json:"score,omitempty"`
	Version  int             `json:"version,omitempty"`
	At       time.Time       `json:"at"`

	Finding domain.FindingID `json:"finding,omitempty"`
}

// DecisionRow is one decision.
type DecisionRow struct {
	Number    int             `json:"number"`
	Version   int             `json:"version,omitempty"`
	Confirmed domain.UserID   `json:"confirmed_by,omitempty"`
	By        domain.UserID   `json:"by"`
	Action    string          `json:"action"`
	Reason    domain.Personal `json:"reason,omitzero"`
	Policy    string          `json:"policy"`
	Statement domain.Personal `json:"statement,omitzero"`
	At        time.Time       `json:"at"`
}

// AppealRow is one appeal, and how it ended when it has.
type AppealRow struct {
	Number    int             `json:"number"`
	Decision  int             `json:"decision"`
	By        domain.UserID   `json:"by"`
	Note      domain.Personal `json:"note,omitzero"`
	At        time.Time       `json:"at"`
	Outcome   string          `json:"outcome,omitempty"`
	Judge     domain.UserID   `json:"judge,omitempty"`
	Reason    domain.Personal `json:"reason,omitzero"`
	Statement domain.Personal `json:"statement,omitzero"`
	DecidedAt time.Time       `json:"decided_at,omitzero"`
}

// reviewModel is the projection.
type reviewModel struct{}

// ReviewProjection makes the read model of moderation cases.
func ReviewProjection() Projection[CaseRow] { return reviewModel{} }

// Name implements Projection.
func (reviewModel) Name() string { return ReviewName }

// Types implements Projection.
func (reviewModel) Types() []string { return typeNames(moderation.Types) }

// Table implements Projection.
func (reviewModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "urgency desc, opened_at, key"},
		{On: "status, urgency desc, opened_at, key"},
		{On: "waits_since, key", Where: "waits"},
		{On: "updated_at desc, key", Scope: CurrentOnly},
		{On: "media"},
		{On: "owner"},
	}}
}

// Keys implements Projection: a case's stream carries all that happens to it.
func (reviewModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection.
func (reviewModel) Evolve(key string, row CaseRow, rec eventstore.Recorded) (CaseRow, bool) {
	e, ok := rec.Event.(moderation.Event)
	if !ok {
		return row, row.Case != ""
	}
	row.Case, row.UpdatedAt, row.Revision = domain.CaseID(key), rec.At, int64(rec.Revision)
	switch e := e.(type) {
	case moderation.Opened:
		row.Media, row.Owner, row.Origin, row.Category, row.Version = e.Media, e.Owner, string(e.Origin), e.Category, e.Version
		row.Status, row.OpenedAt, row.Opened, row.Reach = CaseOpen, rec.At, rec.Position, e.Reach
		row.Waits, row.Since = true, rec.At
		row = reported(row, ReportRow{
			Origin: string(e.Origin), By: e.By, Category: e.Category, Note: e.Note, Score: e.Score, Version: e.Version, At: rec.At, Finding: e.Finding,
		})
	case moderation.Reported:
		row = reported(row, ReportRow{
			Origin: string(e.Origin), By: e.By, Category: e.Category, Note: e.Note, Score: e.Score, Version: e.Version, At: rec.At, Finding: e.Finding,
		})
	case moderation.Reopened:
		row.Reopenings = append(row.Reopenings, ReopeningRow{Why: string(e.Why), Decision: e.Decision, People: e.People, At: rec.At})
		row.Reports = row.Reports[:min(len(row.Reports), keptReports/2)] // room for those that bring it back
		if row.Again = rec.At; row.Status == CaseDecided {
			row = row.again()
		}
	case moderation.ReachChanged:
		row.Reach = e.Reach
	case moderation.Assigned:
		row = row.given(e.Moderator, time.Time{})
	case moderation.Claimed:
		row = row.given(e.Moderator, e.Until)
		if !slices.Contains(row.Claimers, string(e.Moderator)) {
			row.Claimers = append(row.Claimers, string(e.Moderator))
		}
	case moderation.GivenBack:
		row = row.given("", time.Time{})
	case moderation.Escalated:
		row = row.given("", time.Time{})
		row.Escalated, row.Waits = true, true
		row.Escalations = append(row.Escalations, EscalationRow{By: e.By, Note: e.Note, At: rec.At})
	case moderation.Proposed:
		row = row.free()
		row.Status, row.Waits, row.Barred = CaseProposed, true, []string{string(e.By)}
		row.Proposals = append(row.Proposals, ProposalRow{
			Number: e.Number, By: e.By, Action: string(e.Action), Version: e.Version, Reason: e.Reason, Policy: e.Policy,
			Statement: e.Statement, At: rec.At,
		})
	case moderation.Confirmed:
		row = row.ended(e.Number, ProposalRow{Outcome: "confirmed", EndedBy: e.By, EndedAt: rec.At})
	case moderation.Declined:
		row = row.ended(e.Number, ProposalRow{Outcome: "declined", EndedBy: e.By, Why: e.Reason, EndedAt: rec.At})
	case moderation.Decided:
		row = row.free()
		row.Status, row.Waits, row.Escalated, row.Barred, row.Again = CaseDecided, false, false, nil, time.Time{}
		row.Decisions = append(row.Decisions, DecisionRow{
			Number: e.Number, Version: e.Version, By: e.By, Confirmed: e.ConfirmedBy, Action: string(e.Action), Reason: e.Reason,
			Policy: e.Policy, Statement: e.Statement, At: rec.At,
		})
	case moderation.Appealed:
		row.Status, row.Waits, row.Since, row.Barred = CaseAppealed, true, rec.At, nil
		for _, d := range row.Decisions {
			if d.Number == e.Decision {
				row.Barred = []string{string(d.By), string(d.Confirmed)}
			}
		}
		row.Appeals = append(row.Appeals, AppealRow{Number: e.Number, Decision: e.Decision, By: e.By, Note: e.Note, At: rec.At})
	case moderation.AppealDecided:
		row.Status, row.Waits, row.Barred = CaseDecided, false, nil
		for i := range row.Appeals {
			if a := &row.Appeals[i]; a.Number == e.Number {
				a.Outcome, a.Judge, a.Reason, a.Statement, a.DecidedAt = string(e.Outcome), e.By, e.Reason, e.Statement, rec.At
			}
		}
		if !row.Again.IsZero() {
			row = row.free().again()
		}
	case moderation.Closed:
		row = row.free()
		row.Status, row.Closed, row.ClosedAt, row.Waits = CaseClosed, e.Code, rec.At, false
	}
	row.Priority = priority(row)
	row.Urgency = urgency(row)
	return row, true
}

// keptReports is how many reports of a case stand in its row. Each further one makes a new version of the row: with all of them
// in it, a campaign of reports would fill the disk with their square. Of a case that was reopened it is the first half, and as many since.
// The history of the case has them all.
const keptReports = 20

func reported(row CaseRow, r ReportRow) CaseRow {
	if row.Count++; len(row.Reports) < keptReports {
		row.Reports = append(row.Reports, r)
	}
	if by := string(r.By); len(row.Reporters) < countedReporters && !slices.Contains(row.Reporters, by) {
		row.Reporters = append(row.Reporters, by)
	}
	row.Score = max(row.Score, r.Score)
	return row
}

// countedReporters is how many who report make a case more urgent. One of them makes it no more urgent by saying more.
const countedReporters = 10

// given puts the case into somebody's hands, or nobody's; an appeal and a proposal stay what they are meanwhile.
func (row CaseRow) given(to domain.UserID, until time.Time) CaseRow {
	row.Moderator, row.Lease = to, until
	switch {
	case to != "" && row.Status == CaseOpen:
		row.Status = CaseAssigned
	case to == "" && row.Status == CaseAssigned:
		row.Status = CaseOpen
	}
	return row
}

// free ends a claim; what was assigned by name stays in its hands.
func (row CaseRow) free() CaseRow {
	if row.Lease.IsZero() {
		return row
	}
	return row.given("", time.Time{})
}

// again has a decided case wait once more, in the hands in which it is.
func (row CaseRow) again() CaseRow {
	row.Status, row.Waits, row.Since = CaseOpen, true, row.Again
	return row.given(row.Moderator, row.Lease)
}

// ended ends a proposal: the case waits for a decision again, as it did before.
func (row CaseRow) ended(number int, how ProposalRow) CaseRow {
	row = row.free()
	for i := range row.Proposals {
		if p := &row.Proposals[i]; p.Number == number {
			p.Outcome, p.EndedBy, p.Why, p.EndedAt = how.Outcome, how.EndedBy, how.Why, how.EndedAt
		}
	}
	row.Barred = nil
	switch {
	case len(row.Decisions) > 0 && row.Again.IsZero():
		row.Status, row.Waits = CaseDecided, row.Escalated
	case row.Moderator != "":
		row.Status = CaseAssigned
	default:
		row.Status = CaseOpen
	}
	return row
}

// priority says how much a case matters, in points: what a detector is sure of, how many report, how many may see it, whether somebody
// is in danger; on top of that an appeal, for somebody's item is held while it waits, a proposal, which needs a word only, and an escalation. Age is
// not in it, so that the number does not change by itself: see urgency.
func priority(row CaseRow) int {
	switch {
	case row.Status == CaseClosed:
		return 0
	case !row.Waits:
		return 1
	}
	p := 10 + row.Score + 10*len(row.Reporters) + min(row.Reach.Users+20*row.Reach.Organisations+50*row.Reach.Links, 100)
	if moderation.Grave(row.Category) || slices.ContainsFunc(row.Reports, func(r ReportRow) bool { return moderation.Grave(r.Category) }) {
		p += 100
	}
	switch row.Status {
	case CaseAppealed:
		p += 50
	case CaseProposed:
		p += 30
	}
	if row.Escalated {
		p += 100
	}
	return p
}

// urgency is the order of the queue: by priority and age, in which each hour of waiting counts one point. As all cases grow older
// at the same pace, the order of any two never changes by itself, and a number that stands still can keep it: the points, less
// the time at which the waiting began. What waits comes before what is decided, and that before what is closed.
func urgency(row CaseRow) int64 {
	const class, hour = 1 << 40, 3600
	switch {
	case row.Status == CaseClosed:
		return 0
	case !row.Waits:
		return class
	}
	return 3*class + int64(row.Priority)*hour - row.Since.Unix()
}
