package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Audit answers who did what, when, from where and why, and how it ended.
type Audit struct {
	view   View[AuditRow]
	engine *Engine
	keys   Opener
}

// NewAudit makes the queries. The engine must run AuditProjection.
func NewAudit(e *Engine, keys Opener) (*Audit, error) {
	view, err := ViewOf(e, AuditProjection())
	return &Audit{view: view, engine: e, keys: keys}, err
}

// AuditEntry is one entry of the audit log. Personal texts are open, or say why not (Erased).
type AuditEntry struct {
	Position    eventstore.Position `json:"position"`
	At          time.Time           `json:"at"`
	Actor       domain.UserID       `json:"actor"`
	Org         domain.OrgID        `json:"organisation,omitempty"`
	Roles       []domain.Role       `json:"roles"`
	Action      string              `json:"action"`
	Resource    Resource            `json:"resource"`
	Media       domain.MediaID      `json:"media_id,omitempty"`
	Outcome     string              `json:"outcome"` // ok, refused
	Code        string              `json:"code,omitempty"`
	Address     string              `json:"address,omitempty"`
	UserAgent   string              `json:"user_agent,omitempty"`
	Reason      string              `json:"reason,omitempty"`
	Correlation uuid.UUID           `json:"correlation,omitzero"`
	Causation   uuid.UUID           `json:"causation,omitzero"`
	DurationMS  float64             `json:"duration_ms"`
	Score       *int                `json:"security_score,omitempty"` // 0 to 100
	Detail      string              `json:"detail,omitempty"`
	Stream      string              `json:"stream"`
	Revision    int64               `json:"revision"`
	EventID     uuid.UUID           `json:"event_id"`
}

// Resource is what an action was about.
type Resource struct {
	Kind string `json:"kind"` // media, share, case, other
	ID   string `json:"id,omitempty"`
}

// AuditQuery filters the audit log. The zero query is all of it.
type AuditQuery struct {
	Who      domain.UserID
	Action   string // a type of event (media.uploaded), or a category (media)
	Resource string // an id
	Kind     string // media, share, case, other
	Media    domain.MediaID
	Outcome  string    // ok, refused
	From     time.Time // at or after
	To       time.Time // before
	Oldest   bool      // oldest first; otherwise newest first
}

// Page is one page of the log. Auditors and admins see everything, others what they did themselves.
func (a *Audit) Page(ctx context.Context, viewer domain.Actor, q AuditQuery, p Paging, m Moment) (List[AuditEntry], error) {
	l, err := a.listing(ctx, viewer, q, m)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	l.paging = p
	rows, err := l.page(ctx)
	if err != nil {
		return List[AuditEntry]{}, err
	}
	return shownAll(rows, func(v Version[AuditRow]) (AuditEntry, error) { return a.entry(ctx, v) })
}

// exportBatch is how many rows of an export are in memory at once.
const exportBatch = 1_000

// Export yields everything that matches, the oldest first, in memory that does not grow with it. It reads in batches, each
// behind the last, so that a slow reader holds nothing in the database; what is appended meanwhile is not in it. A refusal is
// answered before anything is yielded; what goes wrong later is yielded.
func (a *Audit) Export(ctx context.Context, viewer domain.Actor, q AuditQuery, m Moment) (iter.Seq2[AuditEntry, error], error) {
	if m.IsNow() {
		p, err := a.engine.Position(ctx, AuditName)
		if err != nil {
			return nil, err
		}
		m = AsOf(p)
	}
	q.Oldest = true
	if _, err := a.listing(ctx, viewer, q, m); err != nil {
		return nil, err
	}
	return func(yield func(AuditEntry, error) bool) {
		after := eventstore.Position(0)
		for {
			n := 0
			rows, err := a.batch(ctx, viewer, q, m, after)
			if err != nil {
				yield(AuditEntry{}, err)
				return
			}
			for _, v := range rows {
				entry, err := a.entry(ctx, v)
				if !yield(entry, err) || err != nil {
					return
				}
				after = v.From
				n++
			}
			if n < exportBatch {
				return
			}
		}
	}, nil
}

func (a *Audit) batch(
	ctx context.Context, viewer domain.Actor, q AuditQuery, m Moment, after eventstore.Position,
) ([]Version[AuditRow], error) {
	l, err := a.listing(ctx, viewer, q, m)
	if err != nil {
		return nil, err
	}
	l.and("s.from_position > " + l.args.Add(int64(after)))
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	sql := "select " + a.view.Columns("s") + " from " + l.from + " where " + l.condition() + " order by " + l.by() + " limit " + l.args.Add(exportBatch)
	rows, err := a.view.Query(ctx, sql, &l.args)
	return rows, understood(err)
}

func (a *Audit) listing(ctx context.Context, viewer domain.Actor, q AuditQuery, m Moment) (*listing[AuditRow], error) {
	if !viewer.Known() {
		return nil, ErrMayNotSee
	}
	at, err := a.view.Resolve(ctx, m)
	if err != nil {
		return nil, err
	}
	l := &listing[AuditRow]{
		view: a.view, from: "audit s", bound: fmt.Sprintf("audit %s %+v", viewer.ID, q),
		order: []sorted{{column: "s.from_position", sql: "bigint", down: !q.Oldest}},
		place: func(v Version[AuditRow]) []string { return []string{strconv.FormatInt(int64(v.From), 10)} },
	}
	if at.Past {
		l.and("s.from_position <= " + l.args.Add(int64(at.Position)))
	}
	if !viewer.Is(domain.RoleAuditor, domain.RoleAdmin) {
		if q.Who != "" && q.Who != viewer.ID {
			return nil, ErrMayNotSee.On("who")
		}
		l.and("s.actor = " + l.args.Add(string(viewer.ID)))
	}
	return l, q.filter(ctx, a.engine, l)
}

