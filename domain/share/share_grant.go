package share

import (
	"slices"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Item is what must be known of the media to grant: facts of its stream.
type Item struct {
	Owner      domain.UserID
	Org        domain.OrgID
	Shareable  bool // live, and neither quarantined nor removed
	Restricted bool // no links
}

// Grant gives access to an item.
type Grant struct {
	Share domain.ShareID
	Media domain.MediaID
	Item  Item
	By    domain.Actor
	With  Grantee
	Terms Terms
	At    time.Time
	// Chain are the share that gives By the right to grant, when he is not the owner, and those that it came through.
	Chain []State
}

// Decide grants, when By may give what he gives. To strangers the item does not exist.
func (c Grant) Decide(s State) ([]Event, error) {
	through, err := c.right()
	if err != nil {
		return nil, err
	}
	terms, err := c.Terms.check(c.With.Kind, c.At)
	if err != nil {
		return nil, err
	}
	if err := c.With.check(c.Item.Owner, c.By.ID); err != nil {
		return nil, err
	}
	if s.Known() {
		if s.By == c.By.ID && s.Media == c.Media && s.With == c.With && s.Terms.Same(terms) && !s.Revoked {
			return nil, nil
		}
		return nil, ErrExists
	}
	if !c.Item.Shareable {
		return nil, ErrNotShareable
	}
	if c.Item.Restricted && c.With.Kind == WithLink {
		return nil, ErrRestricted
	}
	if err := within(terms, c.Chain); err != nil {
		return nil, err
	}
	return []Event{Granted{
		Share: c.Share, Media: c.Media, Owner: c.Item.Owner, By: c.By.ID, With: c.With, Terms: terms, Through: through,
	}}, nil
}

// right answers through which share By may grant; none when he is the owner, or administers the organisation that owns.
func (c Grant) right() (domain.ShareID, error) {
	if c.Item.Owner == "" {
		return "", ErrNotFound
	}
	if len(c.Chain) == 0 {
		if Manages(c.By, c.Item.Owner, c.Item.Org) {
			return "", nil
		}
		if c.By.MemberOf(c.Item.Org) {
			return "", ErrNotOwner
		}
		return "", ErrNotFound
	}
	held := c.Chain[0]
	if held.Media != c.Media || !held.For(c.By) {
		return "", ErrNotFound
	}
	if err := held.holds(c.At, c.Chain[1:]); err != nil {
		return "", err
	}
	if !held.Terms.Allows(Reshare) {
		return "", ErrNoReshare
	}
	if len(c.Chain) >= MaxDepth {
		return "", ErrTooDeep
	}
	return held.ID, nil
}

// Manages reports whether the actor is the owner, or administers the organisation to which the item belongs.
func Manages(by domain.Actor, owner domain.UserID, org domain.OrgID) bool {
	return by.Known() && (by.ID == owner || by.MemberOf(org) && by.Is(domain.RolePartnerAdmin))
}

// within refuses terms that go beyond those of a share in the chain.
func within(t Terms, chain []State) error {
	for _, held := range chain {
		for _, p := range t.Permissions {
			if !held.Terms.Allows(p) {
				return ErrMoreThanHeld.On("permissions")
			}
		}
		if end := held.Terms.ExpiresAt; !end.IsZero() && (t.ExpiresAt.IsZero() || t.ExpiresAt.After(end)) {
			return ErrMoreThanHeld.On("expires_at")
		}
		if n := held.Terms.MaxOpens; n > 0 && (t.MaxOpens == 0 || t.MaxOpens > n) {
			return ErrMoreThanHeld.On("max_opens")
		}
	}
	return nil
}

func (r Grantee) check(owner, by domain.UserID) error {
	one := func(set ...bool) bool {
		n := 0
		for _, b := range set {
			if b {
				n++
			}
		}
		return n == 1
	}
	if !one(r.User != "", r.Organisation != "", r.Token != "") {
		return domain.ErrInvalid.On("with").Because("name exactly one of user, organisation, link")
	}
	var id string
	switch r.Kind {
	case WithUser:
		id = string(r.User)
		if r.User == owner || r.User == by {
			return domain.ErrInvalid.On("with.user").Because("the item is that user's already")
		}
	case WithOrganisation:
		id = string(r.Organisation)
	case WithLink:
		if _, err := domain.ParseDigest(string(r.Token)); err != nil {
			return err
		}
		return nil
	default:
		return domain.ErrInvalid.On("with").Because("the kind is not one of user, organisation, link")
	}
	if id == "" {
		return domain.ErrInvalid.On("with").Because("the kind and the field that is set do not fit")
	}
	if len(id) > 255 || strings.TrimSpace(id) == "" || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return domain.ErrInvalid.On("with").Because("an id has 1 to 255 bytes, not all of them blanks, and no control characters")
	}
	return nil
}

