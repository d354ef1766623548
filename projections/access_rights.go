package projections

import (
	"cmp"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

// Principal is who has a right: a user or an organisation by id, whoever holds a link (by the share's id), or a role.
type Principal struct {
	Kind string `json:"kind"` // user, organisation, link, role
	ID   string `json:"id"`
}

// Grant is one reason why somebody may see an item.
type Grant struct {
	Media       domain.MediaID `json:"media_id"`
	Principal   Principal      `json:"principal"`
	Via         access.Via     `json:"via"` // owner, organisation, share, link, role
	Share       domain.ShareID `json:"share,omitempty"`
	Permissions []string       `json:"permissions"` // of view, download, edit, reshare
	HasPassword bool           `json:"has_password,omitempty"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty"`
	// Effective says whether the content may be had by it, as of the moment; Because says why not, by the code of the refusal.
	Effective bool   `json:"effective"`
	Because   string `json:"because,omitempty"`
	// Since is the event that gave the right; Chain are that and all others that decide: changed terms, the shares that it came
	// through, and what put the item in its state, in the order in which they happened.
	Since Cause   `json:"since,omitzero"`
	Chain []Cause `json:"chain"`

	seen bool // metadata may be seen by it
}

// Allows reports whether the grant includes the permission.
func (g Grant) Allows(p share.Permission) bool { return slices.Contains(g.Permissions, string(p)) }

// facts are the rows about one item at one moment.
type facts struct {
	item   Version[AccessRow]
	shares map[domain.ShareID]Version[AccessRow]
	now    time.Time // what the clock said at the moment
	open   Cause     // what opened the moderation case that is not closed, when there is one
}

func factsOf(rows []Version[AccessRow], now time.Time) (facts, bool) {
	f := facts{shares: make(map[domain.ShareID]Version[AccessRow], len(rows)), now: now}
	for _, v := range rows {
		if v.Row.Item != nil {
			f.item = v
		} else if v.Row.Share != nil {
			f.shares[v.Row.Share.ID] = v
		}
	}
	return f, f.item.Row.Item != nil && f.item.Row.Item.Owner != ""
}

func (f facts) id() domain.MediaID { return f.item.Row.Media }

// status is the item's status, as the library shows it.
func (f facts) status() MediaStatus {
	s := f.item.Row.Item
	m := Media{Phase: s.Phase, Version: s.Current}
	for _, h := range s.Holds {
		m.Holds = append(m.Holds, h.Kind)
	}
	for _, v := range s.Versions {
		m.Versions = append(m.Versions, FileVersion{Verdict: v.Screened.Verdict, Cleared: v.Cleared})
	}
	return m.status()
}

// held answers why the content cannot be had through the right; "" when it can. A share's own limits are not asked here.
func (f facts) held(via access.Via) string {
	s := f.item.Row.Item
	if err := s.Delivery(0); err != nil {
		return codeOf(err)
	}
	if s.Hold() == media.IsRestricted && (via == access.ViaLink || via == access.ViaOrganisation) {
		return access.ErrRestricted.Code
	}
	return ""
}

// heldFor is held for who sees every item by a role: the bytes are for moderators only, and only while there is a case.
func (f facts) heldFor(r domain.Role) string {
	switch {
	case r != domain.RoleModerator:
		return "role_sees_no_content"
	case f.open.IsZero():
		return "no_open_case"
	}
	if err := f.item.Row.Item.Evidence(0); err != nil {
		return codeOf(err)
	}
	return ""
}

// known reports whether an item in its state is there at all for somebody with the right.
func (f facts) known(via access.Via) bool {
	switch via {
	case access.ViaOwner, access.ViaRole:
		return true
	default:
		return slices.Contains(common(via == access.ViaShare), f.status())
	}
}

func codeOf(err error) string {
	if r, ok := domain.AsRefusal(err); ok {
		return r.Code
	}
	return "refused"
}

// grant fills in what every grant has.
func (f facts) grant(g Grant) Grant {
	g.Media = f.id()
	if g.Because == "" && g.Via != access.ViaRole {
		g.Because = f.held(g.Via)
	}
	g.Effective = g.Because == ""
	g.seen = f.known(g.Via)
	if state := f.item.Row.State; !state.IsZero() {
		g.Chain = append(g.Chain, state)
	}
	slices.SortFunc(g.Chain, func(a, b Cause) int { return cmp.Compare(a.Position, b.Position) })
	g.Chain = slices.CompactFunc(g.Chain, func(a, b Cause) bool { return a.Position == b.Position })
	return g
}

func (f facts) owner() Grant {
	return f.grant(Grant{
		Principal: Principal{Kind: "user", ID: string(f.item.Row.Item.Owner)}, Via: access.ViaOwner,
		Permissions: allPermissions(), Since: f.item.Row.Born, Chain: []Cause{f.item.Row.Born},
	})
}

func allPermissions() []string {
	return []string{string(share.Download), string(share.Edit), string(share.Reshare), string(share.View)}
}

// organisation is the right of the partners of the organisation that the item belongs to; its admins may share it, too.
func (f facts) organisation(admin bool) Grant {
	permissions := []string{string(share.Download), string(share.View)}
	if admin {
		permissions = []string{string(share.Download), string(share.Reshare), string(share.View)}
	}
	return f.grant(Grant{
		Principal: Principal{Kind: "organisation", ID: string(f.item.Row.Item.Org)}, Via: access.ViaOrganisation,
		Permissions: permissions, Since: f.item.Row.Born, Chain: []Cause{f.item.Row.Born},
	})
}

// seeingRoles are the roles that see every item.
func seeingRoles() []domain.Role {
	return []domain.Role{domain.RoleModerator, domain.RoleAuditor, domain.RoleAdmin}
}

func (f facts) role(r domain.Role) Grant {
	g := Grant{
		Principal: Principal{Kind: "role", ID: string(r)}, Via: access.ViaRole, Permissions: []string{string(share.View)}, Because: f.heldFor(r),
	}
	if r == domain.RoleModerator && !f.open.IsZero() {
		g.Since, g.Chain = f.open, []Cause{f.open}
	}
	return f.grant(g)
}

// through is the right that a share gives to whom it is for, and whether it gives any: what was revoked or has expired, or
// came through a share that was, gives none.
func (f facts) through(id domain.ShareID) (Grant, bool) {
	row := f.shares[id].Row
	s := *row.Share
	g := Grant{Share: id, Via: access.ViaShare, HasPassword: row.Password, ExpiresAt: optional(expiry(s.Terms)), Since: row.Born}
	use := share.Use{Media: s.Media, At: f.now, Opens: row.Opens, Password: share.PasswordRight}
	switch s.With.Kind {
	case share.WithUser:
		use.Viewer = domain.Actor{ID: s.With.User}
		g.Principal = Principal{Kind: "user", ID: string(s.With.User)}
	case share.WithOrganisation:
		use.Viewer = domain.Actor{ID: "member", Org: s.With.Organisation, Roles: []domain.Role{domain.RolePartner}}
		g.Principal = Principal{Kind: "organisation", ID: string(s.With.Organisation)}
	default:
		use.Token = s.With.Token
		g.Principal, g.Via = Principal{Kind: "link", ID: string(id)}, access.ViaLink
	}
	g.Chain = []Cause{row.Born, row.State}
	for up := s.Through; up != "" && len(use.Chain) < 4*share.MaxDepth; {
		parent, ok := f.shares[up]
		if !ok {
			return g, false
		}
		use.Chain = append(use.Chain, *parent.Row.Share)
		g.Chain = append(g.Chain, parent.Row.Born, parent.Row.State)
		up = parent.Row.Share.Through
	}
	if use.Check(s) != nil {
		return g, false
	}
	for _, p := range allPermissions() {
		use.Permission = share.Permission(p)
		if use.Check(s) == nil {
			g.Permissions = append(g.Permissions, p)
		}
	}
	use.Permission, use.Opening = "", true
	if err := use.Check(s); err != nil {
		g.Because = codeOf(err)
	}
	return f.grant(g), true
}

// everybody are all grants at the moment: the owner's, the organisation's, those of shares in the order in which they were
// given, and those of roles.
func (f facts) everybody() []Grant {
	all := []Grant{f.owner()}
	if f.item.Row.Item.Org != "" {
		all = append(all, f.organisation(false))
	}
	for _, id := range f.sharesInOrder() {
		if g, ok := f.through(id); ok {
			all = append(all, g)
		}
	}
	for _, r := range seeingRoles() {
		all = append(all, f.role(r))
	}
	return all
}

func (f facts) sharesInOrder() []domain.ShareID {
	ids := make([]domain.ShareID, 0, len(f.shares))
	for id := range f.shares {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b domain.ShareID) int {
		return cmp.Or(cmp.Compare(f.shares[a].Row.Born.Position, f.shares[b].Row.Born.Position), cmp.Compare(a, b))
	})
	return ids
}

