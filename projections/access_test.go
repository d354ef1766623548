package projections

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()

	t.Run("a stranger does not learn that there is an item", func(t *testing.T) {
		id := v.item(alice)
		v.settle()
		for _, who := range []domain.Actor{mallory, guest, partner, analyst} {
			if _, err := v.access.Right(ctx, who, id, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%s: %v", who.ID, err)
			}
			if _, err := v.access.WhoMaySee(ctx, who, id, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%s: %v", who.ID, err)
			}
		}
		if _, err := v.access.Right(ctx, auditor, newMedia(), Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("an item that there is not: %v", err)
		}
	})

	t.Run("everybody who may see is listed with the event that gave the right", func(t *testing.T) {
		id := newMedia()
		born := v.by(partner, mediaStream(id), uploaded(id, partner, 10))
		v.by(domain.System(), mediaStream(id), clean(1))
		toBob := v.grant(partner, partner, id, withUser(bob), allow(share.View, share.Download), "")
		granted, err := v.store.Head(ctx)
		must(t, err)
		v.grant(partner, partner, id, withOrg("globex"), allow(share.View), "")
		v.grant(partner, partner, id, withLink(digest('a')), allow(share.View), "")
		v.settle()
		list, err := v.access.WhoMaySee(ctx, partner, id, Moment{})
		must(t, err)
		var kinds []string
		for _, g := range list.Items {
			kinds = append(kinds, g.Principal.Kind+" "+string(g.Via))
			if g.Effective != (g.Via != access.ViaRole) {
				t.Errorf("%v is not effective: %s", g.Principal, g.Because)
			}
		}
		want := []string{"user owner", "organisation organisation", "user share", "organisation share", "link link", "role role", "role role", "role role"}
		if !slices.Equal(kinds, want) {
			t.Errorf("listed are %v", kinds)
		}
		if since := list.Items[0].Since; since.Position != born || since.Type != "media.uploaded" || since.By != partner.ID {
			t.Errorf("the owner has it since %+v", since)
		}
		if since := list.Items[2].Since; since.Position != granted || since.Type != "share.granted" {
			t.Errorf("bob has it since %+v", since)
		}
		right, err := v.access.Right(ctx, bob, id, Moment{})
		must(t, err)
		if right.Via != access.ViaShare || right.Share != toBob || !right.Allows(share.Download) || right.Allows(share.Edit) {
			t.Errorf("bob's right is %+v", right)
		}
		if _, err := v.access.WhoMaySee(ctx, bob, id, Moment{}); !errors.Is(err, ErrMayNotSee) {
			t.Errorf("who holds a plain share sees who else does: %v", err)
		}
		right, err = v.access.Right(ctx, chief, id, Moment{})
		must(t, err)
		if right.Via != access.ViaOrganisation || !right.Allows(share.Reshare) {
			t.Errorf("the organisation's admin has %+v", right)
		}
	})

	t.Run("a hold closes the content, and says since which event", func(t *testing.T) {
		id := v.item(alice)
		v.grant(alice, alice, id, withUser(bob), allow(share.View), "")
		link := v.grant(alice, alice, id, withLink(digest('b')), allow(share.View), "")
		before, err := v.store.Head(ctx)
		must(t, err)
		held := v.by(domain.System(), mediaStream(id), media.Quarantined{Source: media.Source{Case: "c", Number: 1, By: moderator.ID}, Code: "moderation"})
		v.settle()
		if _, err := v.access.Right(ctx, bob, id, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("a quarantined item is still there for bob: %v", err)
		}
		behindLink := func(m Moment) Grant {
			list, err := v.access.WhoMaySee(ctx, alice, id, m)
			must(t, err)
			return list.Items[slices.IndexFunc(list.Items, func(g Grant) bool { return g.Share == link })]
		}
		if g := behindLink(Moment{}); g.Effective || g.Because != media.ErrQuarantined.Code {
			t.Errorf("a quarantined item is still there behind the link: %+v", g)
		}
		right, err := v.access.Right(ctx, alice, id, Moment{})
		must(t, err)
		last := right.Chain[len(right.Chain)-1]
		if right.Effective || right.Because != media.ErrQuarantined.Code || right.Status != StatusQuarantined || last.Position != held || last.By != "" {
			t.Errorf("the owner has %+v", right)
		}
		c := newCase()
		opened := v.by(bob, caseStream(c), moderation.Opened{Case: c, Media: id, Owner: alice.ID, Origin: moderation.FromReport, By: bob.ID, Category: "spam"})
		v.settle()
		right, err = v.access.Right(ctx, moderator, id, Moment{})
		must(t, err)
		if right.Via != access.ViaRole || !right.Effective || right.Since.Position != opened {
			t.Errorf("the moderator has %+v", right)
		}
		right, err = v.access.Right(ctx, bob, id, AsOf(before))
		must(t, err)
		if !right.Effective || right.Via != access.ViaShare {
			t.Errorf("before that bob had %+v", right)
		}
		if g := behindLink(AsOf(before)); !g.Effective || g.Via != access.ViaLink {
			t.Errorf("before that the link gave %+v", g)
		}
		v.by(domain.System(), mediaStream(id), media.Released{Source: media.Source{Case: "c", Number: 2, By: judge.ID}})
		v.settle()
		if right, err = v.access.Right(ctx, bob, id, Moment{}); err != nil || !right.Effective {
			t.Errorf("released, bob has %+v, %v", right, err)
		}
	})

	t.Run("a share ends when it is revoked, when its time is over, and when the share that it came through ends", func(t *testing.T) {
		id := v.item(alice)
		parent := v.grant(alice, alice, id, withUser(bob), allow(share.Reshare, share.View), "")
		terms := allow(share.View)
		terms.ExpiresAt = v.clock().Add(time.Hour)
		v.grant(bob, alice, id, withUser(carol), terms, parent)
		v.settle()
		while := AsOfTime(v.clock())
		right, err := v.access.Right(ctx, carol, id, while)
		must(t, err)
		if len(right.Chain) < 3 {
			t.Errorf("the chain does not name both grants: %+v", right.Chain)
		}
		if _, err := v.access.Right(ctx, carol, id, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("after its time the share still gives a right: %v", err)
		}
		list, err := v.access.WhoMaySee(ctx, bob, id, while)
		must(t, err)
		if len(list.Items) != 3 {
			t.Errorf("who may pass on sees the owner, himself and whom he passed it to, not %+v", list.Items)
		}
		v.by(alice, shareStream(parent), share.Revoked{By: alice.ID})
		v.settle()
		if _, err := v.access.Right(ctx, carol, id, AsOfTime(v.clock())); !errors.Is(err, ErrHidden) {
			t.Errorf("what came through a revoked share still gives a right: %v", err)
		}
		if _, err := v.access.Right(ctx, carol, id, while); err != nil {
			t.Errorf("the past changed: %v", err)
		}
	})

	t.Run("an exhausted share is known, and opens nothing", func(t *testing.T) {
		id := v.item(alice)
		terms := allow(share.View)
		terms.MaxOpens = 1
		s := v.grant(alice, alice, id, withUser(bob), terms, "")
		v.by(bob, accessStream(s), access.Served{Media: id, Version: 1, What: "content", Via: access.ViaShare, Share: s, Bytes: 10})
		v.settle()
		right, err := v.access.Right(ctx, bob, id, Moment{})
		must(t, err)
		if right.Effective || right.Because != share.ErrExhausted.Code {
			t.Errorf("bob has %+v", right)
		}
		if g, ok := right.For(share.View); !ok || g.Effective || g.Share != s {
			t.Errorf("to view serves %+v, which says why not", g)
		}
		if g, ok := right.For(share.Edit); ok {
			t.Errorf("to edit serves %+v", g)
		}
	})

	t.Run("the strongest right wins, and the widest share among several", func(t *testing.T) {
		id := v.item(partner)
		v.grant(partner, partner, id, withUser(chief), allow(share.View), "")
		wide := v.grant(partner, partner, id, withUser(chief), allow(share.Edit, share.View), "")
		v.settle()
		right, err := v.access.Right(ctx, chief, id, Moment{})
		must(t, err)
		if right.Via != access.ViaOrganisation {
			t.Errorf("the strongest is %s", right.Via)
		}
		if g, ok := right.For(share.Edit); !ok || g.Share != wide {
			t.Errorf("to edit serves %+v", g)
		}
	})

	t.Run("an announced upload is there for its owner only", func(t *testing.T) {
		id := newMedia()
		v.by(partner, mediaStream(id), media.UploadRequested{Media: id, Owner: partner.ID, Org: partner.Org, Size: 1, SHA256: "00", Object: "o", ExpiresAt: v.clock()})
		v.settle()
		right, err := v.access.Right(ctx, partner, id, Moment{})
		must(t, err)
		if right.Effective || right.Status != StatusPending {
			t.Errorf("the owner has %+v", right)
		}
		if _, err := v.access.Right(ctx, chief, id, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("the organisation sees it: %v", err)
		}
	})

	t.Run("a moment that has not come is refused", func(t *testing.T) {
		if _, err := v.access.Right(ctx, alice, newMedia(), AsOf(1<<40)); !errors.Is(err, ErrFuture) {
			t.Errorf("got %v", err)
		}
	})
}

