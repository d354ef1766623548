package media_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

func TestADescriptionIsSuggestedAndTheOwnerDecides(t *testing.T) {
	t.Parallel()
	clean := media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 80}
	ask := media.RequestDescription{By: alice}
	requested := media.DescriptionRequested{Number: 1, Version: 1, By: "alice"}
	suggest := media.SuggestDescription{
		By: domain.System(), Number: 1, Caption: media.Caption{Text: " A \u202eharbour\x00 ", Provider: "p", Model: "m"}, Policy: media.DefaultPolicy(),
	}
	suggested := media.DescriptionSuggested{Number: 1, Version: 1, Text: domain.NewPersonal("alice", "A harbour"), Provider: "p", Model: "m"}
	accept := media.AcceptSuggestion{By: alice, Policy: media.DefaultPolicy()}

	t.Run("the owner asks, and bytes that are not delivered are shown to nobody", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded, clean).When(ask.Decide).Then(requested)
		given(t, uploaded).When(ask.Decide).Refused(media.ErrNotScreened)
		given(t, uploaded, clean, media.Quarantined{Source: media.Source{Case: "c", Number: 1}}).When(ask.Decide).Refused(media.ErrQuarantined)
		given(t, uploaded, clean).When(media.RequestDescription{By: bob, Right: media.RightEdit}.Decide).Refused(media.ErrNotOwner)
		given(t, uploaded, clean).When(media.RequestDescription{By: bob}.Decide).Refused(media.ErrNotFound)
	})
	t.Run("a text is suggested once, for what was asked last, and tamed", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded, clean, requested).When(suggest.Decide).Then(suggested)
		late, theirs, long := suggest, suggest, suggest
		late.Number, theirs.By, long.Caption.Text = 7, alice, strings.Repeat("é", 20_000)
		given(t, uploaded, clean, requested).When(late.Decide).Nothing()
		given(t, uploaded, clean, requested).When(theirs.Decide).Refused(media.ErrSystemOnly)
		events, err := long.Decide(given(t, uploaded, clean, requested).State())
		if err != nil || len(events) != 1 || utf8.RuneCountInString(events[0].(media.DescriptionSuggested).Text.Text()) != media.DefaultPolicy().MaxDescription {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
	t.Run("accepting describes, in the owner's words when he has some", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded, clean, requested, suggested)
		s.When(accept.Decide).Then(media.SuggestionAccepted{Number: 1, By: "alice"}, media.Described{Title: uploaded.Title, Description: suggested.Text})
		own := domain.NewPersonal("alice", "My harbour")
		edited := accept
		edited.Text = &own
		s.When(edited.Decide).Then(media.SuggestionAccepted{Number: 1, By: "alice", Edited: true}, media.Described{Title: uploaded.Title, Description: own})
		given(t, uploaded, clean, requested).When(accept.Decide).Refused(media.ErrNoSuggestion)
		theirs := accept
		theirs.By = bob
		s.When(theirs.Decide).Refused(media.ErrNotFound)
	})
	t.Run("what was rejected is over, and may be asked for anew", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded, clean, requested, suggested).When(media.RejectSuggestion{By: alice}.Decide).Then(media.SuggestionRejected{Number: 1, By: "alice"})
		s.When(accept.Decide).Refused(media.ErrSuggestionOver)
		s.When(ask.Decide).Then(media.DescriptionRequested{Number: 2, Version: 1, By: "alice"})
	})
}

func TestWhatLooksAlikeIsNotedOnce(t *testing.T) {
	t.Parallel()
	print := media.Fingerprint{By: domain.System(), Version: 1, Algorithm: "phash64-1", Hash: "00ff00ff00ff00ff"}
	given(t, uploaded).When(print.Decide).Then(media.Fingerprinted{Version: 1, Owner: "alice", Algorithm: "phash64-1", Hash: "00ff00ff00ff00ff"})
	theirs, odd := print, print
	theirs.By, odd.Hash = alice, "XYZ"
	given(t, uploaded).When(theirs.Decide).Refused(media.ErrSystemOnly)
	given(t, uploaded).When(odd.Decide).Refused(domain.ErrInvalid)
	seen := media.Resembles{Version: 1, Other: "m2", Of: 1, Distance: 3, Algorithm: "phash64-1"}
	given(t, uploaded).When(media.Compare{By: domain.System(), Seen: seen}.Decide).Then(seen)
}
