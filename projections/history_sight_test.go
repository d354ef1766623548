package projections

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
)

func TestWhatBytesTellOfTheirOwnerIsHisAlone(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item := v.item(partner) // of acme
	v.by(domain.System(), mediaStream(item), media.Inspected{
		Version: 1, Width: 4000, Height: 3000, Camera: "Acme One", Lens: "Acme 50", TakenAt: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
		Place: domain.NewPersonal(partner.ID, "53.55,9.99"), Author: domain.NewPersonal(partner.ID, "Pam Serial-4711"), Telling: true,
	})
	v.grant(partner, partner, item, withUser(bob), allow(share.View, share.Download), "")
	v.grant(partner, partner, item, withOrg("globex"), allow(share.View, share.Download), "")
	before := v.by(mallory, mediaStream(newMedia()), uploaded(newMedia(), mallory, 1))
	v.by(partner, mediaStream(item), media.MetadataChosen{Keep: true})
	v.settle()
	told := []string{"53.55", "Serial-4711", "Acme One", "Acme 50", "2026-05-04"}
	outsider := domain.Actor{ID: "olga", Org: "globex", Roles: []domain.Role{domain.RolePartner}}
	read := func(who domain.Actor, m Moment) ([]string, string, error) {
		list, err := v.history.Item(t.Context(), who, item, Paging{Size: 50}, m)
		if err != nil {
			return nil, "", err
		}
		page, err := v.history.Stream(t.Context(), who, string(mediaStream(item)), 0, 100, m)
		must(t, err)
		text, err := json.Marshal([]any{list.Items, page.Items})
		must(t, err)
		var seen []string
		for _, word := range told {
			if n := strings.Count(string(text), word); n > 0 {
				seen = append(seen, word)
			}
		}
		return seen, string(text), nil
	}
	for _, c := range []struct {
		name string
		who  domain.Actor
		m    Moment
		want []string
	}{
		{"its owner reads all of it", partner, AsOf(before), told},
		{"a member of its organisation reads none of it", chief, AsOf(before), nil},
		{"a member reads it once the owner leaves it in", chief, Moment{}, told},
		{"an auditor reads all of it", auditor, AsOf(before), told},
		{"an analyst reads no personal text of it", analyst, AsOf(before), []string{"Acme One", "Acme 50", "2026-05-04"}},
	} {
		seen, text, err := read(c.who, c.m)
		must(t, err)
		if !slices.Equal(seen, c.want) {
			t.Errorf("%s: reads %v, want %v", c.name, seen, c.want)
		}
		if !strings.Contains(text, `"width":4000`) {
			t.Errorf("%s: not even the size in %s", c.name, text)
		}
	}
	for _, who := range []domain.Actor{bob, outsider} {
		if _, _, err := read(who, Moment{}); !errors.Is(err, ErrMayNotSee) {
			t.Errorf("%s, with whom it is shared, reads its history: %v", who.ID, err)
		}
		if _, err := v.history.Stream(t.Context(), who, string(mediaStream(item)), 0, 100, Moment{}); !errors.Is(err, ErrMayNotSee) {
			t.Errorf("%s, with whom it is shared, reads its stream: %v", who.ID, err)
		}
	}
}

// TestAnOwnerReadsHisStatementOfReasons: what article 17 of the Digital Services Act owes him, and nothing of who reported or of how
// the queue weighs it.
func TestAnOwnerReadsHisStatementOfReasons(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item, file := v.item(alice), newCase()
	v.by(bob, caseStream(file), moderation.Opened{
		Case: file, Media: item, Owner: alice.ID, Origin: moderation.FromReport, By: bob.ID, Category: "copyright", Score: 83, Version: 1,
		Note: domain.NewPersonal(bob.ID, "reporter's words"), Reach: moderation.Reach{Users: 61, Links: 7},
	})
	v.by(domain.System(), caseStream(file), moderation.Reported{Origin: moderation.FromDetector, By: domain.System().ID, Category: "nudity", Score: 83, Version: 1})
	v.by(domain.System(), caseStream(file), moderation.ReachChanged{Reach: moderation.Reach{Users: 62}})
	v.by(moderator, caseStream(file), moderation.Decided{
		Number: 1, Media: item, Version: 1, By: moderator.ID, Action: moderation.Remove, Policy: "policy 4.2",
		Reason: domain.NewPersonal(alice.ID, "internal words"), Statement: domain.NewPersonal(alice.ID, "words to the owner"),
	})
	v.settle()
	list, err := v.history.Item(t.Context(), alice, item, Paging{Size: 50}, Moment{})
	must(t, err)
	stream, err := v.history.Stream(t.Context(), alice, string(caseStream(file)), 0, 100, Moment{})
	must(t, err)
	chain, err := v.history.Chain(t.Context(), v.review, alice, item, Moment{})
	must(t, err)
	for name, answer := range map[string]any{"history": list.Items, "stream": stream.Items, "chain": chain} {
		raw, err := json.Marshal(answer)
		must(t, err)
		text := string(raw)
		for _, owed := range []string{"copyright", `"origin":"report"`, `"remove"`, "policy 4.2", "words to the owner", `"version":1`} {
			if !strings.Contains(text, owed) {
				t.Errorf("%s does not say %s: %s", name, owed, text)
			}
		}
		for _, secret := range []string{"bob", "reporter's words", "internal words", `"mod"`, "83", "61", "62"} {
			if strings.Contains(text, ":"+secret+",") || strings.Contains(text, ":"+secret+"}") || len(secret) > 2 && strings.Contains(text, secret) {
				t.Errorf("%s says %s: %s", name, secret, text)
			}
		}
		if name != "chain" && !strings.Contains(text, `"origin":"detector"`) {
			t.Errorf("%s does not say that a machine found it: %s", name, text)
		}
	}
	staff, err := v.history.Item(t.Context(), moderator, item, Paging{Size: 50}, Moment{})
	must(t, err)
	if raw, err := json.Marshal(staff.Items); err != nil || !strings.Contains(string(raw), `"score":83`) || !strings.Contains(string(raw), `"users":62`) {
		t.Errorf("a moderator reads %s, %v", raw, err)
	}
}
