package projections

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestSharesRow(t *testing.T) {
	t.Parallel()
	id, s := newMedia(), newShare()
	ends := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	terms := share.Terms{Permissions: []share.Permission{share.View}, PasswordHash: "hash", ExpiresAt: ends, MaxOpens: 2}
	var row ShareRow
	there := false
	for i, e := range []domain.Event{
		share.Granted{Share: s, Media: id, Owner: "alice", By: "alice", With: withLink(digest('a')), Terms: terms},
		access.Served{Media: id, Share: s, Via: access.ViaLink, What: "content", Bytes: 1},
		share.Changed{By: "alice", Terms: allow(share.Download, share.View)},
		share.Revoked{By: "chief"},
	} {
		row, there = sharesModel{}.Evolve(string(s), row, recorded(eventstore.Position(i+1), shareStream(s), e))
	}
	if !there || row.Media != id || row.Opens != 1 || !row.Limited || row.Password || row.MaxOpens != 0 || !row.ExpiresAt.IsZero() {
		t.Errorf("the row is %+v", row)
	}
	if !row.Revoked || row.RevokedBy != "chief" || !slices.Equal(row.Permissions, []string{"download", "view"}) {
		t.Errorf("the row is %+v", row)
	}
	if _, there := (sharesModel{}).Evolve(string(s), ShareRow{}, recorded(1, accessStream(id), access.Served{Share: s})); there {
		t.Error("an access to a share that nobody granted makes a row")
	}
}

