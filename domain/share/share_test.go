package share_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/share"
)

var (
	alice   = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	bob     = domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}
	carol   = domain.Actor{ID: "carol", Roles: []domain.Role{domain.RoleUser}}
	partner = domain.Actor{ID: "pam", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
	chief   = domain.Actor{ID: "chief", Org: "acme", Roles: []domain.Role{domain.RolePartnerAdmin}}
	now     = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	item    = share.Item{Owner: "alice", Org: "acme", Shareable: true}
)

const (
	token  = domain.Digest("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")
	photo  = domain.MediaID("m1")
	secret = "$argon2id$v=19$m=32768,t=2,p=1$c2FsdA$c3Vt" //nolint:gosec // not one
)

func given(t *testing.T, events ...share.Event) domaintest.Story[share.State, share.Event] {
	t.Helper()
	return domaintest.Given(t, share.Evolve, events...)
}

func granted(with share.Grantee, permissions ...share.Permission) share.Granted {
	return share.Granted{Share: "s1", Media: photo, Owner: "alice", By: "alice", With: with, Terms: share.Terms{Permissions: permissions}}
}

func withBob() share.Grantee { return share.Grantee{Kind: share.WithUser, User: "bob"} }
func byLink() share.Grantee  { return share.Grantee{Kind: share.WithLink, Token: token} }

func grant(by domain.Actor, with share.Grantee, permissions ...share.Permission) share.Grant {
	return share.Grant{Share: "s1", Media: photo, Item: item, By: by, With: with, Terms: share.Terms{Permissions: permissions}, At: now}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	t.Run("the owner shares with a user, and view is always among the permissions", func(t *testing.T) {
		t.Parallel()
		given(t).When(grant(alice, withBob(), share.Edit, share.Download, share.Edit).Decide).
			Then(granted(withBob(), share.Download, share.Edit, share.View))
	})
	t.Run("the organisation's admin shares what belongs to it", func(t *testing.T) {
		t.Parallel()
		want := granted(withBob(), share.View)
		want.By = "chief"
		given(t).When(grant(chief, withBob()).Decide).Then(want)
	})
	t.Run("to a stranger the item does not exist, and a member is told that it is not his", func(t *testing.T) {
		t.Parallel()
		given(t).When(grant(bob, share.Grantee{Kind: share.WithUser, User: "carol"}).Decide).Refused(share.ErrNotFound)
		given(t).When(grant(partner, withBob()).Decide).Refused(share.ErrNotOwner)
	})
	t.Run("what is held cannot be shared, and what is restricted not by link", func(t *testing.T) {
		t.Parallel()
		held := grant(alice, withBob())
		held.Item.Shareable = false
		given(t).When(held.Decide).Refused(share.ErrNotShareable)
		restricted := grant(alice, byLink())
		restricted.Item.Restricted = true
		given(t).When(restricted.Decide).Refused(share.ErrRestricted)
	})
	t.Run("wrong forms are refused", func(t *testing.T) {
		t.Parallel()
		for name, with := range map[string]share.Grantee{
			"nobody": {Kind: share.WithUser}, "two": {Kind: share.WithUser, User: "bob", Organisation: "acme"},
			"another field": {Kind: share.WithOrganisation, User: "bob"}, "the owner": {Kind: share.WithUser, User: "alice"},
			"control": {Kind: share.WithUser, User: "b\x00b"}, "blank": {Kind: share.WithUser, User: " "}, "no kind": {User: "bob"}, "no digest": {Kind: share.WithLink, Token: "x"},
		} {
			t.Log(name)
			given(t).When(grant(alice, with).Decide).Refused(domain.ErrInvalid)
		}
		for _, terms := range []share.Terms{
			{ExpiresAt: now}, {MaxOpens: -1}, {MaxOpens: 1 << 40}, {PasswordHash: secret}, {Permissions: []share.Permission{"own"}},
		} {
			c := grant(alice, withBob())
			c.Terms = terms
			given(t).When(c.Decide).Refused(domain.ErrInvalid)
		}
		given(t).When(grant(alice, byLink(), share.Edit).Decide).Refused(domain.ErrInvalid)
	})
}

