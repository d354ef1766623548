package projections

import (
	"context"
	"encoding/json"
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

// story is an item with everything that can happen to it.
type story struct {
	*vault
	item  domain.MediaID
	share domain.ShareID
	link  domain.ShareID
	file  domain.CaseID
	open  eventstore.Position // of the report
}

func newStory(t *testing.T) story {
	t.Helper()
	v := newVault(t)
	s := story{vault: v, item: v.item(alice), file: newCase()}
	v.item(mallory) // somebody else's, in between
	s.share = v.grant(alice, alice, s.item, withUser(bob), allow(share.View), "")
	terms := allow(share.View)
	terms.MaxOpens, terms.PasswordHash = 3, "$argon2id$hash"
	s.link = v.grant(alice, alice, s.item, withLink(digest('7')), terms, "")
	v.by(bob, accessStream(s.item), access.Served{Media: s.item, Version: 1, What: access.Content, Via: access.ViaShare, Share: s.share, Bytes: 9})
	v.by(guest, accessStream(s.link), access.Served{Media: s.item, Version: 1, What: access.Content, Via: access.ViaLink, Share: s.link, Bytes: 9})
	s.open = v.by(bob, caseStream(s.file), moderation.Opened{
		Case: s.file, Media: s.item, Owner: alice.ID, Origin: moderation.FromReport, By: bob.ID, Category: "spam", Note: domain.NewPersonal(bob.ID, "reporter's words"),
	})
	v.by(moderator, caseStream(s.file), moderation.Decided{
		Number: 1, Media: s.item, By: moderator.ID, Action: moderation.Quarantine, Policy: "policy 4.2",
		Reason: domain.NewPersonal(alice.ID, "internal words"), Statement: domain.NewPersonal(alice.ID, "words to the owner"),
	})
	v.by(domain.System(), mediaStream(s.item), media.Quarantined{Source: media.Source{Case: s.file, Number: 1, By: moderator.ID}, Code: media.CodeModeration})
	v.by(mallory, accessStream(s.item), access.Refused{Action: "GET /v1/media/{id}", Resource: string(s.item), Media: s.item, Code: "not_found", Status: 404})
	v.settle()
	return s
}

func TestItemHistory(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ctx := t.Context()
	whole := func(t *testing.T, who domain.Actor, m Moment) []HistoryEntry {
		t.Helper()
		list, err := s.history.Item(ctx, who, s.item, Paging{Size: 100}, m)
		must(t, err)
		return list.Items
	}

	t.Run("it is everything that concerns the item, in the order in which it happened", func(t *testing.T) {
		var types []string
		last := Position(0)
		for _, e := range whole(t, auditor, Moment{}) {
			types = append(types, e.Type)
			if e.Position <= last {
				t.Errorf("position %d comes after %d", e.Position, last)
			}
			last = e.Position
		}
		want := []string{
			"media.uploaded", "media.screened", "share.granted", "share.granted", "access.served", "access.served", "moderation.opened",
			"moderation.decided", "media.quarantined", "access.refused",
		}
		if !slices.Equal(types, want) {
			t.Errorf("the history is %v", types)
		}
	})

	t.Run("as of a moment it ends there", func(t *testing.T) {
		entries := whole(t, auditor, AsOf(s.open-1))
		if n := len(entries); n != 6 || entries[n-1].Position != s.open-1 {
			t.Errorf("it has %d events", n)
		}
	})

	t.Run("page by page it is the same", func(t *testing.T) {
		var all []Position
		p := Paging{Size: 3}
		for range 10 {
			page, err := s.history.Item(ctx, auditor, s.item, p, Moment{})
			must(t, err)
			for _, e := range page.Items {
				all = append(all, e.Position)
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				break
			}
		}
		var want []Position
		for _, e := range whole(t, auditor, Moment{}) {
			want = append(want, e.Position)
		}
		if !slices.Equal(all, want) {
			t.Errorf("%v, not %v", all, want)
		}
	})

	t.Run("each entry says who, when, why and what in words", func(t *testing.T) {
		e := whole(t, auditor, Moment{})[0]
		if e.Who.ID != alice.ID || e.Why != "because alice" || e.RecordedAt.IsZero() || e.Summary != `uploaded version 1 "photo.jpg": image/jpeg, 1000 B` {
			t.Errorf("the entry is %+v", e)
		}
	})

	t.Run("the owner sees all of it but who reported or judged, and what they wrote for each other", func(t *testing.T) {
		entries := whole(t, alice, Moment{})
		if len(entries) != 10 {
			t.Fatalf("the owner sees %d events", len(entries))
		}
		for _, e := range entries {
			text, err := json.Marshal(e)
			must(t, err)
			secrets := []string{"internal words", "reporter's words", `"mod"`, "because mod", "argon2id", "192.0.2.7"}
			if e.Type == "moderation.opened" {
				secrets = append(secrets, "bob")
			}
			if e.Who.ID == alice.ID { // about himself he reads everything
				secrets = secrets[:5]
			}
			for _, secret := range secrets {
				if strings.Contains(string(text), secret) {
					t.Errorf("the owner reads %q in %s", secret, text)
				}
			}
		}
		decided := entries[7]
		if !strings.Contains(string(decided.Data), "words to the owner") || decided.Who.ID != Withheld || decided.Why != Withheld {
			t.Errorf("the decision reads %+v", decided)
		}
		if !strings.Contains(string(entries[0].Metadata), "192.0.2.7") || !strings.Contains(string(entries[4].Metadata), Closed) {
			t.Errorf("own address: %s, another's: %s", entries[0].Metadata, entries[4].Metadata)
		}
	})

	t.Run("nobody reads the hash of a password", func(t *testing.T) {
		for _, who := range []domain.Actor{auditor, admin, analyst, alice} {
			text, err := json.Marshal(whole(t, who, Moment{}))
			must(t, err)
			if strings.Contains(string(text), "argon2id") {
				t.Errorf("%s reads it", who.ID)
			}
		}
	})

	t.Run("an analyst sees every event, and no personal text", func(t *testing.T) {
		text, err := json.Marshal(whole(t, analyst, Moment{}))
		must(t, err)
		for _, personal := range []string{"photo.jpg", "title of", "words", "192.0.2.7", "curl/8", "because"} {
			if strings.Contains(string(text), personal) {
				t.Errorf("the analyst reads %q", personal)
			}
		}
	})

	t.Run("whom it was shared with does not see what was before, and strangers nothing", func(t *testing.T) {
		if _, err := s.history.Item(ctx, bob, s.item, Paging{}, AsOf(s.open)); !errors.Is(err, ErrMayNotSee) {
			t.Errorf("bob: %v", err)
		}
		for _, who := range []domain.Actor{mallory, guest, partner} {
			if _, err := s.history.Item(ctx, who, s.item, Paging{}, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%s: %v", who.ID, err)
			}
		}
		for _, who := range []domain.Actor{auditor, moderator, alice} {
			if _, err := s.history.Item(ctx, who, newMedia(), Paging{}, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%s asks for an item that there is not: %v", who.ID, err)
			}
		}
	})
}

func TestStreamsAndEvents(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ctx := t.Context()

	t.Run("who may read which stream", func(t *testing.T) {
		streams := []eventstore.Stream{
			mediaStream(s.item), shareStream(s.share), caseStream(s.file), accessStream(s.item), accessStream(s.link), mediaStream(newMedia()), "media-x", "nonsense", "audit-1",
		}
		// One letter per stream: y reads it, n is told that there is none, f that he may not.
		for who, want := range map[*domain.Actor]string{
			&auditor: "yyyyynnnn", &admin: "yyyyynnnn", &analyst: "yyyyynnnn", &alice: "yyyyynnnn", &moderator: "yyyyynnnn",
			&bob: "nnnnnnnnn", &mallory: "nnnnnnnnn", &partner: "nnnnnnnnn", &guest: "nnnnnnnnn",
		} {
			got := ""
			for _, stream := range streams {
				_, err := s.history.Stream(ctx, *who, string(stream), 0, 10, Moment{})
				switch {
				case err == nil:
					got += "y"
				case errors.Is(err, ErrHidden):
					got += "n"
				case errors.Is(err, ErrMayNotSee):
					got += "f"
				default:
					t.Errorf("%s, %s: %v", who.ID, stream, err)
				}
			}
			if got != want {
				t.Errorf("%s: %s, want %s", who.ID, got, want)
			}
		}
	})

	t.Run("everybody reads the stream of his own refusals", func(t *testing.T) {
		s.by(mallory, accessStream(mallory.ID), access.Refused{Action: "GET /v1/audit", Code: "may_not", Status: 403})
		page, err := s.history.Stream(ctx, mallory, "access-mallory", 0, 10, Moment{})
		must(t, err)
		if len(page.Items) != 1 || !strings.Contains(string(page.Items[0].Metadata), "192.0.2.7") {
			t.Errorf("it is %+v", page)
		}
		if _, err := s.history.Stream(ctx, bob, "access-mallory", 0, 10, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("bob reads it: %v", err)
		}
	})

	t.Run("a stream is read by revision, as of a moment", func(t *testing.T) {
		page, err := s.history.Stream(ctx, auditor, string(mediaStream(s.item)), 1, 1, Moment{})
		must(t, err)
		if len(page.Items) != 1 || page.Items[0].Type != "media.screened" || !page.More {
			t.Errorf("the page is %+v", page)
		}
		page, err = s.history.Stream(ctx, auditor, string(mediaStream(s.item)), 0, 10, AsOf(page.Items[0].Position))
		must(t, err)
		if len(page.Items) != 2 || page.More {
			t.Errorf("the page is %+v", page)
		}
	})

	t.Run("all events are for auditors, admins and analysts", func(t *testing.T) {
		for _, who := range []domain.Actor{auditor, admin, analyst} {
			page, err := s.history.Events(ctx, who, 0, HistoryFilter{}, 1000, Moment{})
			must(t, err)
			if len(page.Items) < 12 || page.More {
				t.Errorf("%s sees %d", who.ID, len(page.Items))
			}
			personal := strings.Contains(string(page.Items[0].Data), "photo.jpg")
			if personal != (who.ID != analyst.ID) {
				t.Errorf("%s reads %s", who.ID, page.Items[0].Data)
			}
		}
		for _, who := range []domain.Actor{alice, partner, chief, moderator, guest} {
			if _, err := s.history.Events(ctx, who, 0, HistoryFilter{}, 0, Moment{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("%s: %v", who.ID, err)
			}
			if _, err := s.history.Follow(ctx, who, 0, HistoryFilter{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("%s follows: %v", who.ID, err)
			}
		}
	})

	t.Run("pages of filtered events follow each other, whatever lies between", func(t *testing.T) {
		var types []string
		after := Position(0)
		for range 20 {
			page, err := s.history.Events(ctx, auditor, after, HistoryFilter{Categories: []string{"moderation", "share"}}, 1, Moment{})
			must(t, err)
			for _, e := range page.Items {
				types = append(types, e.Type)
			}
			if after = page.Through; !page.More {
				break
			}
		}
		if want := []string{"share.granted", "share.granted", "moderation.opened", "moderation.decided"}; !slices.Equal(types, want) {
			t.Errorf("%v", types)
		}
		page, err := s.history.Events(ctx, auditor, 0, HistoryFilter{Types: []string{"access.refused"}}, 10, AsOf(s.open))
		must(t, err)
		if len(page.Items) != 0 || page.Through != s.open {
			t.Errorf("before it happened: %+v", page)
		}
	})

	t.Run("what cannot be asked is refused by the field's name", func(t *testing.T) {
		for field, ask := range map[string]func() error{
			"types": func() error {
				return second(s.history.Events(ctx, auditor, 0, HistoryFilter{Types: []string{"x"}}, 0, Moment{}))
			},
			"category": func() error {
				return second(s.history.Events(ctx, auditor, 0, HistoryFilter{Categories: []string{"x"}}, 0, Moment{}))
			},
			"limit": func() error { return second(s.history.Events(ctx, auditor, 0, HistoryFilter{}, 1001, Moment{})) },
			"after": func() error { return second(s.history.Events(ctx, auditor, -1, HistoryFilter{}, 0, Moment{})) },
			"from":  func() error { return second(s.history.Stream(ctx, auditor, "media-x", -1, 0, Moment{})) },
		} {
			if r, ok := domain.AsRefusal(ask()); !ok || r.Field != field {
				t.Errorf("%s: %v", field, ask())
			}
		}
	})

	t.Run("a follower that goes on behind what it had misses nothing and gets nothing twice", func(t *testing.T) {
		var got []Position
		after := Position(0)
		follow := func(until int) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			batches, err := s.history.Follow(ctx, auditor, after, HistoryFilter{Categories: []string{"media"}})
			must(t, err)
			for batch, err := range batches {
				must(t, err)
				for _, e := range batch.Items {
					got = append(got, e.Position)
					if after = e.Position; len(got) == until {
						return
					}
				}
			}
		}
		follow(2)
		follow(4)
		late := make(chan Position, 1)
		go func() { late <- s.by(alice, mediaStream(s.item), media.Deleted{By: alice.ID}) }()
		follow(6)
		want := s.positions(t, eventstore.Filter{Categories: []string{"media"}})
		if <-late != want[5] || !slices.Equal(got, want) {
			t.Errorf("followed %v, there are %v", got, want)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func (v *vault) positions(t *testing.T, f eventstore.Filter) []Position {
	t.Helper()
	var all []Position
	for rec, err := range v.store.ReadAll(t.Context(), eventstore.Read{Filter: f}) {
		must(t, err)
		all = append(all, rec.Position)
	}
	return all
}