func digest(c byte) domain.Digest {
	b := make([]byte, 64)
	for i := range b {
		b[i] = c
	}
	return domain.Digest(b)
}

// TestWhoSeesWhichContent walks the table of states and rights.
func TestWhoSeesWhichContent(t *testing.T) {
	t.Parallel()
	id, shareID, linkID := newMedia(), newShare(), newShare()
	hold := media.Source{Case: "c", Number: 1, By: moderator.ID, Version: 0}
	born := func(then ...domain.Event) []domain.Event {
		return append([]domain.Event{uploaded(id, partner, 1)}, then...)
	}
	const hidden = "hidden"
	tests := []struct {
		name                            string
		events                          []domain.Event
		owner, member, named, link, mod string // "" may have the content, otherwise the code, or hidden; mod has a case
	}{
		{"not screened", born(), "not_screened", "not_screened", "not_screened", "not_screened", "not_screened"},
		{"clean", born(clean(1)), "", "", "", "", ""},
		{"under review", born(media.Screened{Version: 1, Verdict: media.VerdictReview}),
			"under_review", "under_review", "under_review", "under_review", ""},
		{"blocked", born(media.Screened{Version: 1, Verdict: media.VerdictBlocked}), "blocked", hidden, hidden, hidden, ""},
		{"restricted", born(clean(1), media.Restricted{Source: hold}), "", hidden, "", hidden, ""},
		{"quarantined", born(clean(1), media.Quarantined{Source: hold, Code: "moderation"}), "quarantined", hidden, hidden, hidden, ""},
		{"removed", born(clean(1), media.Removed{Source: hold}), "removed", hidden, hidden, hidden, ""},
		{"deleted", born(clean(1), media.Deleted{By: partner.ID}), "deleted", hidden, hidden, hidden, ""},
		{"restored", born(clean(1), media.Deleted{By: partner.ID}, media.Restored{By: partner.ID}), "", "", "", "", ""},
		// The case was open when it was purged: its bytes stay for the moderator until the case is closed, and for nobody else.
		{"purged", born(clean(1), media.Deleted{By: partner.ID}, media.Purged{By: partner.ID}), "purged", hidden, hidden, hidden, ""},
		{"a new version not screened", born(clean(1), media.VersionAdded{Version: 2, File: file(partner, 2)}),
			"not_screened", "not_screened", "not_screened", "not_screened", "not_screened"},
		{"rolled back to a clean one", born(clean(1), media.VersionAdded{Version: 2, File: file(partner, 2)}, media.RolledBack{Version: 1, From: 2}),
			"", "", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows := map[string]Version[AccessRow]{}
			position := eventstore.Position(0)
			add := func(stream eventstore.Stream, e domain.Event) {
				position++
				rec := recorded(position, stream, e)
				for _, key := range (accessModel{}).Keys(rec) {
					row, _ := accessModel{}.Evolve(key, rows[key].Row, rec)
					rows[key] = Version[AccessRow]{Key: key, Row: row, From: position}
				}
			}
			for _, e := range tt.events {
				add(mediaStream(id), e)
			}
			add(shareStream(shareID), share.Granted{Share: shareID, Media: id, Owner: partner.ID, By: partner.ID, With: withUser(bob), Terms: allow(share.View)})
			add(shareStream(linkID), share.Granted{Share: linkID, Media: id, Owner: partner.ID, By: partner.ID, With: withLink(digest('c')), Terms: allow(share.View)})
			var all []Version[AccessRow]
			for _, r := range rows {
				all = append(all, r)
			}
			f, ok := factsOf(all, time.Now())
			if !ok {
				t.Fatal("there is no item")
			}
			if got := f.of(moderator)[0].Because; got != "no_open_case" {
				t.Errorf("without a case a moderator gets %q", got)
			}
			if got := f.of(admin)[0]; got.Effective || !got.Allows(share.View) {
				t.Errorf("an admin has %+v", got)
			}
			f.open = Cause{Position: 1}
			result := func(grants []Grant) string {
				if len(grants) == 0 {
					return hidden
				}
				return grants[0].Because
			}
			linked, _ := f.through(linkID)
			byLink := hidden
			if linked.seen {
				byLink = linked.Because
			}
			got := []string{result(f.of(partner)), result(f.of(chief)), result(f.of(bob)), byLink, result(f.of(moderator))}
			if want := []string{tt.owner, tt.member, tt.named, tt.link, tt.mod}; !slices.Equal(got, want) {
				t.Errorf("owner, member, named, link, moderator: got %q, want %q", got, want)
			}
		})
	}
}

func recorded(p eventstore.Position, stream eventstore.Stream, e domain.Event) eventstore.Recorded {
	return eventstore.Recorded{
		Position: p, Stream: stream, Type: e.EventType(), Event: e, At: time.Date(2026, 1, 1, 0, 0, int(p), 0, time.UTC),
		Metadata: eventstore.Metadata{Actor: domain.Actor{ID: "someone"}},
	}
}

func TestPersonalTextsAndSecretsStayOutOfTheAccessTable(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id := v.item(alice)
	terms := allow(share.View)
	terms.PasswordHash = "$argon2id$secret"
	v.grant(alice, alice, id, withLink(digest('d')), terms, "")
	v.settle()
	for _, table := range []string{"access", "shares"} {
		var text string
		must(t, v.engine.pool.QueryRow(context.Background(), "select string_agg(s::text, '') from "+table+" s").Scan(&text))
		for _, secret := range []string{"argon2id", "title of", "photo.jpg"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", table, secret)
			}
		}
	}
}
