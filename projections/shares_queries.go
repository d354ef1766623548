package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Shares answers who was given what.
type Shares struct {
	view   View[ShareRow]
	items  *Access
	engine *Engine
	log    Times
}

// NewShares makes the queries. The engine must run SharesProjection and what access needs.
func NewShares(e *Engine, log Times, items *Access) (*Shares, error) {
	view, err := ViewOf(e, SharesProjection())
	return &Shares{view: view, items: items, engine: e, log: log}, err
}

// Share is one share as its giver, its grantee and auditors see it. Neither the link's secret nor its password's hash is in it.
type Share struct {
	ID          domain.ShareID      `json:"id"`
	MediaID     domain.MediaID      `json:"media_id"`
	Owner       domain.UserID       `json:"owner"`
	By          domain.UserID       `json:"by"`
	With        Grantee             `json:"with"`
	Permissions []string            `json:"permissions"`
	ExpiresAt   *time.Time          `json:"expires_at,omitempty"`
	HasPassword bool                `json:"has_password"`
	MaxOpens    int                 `json:"max_opens,omitempty"` // 0: no limit
	Opens       int                 `json:"opens"`
	LastOpened  *time.Time          `json:"last_opened_at,omitempty"`
	Status      string              `json:"status"` // as of the moment: active, expired, exhausted, revoked, suspended, closed
	Through     domain.ShareID      `json:"through,omitempty"`
	GrantedAt   time.Time           `json:"granted_at"`
	UpdatedAt   time.Time           `json:"updated_at"`
	RevokedAt   *time.Time          `json:"revoked_at,omitempty"`
	RevokedBy   domain.UserID       `json:"revoked_by,omitempty"`
	Revision    int64               `json:"revision"` // of the share's stream
	Position    eventstore.Position `json:"position"` // of the event that made it what it is
}

// Grantee is with whom: user and organisation by id, a link by nothing.
type Grantee struct {
	Kind         string        `json:"kind"` // user, organisation, link
	User         domain.UserID `json:"user,omitempty"`
	Organisation domain.OrgID  `json:"organisation,omitempty"`
}

// ShareQuery filters shares. The zero query is all of them, the newest first.
type ShareQuery struct {
	Media  domain.MediaID
	Status string // active, expired, exhausted, revoked, suspended, closed, or "" for any
	Kind   string // user, organisation, link, or "" for any
	Sort   string // granted_at, updated_at, opens; a leading - turns it round; "" is -granted_at
}

// Given are the shares that the viewer granted, or that are of media that the viewer manages: his own, and for a partner_admin his
// organisation's. With Media, auditors, moderators and admins see all shares of that item.
func (s *Shares) Given(ctx context.Context, viewer domain.Actor, q ShareQuery, p Paging, m Moment) (List[Share], error) {
	if !viewer.Known() {
		return List[Share]{}, ErrMayNotSee
	}
	return s.list(ctx, "given", q, p, m, func(l *listing[ShareRow], at At) error {
		if q.Media != "" {
			all, err := s.items.manages(ctx, viewer, q.Media, m)
			if err != nil || all {
				return err
			}
		}
		who := l.args.Add(string(viewer.ID))
		given := "s.owner = " + who + " or s.granted_by = " + who
		if viewer.MemberOf(viewer.Org) && viewer.Is(domain.RolePartnerAdmin) && s.engine.find(LibraryName) != nil {
			if _, err := s.engine.Resolve(ctx, m, LibraryName); err != nil {
				return err
			}
			given += " or s.media = any (" + itemsOfOrganisation(viewer.Org, at, &l.args) + ")"
		}
		l.and("(" + given + ")")
		return nil
	})
}

// Received are the shares for the viewer: by name, or for the organisation that the viewer is a partner in.
func (s *Shares) Received(ctx context.Context, viewer domain.Actor, q ShareQuery, p Paging, m Moment) (List[Share], error) {
	if !viewer.Known() {
		return List[Share]{}, ErrMayNotSee
	}
	return s.list(ctx, "received", q, p, m, func(l *listing[ShareRow], _ At) error {
		mine := "s.user_id = " + l.args.Add(string(viewer.ID))
		if viewer.MemberOf(viewer.Org) {
			mine = "(" + mine + " or s.organisation = " + l.args.Add(string(viewer.Org)) + ")"
		}
		l.and(mine)
		return nil
	})
}

