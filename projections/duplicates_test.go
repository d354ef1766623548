package projections

import (
	"errors"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

func TestDuplicates(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	d, err := NewDuplicates(v.engine, v.access)
	must(t, err)
	// item is one with these bytes, and what it looks like.
	item := func(owner domain.Actor, sha, hash string) domain.MediaID {
		id := newMedia()
		up := uploaded(id, owner, 10)
		up.File.SHA256 = domain.Digest(sha)
		v.by(owner, mediaStream(id), up, clean(1))
		if hash != "" {
			v.by(domain.System(), mediaStream(id), media.Fingerprinted{Version: 1, Owner: owner.ID, Algorithm: "phash64-1", Hash: hash})
		}
		return id
	}
	one := item(alice, "aa", "ff00ff00ff00ff00")
	same := item(alice, "aa", "")
	before, err := v.store.Head(ctx)
	must(t, err)
	near := item(alice, "bb", "ff00ff00ff00ff03")
	item(alice, "cc", "00ff00ff00ff00ff")
	item(bob, "aa", "ff00ff00ff00ff00")
	v.settle()

	of := func(viewer domain.Actor, id domain.MediaID, m Moment) map[domain.MediaID]string {
		t.Helper()
		found, err := d.Of(ctx, viewer, id, m)
		must(t, err)
		kinds := map[domain.MediaID]string{}
		for _, f := range found {
			kinds[f.MediaID] = f.Kind
			if want := map[string]int{"exact": 0, "near": 2}[f.Kind]; f.Distance != want {
				t.Errorf("%s is %d bits away", f.Kind, f.Distance)
			}
		}
		return kinds
	}
	if got := of(alice, one, Moment{}); len(got) != 2 || got[same] != "exact" || got[near] != "near" {
		t.Errorf("found %v", got)
	}
	if got := of(moderator, one, AsOf(before)); len(got) != 1 || got[same] != "exact" {
		t.Errorf("before, there was %v", got)
	}
	v.by(alice, mediaStream(same), media.Deleted{By: alice.ID})
	v.by(alice, mediaStream(near), media.Deleted{By: alice.ID}, media.Purged{By: alice.ID})
	v.grant(alice, alice, one, withUser(carol), allow(share.View), "")
	v.settle()
	if got := of(alice, one, Moment{}); len(got) != 0 {
		t.Errorf("what is gone is found: %v", got)
	}
	if _, err := d.Of(ctx, mallory, one, Moment{}); !errors.Is(err, ErrHidden) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := d.Of(ctx, carol, one, Moment{}); !errors.Is(err, ErrMayNotSee) {
		t.Errorf("a recipient: %v", err)
	}
	seen, err := d.Near(ctx, bob.ID, one, "phash64-1", "ff00ff00ff00ff07", 0)
	must(t, err)
	if len(seen) != 1 || seen[0].Distance != 3 || seen[0].Of != 1 {
		t.Errorf("near: %+v", seen)
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	s, err := NewSuggestions(v.engine, v.keys)
	must(t, err)
	id := v.item(alice)
	v.settle()
	if _, err := s.Of(ctx, alice, id, Moment{}); !errors.Is(err, ErrNoSuggestion) {
		t.Errorf("nothing was asked for: %v", err)
	}
	v.by(alice, mediaStream(id), media.DescriptionRequested{Number: 1, Version: 1, By: alice.ID})
	asked, err := v.store.Head(ctx)
	must(t, err)
	v.by(domain.System(), mediaStream(id), media.DescriptionSuggested{
		Number: 1, Version: 1, Text: domain.NewPersonal(alice.ID, "A harbour"), Provider: "p", Model: "m", Failed: []string{"q: timeout"},
	})
	v.settle()
	got, err := s.Of(ctx, alice, id, Moment{})
	must(t, err)
	if got.Status != "suggested" || got.Text != "A harbour" || got.Provider != "p" || len(got.Failed) != 1 {
		t.Errorf("suggested %+v", got)
	}
	if then, err := s.Of(ctx, alice, id, AsOf(asked)); err != nil || then.Status != "requested" || then.Text != "" {
		t.Errorf("before: %+v, %v", then, err)
	}
	for _, who := range []domain.Actor{bob, moderator, guest} {
		if _, err := s.Of(ctx, who, id, Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("%s: %v", who.ID, err)
		}
	}
	must(t, v.keys.Destroy(ctx, alice.ID))
	if got, err = s.Of(ctx, alice, id, Moment{}); err != nil || got.Text != Erased {
		t.Errorf("forgotten: %+v, %v", got, err)
	}
}
