package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
)

// Usage answers how much is stored, shared and served, by owner, organisation and day.
type Usage struct {
	view   View[UsageRow]
	engine *Engine
}

// NewUsage makes the queries. The engine must run UsageProjection and SharesProjection.
func NewUsage(e *Engine) (*Usage, error) {
	view, err := ViewOf(e, UsageProjection())
	return &Usage{view: view, engine: e}, err
}

// UsageScope says whose usage is asked for. The zero scope is the viewer's own.
type UsageScope struct {
	All          bool // everybody's, unless Owner or Organisation narrow it
	Owner        domain.UserID
	Organisation domain.OrgID
}

// UsageTotals are what there is, and what has happened so far, as of a moment.
type UsageTotals struct {
	Items         int64 `json:"items"`          // not purged
	Deleted       int64 `json:"deleted"`        // of those, deleted and restorable
	Versions      int64 `json:"versions"`       // stored
	Bytes         int64 `json:"bytes"`          // stored
	Uploads       int64 `json:"uploads"`        // accepted
	Refused       int64 `json:"refused"`        // uploads refused
	UploadedBytes int64 `json:"uploaded_bytes"` // accepted
	Shares        int64 `json:"shares"`         // granted
	Opens         int64 `json:"opens"`          // requests for content or a download that were served
	Downloads     int64 `json:"downloads"`
	ServedBytes   int64 `json:"served_bytes"`
}

// UsageDay is what happened on one day, UTC.
type UsageDay struct {
	Day           string `json:"day"` // 2006-01-02
	Uploads       int64  `json:"uploads"`
	Refused       int64  `json:"refused"`
	UploadedBytes int64  `json:"uploaded_bytes"`
	Shares        int64  `json:"shares"`
	Opens         int64  `json:"opens"`
	Downloads     int64  `json:"downloads"`
	ServedBytes   int64  `json:"served_bytes"`
}

// UsageGroup are the totals of one owner or organisation.
type UsageGroup struct {
	Owner        domain.UserID `json:"owner,omitempty"`
	Organisation domain.OrgID  `json:"organisation,omitempty"`
	UsageTotals
}

// UsageBy is by what totals are grouped.
type UsageBy string

// The groupings.
const (
	ByOwner        UsageBy = "owner"
	ByOrganisation UsageBy = "organisation"
)

// Totals are the sums of a scope. Who may ask: everybody for his own; partners for their organisation; analysts for everything
// and for any organisation; auditors and admins for any owner, too. Errors: ErrMayNotSee.
func (u *Usage) Totals(ctx context.Context, viewer domain.Actor, scope UsageScope, m Moment) (UsageTotals, error) {
	from, args, err := u.scoped(ctx, viewer, scope, m)
	if err != nil {
		return UsageTotals{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var t UsageTotals
	if err := u.engine.pool.QueryRow(ctx, "select "+usageSums+from, args.Values()...).Scan(t.into()...); err != nil {
		return UsageTotals{}, understood(fmt.Errorf("totals of usage: %w", err))
	}
	return t, nil
}

// maxDays is how many days one answer spans.
const maxDays = 3660

// Days are the days from one to another (both included, UTC), in order; those on which nothing happened are left out. A zero
// time leaves that side open.
func (u *Usage) Days(ctx context.Context, viewer domain.Actor, scope UsageScope, from, to time.Time, m Moment) ([]UsageDay, error) {
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		return nil, domain.ErrInvalid.On("to").Because("the last day lies before the first")
	}
	tables, args, err := u.scoped(ctx, viewer, scope, m)
	if err != nil {
		return nil, err
	}
	where := " and d.day <> ''"
	if !from.IsZero() {
		where += " and d.day >= " + args.Add(dayOf(from))
	}
	if !to.IsZero() {
		where += " and d.day <= " + args.Add(dayOf(to))
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := u.engine.pool.Query(ctx, `select d.day, sum(d.uploads)::bigint, sum(d.refused)::bigint, sum(d.uploaded_bytes)::bigint,
		sum(d.shares)::bigint, sum(d.opens)::bigint, sum(d.downloads)::bigint, sum(d.served_bytes)::bigint`+
		tables+where+" group by d.day order by d.day desc limit "+args.Add(maxDays), args.Values()...)
	if err != nil {
		return nil, understood(fmt.Errorf("usage by day: %w", err))
	}
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (UsageDay, error) {
		var d UsageDay
		err := row.Scan(&d.Day, &d.Uploads, &d.Refused, &d.UploadedBytes, &d.Shares, &d.Opens, &d.Downloads, &d.ServedBytes)
		return d, err
	})
	if err != nil {
		return nil, understood(fmt.Errorf("usage by day: %w", err))
	}
	for i, j := 0, len(days)-1; i < j; i, j = i+1, j-1 {
		days[i], days[j] = days[j], days[i]
	}
	return days, nil
}

// Groups are the totals by owner or by organisation within a scope, the largest first by stored bytes. Analysts may group by
// organisation only; auditors, admins and, within their organisation, partner admins by owner, too.
func (u *Usage) Groups(ctx context.Context, viewer domain.Actor, scope UsageScope, by UsageBy, p Paging, m Moment) (List[UsageGroup], error) {
	var column string
	switch by {
	case ByOwner:
		column = "i.owner"
		inside := scope.Organisation != "" && viewer.MemberOf(scope.Organisation) && viewer.Is(domain.RolePartnerAdmin)
		if !inside && !viewer.Is(domain.RoleAuditor, domain.RoleAdmin) {
			return List[UsageGroup]{}, ErrMayNotSee.On("by")
		}
	case ByOrganisation:
		column = "i.org"
	default:
		return List[UsageGroup]{}, domain.ErrInvalid.On("by").Because("accepted are owner and organisation")
	}
	p, err := p.checked()
	if err != nil {
		return List[UsageGroup]{}, err
	}
	bound := fmt.Sprintf("usage %s %+v %s", viewer.ID, scope, by)
	from, args, err := u.scoped(ctx, viewer, scope, m)
	if err != nil {
		return List[UsageGroup]{}, err
	}
	grouped := "select " + column + " as who, " + usageSums + from + " group by " + column
	total, err := func() (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		return Value[int64](ctx, u.view, "select count(*) from ("+grouped+") g", args)
	}()
	if err != nil {
		return List[UsageGroup]{}, understood(err)
	}
	sql := "select * from (" + grouped + ") g"
	tail := ""
	if p.Cursor != "" {
		place, err := decodeCursor(bound, p.Cursor, 2)
		if err != nil {
			return List[UsageGroup]{}, err
		}
		bytes, who := args.Add(place[0])+"::text::bigint", args.Add(place[1])
		sql += " where (bytes < " + bytes + " or bytes = " + bytes + " and who > " + who + ")"
	} else if p.Offset > 0 {
		tail = " offset " + args.Add(p.Offset)
	}
	return u.groups(ctx, sql+" order by bytes desc, who limit "+args.Add(p.Size+1)+tail, args, by, p.Size, List[UsageGroup]{Total: total}, bound)
}

func (u *Usage) groups(
	ctx context.Context, sql string, args *Args, by UsageBy, size int, out List[UsageGroup], bound string,
) (List[UsageGroup], error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := u.engine.pool.Query(ctx, sql, args.Values()...)
	if err != nil {
		return out, understood(fmt.Errorf("usage by %s: %w", by, err))
	}
	out.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (UsageGroup, error) {
		var g UsageGroup
		var who string
		err := row.Scan(append([]any{&who}, g.into()...)...)
		if by == ByOwner {
			g.Owner = domain.UserID(who)
		} else {
			g.Organisation = domain.OrgID(who)
		}
		return g, err
	})
	if err != nil {
		return out, understood(fmt.Errorf("usage by %s: %w", by, err))
	}
	if len(out.Items) > size {
		out.Items = out.Items[:size]
		last := out.Items[size-1]
		who := string(last.Owner)
		if by == ByOrganisation {
			who = string(last.Organisation)
		}
		out.Next = encodeCursor(bound, []string{fmt.Sprint(last.Bytes), who})
	}
	return out, nil
}

