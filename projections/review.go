package projections

import (
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
	CaseAssigned CaseStatus = "assigned" // a moderator has it
	CaseDecided  CaseStatus = "decided"  // decided; the owner may appeal
	CaseAppealed CaseStatus = "appealed" // waits for another moderator
	CaseClosed   CaseStatus = "closed"
)

// CaseStatuses are all of them, in the order of a case's life.
func CaseStatuses() []CaseStatus {
	return []CaseStatus{CaseOpen, CaseAssigned, CaseDecided, CaseAppealed, CaseClosed}
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
	Priority  int            `db:"priority"`
	Closed    string         `db:"closed_code"`
	OpenedAt  time.Time      `db:"opened_at"`
	Opened    Position       `db:"opened_position"` // of the event that opened it
	UpdatedAt time.Time      `db:"updated_at"`
	ClosedAt  time.Time      `db:"closed_at"`
	Revision  int64          `db:"revision"` // of the case's stream

	Reports   []ReportRow   `db:"report_list,json"` // the first keptReports
	Decisions []DecisionRow `db:"decisions,json"`
	Appeals   []AppealRow   `db:"appeals,json"`
}

// ReportRow is what a person, a detector or a moderator said against an item.
type ReportRow struct {
	Origin   string          `json:"origin"`
	By       domain.UserID   `json:"by"`
	Category string          `json:"category"`
	Note     domain.Personal `json:"note,omitzero"`
	Score    int             `json:"score,omitempty"`
	At       time.Time       `json:"at"`
}

// DecisionRow is one decision.
type DecisionRow struct {
	Number    int             `json:"number"`
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
		{On: "priority desc, opened_at, key"},
		{On: "status, priority desc, opened_at, key"},
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
		row.Media, row.Owner, row.Origin, row.Category = e.Media, e.Owner, string(e.Origin), e.Category
		row.Status, row.OpenedAt, row.Opened = CaseOpen, rec.At, rec.Position
		row = reported(row, ReportRow{Origin: string(e.Origin), By: e.By, Category: e.Category, Note: e.Note, Score: e.Score, At: rec.At})
	case moderation.Reported:
		row = reported(row, ReportRow{Origin: string(e.Origin), By: e.By, Category: e.Category, Note: e.Note, Score: e.Score, At: rec.At})
	case moderation.Assigned:
		row.Moderator = e.Moderator
		if row.Status == CaseOpen {
			row.Status = CaseAssigned
		}
	case moderation.Decided:
		row.Status = CaseDecided
		row.Decisions = append(row.Decisions, DecisionRow{
			Number: e.Number, By: e.By, Action: string(e.Action), Reason: e.Reason, Policy: e.Policy, Statement: e.Statement, At: rec.At,
		})
	case moderation.Appealed:
		row.Status = CaseAppealed
		row.Appeals = append(row.Appeals, AppealRow{Number: e.Number, Decision: e.Decision, By: e.By, Note: e.Note, At: rec.At})
	case moderation.AppealDecided:
		row.Status = CaseDecided
		for i := range row.Appeals {
			if a := &row.Appeals[i]; a.Number == e.Number {
				a.Outcome, a.Judge, a.Reason, a.Statement, a.DecidedAt = string(e.Outcome), e.By, e.Reason, e.Statement, rec.At
			}
		}
	case moderation.Closed:
		row.Status, row.Closed, row.ClosedAt = CaseClosed, e.Code, rec.At
	}
	row.Priority = priority(row)
	return row, true
}

// keptReports is how many reports of a case stand in its row. Each further one makes a new version of the row: with all of them
// in it, a campaign of reports would fill the disk with their square. The history of the case has them all.
const keptReports = 20

func reported(row CaseRow, r ReportRow) CaseRow {
	if row.Count++; len(row.Reports) < keptReports {
		row.Reports = append(row.Reports, r)
	}
	row.Score = max(row.Score, r.Score)
	return row
}

// priority says what comes first in the queue: what a detector is sure of and what many report, on top of that an appeal, for
// somebody's item is held while it waits. Age breaks ties; it is not in the number, so that the number does not change by itself.
func priority(row CaseRow) int {
	switch row.Status {
	case CaseClosed:
		return 0
	case CaseDecided:
		return 1
	}
	p := 10 + row.Score + 10*min(row.Count, 10)
	if row.Status == CaseAppealed {
		p += 50
	}
	return p
}