func TestReshare(t *testing.T) {
	t.Parallel()
	held := share.Evolve(share.State{}, share.Granted{
		Share: "s0", Media: photo, Owner: "alice", By: "alice", With: withBob(),
		Terms: share.Terms{Permissions: []share.Permission{share.Reshare, share.View}, ExpiresAt: now.Add(time.Hour), MaxOpens: 5},
	})
	with := share.Grantee{Kind: share.WithUser, User: "carol"}
	reshare := func(terms share.Terms) share.Grant {
		return share.Grant{Share: "s1", Media: photo, Item: item, By: bob, With: with, Terms: terms, At: now, Chain: []share.State{held}}
	}
	ok := share.Terms{Permissions: []share.Permission{share.View}, ExpiresAt: now.Add(time.Minute), MaxOpens: 2}

	t.Run("who may share again gives what he has", func(t *testing.T) {
		t.Parallel()
		given(t).When(reshare(ok).Decide).Then(share.Granted{
			Share: "s1", Media: photo, Owner: "alice", By: "bob", With: with, Terms: ok, Through: "s0",
		})
	})
	t.Run("never more, nor for longer, nor more often than he has", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []func(*share.Terms){
			func(x *share.Terms) { x.Permissions = []share.Permission{share.Download} },
			func(x *share.Terms) { x.ExpiresAt = time.Time{} },
			func(x *share.Terms) { x.ExpiresAt = now.Add(2 * time.Hour) },
			func(x *share.Terms) { x.MaxOpens = 0 },
			func(x *share.Terms) { x.MaxOpens = 6 },
		} {
			terms := ok
			wrong(&terms)
			given(t).When(reshare(terms).Decide).Refused(share.ErrMoreThanHeld)
		}
	})
	t.Run("not without the permission, not when it is over, and not with another's share", func(t *testing.T) {
		t.Parallel()
		c := reshare(ok)
		c.Chain = []share.State{held}
		c.Chain[0].Terms.Permissions = []share.Permission{share.View}
		given(t).When(c.Decide).Refused(share.ErrNoReshare)
		c = reshare(ok)
		c.At = now.Add(time.Hour)
		given(t).When(c.Decide).Refused(share.ErrExpired)
		c = reshare(ok)
		c.By = carol
		given(t).When(c.Decide).Refused(share.ErrNotFound)
		revoked := held
		revoked.Revoked = true
		c = reshare(ok)
		c.Chain = []share.State{revoked}
		given(t).When(c.Decide).Refused(share.ErrRevoked)
	})
}

func TestChangeAndRevoke(t *testing.T) {
	t.Parallel()
	was := granted(withBob(), share.View)
	change := share.Change{By: alice, Terms: share.Terms{Permissions: []share.Permission{share.Download}, MaxOpens: 3}, At: now}
	t.Run("the terms are replaced, all of them", func(t *testing.T) {
		t.Parallel()
		given(t, was).When(change.Decide).Then(share.Changed{
			By: "alice", Terms: share.Terms{Permissions: []share.Permission{share.Download, share.View}, MaxOpens: 3},
		})
	})
	t.Run("a grantee may not, a stranger learns nothing, and what is revoked stays so", func(t *testing.T) {
		t.Parallel()
		theirs, strange := change, change
		theirs.By, strange.By = bob, carol
		given(t, was).When(theirs.Decide).Refused(share.ErrNotOwner)
		given(t, was).When(strange.Decide).Refused(share.ErrNotFound)
		given(t, was).When(share.Revoke{By: bob}.Decide).Refused(share.ErrNotOwner)
		given(t, was).When(share.Revoke{By: carol}.Decide).Refused(share.ErrNotFound)
		given(t).When(share.Revoke{By: domain.System()}.Decide).Refused(share.ErrNotFound)
		given(t, was, share.Revoked{By: "alice"}).When(change.Decide).Refused(share.ErrRevoked)
	})
	t.Run("revoking ends it, by the owner, by who granted, by the organisation's admin, and by the vault", func(t *testing.T) {
		t.Parallel()
		resold := was
		resold.By = "dave"
		for _, by := range []domain.Actor{alice, {ID: "dave"}, chief, domain.System()} {
			given(t, resold).When(share.Revoke{By: by, Org: "acme"}.Decide).Then(share.Revoked{By: by.ID})
		}
		ended := share.Revoked{By: domain.System().ID, Code: share.GranteeForgotten}
		given(t, resold).When(share.Revoke{By: domain.System(), Code: share.GranteeForgotten}.Decide).Then(ended)
		given(t, resold, ended).When(share.Revoke{By: domain.System(), Code: share.GranteeForgotten}.Decide).Nothing()
	})
	t.Run("an expired share can be prolonged, and changed without being prolonged", func(t *testing.T) {
		t.Parallel()
		was := was
		was.Terms.ExpiresAt = now.Add(-time.Hour)
		same := change
		same.Terms.ExpiresAt = was.Terms.ExpiresAt
		given(t, was).When(same.Decide).Then(share.Changed{By: "alice", Terms: share.Terms{
			Permissions: []share.Permission{share.Download, share.View}, MaxOpens: 3, ExpiresAt: was.Terms.ExpiresAt,
		}})
		past := change
		past.Terms.ExpiresAt = now.Add(-time.Minute)
		given(t, was).When(past.Decide).Refused(domain.ErrInvalid)
	})
}

