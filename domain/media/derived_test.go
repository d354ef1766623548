package media_test

import (
	"slices"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

func thumbnail(object domain.ObjectKey) media.Derivative {
	return media.Derivative{Kind: media.KindThumbnail, Name: "200", Type: "image/jpeg", Size: 1, Object: object}
}

func TestScreeningRecordsWhatItSawFirst(t *testing.T) {
	t.Parallel()
	seen := &media.Inspected{Version: 1, Width: 10, Height: 5, Place: domain.NewPersonal("alice", "1,2"), Telling: true}
	made := &media.Derived{Version: 1, Derivatives: []media.Derivative{thumbnail("o/t")}}
	screen := media.Screen{By: domain.System(), Version: 1, Verdict: media.VerdictClean, Score: 95, Inspected: seen, Derived: made}
	given(t, uploaded).When(screen.Decide).Then(*seen, *made, media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 95})
	derive := media.Derive{By: domain.System(), Derived: *made}
	given(t, uploaded).When(derive.Decide).Then(*made)
	given(t, uploaded, media.Deleted{By: "alice"}, media.Purged{By: "alice"}).When(derive.Decide).Refused(media.ErrPurged)
	given(t, uploaded).When(media.Derive{By: bob, Derived: *made}.Decide).Refused(media.ErrSystemOnly)
	given(t, uploaded).When(media.Derive{By: domain.System(), Derived: media.Derived{Version: 7}}.Decide).Refused(media.ErrNoVersion)
}

func TestOthersGetTheCopyWithoutPlaceAndNames(t *testing.T) {
	t.Parallel()
	clean := media.Derivative{Kind: media.KindClean, Type: "image/jpeg", Object: "o/clean"}
	fold := func(events ...media.Event) media.State {
		s := media.Evolve(media.State{}, uploaded)
		for _, e := range events {
			s = media.Evolve(s, e)
		}
		return s
	}
	telling := media.Inspected{Version: 1, Telling: true}
	original := fold().Versions[0].File.Object
	plain, locked := fold(media.Inspected{Version: 1}), fold(telling)
	cleaned := fold(telling, media.Derived{Version: 1, Derivatives: []media.Derivative{clean, thumbnail("o/t")}})
	kept := media.Evolve(cleaned, media.MetadataChosen{Keep: true})
	for name, c := range map[string]struct {
		state     media.State
		object    domain.ObjectKey
		thumbnail bool
		own       bool
		want      error
	}{
		"what tells nothing is for all":             {plain, original, false, false, nil},
		"what cannot be cleaned is the owner's":     {locked, original, false, true, nil},
		"and nobody else's":                         {locked, original, false, false, media.ErrTelling},
		"others do not get the original":            {cleaned, original, false, false, media.ErrOtherBytes},
		"but the copy":                              {cleaned, "o/clean", false, false, nil},
		"the owner gets the original":               {cleaned, original, false, true, nil},
		"unless he wants them to have it":           {kept, original, false, false, nil},
		"a thumbnail is for all":                    {cleaned, "o/t", true, false, nil},
		"an original is no thumbnail":               {cleaned, original, true, true, media.ErrOtherBytes},
		"a thumbnail is no content":                 {cleaned, "o/t", false, true, media.ErrOtherBytes},
		"another item's bytes are nothing of these": {plain, "o/other", false, true, media.ErrOtherBytes},
	} {
		if got := c.state.Handed(0, c.object, c.thumbnail, c.own); got != c.want { //nolint:errorlint // the variables themselves
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if got := cleaned.Objects(); !slices.Contains(got, "o/clean") || !slices.Contains(got, "o/t") {
		t.Errorf("purging would leave something: %v", got)
	}
}

func TestOnlyTheOwnerChoosesWhatBecomesOfMetadata(t *testing.T) {
	t.Parallel()
	keep := true
	given(t, uploaded).When(media.Describe{By: alice, KeepMetadata: &keep, Policy: media.DefaultPolicy()}.Decide).Then(media.MetadataChosen{Keep: true})
	given(t, uploaded).When(media.Describe{By: bob, Right: media.RightEdit, KeepMetadata: &keep, Policy: media.DefaultPolicy()}.Decide).Refused(media.ErrNotOwner)
}

func TestTheScoreFollowsFromTheStages(t *testing.T) {
	t.Parallel()
	stage := func(v media.Verdict, codes ...string) media.Stage { return media.Stage{Verdict: v, Codes: codes} }
	clean, noted := stage(media.VerdictClean), stage(media.VerdictClean, "no_engine")
	review, blocked := stage(media.VerdictReview, "macros"), stage(media.VerdictBlocked, "malware")
	for name, c := range map[string]struct {
		stages  []media.Stage
		score   int
		verdict media.Verdict
	}{
		"all is well":               {[]media.Stage{clean, clean}, 100, media.VerdictClean},
		"something was noted":       {[]media.Stage{clean, noted}, 95, media.VerdictClean},
		"a person has to look":      {[]media.Stage{review, noted}, 55, media.VerdictReview},
		"two reasons to look":       {[]media.Stage{review, review}, 20, media.VerdictReview},
		"one blocks":                {[]media.Stage{review, blocked, clean}, 0, media.VerdictBlocked},
		"too much that was noted":   {[]media.Stage{stage("", "a", "b", "c", "d", "e"), stage("", "a", "b", "c", "d"), stage("", "a", "b", "c")}, 45, media.VerdictReview},
		"nothing was said about it": {nil, 100, media.VerdictClean},
	} {
		if score, verdict := media.Score(c.stages), media.Verdicts(c.stages, 50); score != c.score || verdict != c.verdict {
			t.Errorf("%s: got %d %s, want %d %s", name, score, verdict, c.score, c.verdict)
		}
	}
}