// of are the viewer's grants, the strongest first: owner, organisation, shares (the widest first), role.
func (f facts) of(viewer domain.Actor) []Grant {
	var all []Grant
	item := f.item.Row.Item
	if !viewer.Known() {
		return nil
	}
	if viewer.ID == item.Owner {
		return append(all, f.owner()) // who judges his own item judges as its owner
	}
	if viewer.MemberOf(item.Org) {
		all = append(all, f.organisation(viewer.Is(domain.RolePartnerAdmin)))
	}
	from := len(all)
	for _, id := range f.sharesInOrder() {
		if f.shares[id].Row.Share.For(viewer) {
			if g, ok := f.through(id); ok {
				all = append(all, g)
			}
		}
	}
	slices.SortStableFunc(all[from:], func(a, b Grant) int {
		return cmp.Or(compareBools(b.Effective, a.Effective), cmp.Compare(len(b.Permissions), len(a.Permissions)))
	})
	for _, r := range seeingRoles() {
		if viewer.Is(r) {
			all = append(all, f.role(r))
		}
	}
	return slices.DeleteFunc(all, func(g Grant) bool { return !g.seen })
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// discreetly hides from whoever is not staff which moderator laid a hand on the item.
func discreetly(grants []Grant, viewer domain.Actor) []Grant {
	if isStaff(viewer) {
		return grants
	}
	hide := func(c Cause) Cause {
		if discreet(c.Type) && c.By != viewer.ID {
			c.By = ""
		}
		return c
	}
	for i := range grants {
		grants[i].Since = hide(grants[i].Since)
		for j := range grants[i].Chain {
			grants[i].Chain[j] = hide(grants[i].Chain[j])
		}
	}
	return grants
}

// isStaff reports whether the viewer sees reporters, moderators and internal reasons.
func isStaff(viewer domain.Actor) bool {
	return viewer.Is(seeingRoles()...)
}

// SeesAll reports whether the viewer sees every item, by role.
func SeesAll(viewer domain.Actor) bool { return isStaff(viewer) }
