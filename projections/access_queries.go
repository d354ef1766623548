package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Access answers who may see an item, and why. What it answers is for showing and for finding a right to try: whether bytes
// leave is decided once more, by the streams themselves, when they do.
type Access struct {
	view   View[AccessRow]
	engine *Engine
	log    Times
}

// NewAccess makes the queries. The engine must run AccessProjection, and ReviewProjection beside it.
func NewAccess(e *Engine, log Times) (*Access, error) {
	view, err := ViewOf(e, AccessProjection())
	return &Access{view: view, engine: e, log: log}, err
}

// Right is what one viewer may do with one item: the strongest grant, and what is known of the item.
type Right struct {
	Grant
	Owner  domain.UserID `json:"owner"`
	Org    domain.OrgID  `json:"organisation,omitempty"`
	Status MediaStatus   `json:"status"`
	// Grants are all that the viewer has, the strongest first.
	Grants []Grant `json:"-"`
}

// For is the strongest effective grant that includes the permission; false when none does.
func (r Right) For(p share.Permission) (Grant, bool) {
	for _, g := range r.Grants {
		if g.Effective && g.Allows(p) {
			return g, true
		}
	}
	return Grant{}, false
}

// AccessList is who may see an item at a moment.
type AccessList struct {
	Media  domain.MediaID `json:"media_id"`
	Owner  domain.UserID  `json:"owner"`
	Org    domain.OrgID   `json:"organisation,omitempty"`
	Status MediaStatus    `json:"status"`
	Items  []Grant        `json:"items"`
	Total  int64          `json:"total"`
}

// Right is the viewer's right to an item. Errors: ErrHidden when there is none, be it that there is no such item.
func (a *Access) Right(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (Right, error) {
	f, err := a.facts(ctx, id, m, viewer.Is(domain.RoleModerator))
	if err != nil {
		return Right{}, err
	}
	grants := discreetly(f.of(viewer), viewer)
	if len(grants) == 0 {
		return Right{}, ErrHidden
	}
	return f.right(grants), nil
}

// LinkRight is the right of whoever holds the secret of a link, whose SHA-256 the token is, to the item that it leads to.
// Errors: ErrHidden when there is none, or none any more.
func (a *Access) LinkRight(ctx context.Context, id domain.MediaID, token domain.Digest, m Moment) (Right, error) {
	f, err := a.facts(ctx, id, m, false)
	if err != nil {
		return Right{}, err
	}
	for shareID, v := range f.shares {
		if token == "" || v.Row.Share.With.Token != token {
			continue
		}
		if g, ok := f.through(shareID); ok && g.Via == access.ViaLink && g.seen {
			return f.right(discreetly([]Grant{g}, domain.Actor{})), nil
		}
	}
	return Right{}, ErrHidden
}

// WhoMaySee is everybody who may see an item, each with the reason. The owner, partner admins of its organisation and staff see
// all; who holds a share that may be passed on sees himself and those whom he passed it to. Errors: ErrHidden for strangers,
// ErrMayNotSee for all others.
func (a *Access) WhoMaySee(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (AccessList, error) {
	f, err := a.facts(ctx, id, m, true)
	if err != nil {
		return AccessList{}, err
	}
	mine := f.of(viewer)
	if len(mine) == 0 {
		return AccessList{}, ErrHidden
	}
	right := f.right(mine)
	var grants []Grant
	switch {
	case f.managedBy(viewer):
		grants = f.everybody()
	case right.Allows(share.Reshare):
		for _, g := range f.everybody() {
			own := f.shares[g.Share].Row.Share
			if g.Via == access.ViaOwner || own != nil && (own.For(viewer) || own.By == viewer.ID) {
				grants = append(grants, g)
			}
		}
	default:
		return AccessList{}, ErrMayNotSee
	}
	return AccessList{
		Media: id, Owner: right.Owner, Org: right.Org, Status: right.Status,
		Items: discreetly(grants, viewer), Total: int64(len(grants)),
	}, nil
}

func (f facts) right(grants []Grant) Right {
	item := f.item.Row.Item
	return Right{Grant: grants[0], Owner: item.Owner, Org: item.Org, Status: f.status(), Grants: grants}
}

// managedBy reports whether the viewer sees all that concerns the item's sharing.
func (f facts) managedBy(viewer domain.Actor) bool {
	item := f.item.Row.Item
	return viewer.Known() && viewer.ID == item.Owner || isStaff(viewer) ||
		viewer.MemberOf(item.Org) && viewer.Is(domain.RolePartnerAdmin)
}

// manages is managedBy, for an item that may not be there.
func (a *Access) manages(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (bool, error) {
	if isStaff(viewer) {
		return true, nil
	}
	f, err := a.facts(ctx, id, m, false)
	if r, ok := domain.AsRefusal(err); ok && r.Kind == domain.NotFound {
		return false, nil
	}
	return err == nil && f.managedBy(viewer), err
}

// facts reads what decides about one item, with one question, so that it is of one moment; with cases, also whether a moderation
// case is open, which decides what moderators see.
func (a *Access) facts(ctx context.Context, id domain.MediaID, m Moment, cases bool) (facts, error) {
	names := []string{AccessName}
	if cases = cases && a.engine.find(ReviewName) != nil; cases {
		names = append(names, ReviewName)
	}
	at, err := a.engine.Resolve(ctx, m, names...)
	if err != nil {
		return facts{}, err
	}
	now, err := timeOfMoment(ctx, a.engine, a.log, m)
	if err != nil {
		return facts{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	sql := "select " + a.view.Columns("s") + " from access s where s.media = " + args.Add(string(id)) + " and " + at.Where("s", &args)
	rows, err := a.view.Query(ctx, sql, &args)
	if err != nil {
		return facts{}, understood(err)
	}
	f, ok := factsOf(rows, now)
	if !ok {
		return facts{}, ErrHidden
	}
	if cases {
		f.open, err = a.openCase(ctx, id, at)
	}
	return f, err
}

// openCase is the event that opened the item's case, when it is not closed.
func (a *Access) openCase(ctx context.Context, id domain.MediaID, at At) (Cause, error) {
	var args Args
	sql := "select s.opened_position, s.opened_at from review s where s.media = " + args.Add(string(id)) + " and s.status <> 'closed' and " +
		at.Where("s", &args) + " order by s.opened_position limit 1"
	c := Cause{Type: moderation.Opened{}.EventType()}
	err := a.engine.pool.QueryRow(ctx, sql, args.Values()...).Scan(&c.Position, &c.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return Cause{}, nil
	}
	if err != nil {
		return Cause{}, fmt.Errorf("open case of an item: %w", err)
	}
	c.At = c.At.UTC()
	return c, nil
}

// Position is how far the read model has come.
func (a *Access) Position(ctx context.Context) (eventstore.Position, error) {
	return a.engine.Position(ctx, AccessName)
}
