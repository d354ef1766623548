package finding_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/finding"
)

var (
	vault   = domain.System()
	alice   = domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	mallory = domain.Actor{ID: "mallory", Roles: []domain.Role{domain.RoleUser}}
	mona    = domain.Actor{ID: "mona", Roles: []domain.Role{domain.RoleModerator}}
)

func raised() finding.Raised {
	return finding.Raised{
		Finding: "f1", Media: "m1", Owner: "alice", Type: "iban", Place: finding.InDescription, Count: 1, Confidence: 95, Sensitivity: 8,
		Sample: domain.NewPersonal("alice", "DE89…00"), Detector: finding.Detector{Name: "pii", Version: "1"}, Exposure: finding.Private,
	}
}

func first() finding.Raised {
	r := raised()
	r.Risk = 8
	return r
}

func state(events ...finding.Event) finding.State {
	var s finding.State
	for _, e := range events {
		s = finding.Evolve(s, e)
	}
	return s
}

func said(t *testing.T, s finding.State, decide func(finding.State) ([]finding.Event, error)) []finding.Event {
	t.Helper()
	events, err := decide(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s = finding.Evolve(s, e)
	}
	if again, err := decide(s); err != nil || len(again) > 0 {
		t.Fatalf("asked twice, it said %v %v", again, err)
	}
	return events
}

func TestAFindingsLife(t *testing.T) {
	t.Parallel()
	t.Run("what is found is open, at the risk of its exposure", func(t *testing.T) {
		t.Parallel()
		events := said(t, state(), finding.Raise{By: vault, Found: raised()}.Decide)
		if len(events) != 1 || events[0].(finding.Raised).Risk != 8 || state(events...).Status != finding.Open {
			t.Errorf("%+v", events)
		}
	})
	t.Run("a share to anyone makes a private finding urgent", func(t *testing.T) {
		t.Parallel()
		events := said(t, state(first()), finding.Rescore{By: vault, Exposure: finding.Anyone}.Decide)
		if want := (finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8}); len(events) != 1 || events[0] != want {
			t.Fatalf("%+v", events)
		}
		if finding.LevelOf(80) != finding.Urgent || finding.LevelOf(8) != finding.Low {
			t.Error("80 is urgent, 8 is low")
		}
	})
	t.Run("what was accepted is open again when the risk grows, and not when it shrinks", func(t *testing.T) {
		t.Parallel()
		s := state(first(), finding.Rescored{Exposure: finding.Partner, Risk: 40, Before: 8},
			finding.StatusChanged{By: "alice", From: finding.Open, To: finding.Accepted})
		if events := said(t, s, finding.Rescore{By: vault, Exposure: finding.Private}.Decide); len(events) != 1 {
			t.Errorf("%+v", events)
		}
		if events := said(t, s, finding.Rescore{By: vault, Exposure: finding.Anyone}.Decide); len(events) != 2 || state(append([]finding.Event{first()}, events...)...).Status != finding.Open {
			t.Errorf("%+v", events)
		}
	})
	t.Run("what is gone is resolved, and open again when it is back", func(t *testing.T) {
		t.Parallel()
		gone := said(t, state(first()), finding.Clear{By: vault}.Decide)
		back := said(t, state(first(), gone[0]), finding.Raise{By: vault, Found: raised()}.Decide)
		if len(back) != 1 || back[0].(finding.StatusChanged).Code != finding.CodeBack {
			t.Errorf("%+v", back)
		}
	})
	t.Run("a false positive stays one", func(t *testing.T) {
		t.Parallel()
		s := state(first(), finding.StatusChanged{By: "mona", From: finding.Open, To: finding.FalsePositive})
		if events := said(t, s, finding.Raise{By: vault, Found: raised()}.Decide); len(events) != 0 {
			t.Errorf("%+v", events)
		}
		if events := said(t, s, finding.Clear{By: vault}.Decide); len(events) != 0 {
			t.Errorf("%+v", events)
		}
	})
	t.Run("an older version that comes late says nothing", func(t *testing.T) {
		t.Parallel()
		newer := first()
		newer.Version = 2
		older := raised()
		older.Version = 1
		if events := said(t, state(newer), finding.Raise{By: vault, Found: older}.Decide); len(events) != 0 {
			t.Errorf("%+v", events)
		}
		if events := said(t, state(newer), finding.Clear{By: vault, Version: 1}.Decide); len(events) != 0 {
			t.Errorf("%+v", events)
		}
	})
}