func TestShareStatusFollowsTheMoment(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		row  ShareRow
		at   time.Time
		want string
	}{
		{ShareRow{}, end, ShareActive},
		{ShareRow{ExpiresAt: end}, end.Add(-1), ShareActive},
		{ShareRow{ExpiresAt: end}, end, ShareExpired},
		{ShareRow{MaxOpens: 2, Opens: 1}, end, ShareActive},
		{ShareRow{MaxOpens: 2, Opens: 2}, end, ShareExhausted},
		{ShareRow{Revoked: true, ExpiresAt: end, MaxOpens: 1, Opens: 1}, end, ShareRevoked},
	} {
		if got := tt.row.status(tt.at); got != tt.want {
			t.Errorf("%+v is %s, not %s", tt.row, got, tt.want)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	id := v.item(alice)
	toBob := v.grant(alice, alice, id, withUser(bob), allow(share.Reshare, share.View), "")
	toAcme := v.grant(alice, alice, id, withOrg("acme"), allow(share.View), "")
	terms := allow(share.View)
	terms.PasswordHash, terms.MaxOpens = "$argon2id$x", 1
	link := v.grant(alice, alice, id, withLink(digest('1')), terms, "")
	short := allow(share.View)
	short.ExpiresAt = v.clock().Add(30 * time.Second)
	toCarol := v.grant(bob, alice, id, withUser(carol), short, toBob)
	before, err := v.store.Head(ctx)
	must(t, err)
	v.by(guest, accessStream(link), access.Served{Media: id, Version: 1, What: "content", Via: access.ViaLink, Share: link, Bytes: 5})
	v.by(guest, accessStream(link+"-0"), access.Served{Media: id, Version: 1, What: "content", Via: access.ViaLink, Share: link, Bytes: 5, Continued: true})
	v.by(alice, shareStream(toAcme), share.Revoked{By: alice.ID})
	v.settle()

	t.Run("what was given to a person by name and has not ended for good is found page by page", func(t *testing.T) {
		for person, want := range map[domain.UserID][]domain.ShareID{bob.ID: {toBob}, carol.ID: {toCarol}, alice.ID: {}, "": {}} {
			got, err := v.shares.SharesTo(ctx, person, "")
			must(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("%s was given %v, want %v", person, got, want)
			}
			if len(want) == 0 {
				continue
			}
			if got, err = v.shares.SharesTo(ctx, person, want[0]); err != nil || len(got) > 0 {
				t.Errorf("%s, next page: %v, %v", person, got, err)
			}
		}
	})

	t.Run("who gave a link reads how its opens were gone on with, and nobody else does", func(t *testing.T) {
		parts := string(accessStream(link + "-0"))
		if got, err := v.history.Stream(ctx, alice, parts, 0, 100, Moment{}); err != nil || len(got.Items) != 1 {
			t.Errorf("alice: %+v, %v", got, err)
		}
		if _, err := v.history.Stream(ctx, mallory, parts, 0, 100, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("mallory: %v", err)
		}
	})

	t.Run("given and received are what they say", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			ask  func(m Moment) (List[Share], error)
			want []domain.ShareID
		}{
			{"given by alice", func(m Moment) (List[Share], error) { return v.shares.Given(ctx, alice, ShareQuery{}, Paging{}, m) }, []domain.ShareID{toCarol, link, toAcme, toBob}},
			{"given by bob", func(m Moment) (List[Share], error) { return v.shares.Given(ctx, bob, ShareQuery{}, Paging{}, m) }, []domain.ShareID{toCarol}},
			{"received by bob", func(m Moment) (List[Share], error) { return v.shares.Received(ctx, bob, ShareQuery{}, Paging{}, m) }, []domain.ShareID{toBob}},
			{"received by acme", func(m Moment) (List[Share], error) { return v.shares.Received(ctx, partner, ShareQuery{}, Paging{}, m) }, []domain.ShareID{toAcme}},
			{"received by a user with acme's name only", func(m Moment) (List[Share], error) {
				return v.shares.Received(ctx, domain.Actor{ID: "x", Org: "acme", Roles: []domain.Role{domain.RoleUser}}, ShareQuery{}, Paging{}, m)
			}, nil},
			{"given by mallory of alice's item", func(m Moment) (List[Share], error) {
				return v.shares.Given(ctx, mallory, ShareQuery{Media: id}, Paging{}, m)
			}, nil},
			{"all of the item, for an auditor", func(m Moment) (List[Share], error) {
				return v.shares.Given(ctx, auditor, ShareQuery{Media: id}, Paging{}, m)
			}, []domain.ShareID{toCarol, link, toAcme, toBob}},
			{"links of alice", func(m Moment) (List[Share], error) {
				return v.shares.Given(ctx, alice, ShareQuery{Kind: "link"}, Paging{}, m)
			}, []domain.ShareID{link}},
		} {
			for _, m := range []Moment{{}, AsOf(before)} {
				list, err := tt.ask(m)
				must(t, err)
				if got := shareIDs(list); !slices.Equal(got, tt.want) || list.Total != int64(len(tt.want)) {
					t.Errorf("%s: got %v of %d, want %v", tt.name, got, list.Total, tt.want)
				}
			}
		}
	})

	t.Run("the status is that of the moment, in the list, the filter and the share itself", func(t *testing.T) {
		for _, tt := range []struct {
			m    Moment
			want map[domain.ShareID]string
		}{
			{AsOf(before), map[domain.ShareID]string{toBob: ShareActive, toAcme: ShareActive, link: ShareActive, toCarol: ShareActive}},
			{Moment{}, map[domain.ShareID]string{toBob: ShareActive, toAcme: ShareRevoked, link: ShareExhausted, toCarol: ShareExpired}},
		} {
			for _, status := range []string{ShareActive, ShareExpired, ShareExhausted, ShareRevoked} {
				list, err := v.shares.Given(ctx, alice, ShareQuery{Status: status}, Paging{}, tt.m)
				must(t, err)
				n := 0
				for _, want := range tt.want {
					if want == status {
						n++
					}
				}
				if len(list.Items) != n {
					t.Errorf("filter %s finds %d, not %d", status, len(list.Items), n)
				}
				for _, s := range list.Items {
					if tt.want[s.ID] != status || s.Status != status {
						t.Errorf("filter %s finds %s, which is %s", status, s.ID, s.Status)
					}
				}
			}
			for id, want := range tt.want {
				s, err := v.shares.Get(ctx, alice, id, tt.m)
				must(t, err)
				if s.Status != want {
					t.Errorf("%s is %s, not %s", id, s.Status, want)
				}
			}
		}
	})

	t.Run("what came through a share ends with it", func(t *testing.T) {
		id := v.item(alice)
		a := v.grant(alice, alice, id, withUser(bob), allow(share.Reshare, share.View), "")
		b := v.grant(bob, alice, id, withUser(carol), allow(share.Reshare, share.View), a)
		c := v.grant(carol, alice, id, withUser(mallory), allow(share.View), b)
		while, err := v.store.Head(ctx)
		must(t, err)
		v.by(alice, shareStream(a), share.Changed{By: alice.ID, Terms: allow(share.View)})
		v.settle()
		for m, want := range map[Moment]string{AsOf(while): ShareActive, {}: ShareRevoked} {
			s, err := v.shares.Get(ctx, mallory, c, m)
			must(t, err)
			list, err := v.shares.Received(ctx, mallory, ShareQuery{Status: want}, Paging{}, m)
			must(t, err)
			library, err := NewLibrary(v.engine, v.log)
			must(t, err)
			if _, err := library.Item(ctx, mallory, id, m); (err == nil) != (want == ShareActive) {
				t.Errorf("while the share is %s, the library answers %v", want, err)
			}
			if s.Status != want || len(list.Items) != 1 {
				t.Errorf("the share is %s (%d found), not %s", s.Status, len(list.Items), want)
			}
		}
	})

	t.Run("an organisation's admin sees the shares of its items, a member does not", func(t *testing.T) {
		id := v.item(partner)
		given := v.grant(partner, partner, id, withUser(carol), allow(share.View), "")
		v.settle()
		for _, q := range []ShareQuery{{}, {Media: id}} {
			list, err := v.shares.Given(ctx, chief, q, Paging{}, Moment{})
			must(t, err)
			if got := shareIDs(list); !slices.Equal(got, []domain.ShareID{given}) {
				t.Errorf("the admin sees %v", got)
			}
			member := domain.Actor{ID: "pete", Org: "acme", Roles: []domain.Role{domain.RolePartner}}
			if list, err = v.shares.Given(ctx, member, q, Paging{}, Moment{}); err != nil || len(list.Items) != 0 {
				t.Errorf("the member sees %v, %v", list.Items, err)
			}
		}
		if _, err := v.shares.Get(ctx, chief, given, Moment{}); err != nil {
			t.Errorf("the admin reads it: %v", err)
		}
	})

	t.Run("a share is there for those whom it concerns only", func(t *testing.T) {
		for who, want := range map[*domain.Actor]error{
			&alice: nil, &carol: nil, &bob: nil, &auditor: nil, &admin: nil, &mallory: ErrHidden, &partner: ErrHidden, &guest: ErrHidden, &analyst: ErrHidden,
		} {
			if _, err := v.shares.Get(ctx, *who, toCarol, Moment{}); !errors.Is(err, want) {
				t.Errorf("%s: %v", who.ID, err)
			}
		}
		if _, err := v.shares.Get(ctx, alice, newShare(), Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("no such share: %v", err)
		}
	})

	t.Run("a link is found by its secret's digest, without its password's hash", func(t *testing.T) {
		s, err := v.shares.ByToken(ctx, digest('1'), Moment{})
		must(t, err)
		if s.ID != link || !s.HasPassword || s.Opens != 1 {
			t.Errorf("found %+v", s)
		}
		for _, token := range []domain.Digest{"", digest('9')} {
			if _, err := v.shares.ByToken(ctx, token, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%q: %v", token, err)
			}
		}
	})

	t.Run("pages follow each other, whichever way the list is sorted", func(t *testing.T) {
		for _, sort := range []string{"", "granted_at", "-granted_at", "updated_at", "-opens", "opens"} {
			whole, err := v.shares.Given(ctx, alice, ShareQuery{Sort: sort}, Paging{Size: 100}, Moment{})
			must(t, err)
			var byCursor, byOffset []domain.ShareID
			p := Paging{Size: 2}
			for {
				list, err := v.shares.Given(ctx, alice, ShareQuery{Sort: sort}, p, Moment{})
				must(t, err)
				byCursor = append(byCursor, shareIDs(list)...)
				if p.Cursor = list.Next; p.Cursor == "" {
					break
				}
			}
			for offset := 0; offset < int(whole.Total); offset += 2 {
				list, err := v.shares.Given(ctx, alice, ShareQuery{Sort: sort}, Paging{Size: 2, Offset: offset}, Moment{})
				must(t, err)
				byOffset = append(byOffset, shareIDs(list)...)
			}
			if all := shareIDs(whole); !slices.Equal(byCursor, all) || !slices.Equal(byOffset, all) {
				t.Errorf("sort %q: %v by cursor, %v by page, %v at once", sort, byCursor, byOffset, all)
			}
		}
	})

	t.Run("what cannot be asked is refused by the field's name", func(t *testing.T) {
		first, err := v.shares.Given(ctx, alice, ShareQuery{}, Paging{Size: 1}, Moment{})
		must(t, err)
		for i, tt := range []struct {
			q     ShareQuery
			p     Paging
			field string
		}{
			{ShareQuery{Status: "gone"}, Paging{}, "status"},
			{ShareQuery{Sort: "owner; drop table shares"}, Paging{}, "sort"},
			{ShareQuery{Sort: "-"}, Paging{}, "sort"},
			{ShareQuery{Kind: "all"}, Paging{}, "with"},
			{ShareQuery{}, Paging{Size: 1001}, "page_size"},
			{ShareQuery{}, Paging{Size: -1}, "page_size"},
			{ShareQuery{}, Paging{Offset: -1}, "page"},
			{ShareQuery{}, Paging{Cursor: "nonsense"}, "cursor"},
			{ShareQuery{Sort: "opens"}, Paging{Cursor: first.Next}, "cursor"},
		} {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				_, err := v.shares.Given(ctx, alice, tt.q, tt.p, Moment{})
				if r, ok := domain.AsRefusal(err); !ok || r.Field != tt.field {
					t.Errorf("got %v, want a refusal of %s", err, tt.field)
				}
			})
		}
	})
}

func shareIDs(list List[Share]) []domain.ShareID {
	var ids []domain.ShareID
	for _, s := range list.Items {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestWhoWasJustGivenAShareIsFound(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id := v.item(alice)
	for range 20 { // without waiting for the read model
		who := domain.Actor{ID: domain.UserID(newMedia()), Roles: []domain.Role{domain.RoleUser}}
		s := v.grant(alice, alice, id, withUser(who), allow(share.View), "")
		if got, err := v.shares.SharesWith(t.Context(), id, who); err != nil || len(got) != 1 || got[0] != s {
			t.Fatalf("found %v, %v", got, err)
		}
	}
	if got, err := v.shares.SharesWith(t.Context(), id, mallory); err != nil || len(got) > 0 {
		t.Errorf("a stranger has %v, %v", got, err)
	}
}