// Get is one share, for who granted it, who owns or manages the media, whom it is for, and auditors, moderators and admins.
// Errors: ErrHidden for everybody else.
func (s *Shares) Get(ctx context.Context, viewer domain.Actor, id domain.ShareID, m Moment) (Share, error) {
	row, share, err := s.find(ctx, m, func(args *Args) string { return "s.key = " + args.Add(string(id)) })
	if err != nil {
		return Share{}, err
	}
	known := viewer.Known() && (viewer.ID == row.Owner || viewer.ID == row.By || viewer.ID == row.User) ||
		viewer.MemberOf(row.Organisation) || viewer.Is(domain.RoleAuditor, domain.RoleModerator, domain.RoleAdmin)
	if !known {
		if known, err = s.items.manages(ctx, viewer, row.Media, m); err != nil {
			return Share{}, err
		}
	}
	if !known {
		return Share{}, ErrHidden
	}
	return share, nil
}

// ByToken is the link with that secret's SHA-256, whatever its status. Errors: ErrHidden when there is none.
func (s *Shares) ByToken(ctx context.Context, token domain.Digest, m Moment) (Share, error) {
	if token == "" {
		return Share{}, ErrHidden
	}
	_, share, err := s.find(ctx, m, func(args *Args) string { return "s.token <> '' and s.token = " + args.Add(string(token)) })
	return share, err
}