const usageSums = `coalesce(sum(d.items), 0)::bigint as items, coalesce(sum(d.deleted), 0)::bigint as deleted,
	coalesce(sum(d.versions), 0)::bigint as versions, coalesce(sum(d.bytes), 0)::bigint as bytes,
	coalesce(sum(d.uploads), 0)::bigint as uploads, coalesce(sum(d.refused), 0)::bigint as refused,
	coalesce(sum(d.uploaded_bytes), 0)::bigint as uploaded_bytes, coalesce(sum(d.shares), 0)::bigint as shares,
	coalesce(sum(d.opens), 0)::bigint as opens, coalesce(sum(d.downloads), 0)::bigint as downloads,
	coalesce(sum(d.served_bytes), 0)::bigint as served_bytes`

func (t *UsageTotals) into() []any {
	return []any{
		&t.Items, &t.Deleted, &t.Versions, &t.Bytes, &t.Uploads, &t.Refused, &t.UploadedBytes, &t.Shares, &t.Opens, &t.Downloads, &t.ServedBytes,
	}
}

// scoped is the from and where clause of what the viewer asks for: i is the item's row that says whose it is, d are its rows.
func (u *Usage) scoped(ctx context.Context, viewer domain.Actor, scope UsageScope, m Moment) (string, *Args, error) {
	if err := scope.allowed(viewer); err != nil {
		return "", nil, err
	}
	if !scope.All && scope.Owner == "" && scope.Organisation == "" {
		scope.Owner = viewer.ID
	}
	at, err := u.view.Resolve(ctx, m)
	if err != nil {
		return "", nil, err
	}
	args := &Args{}
	from := " from usage i join usage d on d.media = i.media where i.day = '' and " + at.Where("i", args) + " and " + at.Where("d", args)
	if scope.Owner != "" {
		from += " and i.owner = " + args.Add(string(scope.Owner))
	}
	if scope.Organisation != "" {
		from += " and i.org = " + args.Add(string(scope.Organisation))
	}
	return from, args, nil
}

func (s UsageScope) allowed(viewer domain.Actor) error {
	switch {
	case !viewer.Known():
		return ErrMayNotSee
	case viewer.Is(domain.RoleAuditor, domain.RoleAdmin):
		return nil
	case s.Owner != "" && s.Owner != viewer.ID:
		inside := s.Organisation != "" && viewer.MemberOf(s.Organisation) && viewer.Is(domain.RolePartnerAdmin)
		if !inside {
			return ErrMayNotSee.On("owner")
		}
		return nil
	case viewer.Is(domain.RoleAnalyst):
		return nil
	case s.Organisation != "" && !viewer.MemberOf(s.Organisation) && s.Owner == "":
		return ErrMayNotSee.On("organisation")
	case s.All:
		return ErrMayNotSee.On("scope")
	default:
		return nil
	}
}