func TestWhoMaySayWhatBecameOfAFinding(t *testing.T) {
	t.Parallel()
	for _, by := range []domain.Actor{alice, mona} {
		events := said(t, state(first()), finding.SetStatus{By: by, Status: finding.Accepted, Note: "a sample"}.Decide)
		if len(events) != 1 || events[0].(finding.StatusChanged).Note.Subject() != "alice" {
			t.Errorf("%s: %+v", by.ID, events)
		}
	}
	for name, refused := range map[string]struct {
		err error
		cmd finding.SetStatus
		s   finding.State
	}{
		"to a stranger there is no finding": {finding.ErrNotFound, finding.SetStatus{By: mallory, Status: finding.Accepted}, state(first())},
		"to a guest there is no finding":    {finding.ErrNotFound, finding.SetStatus{Status: finding.Accepted}, state(first())},
		"nothing was found":                 {finding.ErrNotFound, finding.SetStatus{By: alice, Status: finding.Accepted}, state()},
		"no such status":                    {finding.ErrStatus, finding.SetStatus{By: alice, Status: "gone"}, state(first())},
	} {
		_, err := refused.cmd.Decide(refused.s)
		if r, ok := domain.AsRefusal(err); !ok || r.Code != refused.err.(*domain.Refusal).Code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (finding.Raise{By: alice, Found: raised()}).Decide(state()); err == nil {
		t.Error("a person raised a finding")
	}
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	full := first()
	full.Org, full.Version, full.Detector.Threshold = "acme", 3, 60
	domaintest.Golden(t, finding.Types,
		finding.Referred{Media: "m1", Owner: "alice", Case: "c1", Type: "iban", Risk: 80, Least: 40},
		full,
		finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8},
		finding.StatusChanged{By: "alice", From: finding.Open, To: finding.Accepted, Code: finding.CodeGone, Note: domain.NewPersonal("alice", "a sample")},
	)
}

func TestAFindingIsPutBeforePeopleOnce(t *testing.T) {
	t.Parallel()
	exposed := finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8}
	referred := finding.Referred{Media: "m1", Owner: "alice", Case: "c1", Type: "iban", Risk: 80, Least: 40}
	approved := finding.StatusChanged{By: vault.ID, From: finding.Open, To: finding.Accepted, Code: finding.CodeApproved}
	refer := finding.Refer{By: vault, Case: "c1", Least: 40}
	again := refer
	again.Case = "c2"
	tell := func(events ...finding.Event) domaintest.Story[finding.State, finding.Event] {
		return domaintest.Given(t, finding.Evolve, events...)
	}
	tell().When(refer.Decide).Nothing()
	tell(first()).When(refer.Decide).Nothing()
	tell(first(), exposed).When(refer.Decide).Then(referred)
	tell(first(), exposed, referred).When(again.Decide).Nothing()
	tell(first(), exposed).When(finding.Refer{By: vault, Case: "c1"}.Decide).Nothing()
	byOwner := finding.StatusChanged{By: "alice", From: finding.Open, To: finding.FalsePositive}
	byMona := byOwner
	byMona.By = mona.ID
	tell(first(), byOwner, exposed).When(refer.Decide).Then(referred)
	tell(first(), byMona, exposed).When(refer.Decide).Nothing()
	tell(first(), exposed).When(finding.Refer{By: alice, Case: "c1", Least: 40}.Decide).Refused(finding.ErrSystemOnly)
	gone := finding.StatusChanged{By: vault.ID, From: finding.Open, To: finding.Resolved, Code: finding.CodeGone}
	back := finding.StatusChanged{By: vault.ID, From: finding.Resolved, To: finding.Open, Code: finding.CodeBack}
	tell(first(), exposed, referred, gone).When(again.Decide).Nothing()
	anew := referred
	anew.Case = "c2"
	tell(first(), exposed, referred, gone, back).When(again.Decide).Then(anew)

	approve := finding.Approve{By: vault, Case: "c1"}
	tell(first(), exposed).When(approve.Decide).Nothing()
	tell(first(), exposed, referred).When(finding.Approve{By: vault, Case: "c2"}.Decide).Nothing()
	tell(first(), exposed, referred).When(finding.Approve{By: mona, Case: "c1"}.Decide).Refused(finding.ErrSystemOnly)
	tell(first(), exposed, referred).When(approve.Decide).Then(approved)
	// The item was held while they looked, and is out again: what they let be stays so, and a greater risk does not.
	held, free := finding.Rescored{Exposure: finding.Private, Risk: 8, Before: 80}, finding.Rescore{By: vault, Exposure: finding.Anyone}
	tell(first(), exposed, referred, held, approved).When(free.Decide).Then(finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8})
	worse := raised()
	worse.Exposure, worse.Sensitivity = finding.Anyone, 10
	events, err := finding.Raise{By: vault, Found: worse}.Decide(state(first(), exposed, referred, approved))
	if err != nil || len(events) != 2 || !state(append([]finding.Event{first(), exposed, referred, approved}, events...)...).Waits(40) {
		t.Errorf("a greater risk than was approved: %+v %v", events, err)
	}
}