func (s *Shares) find(ctx context.Context, m Moment, where func(*Args) string) (ShareRow, Share, error) {
	at, now, err := s.moment(ctx, m)
	if err != nil {
		return ShareRow{}, Share{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	rows, err := s.view.Query(ctx, "select "+s.view.Columns("s")+" from shares s where "+where(&args)+" and "+at.Where("s", &args)+" limit 1", &args)
	if err != nil {
		return ShareRow{}, Share{}, understood(err)
	}
	if len(rows) == 0 {
		return ShareRow{}, Share{}, ErrHidden
	}
	shares, err := s.shown(ctx, rows, at, now)
	if err != nil {
		return ShareRow{}, Share{}, err
	}
	return rows[0].Row, shares[0], nil
}

func (s *Shares) moment(ctx context.Context, m Moment) (At, time.Time, error) {
	at, err := s.view.Resolve(ctx, m)
	if err != nil {
		return At{}, time.Time{}, err
	}
	now, err := timeOfMoment(ctx, s.engine, s.log, m)
	return at, now, err
}

func (s *Shares) list(
	ctx context.Context, name string, q ShareQuery, p Paging, m Moment, restrict func(*listing[ShareRow], At) error,
) (List[Share], error) {
	at, now, err := s.moment(ctx, m)
	if err != nil {
		return List[Share]{}, err
	}
	l := listing[ShareRow]{view: s.view, from: "shares s", paging: p, bound: fmt.Sprintf("shares %s %+v", name, q)}
	l.and(at.Where("s", &l.args))
	if err := q.filter(&l, at, now); err != nil {
		return List[Share]{}, err
	}
	if err := q.sort(&l); err != nil {
		return List[Share]{}, err
	}
	if err := restrict(&l, at); err != nil {
		return List[Share]{}, err
	}
	rows, err := l.page(ctx)
	if err != nil {
		return List[Share]{}, err
	}
	items, err := s.shown(ctx, rows.Items, at, now)
	return List[Share]{Items: items, Total: rows.Total, More: rows.More, Next: rows.Next}, err
}

func (q ShareQuery) filter(l *listing[ShareRow], at At, now time.Time) error {
	if q.Media != "" {
		l.and("s.media = " + l.args.Add(string(q.Media)))
	}
	switch q.Kind {
	case "":
	case "user", "organisation", "link":
		l.and("s.recipient = " + l.args.Add(q.Kind))
	default:
		return domain.ErrInvalid.On("with").Because("accepted are user, organisation and link")
	}
	switch q.Status {
	case "":
	case ShareActive, ShareExpired, ShareExhausted, ShareRevoked, ShareSuspended, ShareClosed:
		l.and(shareStatus(at, now, &l.args) + " = " + l.args.Add(q.Status))
	default:
		return domain.ErrInvalid.On("status").Because("accepted are active, expired, exhausted, revoked, suspended and closed")
	}
	return nil
}

func (q ShareQuery) sort(l *listing[ShareRow]) error {
	name, down := direction(q.Sort, "-granted_at")
	var value func(ShareRow) string
	kind := "timestamptz"
	switch name {
	case "granted_at":
		value = func(r ShareRow) string { return placeTime(r.GrantedAt) }
	case "updated_at":
		value = func(r ShareRow) string { return placeTime(r.UpdatedAt) }
	case "opens":
		value, kind = func(r ShareRow) string { return fmt.Sprint(r.Opens) }, "bigint"
	default:
		return domain.ErrInvalid.On("sort").Because("accepted are granted_at, updated_at and opens, each also with a leading -")
	}
	l.order = []sorted{{column: "s." + name, sql: kind, down: down}, {column: "s.key", sql: "text", down: down}}
	l.place = func(v Version[ShareRow]) []string { return []string{value(v.Row), v.Key} }
	return nil
}

// shareStatus is the SQL of a share's status at a moment. A share that came through another is what that one is, as soon as that
// one is no longer active or no longer allows to share again.
func shareStatus(at At, now time.Time, args *Args) string {
	t := args.Add(now)
	return `(case
		when s.revoked then 'revoked'
		when s.through <> '' and exists (` + shareChain(at, args) + `
			select from up where up.revoked or not 'reshare' = any (up.permissions)) then 'revoked'
		when s.closed then 'closed'
		when s.expires_at <= ` + t + ` then 'expired'
		when s.through <> '' and exists (` + shareChain(at, args) + `
			select from up where up.expires_at <= ` + t + `) then 'expired'
		when s.max_opens > 0 and s.opens >= s.max_opens then 'exhausted'
		when s.suspended <> '' then 'suspended'
		else 'active' end)`
}

func shareChain(at At, args *Args) string {
	return `with recursive up as (
			select p.through, p.revoked, p.permissions, p.expires_at, 1 as depth from shares p where p.key = s.through and ` + at.Where("p", args) + `
			union all
			select p.through, p.revoked, p.permissions, p.expires_at, up.depth + 1 from shares p
			join up on p.key = up.through where up.depth < 64 and ` + at.Where("p", args) + `)`
}

// shown renders rows; what came through other shares is asked for once more, because its status depends on theirs.
func (s *Shares) shown(ctx context.Context, rows []Version[ShareRow], at At, now time.Time) ([]Share, error) {
	shares := make([]Share, len(rows))
	var through []string
	for i, v := range rows {
		shares[i] = v.Row.shown(v.From, now)
		if v.Row.Through != "" {
			through = append(through, v.Key)
		}
	}
	if len(through) == 0 {
		return shares, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	sql := "select array_agg(s.key), array_agg(" + shareStatus(at, now, &args) + ") from shares s where s.key = any (" +
		args.Add(through) + ") and " + at.Where("s", &args)
	var keys, statuses []string
	if err := s.engine.pool.QueryRow(ctx, sql, args.Values()...).Scan(&keys, &statuses); err != nil {
		return nil, fmt.Errorf("status of shares: %w", err)
	}
	for i, key := range keys {
		if n := slices.IndexFunc(shares, func(share Share) bool { return string(share.ID) == key }); n >= 0 {
			shares[n].Status = statuses[i]
		}
	}
	return shares, nil
}

func (row ShareRow) shown(position eventstore.Position, now time.Time) Share {
	return Share{
		ID: row.Share, MediaID: row.Media, Owner: row.Owner, By: row.By,
		With:        Grantee{Kind: row.Kind, User: row.User, Organisation: row.Organisation},
		Permissions: row.Permissions, ExpiresAt: optional(row.ExpiresAt), HasPassword: row.Password, MaxOpens: row.MaxOpens,
		Opens: row.Opens, LastOpened: optional(row.OpenedAt), Status: row.status(now), Through: row.Through,
		GrantedAt: row.GrantedAt, UpdatedAt: row.UpdatedAt, RevokedAt: optional(row.RevokedAt), RevokedBy: row.RevokedBy,
		Revision: row.Revision, Position: position,
	}
}
