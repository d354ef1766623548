package projections

import (
	"strconv"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// AuditName is the name of the read model.
const AuditName = "audit"

// The outcomes of an audited action.
const (
	OutcomeOK      = "ok"
	OutcomeRefused = "refused"
)

// The kinds of thing that an action is about.
const (
	ResourceMedia = "media"
	ResourceShare = "share"
	ResourceCase  = "case"
	ResourceOther = "other"
)

// AuditRow is one event as an auditor reads it: who, what, when, where, why, how it ended, how long it took. A row never
// changes, for an event never does. Personal texts stay sealed in the table, so that forgetting a person reaches them.
type AuditRow struct {
	Actor        domain.UserID   `db:"actor"`
	Org          domain.OrgID    `db:"org"`
	Roles        []domain.Role   `db:"roles"`
	Action       string          `db:"action"` // the event's type
	ResourceKind string          `db:"resource_kind"`
	ResourceID   string          `db:"resource_id"`
	Media        domain.MediaID  `db:"media"` // empty where the event alone does not say which
	Outcome      string          `db:"outcome"`
	Code         string          `db:"code"` // of the refusal
	Address      domain.Personal `db:"address,json"`
	UserAgent    domain.Personal `db:"user_agent,json"`
	Reason       domain.Personal `db:"reason,json"`
	Correlation  string          `db:"correlation"`
	Causation    string          `db:"causation"`
	DurationMS   float64         `db:"duration_ms"`
	Score        int             `db:"score"` // security score, 0 to 100; NoScore where the event carries none
	Detail       string          `db:"detail"`
	Stream       string          `db:"stream"`
	Revision     int64           `db:"revision"`
	EventID      string          `db:"event_id"`
}

// auditModel is the projection.
type auditModel struct{}

// AuditProjection makes the audit log.
func AuditProjection() Projection[AuditRow] { return auditModel{} }

// Name implements Projection.
func (auditModel) Name() string { return AuditName }

// Types implements Projection.
func (auditModel) Types() []string { return typeNames(catalog.Types()) }

// Table implements Projection. Most events of a busy vault are accesses to media: what is not one of them has small indexes of
// its own, so that asking for what is rare does not go through all that is common.
func (auditModel) Table() Table {
	return Table{AppendOnly: true, Revision: 1, Indexes: []Index{
		{On: "actor, from_position"},
		{On: "action, from_position"},
		{On: "resource_id, from_position"},
		{On: "media, from_position", Where: "media <> ''"},
		{On: "from_position", Where: "outcome = 'refused'"},
		{On: "from_position", Where: "resource_kind <> 'media'"},
		{On: "from_position", Where: "left(action, 7) <> 'access.'"},
	}}
}

// Keys implements Projection.
func (auditModel) Keys(rec eventstore.Recorded) []string {
	return []string{strconv.FormatInt(int64(rec.Position), 10)}
}

// Evolve implements Projection.
func (auditModel) Evolve(_ string, _ AuditRow, rec eventstore.Recorded) (AuditRow, bool) {
	return auditRow(rec), true
}

// auditRow is what the audit log keeps of one event.
func auditRow(rec eventstore.Recorded) AuditRow {
	m := rec.Metadata
	row := AuditRow{
		Actor: m.Actor.ID, Org: m.Actor.Org, Roles: m.Actor.Roles, Action: rec.Type,
		Outcome: OutcomeOK, Score: NoScore, Address: m.Address, UserAgent: m.UserAgent, Reason: m.Reason,
		Correlation: uuidText(m.Correlation), Causation: uuidText(m.Causation), DurationMS: float64(m.Took.Microseconds()) / 1000,
		Stream: string(rec.Stream), Revision: int64(rec.Revision), EventID: uuidText(rec.ID),
	}
	row.ResourceID = rec.Stream.ID()
	switch e := rec.Event.(type) {
	case media.Event:
		row.ResourceKind, row.Media = ResourceMedia, domain.MediaID(row.ResourceID)
		auditMedia(&row, e)
	case share.Event:
		row.ResourceKind = ResourceShare
		switch e := e.(type) {
		case share.Granted:
			row.Media = e.Media
			row.Detail = toWhom(e.With) + ": " + terms(e.Terms)
		case share.Changed:
			row.Detail = terms(e.Terms)
		case share.Revoked:
			row.Detail = string(e.Code)
		default:
			row.Detail = summarizeShare(e)
		}
	case moderation.Event:
		row.ResourceKind = ResourceCase
		auditCase(&row, e)
	case access.Served:
		row.ResourceKind, row.ResourceID, row.Media = ResourceMedia, string(e.Media), e.Media
		row.Detail = summarizeServed(e)
	case access.Refused:
		row.Outcome, row.Code, row.Media, row.Detail = OutcomeRefused, e.Code, e.Media, e.Action
		row.ResourceKind, row.ResourceID = refusedResource(e)
	default:
		row.ResourceKind, row.Detail = ResourceOther, summarizeOther(e)
		auditOther(&row, e)
	}
	return row
}

// auditOther says whom or which item an event is about whose stream does not name it.
func auditOther(row *AuditRow, e domain.Event) {
	switch e := e.(type) {
	case finding.Raised:
		row.Media = e.Media
	case finding.Referred:
		row.Media = e.Media
	case person.ErasureRequested:
		row.ResourceID = string(e.Subject)
	case person.Erased:
		row.ResourceID = string(e.Subject)
	}
}

func auditMedia(row *AuditRow, e media.Event) {
	switch e := e.(type) {
	case media.UploadRefused:
		row.Outcome, row.Detail = OutcomeRefused, strings.Join(e.Reasons, ", ")
		if len(e.Reasons) > 0 {
			row.Code = e.Reasons[0]
		}
	case media.Screened:
		row.Score = e.Score
		row.Detail = string(e.Verdict)
		if codes := screeningCodes(e); len(codes) > 0 {
			row.Detail += ": " + strings.Join(codes, ", ")
		}
	case media.Described:
		// What was written is personal, and stands sealed in the event; that it was written is all the log needs.
	default:
		row.Detail = summarizeMedia(e, sight{})
	}
}

func screeningCodes(e media.Screened) []string {
	var codes []string
	for _, s := range e.Stages {
		codes = append(codes, s.Codes...)
	}
	return codes
}

func auditCase(row *AuditRow, e moderation.Event) {
	switch e := e.(type) {
	case moderation.Opened:
		row.Media = e.Media
	case moderation.Decided:
		row.Media = e.Media
	case moderation.AppealDecided:
		row.Media = e.Media
	}
	row.Detail = summarizeCase(e, sight{staff: true})
}

// refusedResource says what was asked for: the item or share when it exists, otherwise what the route is about
// (`GET /v1/media/{id}` is about media).
func refusedResource(e access.Refused) (kind, id string) {
	id = e.Resource
	switch {
	case e.Share != "" && (id == "" || id == string(e.Share)):
		return ResourceShare, string(e.Share)
	case e.Media != "":
		return ResourceMedia, string(e.Media)
	}
	_, path, _ := strings.Cut(e.Action, " /v1/")
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "media", "uploads":
		return ResourceMedia, id
	case "shares", "public":
		return ResourceShare, id
	case "moderation":
		return ResourceCase, id
	default:
		return ResourceOther, id
	}
}
