package media_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

func screen(version int, verdict media.Verdict) media.Screen {
	return media.Screen{By: system, Version: version, Verdict: verdict, Score: 90}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	quarantined := media.Quarantined{Source: media.Source{By: "system", Version: 1}, Code: media.CodeScreening}
	t.Run("a clean version can be delivered, an unscreened one cannot", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded)
		if err := s.State().Delivery(1); !errors.Is(err, media.ErrNotScreened) {
			t.Error(err)
		}
		s = s.When(screen(1, media.VerdictClean).Decide).Then(screened(1, media.VerdictClean))
		if err := s.State().Delivery(0); err != nil {
			t.Error(err)
		}
	})
	t.Run("a blocked version puts the item in quarantine, and a clean one that follows takes it out", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded).When(screen(1, media.VerdictBlocked).Decide).Then(screened(1, media.VerdictBlocked), quarantined)
		add := media.AddVersion{By: alice, File: second(), Expected: anySize, Policy: policy}
		s = s.When(add.Decide).Then(added)
		s = s.When(screen(2, media.VerdictClean).Decide).Then(screened(2, media.VerdictClean), media.Released{Source: media.Source{By: "system", Version: 2}})
		if !s.State().Deliverable(2) || s.State().Deliverable(1) {
			t.Error("version 2 can be delivered, version 1 cannot")
		}
	})
	t.Run("only the vault screens, and only what is there", func(t *testing.T) {
		t.Parallel()
		c := screen(1, media.VerdictClean)
		c.By = admin
		given(t, uploaded).When(c.Decide).Refused(media.ErrSystemOnly)
		given(t).When(screen(1, media.VerdictClean).Decide).Refused(media.ErrNotFound)
		given(t, uploaded).When(screen(2, media.VerdictClean).Decide).Refused(media.ErrNoVersion)
		given(t, uploaded).When(screen(0, media.VerdictClean).Decide).Refused(media.ErrNoVersion)
		given(t, uploaded).When(screen(1, "fine").Decide).Refused(domain.ErrInvalid)
		given(t, uploaded, deleted, purged).When(screen(1, media.VerdictClean).Decide).Nothing()
	})
}

func TestReasonsAreWhatSentAVersionToPeople(t *testing.T) {
	t.Parallel()
	noted := media.Stage{Name: "malware", Verdict: media.VerdictClean, Codes: []string{"no_scanner"}}
	odd := media.Stage{Name: "content", Verdict: media.VerdictReview, Codes: []string{"undecodable", "polyglot"}}
	again := media.Stage{Name: "type", Verdict: media.VerdictReview, Codes: []string{"polyglot"}}
	mute := media.Stage{Name: "name", Verdict: media.VerdictReview}
	virus := media.Stage{Name: "malware", Verdict: media.VerdictBlocked, Codes: []string{"malware", "eicar"}}
	for _, tt := range []struct {
		verdict media.Verdict
		stages  []media.Stage
		want    string
	}{
		{"", nil, "[]"},
		{media.VerdictClean, []media.Stage{noted}, "[]"},
		{media.VerdictReview, []media.Stage{noted, odd, again, mute}, "[name polyglot undecodable]"},
		{media.VerdictReview, []media.Stage{noted}, "[low_score no_scanner]"},
		{media.VerdictReview, nil, "[low_score]"},
		{media.VerdictBlocked, []media.Stage{odd, virus}, "[eicar malware]"},
	} {
		if got := fmt.Sprint(media.Screened{Version: 1, Verdict: tt.verdict, Stages: tt.stages}.Reasons()); got != tt.want {
			t.Errorf("%s %v: %s, not %s", tt.verdict, tt.stages, got, tt.want)
		}
	}
}

func enforce(number int, action media.Act) media.Enforce {
	return media.Enforce{By: system, Action: action, Source: media.Source{Case: "c1", Number: number, By: "mod", Version: 1}}
}

func fall(number int) media.Enforce {
	c := enforce(number, "")
	c.Overturn = true
	return c
}