// check answers the terms in their one stored form: permissions sorted, each once, always with view; times in UTC.
func (t Terms) check(kind Kind, at time.Time) (Terms, error) {
	permissions := []Permission{View}
	for _, p := range t.Permissions {
		if !slices.Contains([]Permission{View, Download, Edit, Reshare}, p) {
			return Terms{}, domain.ErrInvalid.On("permissions").Because("a permission is not one of view, download, edit, reshare")
		}
		if kind == WithLink && (p == Edit || p == Reshare) {
			return Terms{}, domain.ErrInvalid.On("permissions").Because("a link allows to view and to download, nothing else")
		}
		permissions = append(permissions, p)
	}
	slices.Sort(permissions)
	t.Permissions = slices.Compact(permissions)
	if !t.ExpiresAt.IsZero() {
		if !t.ExpiresAt.After(at) {
			return Terms{}, domain.ErrInvalid.On("expires_at").Because("the end lies in the past")
		}
		t.ExpiresAt = t.ExpiresAt.UTC()
	}
	if t.PasswordHash != "" && kind != WithLink {
		return Terms{}, domain.ErrInvalid.On("password").Because("only a link has a password")
	}
	if t.MaxOpens < 0 || t.MaxOpens > 1_000_000_000 {
		return Terms{}, domain.ErrInvalid.On("max_opens").Because("the number of opens is from 0 (no limit) to 1,000,000,000")
	}
	return t, nil
}

func (e Granted) evolve(State) State {
	return State{ID: e.Share, Media: e.Media, Owner: e.Owner, By: e.By, With: e.With, Terms: e.Terms, Through: e.Through}
}

// Change replaces a share's terms.
type Change struct {
	By    domain.Actor
	Org   domain.OrgID // to which the item belongs: a fact of its stream
	Terms Terms
	At    time.Time
	Chain []State // the shares that this one came through, from its giver's up
}

// Decide changes the terms, within what the giver has himself.
func (c Change) Decide(s State) ([]Event, error) {
	if err := s.managed(c.By, c.Org); err != nil {
		return nil, err
	}
	if s.Revoked {
		return nil, ErrRevoked
	}
	if s.Closed {
		return nil, ErrClosed
	}
	terms := c.Terms
	if !terms.ExpiresAt.IsZero() && terms.ExpiresAt.Equal(s.Terms.ExpiresAt) {
		// An end that stays as it is may lie in the past: another term is being changed.
		c.At = terms.ExpiresAt.Add(-1)
	}
	terms, err := terms.check(s.With.Kind, c.At)
	if err != nil {
		return nil, err
	}
	if terms.Same(s.Terms) {
		return nil, nil
	}
	if err := within(terms, c.Chain); err != nil {
		return nil, err
	}
	return []Event{Changed{By: c.By.ID, Terms: terms}}, nil
}

func (e Changed) evolve(s State) State {
	s.Terms = e.Terms
	s.Expired, s.Exhausted, s.Announced = false, false, false
	return s
}

// Revoke ends a share at once.
type Revoke struct {
	By   domain.Actor
	Org  domain.OrgID // to which the item belongs: a fact of its stream
	Code Code         // why, when it is the vault itself
}

// Decide revokes, for whoever granted, the item's owner, his organisation's admin, and the vault itself.
func (c Revoke) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) || !s.Known() {
		if err := s.managed(c.By, c.Org); err != nil {
			return nil, err
		}
	}
	if s.Revoked {
		return nil, nil
	}
	return []Event{Revoked{By: c.By.ID, Code: c.Code}}, nil
}

func (e Revoked) evolve(s State) State { s.Revoked = true; return s }

// managed lets those through who may change a share, tells its grantees that they may not, and strangers nothing.
func (s State) managed(by domain.Actor, org domain.OrgID) error {
	switch {
	case !s.Known():
		return ErrNotFound
	case by.Known() && by.ID == s.By, Manages(by, s.Owner, org):
		return nil
	case s.For(by):
		return ErrNotOwner
	default:
		return ErrNotFound
	}
}
