package projections

import (
	"errors"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	served := func(id domain.MediaID, what string, n int64) access.Served {
		return access.Served{Media: id, Version: 1, What: what, Via: access.ViaOwner, Bytes: n}
	}
	a := v.item(alice) // 1000 bytes
	v.by(alice, mediaStream(a), media.VersionAdded{Version: 2, File: file(alice, 500)})
	v.by(alice, accessStream(a), served(a, "content", 10), served(a, "download", 12))
	v.by(alice, accessStream(a+"-0"), access.Served{Media: a, Version: 1, What: "download", Via: access.ViaOwner, Bytes: 8, Continued: true})
	v.grant(alice, alice, a, withUser(bob), allow(share.View), "")
	b := v.item(alice)
	p := v.item(partner)
	v.item(chief)
	refused := newMedia()
	v.by(alice, mediaStream(refused), media.UploadRefused{Media: refused, Owner: alice.ID, Reasons: []string{"empty"}})
	before, err := v.store.Head(ctx)
	must(t, err)
	dayBefore := dayOf(v.clock())
	v.mu.Lock()
	v.now = v.now.Add(24 * time.Hour)
	v.mu.Unlock()
	v.by(alice, mediaStream(b), media.Deleted{By: alice.ID})
	v.by(alice, mediaStream(a), media.Deleted{By: alice.ID})
	v.by(alice, mediaStream(a), media.Purged{By: alice.ID})
	v.by(partner, accessStream(p), served(p, "thumbnail", 7))
	v.settle()

	t.Run("totals are those of the moment", func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			viewer domain.Actor
			scope  UsageScope
			m      Moment
			want   UsageTotals
		}{
			{"alice before", alice, UsageScope{}, AsOf(before), UsageTotals{
				Items: 2, Versions: 3, Bytes: 2500, Uploads: 3, Refused: 1, UploadedBytes: 2500, Shares: 1, Opens: 2, Downloads: 1, ServedBytes: 30,
			}},
			{"alice now", alice, UsageScope{}, Moment{}, UsageTotals{
				Items: 1, Deleted: 1, Versions: 1, Bytes: 1000, Uploads: 3, Refused: 1, UploadedBytes: 2500, Shares: 1, Opens: 2, Downloads: 1, ServedBytes: 30,
			}},
			{"acme, for its partner", partner, UsageScope{Organisation: "acme"}, Moment{}, UsageTotals{
				Items: 2, Versions: 2, Bytes: 2000, Uploads: 2, UploadedBytes: 2000, ServedBytes: 7,
			}},
			{"everything, for an analyst", analyst, UsageScope{All: true}, Moment{}, UsageTotals{
				Items: 3, Deleted: 1, Versions: 3, Bytes: 3000, Uploads: 5, Refused: 1, UploadedBytes: 4500, Shares: 1, Opens: 2, Downloads: 1, ServedBytes: 37,
			}},
			{"nothing, before everything", analyst, UsageScope{All: true}, AsOf(0), UsageTotals{}},
			{"of who has nothing", mallory, UsageScope{}, Moment{}, UsageTotals{}},
		} {
			got, err := v.usage.Totals(ctx, tt.viewer, tt.scope, tt.m)
			must(t, err)
			if got != tt.want {
				t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
			}
		}
	})

	t.Run("days tell what happened on each", func(t *testing.T) {
		days, err := v.usage.Days(ctx, admin, UsageScope{All: true}, time.Time{}, time.Time{}, Moment{})
		must(t, err)
		var sum UsageDay
		for i, d := range days {
			sum.Uploads += d.Uploads
			sum.ServedBytes += d.ServedBytes
			if i > 0 && days[i-1].Day >= d.Day {
				t.Errorf("days are not in order: %+v", days)
			}
		}
		if len(days) < 2 || sum.Uploads != 5 || sum.ServedBytes != 37 {
			t.Errorf("days are %+v", days)
		}
		last := days[len(days)-1]
		if last.Day != dayOf(v.clock()) || last.ServedBytes != 7 || last.Uploads != 0 {
			t.Errorf("the last day is %+v", last)
		}
		day, err := time.Parse(time.DateOnly, dayBefore)
		must(t, err)
		days, err = v.usage.Days(ctx, alice, UsageScope{}, day.AddDate(0, 0, 1), day.AddDate(0, 0, 5), Moment{})
		must(t, err)
		if len(days) != 0 {
			t.Errorf("alice did something later: %+v", days)
		}
		if _, err := v.usage.Days(ctx, alice, UsageScope{}, day, day.AddDate(0, 0, -1), Moment{}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a span that ends before it begins: %v", err)
		}
	})

	t.Run("groups are sums by owner or organisation, the largest first", func(t *testing.T) {
		var owners []domain.UserID
		paging := Paging{Size: 1}
		for range 10 {
			list, err := v.usage.Groups(ctx, admin, UsageScope{All: true}, ByOwner, paging, AsOf(before))
			must(t, err)
			if list.Total != 3 {
				t.Fatalf("there are %d owners", list.Total)
			}
			owners = append(owners, list.Items[0].Owner)
			if paging.Cursor = list.Next; paging.Cursor == "" {
				break
			}
		}
		if len(owners) != 3 || owners[0] != alice.ID || owners[1] != chief.ID || owners[2] != partner.ID {
			t.Errorf("owners are %v", owners)
		}
		list, err := v.usage.Groups(ctx, analyst, UsageScope{All: true}, ByOrganisation, Paging{}, Moment{})
		must(t, err)
		if len(list.Items) != 2 || list.Items[0].Organisation != "acme" || list.Items[0].Bytes != 2000 {
			t.Errorf("organisations are %+v", list.Items)
		}
	})

	t.Run("who may ask for whose usage", func(t *testing.T) {
		own, acme, globex, all, other := UsageScope{}, UsageScope{Organisation: "acme"}, UsageScope{Organisation: "globex"},
			UsageScope{All: true}, UsageScope{Owner: "alice"}
		member := UsageScope{Organisation: "acme", Owner: partner.ID}
		for _, tt := range []struct {
			viewer  domain.Actor
			allowed []UsageScope
			refused []UsageScope
		}{
			{guest, nil, []UsageScope{own, acme, all, other}},
			{bob, []UsageScope{own}, []UsageScope{acme, all, other, member}},
			{partner, []UsageScope{own, acme}, []UsageScope{globex, all, other}},
			{chief, []UsageScope{own, acme, member}, []UsageScope{globex, all, other}},
			{moderator, []UsageScope{own}, []UsageScope{acme, all, other}},
			{analyst, []UsageScope{own, acme, globex, all}, []UsageScope{other, member}},
			{auditor, []UsageScope{own, acme, globex, all, other, member}, nil},
			{admin, []UsageScope{own, acme, globex, all, other, member}, nil},
		} {
			for _, scope := range tt.allowed {
				if _, err := v.usage.Totals(ctx, tt.viewer, scope, Moment{}); err != nil {
					t.Errorf("%s, %+v: %v", tt.viewer.ID, scope, err)
				}
			}
			for _, scope := range tt.refused {
				if _, err := v.usage.Totals(ctx, tt.viewer, scope, Moment{}); !errors.Is(err, ErrMayNotSee) {
					t.Errorf("%s, %+v: %v", tt.viewer.ID, scope, err)
				}
			}
		}
		for _, viewer := range []domain.Actor{analyst, partner, bob} {
			if _, err := v.usage.Groups(ctx, viewer, UsageScope{Organisation: viewer.Org}, ByOwner, Paging{}, Moment{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("%s groups by owner: %v", viewer.ID, err)
			}
		}
		if _, err := v.usage.Groups(ctx, chief, acme, ByOwner, Paging{}, Moment{}); err != nil {
			t.Errorf("the organisation's admin groups by owner: %v", err)
		}
	})
}