func TestEnforce(t *testing.T) {
	t.Parallel()
	source := func(n int) media.Source { return enforce(n, "").Source }
	clean := screened(1, media.VerdictClean)
	t.Run("each action lays its hold upon the item", func(t *testing.T) {
		t.Parallel()
		for action, want := range map[media.Act]struct {
			event media.Event
			hold  media.HoldKind
			why   error
		}{
			media.ActRestrict:   {media.Restricted{Source: source(1)}, media.IsRestricted, nil},
			media.ActQuarantine: {media.Quarantined{Source: source(1), Code: media.CodeModeration}, media.IsQuarantined, media.ErrQuarantined},
			media.ActRemove:     {media.Removed{Source: source(1)}, media.IsRemoved, media.ErrRemoved},
		} {
			s := given(t, uploaded, clean).When(enforce(1, action).Decide).Then(want.event)
			if s.State().Hold() != want.hold || !errors.Is(s.State().Delivery(0), want.why) {
				t.Errorf("%s: %s, %v", action, s.State().Hold(), s.State().Delivery(0))
			}
		}
		given(t, uploaded).When(enforce(1, "burn").Decide).Refused(media.ErrUnknownAction)
		stranger := enforce(1, media.ActRemove)
		stranger.By = alice
		given(t, uploaded).When(stranger.Decide).Refused(media.ErrSystemOnly)
	})
	t.Run("approving lets a version under review pass, and lifts holds, but not what screening blocked", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded, screened(1, media.VerdictReview))
		if !errors.Is(s.State().Delivery(0), media.ErrUnderReview) {
			t.Error("it is under review")
		}
		s = s.When(enforce(1, media.ActApprove).Decide).Then(media.Released{Source: source(1)})
		if !s.State().Deliverable(0) {
			t.Error("a moderator let it pass")
		}
		given(t, uploaded, clean).When(enforce(1, media.ActApprove).Decide).Nothing()
		given(t, uploaded, screened(1, media.VerdictBlocked), media.Quarantined{Source: media.Source{By: "system", Version: 1}}).
			When(enforce(1, media.ActApprove).Decide).Nothing()
	})
	t.Run("a version that came after the one that was looked at does not pass with it", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded, screened(1, media.VerdictReview), added, screened(2, media.VerdictReview)).
			When(enforce(1, media.ActApprove).Decide).Then(media.Released{Source: source(1)})
		if s.State().Deliverable(2) || !s.State().Deliverable(1) {
			t.Error("version 1 was looked at, version 2 was not")
		}
	})
	t.Run("a decision that falls makes the item what it was before, also below an earlier hold", func(t *testing.T) {
		t.Parallel()
		given(t, uploaded, clean, media.Restricted{Source: source(1)}).When(fall(1).Decide).Then(media.Released{Source: source(1)})
		s := given(t, uploaded, clean, media.Restricted{Source: source(1)}, media.Removed{Source: source(2)}).
			When(fall(2).Decide).Then(media.Released{Source: source(2)}, media.Restricted{Source: source(1)})
		if s.State().Hold() != media.IsRestricted {
			t.Errorf("it was restricted before, now %s", s.State().Hold())
		}
	})
	t.Run("what comes again, or late, changes nothing", func(t *testing.T) {
		t.Parallel()
		s := given(t, uploaded, clean).When(enforce(2, media.ActQuarantine).Decide).Then(media.Quarantined{Source: source(2), Code: media.CodeModeration})
		s.When(enforce(1, media.ActApprove).Decide).Nothing()
		s = s.When(fall(2).Decide).Then(media.Released{Source: source(2)})
		s.When(enforce(2, media.ActQuarantine).Decide).Nothing()
		early := given(t, uploaded, clean).When(fall(1).Decide).Then(media.Released{Source: source(1)})
		early.When(enforce(1, media.ActRemove).Decide).Nothing()
	})
}

// TestInvariants plays random histories: whatever is asked in whatever order, an item is deliverable only when it was
// screened and nothing holds it, and no command says the same twice.
func TestInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := media.State{}
		var log []media.Event
		for range rapid.IntRange(1, 40).Draw(t, "length") {
			name, decide := draw(t)
			events, err := decide(s)
			if err != nil {
				if _, no := domain.AsRefusal(err); !no {
					t.Fatalf("%s: a fault: %v", name, err)
				}
				continue
			}
			for _, e := range events {
				s = media.Evolve(s, e)
				log = append(log, e)
			}
			if again, err := decide(s); err != nil || len(again) > 0 {
				t.Fatalf("%s, asked twice: %d events, %v", name, len(again), err)
			}
			check(t, s, log)
		}
	})
}