func TestUse(t *testing.T) {
	t.Parallel()
	state := func(g share.Granted, more ...share.Event) share.State {
		return given(t, append([]share.Event{g}, more...)...).State()
	}
	refused := func(t *testing.T, use share.Use, s share.State, want *domain.Refusal) {
		t.Helper()
		if err := use.Check(s); !errors.Is(err, want) {
			t.Errorf("want %s, got %v", want.Code, err)
		}
	}
	bobs := share.Use{Media: photo, Viewer: bob, Permission: share.View, At: now, Opening: true}
	locked := granted(byLink(), share.View)
	locked.Terms = share.Terms{Permissions: []share.Permission{share.View}, ExpiresAt: now.Add(time.Hour), MaxOpens: 3, PasswordHash: secret}
	link := share.Use{Media: photo, Token: token, Permission: share.View, At: now, Opening: true, Password: share.PasswordRight}

	t.Run("those for whom it is meant may use it, and nobody else knows of it", func(t *testing.T) {
		t.Parallel()
		s := state(granted(withBob(), share.View))
		if err := bobs.Check(s); err != nil {
			t.Error(err)
		}
		for _, viewer := range []domain.Actor{alice, carol, {}} {
			u := bobs
			u.Viewer = viewer
			refused(t, u, s, share.ErrNotFound)
		}
		other := bobs
		other.Media = "m2"
		refused(t, other, s, share.ErrNotFound)
		org := state(granted(share.Grantee{Kind: share.WithOrganisation, Organisation: "acme"}, share.View))
		member, stranger := bobs, bobs
		member.Viewer, stranger.Viewer = partner, domain.Actor{ID: "x", Org: "acme", Roles: []domain.Role{domain.RoleUser}}
		if err := member.Check(org); err != nil {
			t.Error(err)
		}
		refused(t, stranger, org, share.ErrNotFound)
		download := bobs
		download.Permission = share.Download
		refused(t, download, s, share.ErrNotAllowed)
	})
	t.Run("a link needs its secret, its password, its time and an open that is left", func(t *testing.T) {
		t.Parallel()
		s := state(locked)
		if err := link.Check(s); err != nil {
			t.Error(err)
		}
		for _, c := range []struct {
			want   *domain.Refusal
			change func(*share.Use)
		}{
			{share.ErrNotFound, func(u *share.Use) { u.Token = "" }},
			{share.ErrNotFound, func(u *share.Use) { u.Token = token[1:] + "0" }},
			{share.ErrPassword, func(u *share.Use) { u.Password = share.PasswordMissing }},
			{share.ErrWrongPassword, func(u *share.Use) { u.Password = share.PasswordWrong }},
			{share.ErrExpired, func(u *share.Use) { u.At = now.Add(time.Hour) }},
			{share.ErrExhausted, func(u *share.Use) { u.Opens = 3 }},
		} {
			u := link
			c.change(&u)
			refused(t, u, s, c.want)
		}
		refused(t, link, state(locked, share.Revoked{By: "alice"}), share.ErrRevoked)
	})
	t.Run("what came through another share holds only while that one does", func(t *testing.T) {
		t.Parallel()
		parent := granted(withBob(), share.Reshare, share.View)
		child := granted(share.Grantee{Kind: share.WithUser, User: "carol"}, share.View)
		child.Share, child.By, child.Through = "s2", "bob", "s1"
		use := share.Use{Media: photo, Viewer: carol, Permission: share.View, At: now, Chain: []share.State{state(parent)}}
		if err := use.Check(state(child)); err != nil {
			t.Error(err)
		}
		for name, chain := range map[string][]share.State{
			"revoked":       {state(parent, share.Revoked{By: "alice"})},
			"may no longer": {state(parent, share.Changed{By: "alice", Terms: share.Terms{Permissions: []share.Permission{share.View}}})},
			"unknown":       {{}}, "not given": nil,
		} {
			t.Log(name)
			u := use
			u.Chain = chain
			refused(t, u, state(child), share.ErrRevoked)
		}
	})
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	terms := share.Terms{
		Permissions: []share.Permission{share.Download, share.View}, ExpiresAt: time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC),
		PasswordHash: secret, MaxOpens: 10,
	}
	user := granted(withBob(), share.View)
	user.Through = "s0"
	link := granted(byLink())
	link.Terms = terms
	domaintest.Golden(t, share.Types, user, link,
		granted(share.Grantee{Kind: share.WithOrganisation, Organisation: "acme"}, share.View),
		share.Changed{By: "alice", Terms: terms}, share.Revoked{By: "alice"},
		share.Revoked{By: domain.System().ID, Code: share.GranteeForgotten}, share.EndAnnounced{ExpiresAt: now}, share.EndAnnounced{OpensLeft: 2}, share.Expired{ExpiresAt: now}, share.Exhausted{Opens: 10},
		share.Suspended{Code: share.ItemQuarantined}, share.Resumed{Code: share.ItemQuarantined}, share.Closed{Code: share.ItemPurged})
}
