package moderation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

// reporting is somebody's report of a version.
func reporting(who string, version int) moderation.Report {
	c := report(domain.Actor{ID: domain.UserID(who), Roles: []domain.Role{domain.RoleUser}})
	c.Version, c.Note = version, domain.Personal{}
	return c
}

func TestADecidedCaseWaitsAgainForWhatIsNew(t *testing.T) {
	t.Parallel()
	restricted, first := decided, opened
	restricted.Action, first.Version = moderation.Restrict, 2
	detector := moderation.Report{
		Case: "c1", Media: "m1", Owner: "alice", By: domain.System(), Origin: moderation.FromDetector, Category: "nudity", Score: 80, Version: 3,
	}
	said := func(c moderation.Report) moderation.Reported {
		return moderation.Reported{Origin: c.Origin, By: c.By.ID, Category: c.Category, Score: c.Score, Version: c.Version, Finding: c.Finding}
	}
	again := func(why moderation.Cause, people int) moderation.Reopened {
		return moderation.Reopened{Why: why, Decision: 1, People: people}
	}

	t.Run("for a version that nobody decided about, what the vault finds, a moderator's word, and who was not heard yet", func(t *testing.T) {
		t.Parallel()
		s := given(t, first, restricted)
		s.When(detector.Decide).Then(again(moderation.NewVersion, 0), said(detector))
		s.When(reporting("bob", 3).Decide).Then(again(moderation.NewVersion, 0), said(reporting("bob", 3)))
		s.When(reporting("bob", 1).Decide).Then(again(moderation.NewVersion, 0), said(reporting("bob", 1))) // the owner went back to it
		found := detector
		found.Version, found.Finding = 2, "f1"
		s.When(found.Decide).Then(again(moderation.NewFinding, 0), said(found))
		referral := reporting("mod", 2)
		referral.By, referral.Origin = mod, moderation.FromReferral
		s.When(referral.Decide).Then(again(moderation.NewReferral, 0), said(referral))
		s.When(reporting("carol", 2).Decide).Then(again(moderation.NewReports, 1), said(reporting("carol", 2)))
		s.When(reporting("bob", 2).Decide).Nothing() // that was decided
	})
	t.Run("a finding counts again after a decision: its risk has grown", func(t *testing.T) {
		t.Parallel()
		found := detector
		found.Version, found.Finding = 2, "f1"
		s := given(t, first, said(found))
		s.When(found.Decide).Nothing()
		given(t, first, said(found), restricted).When(found.Decide).Then(again(moderation.NewFinding, 0), said(found))
	})
	t.Run("not where nobody but moderators gets the item, unless one of them asks", func(t *testing.T) {
		t.Parallel()
		for _, action := range []moderation.Action{moderation.Quarantine, moderation.Remove} {
			held := restricted
			held.Action = action
			s := given(t, first, held)
			s.When(reporting("carol", 2).Decide).Then(said(reporting("carol", 2)))
			s.When(detector.Decide).Then(said(detector))
			referral := reporting("mod", 2)
			referral.By, referral.Origin = mod, moderation.FromReferral
			s.When(referral.Decide).Then(again(moderation.NewReferral, 0), said(referral))
		}
	})
	t.Run("it waits once, can be claimed, is not closed, and the same decision decides it again", func(t *testing.T) {
		t.Parallel()
		s := given(t, first, restricted).When(reporting("carol", 2).Decide).Then(again(moderation.NewReports, 1), said(reporting("carol", 2)))
		s.When(reporting("dave", 2).Decide).Then(said(reporting("dave", 2)))
		s.When(moderation.Close{By: mod}.Decide).Refused(moderation.ErrReopened)
		s.When(moderation.Claim{By: mod, At: noon, For: 1}.Decide).Then(moderation.Claimed{Moderator: "mod", Until: noon.Add(1)})
		second := restricted
		second.Number = 2
		s = s.When(decide(mod, moderation.Restrict).Decide).Then(second)
		s.When(decide(mod, moderation.Restrict).Decide).Nothing()
		s.When(moderation.Claim{By: mod, At: noon, For: 1}.Decide).Refused(moderation.ErrNotWaiting)
		s.When(moderation.Close{By: mod}.Decide).Then(moderation.Closed{By: "mod", Code: moderation.CodeFinal})
	})
	t.Run("an appeal ends, and the case goes on", func(t *testing.T) {
		t.Parallel()
		s := given(t, first, restricted, appealed).When(reporting("carol", 2).Decide).Then(again(moderation.NewReports, 1), said(reporting("carol", 2)))
		s.When(decide(mod, moderation.Remove).Decide).Refused(moderation.ErrAppealOpen)
		end := moderation.DecideAppeal{By: judge, Number: 1, Outcome: moderation.Overturn, Reason: about("x", "it is")}
		s = s.When(end.Decide).Then(moderation.AppealDecided{
			Number: 1, Decision: 1, Version: 2, Media: "m1", By: "judge", Outcome: moderation.Overturn, Overturns: moderation.Restrict, Reason: about("alice", "it is"),
		})
		if !s.State().Waits() || s.State().LetBe() {
			t.Error("it waits for what was reported since")
		}
		s.When(moderation.Decide{By: mod, Action: moderation.Approve, Version: 2}.Decide).Then(
			moderation.Decided{Number: 2, Media: "m1", Version: 2, By: "mod", Action: moderation.Approve},
			moderation.Closed{By: "mod", Code: moderation.CodeApproved})
	})
	t.Run("a decision that says the one before again is news to those who reported since", func(t *testing.T) {
		t.Parallel()
		more := []moderation.Event{first, restricted, again(moderation.NewReports, 1), said(reporting("carol", 2))}
		second, other := restricted, restricted
		second.Number, other.Number, other.Action = 2, 2, moderation.Remove
		fell := moderation.AppealDecided{Number: 1, Decision: 1, By: "judge", Outcome: moderation.Overturn}
		for name, c := range map[string]struct {
			events []moderation.Event
			want   []domain.UserID
		}{
			"the first":            {more[:2], []domain.UserID{"bob"}},
			"the same again":       {append(slices.Clone(more), second), []domain.UserID{"carol"}},
			"another one":          {append(slices.Clone(more), other), []domain.UserID{"bob", "carol"}},
			"the first had fallen": {append(slices.Clone(more), appealed, fell, second), []domain.UserID{"bob", "carol"}},
		} {
			if got := given(t, c.events...).State().Unheard(); !slices.Equal(got, c.want) {
				t.Errorf("%s is news to %v", name, got)
			}
		}
	})
	t.Run("a campaign of a thousand people brings it back ten times", func(t *testing.T) {
		t.Parallel()
		s := moderation.Evolve(moderation.Evolve(moderation.State{}, first), restricted)
		back := 0
		for i := range 1000 {
			events, err := reporting(fmt.Sprint("bot", i), 2).Decide(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = moderation.Evolve(s, e)
			}
			if s.Reopened { // moderators answer at once, and nothing changes
				back++
				next := restricted
				next.Number = len(s.Decisions) + 1
				s = moderation.Evolve(s, next)
			}
		}
		if back != 9 { // 1 + 2 + ... + 256 people, and 489 wait for the 512th
			t.Errorf("it was brought back %d times", back)
		}
	})
	t.Run("one person alone brings it back once, whatever he says", func(t *testing.T) {
		t.Parallel()
		s := moderation.Evolve(moderation.Evolve(moderation.State{}, first), restricted)
		back := 0
		for _, category := range moderation.Categories() {
			c := reporting("bob", 2)
			c.Category = category
			events, err := c.Decide(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = moderation.Evolve(s, e)
			}
			if s.Reopened {
				back++
				next := restricted
				next.Number = len(s.Decisions) + 1
				s = moderation.Evolve(s, next)
			}
		}
		if back != 1 {
			t.Errorf("he brought it back %d times", back)
		}
	})
}

func TestADecisionIsAboutTheVersionThatWasLookedAt(t *testing.T) {
	t.Parallel()
	first := opened
	first.Version = 1
	second := moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "nudity", Score: 80, Version: 2}
	on := func(version, current int) moderation.Decide {
		c := decide(mod, moderation.Quarantine)
		c.Version, c.Current = version, current
		return c
	}
	want := decided
	want.Version = 1
	given(t, first).When(on(0, 1).Decide).Then(want)
	given(t, first).When(on(1, 2).Decide).Then(want)                           // of the other nobody has said anything
	given(t, first).When(on(0, 2).Decide).Refused(moderation.ErrWhich)         // the owner put another one in its place
	given(t, first, second).When(on(0, 2).Decide).Refused(moderation.ErrWhich) // which was reported meanwhile
	given(t, first, second).When(on(1, 2).Decide).Refused(moderation.ErrNewer)
	given(t, first, second).When(on(1, 1).Decide).Then(want) // he went back to it
	given(t, first, second).When(on(2, 2).Decide).Then(decided)
	stranger := on(0, 2)
	stranger.By = bob
	given(t, first, second).When(stranger.Decide).Refused(moderation.ErrNotModerator)
}
