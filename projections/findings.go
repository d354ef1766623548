package projections

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/eventstore"
)

// FindingsName is the name of the read model.
const FindingsName = "findings"

// FindingRow is one finding. Its sample and note stay sealed in the table, so that forgetting a person reaches them.
type FindingRow struct {
	Finding     domain.FindingID `db:"finding"`
	Media       domain.MediaID   `db:"media"`
	Owner       domain.UserID    `db:"owner"`
	Version     int              `db:"version"` // of the media; 0: in no version
	Type        string           `db:"type"`
	Place       string           `db:"place"`
	Count       int              `db:"found"`
	Confidence  int              `db:"confidence"`  // percent
	Sensitivity int              `db:"sensitivity"` // 1 to 10
	Exposure    string           `db:"exposure"`
	Risk        int              `db:"risk"` // 1 to 100
	Status      string           `db:"status"`
	Code        string           `db:"code"` // why the vault itself changed the status
	By          domain.UserID    `db:"status_by"`
	Note        domain.Personal  `db:"note,json"`
	Sample      domain.Personal  `db:"sample,json"`
	Case        domain.CaseID    `db:"case_id"`  // in which it was put before people last; empty: none, since it was opened
	Detector    string           `db:"detector"` // its name and version
	Threshold   int              `db:"threshold"`
	RaisedAt    time.Time        `db:"raised_at"` // first
	UpdatedAt   time.Time        `db:"updated_at"`
	Revision    int64            `db:"revision"` // of the finding's stream
}

// findingsModel is the projection.
type findingsModel struct{}

// FindingsProjection makes the read model of findings.
func FindingsProjection() Projection[FindingRow] { return findingsModel{} }

// Name implements Projection.
func (findingsModel) Name() string { return FindingsName }

// Types implements Projection.
func (findingsModel) Types() []string { return typeNames(finding.Types) }

// Table implements Projection.
func (findingsModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "risk desc, raised_at, key"},
		{On: "owner, risk desc, raised_at, key"},
		{On: "media"},
		{On: "updated_at desc, key", Scope: CurrentOnly},
	}}
}

// Keys implements Projection: a finding's stream carries all that happens to it.
func (findingsModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection.
func (findingsModel) Evolve(key string, row FindingRow, rec eventstore.Recorded) (FindingRow, bool) {
	switch e := rec.Event.(type) {
	case finding.Raised:
		if row.Finding == "" {
			row.RaisedAt, row.Status = rec.At, string(finding.Open)
		}
		row.Finding, row.Media, row.Owner, row.Version = domain.FindingID(key), e.Media, e.Owner, e.Version
		row.Type, row.Place, row.Count, row.Confidence = e.Type, string(e.Place), e.Count, e.Confidence
		row.Sensitivity, row.Exposure, row.Risk, row.Sample = e.Sensitivity, string(e.Exposure), e.Risk, e.Sample
		row.Detector, row.Threshold = e.Detector.Name+" "+e.Detector.Version, e.Detector.Threshold
	case finding.Rescored:
		row.Exposure, row.Risk = string(e.Exposure), e.Risk
	case finding.StatusChanged:
		row.Status, row.Code, row.By, row.Note = string(e.To), e.Code, e.By, e.Note
		if e.To == finding.Open {
			row.Case = ""
		}
	case finding.Referred:
		row.Case = e.Case
	default:
		return row, row.Finding != ""
	}
	row.UpdatedAt, row.Revision = rec.At, int64(rec.Revision)
	return row, row.Finding != ""
}
