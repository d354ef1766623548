package projections

import (
	"context"
	"slices"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/share"
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

// For is the grant by which the viewer may try what needs the permission: the strongest that is effective, or else one that is not,
// as far as the read model knows; the streams have the last word, and the better reason. False when none includes the permission.
func (r Right) For(p share.Permission) (Grant, bool) {
	allows := func(g Grant) bool { return g.Allows(p) }
	if i := slices.IndexFunc(r.Grants, func(g Grant) bool { return g.Effective && allows(g) }); i >= 0 {
		return r.Grants[i], true
	}
	if i := slices.IndexFunc(r.Grants, allows); i >= 0 {
		return r.Grants[i], true
	}
	return Grant{}, false
}

// AccessList is who may see an item at a moment.
type AccessList struct {
	Media  domain.MediaID
	Owner  domain.UserID
	Org    domain.OrgID
	Status MediaStatus
	Items  []Grant
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
		Items: discreetly(grants, viewer),
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
	rows, err := a.view.OfItem(ctx, at, id)
	if err != nil {
		return facts{}, understood(err)
	}
	f, ok := factsOf(rows, now)
	if !ok {
		return facts{}, ErrHidden
	}
	if cases {
		f.open, err = a.engine.openCase(ctx, id, at)
	}
	return f, err
}
