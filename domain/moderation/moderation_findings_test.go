package moderation_test

import (
	"slices"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

func TestACaseAboutFindings(t *testing.T) {
	t.Parallel()
	found := func(id domain.FindingID) moderation.Report {
		return moderation.Report{
			Case: "c1", Media: "m1", Owner: "alice", By: domain.System(), Origin: moderation.FromDetector, Category: "privacy", Score: 80, Version: 2, Finding: id,
		}
	}
	first := moderation.Opened{
		Case: "c1", Media: "m1", Owner: "alice", Origin: moderation.FromDetector, By: "system", Category: "privacy", Score: 80, Version: 2, Finding: "f1",
	}
	second := moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "privacy", Score: 80, Version: 2, Finding: "f2"}
	closed := moderation.Closed{By: "system", Code: moderation.CodeFindings}
	dismiss := moderation.Dismiss{By: domain.System(), Over: []domain.FindingID{"f1", "f2"}}

	t.Run("each finding is in it once", func(t *testing.T) {
		t.Parallel()
		given(t).When(found("f1").Decide).Then(first)
		given(t, first).When(found("f1").Decide).Nothing()
		given(t, first).When(found("f2").Decide).Then(second)
		if got := given(t, first, second).State().Findings(); !slices.Equal(got, []domain.FindingID{"f1", "f2"}) {
			t.Errorf("it is about %v", got)
		}
		person := report(bob)
		person.Finding = "f1"
		given(t).When(person.Decide).Refused(domain.ErrInvalid)
	})
	t.Run("it ends when none of them is left, and nothing else is said", func(t *testing.T) {
		t.Parallel()
		given(t, first, second).When(dismiss.Decide).Then(closed)
		given(t, first, second).When(moderation.Dismiss{By: domain.System(), Over: []domain.FindingID{"f1"}}.Decide).Nothing()
		given(t, first, moderation.Reported{Origin: moderation.FromReport, By: "bob", Category: "privacy"}).When(dismiss.Decide).Nothing()
		given(t, opened).When(dismiss.Decide).Nothing()
		given(t, first, decided).When(dismiss.Decide).Nothing()
		given(t, first, proposed).When(dismiss.Decide).Nothing()
		given(t, first, moderation.Escalated{By: "mod"}).When(dismiss.Decide).Nothing()
		given(t, first, closed).When(dismiss.Decide).Nothing()
		given(t).When(dismiss.Decide).Nothing()
		given(t, first).When(moderation.Dismiss{By: mod, Over: dismiss.Over}.Decide).Refused(moderation.ErrNotModerator)
	})
	t.Run("who let the item be is known from how it ended", func(t *testing.T) {
		t.Parallel()
		approved := decided
		approved.Action = moderation.Approve
		end := moderation.Closed{By: "mod", Code: moderation.CodeFinal}
		overturned := moderation.AppealDecided{Number: 1, Decision: 1, Media: "m1", By: "judge", Outcome: moderation.Overturn}
		upheld := overturned
		upheld.Outcome = moderation.Uphold
		for name, c := range map[string]struct {
			events []moderation.Event
			want   bool
		}{
			"open":       {[]moderation.Event{first}, false},
			"decided":    {[]moderation.Event{first, decided}, false},
			"final":      {[]moderation.Event{first, decided, end}, false},
			"approved":   {[]moderation.Event{first, approved, end}, true},
			"upheld":     {[]moderation.Event{first, decided, appealed, upheld, end}, false},
			"overturned": {[]moderation.Event{first, decided, appealed, overturned, end}, true},
			"dismissed":  {[]moderation.Event{first, closed}, false},
		} {
			if got := given(t, c.events...).State().LetBe(); got != c.want {
				t.Errorf("%s: let be %v", name, got)
			}
		}
	})
}