func draw(t *rapid.T) (string, func(media.State) ([]media.Event, error)) {
	version := rapid.IntRange(0, 4).Draw(t, "version")
	number := rapid.IntRange(1, 4).Draw(t, "number")
	source := media.Source{Case: domain.CaseID(rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "case")), Number: number, By: "mod", Version: version}
	f := file("a.jpg")
	f.SHA256 = domain.Digest(fmt.Sprintf("%064d", rapid.IntRange(1, 5).Draw(t, "sha")))
	verdict := rapid.SampledFrom([]media.Verdict{media.VerdictClean, media.VerdictReview, media.VerdictBlocked}).Draw(t, "verdict")
	by := rapid.SampledFrom([]domain.Actor{alice, alice, alice, bob, admin, system}).Draw(t, "by")
	all := map[string]func(media.State) ([]media.Event, error){
		"upload": upload(alice).Decide,
		"add":    media.AddVersion{By: by, File: f, Expected: anySize, Policy: policy}.Decide,
		"roll":   media.RollBack{By: by, Version: version}.Decide,
		"screen": media.Screen{By: system, Version: version, Verdict: verdict, Score: 1}.Decide,
		"enforce": media.Enforce{By: system, Source: source, Action: rapid.SampledFrom([]media.Act{
			media.ActApprove, media.ActRestrict, media.ActQuarantine, media.ActRemove,
		}).Draw(t, "action")}.Decide,
		"fall":    media.Enforce{By: system, Source: source, Overturn: true}.Decide,
		"delete":  media.Delete{By: by}.Decide,
		"restore": media.Restore{By: by}.Decide,
		"purge":   media.Purge{By: by, CaseOpen: rapid.Bool().Draw(t, "open")}.Decide,
	}
	name := rapid.SampledFrom([]string{"upload", "upload", "add", "roll", "screen", "screen", "enforce", "fall", "delete", "restore", "purge"}).Draw(t, "command")
	return name, all[name]
}

// check knows what may be delivered from the log alone, by other means than the state does.
func check(t *rapid.T, s media.State, log []media.Event) {
	verdicts, hold, phase, versions := map[int]media.Verdict{}, "", "", 0
	cleared := map[int]bool{}
	pass := func(from media.Source) {
		if from.Case != "" {
			cleared[from.Version] = true
		}
	}
	for _, e := range log {
		switch e := e.(type) {
		case media.Uploaded:
			phase, versions = "live", 1
		case media.VersionAdded:
			versions = e.Version
		case media.Screened:
			verdicts[e.Version] = e.Verdict
			cleared[e.Version] = false
		case media.Restricted:
			hold = ""
			pass(e.Source)
		case media.Quarantined, media.Removed:
			hold = "held"
		case media.Released:
			hold = ""
			pass(e.Source)
		case media.Deleted:
			phase = "deleted"
		case media.Restored:
			phase = "live"
		case media.Purged:
			phase = "purged"
		}
	}
	for v := 1; v <= versions; v++ {
		may := phase == "live" && hold == "" && (verdicts[v] == media.VerdictClean || verdicts[v] == media.VerdictReview && cleared[v])
		if s.Deliverable(v) != may {
			t.Fatalf("version %d: deliverable is %v, want %v", v, s.Deliverable(v), may)
		}
	}
	if len(s.Versions) != versions || (versions > 0 && (s.Current < 1 || s.Current > versions)) {
		t.Fatalf("%d versions, current %d, want %d", len(s.Versions), s.Current, versions)
	}
}

func TestWithheldIsWhatPeopleHoldOrHaveToLookAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said []media.Event
		want bool
	}{
		"not screened yet":      {[]media.Event{uploaded}, false},
		"clean":                 {[]media.Event{uploaded, screened(1, media.VerdictClean)}, false},
		"waits for a moderator": {[]media.Event{uploaded, screened(1, media.VerdictReview)}, true},
		"quarantined":           {[]media.Event{uploaded, screened(1, media.VerdictBlocked), media.Quarantined{Code: media.CodeScreening}}, true},
		"restricted":            {[]media.Event{uploaded, screened(1, media.VerdictClean), media.Restricted{}}, true},
		"released":              {[]media.Event{uploaded, screened(1, media.VerdictClean), media.Restricted{}, media.Released{}}, false},
	} {
		if got := given(t, c.said...).State().Withheld(0); got != c.want {
			t.Errorf("%s: withheld is %v", name, got)
		}
	}
}