func (q AuditQuery) filter(ctx context.Context, e *Engine, l *listing[AuditRow]) error {
	if q.Who != "" {
		l.and("s.actor = " + l.args.Add(string(q.Who)))
	}
	if q.Action != "" {
		types, err := typesOf(q.Action)
		if err != nil {
			return err
		}
		if len(types) == 1 {
			l.and("s.action = " + l.args.Add(types[0]))
		} else {
			l.and("s.action = any (" + l.args.Add(types) + ")")
			if !strings.HasPrefix(types[0], "access.") {
				l.and("left(s.action, 7) <> 'access.'") // which says nothing new, but to the planner
			}
		}
	}
	if q.Resource != "" {
		l.and("s.resource_id = " + l.args.Add(q.Resource))
	}
	if q.Media != "" {
		l.and("s.media <> '' and s.media = " + l.args.Add(string(q.Media)))
	}
	switch q.Kind {
	case "":
	case ResourceMedia, ResourceShare, ResourceCase, ResourceOther:
		l.and("s.resource_kind = " + l.args.Add(q.Kind))
		if q.Kind != ResourceMedia {
			l.and("s.resource_kind <> 'media'") // which says nothing new, but to the planner
		}
	default:
		return domain.ErrInvalid.On("kind").Because("accepted are media, share, case and other")
	}
	switch q.Outcome {
	case "":
	case OutcomeOK:
		l.and("s.outcome = 'ok'")
	case OutcomeRefused:
		l.and("s.outcome = 'refused'")
	default:
		return domain.ErrInvalid.On("outcome").Because("accepted are ok and refused")
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return domain.ErrInvalid.On("to").Because("the end does not lie after the beginning")
	}
	// The log's times never go back, so that a span of time is a span of positions.
	for _, bound := range []struct {
		at   time.Time
		sign string
	}{{q.From, " > "}, {q.To, " <= "}} {
		if bound.at.IsZero() {
			continue
		}
		p, err := e.source.PositionAt(ctx, bound.at.Add(-time.Microsecond))
		if err != nil {
			return fmt.Errorf("position at %s: %w", bound.at.Format(time.RFC3339Nano), err)
		}
		l.and("s.from_position" + bound.sign + l.args.Add(int64(p)))
	}
	return nil
}

// typesOf are the event types that an action names: itself, or those of a category.
func typesOf(action string) ([]string, error) {
	all := auditModel{}.Types()
	if slices.Contains(all, action) {
		return []string{action}, nil
	}
	types := slices.DeleteFunc(all, func(t string) bool { return !strings.HasPrefix(t, action+".") })
	if len(types) == 0 {
		return nil, domain.ErrInvalid.On("action").Because("an action is a type of event such as media.uploaded, or a category such as media")
	}
	return types, nil
}

// audited is the first revision of an item's stream of accesses that lies behind a position, as far as the audit log knows; otherwise 0.
func (e *Engine) audited(ctx context.Context, id domain.MediaID, stream eventstore.Stream, after eventstore.Position) (eventstore.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var last eventstore.Revision
	err := e.pool.QueryRow(ctx, `select revision from audit
		where media <> '' and media = $1 and stream = $2 and from_position <= $3 order by from_position desc limit 1`,
		string(id), string(stream), int64(after)).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("where to begin in %s: %w", stream, err)
	}
	return last + 1, nil
}

func (a *Audit) entry(ctx context.Context, v Version[AuditRow]) (AuditEntry, error) {
	row := v.Row
	e := AuditEntry{
		Position: v.From, At: v.Time, Actor: row.Actor, Org: row.Org, Roles: row.Roles, Action: row.Action,
		Resource: Resource{Kind: row.ResourceKind, ID: row.ResourceID}, Media: row.Media, Outcome: row.Outcome, Code: row.Code,
		Correlation: uuidOf(row.Correlation), Causation: uuidOf(row.Causation), DurationMS: row.DurationMS, Detail: row.Detail,
		Stream: row.Stream, Revision: row.Revision, EventID: uuidOf(row.EventID),
	}
	if e.Roles == nil {
		e.Roles = []domain.Role{}
	}
	if row.Score != NoScore {
		e.Score = &row.Score
	}
	var err error
	for _, p := range []struct {
		text domain.Personal
		into *string
	}{{row.Address, &e.Address}, {row.UserAgent, &e.UserAgent}, {row.Reason, &e.Reason}} {
		if *p.into, err = reveal(ctx, a.keys, p.text); err != nil {
			return AuditEntry{}, err
		}
	}
	return e, nil
}

// reveal opens a personal text that a read model kept sealed; Erased when its subject was forgotten.
func reveal(ctx context.Context, keys Opener, p domain.Personal) (string, error) {
	if p.IsZero() {
		return "", nil
	}
	p, err := p.Open(func(subject domain.UserID, sealed []byte) ([]byte, bool, error) {
		return keys.Open(ctx, subject, sealed)
	})
	if err != nil {
		return "", err
	}
	if p.Erased() {
		return Erased, nil
	}
	return p.Text(), nil
}

func uuidOf(s string) uuid.UUID {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil
	}
	return id
}
