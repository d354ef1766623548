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

func given(t *testing.T, events ...finding.Event) domaintest.Story[finding.State, finding.Event] {
	t.Helper()
	return domaintest.Given(t, finding.Evolve, events...)
}

func TestAFindingsLife(t *testing.T) {
	t.Parallel()
	raise := finding.Raise{By: vault, Found: raised()}
	t.Run("what is found is open, at the risk of its exposure", func(t *testing.T) {
		t.Parallel()
		if s := given(t).When(raise.Decide).Then(first()).State(); s.Status != finding.Open || s.Risk != 8 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a share to anyone makes a private finding urgent", func(t *testing.T) {
		t.Parallel()
		given(t, first()).When(finding.Rescore{By: vault, Exposure: finding.Anyone}.Decide).
			Then(finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8})
		if finding.LevelOf(80) != finding.Urgent || finding.LevelOf(8) != finding.Low {
			t.Error("80 is urgent, 8 is low")
		}
	})
	t.Run("what was accepted is open again when the risk grows, and not when it shrinks", func(t *testing.T) {
		t.Parallel()
		accepted := []finding.Event{
			first(), finding.Rescored{Exposure: finding.Partner, Risk: 40, Before: 8},
			finding.StatusChanged{By: "alice", From: finding.Open, To: finding.Accepted},
		}
		given(t, accepted...).When(finding.Rescore{By: vault, Exposure: finding.Private}.Decide).
			Then(finding.Rescored{Exposure: finding.Private, Risk: 8, Before: 40})
		given(t, accepted...).When(finding.Rescore{By: vault, Exposure: finding.Anyone}.Decide).
			Then(finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 40},
				finding.StatusChanged{By: vault.ID, From: finding.Accepted, To: finding.Open})
	})
	t.Run("what is gone is resolved, and open again when it is back", func(t *testing.T) {
		t.Parallel()
		gone := finding.StatusChanged{By: vault.ID, From: finding.Open, To: finding.Resolved, Code: finding.CodeGone}
		given(t, first()).When(finding.Clear{By: vault}.Decide).Then(gone)
		given(t, first(), gone).When(raise.Decide).
			Then(finding.StatusChanged{By: vault.ID, From: finding.Resolved, To: finding.Open, Code: finding.CodeBack})
	})
	t.Run("a false positive stays one", func(t *testing.T) {
		t.Parallel()
		judged := given(t, first(), finding.StatusChanged{By: "mona", From: finding.Open, To: finding.FalsePositive})
		judged.When(raise.Decide).Nothing()
		judged.When(finding.Clear{By: vault}.Decide).Nothing()
	})
	t.Run("an older version that comes late says nothing", func(t *testing.T) {
		t.Parallel()
		newer, older := first(), raised()
		newer.Version, older.Version = 2, 1
		given(t, newer).When(finding.Raise{By: vault, Found: older}.Decide).Nothing()
		given(t, newer).When(finding.Clear{By: vault, Version: 1}.Decide).Nothing()
	})
}

func TestWhoMaySayWhatBecameOfAFinding(t *testing.T) {
	t.Parallel()
	for _, by := range []domain.Actor{alice, mona} {
		given(t, first()).When(finding.SetStatus{By: by, Status: finding.Accepted, Note: "a sample"}.Decide).
			Then(finding.StatusChanged{By: by.ID, From: finding.Open, To: finding.Accepted, Note: domain.NewPersonal("alice", "a sample")})
	}
	t.Run("to a stranger there is no finding", func(t *testing.T) {
		t.Parallel()
		given(t, first()).When(finding.SetStatus{By: mallory, Status: finding.Accepted}.Decide).Refused(finding.ErrNotFound)
	})
	t.Run("to a guest there is no finding", func(t *testing.T) {
		t.Parallel()
		given(t, first()).When(finding.SetStatus{Status: finding.Accepted}.Decide).Refused(finding.ErrNotFound)
	})
	t.Run("nothing was found", func(t *testing.T) {
		t.Parallel()
		given(t).When(finding.SetStatus{By: alice, Status: finding.Accepted}.Decide).Refused(finding.ErrNotFound)
	})
	t.Run("there is no such status", func(t *testing.T) {
		t.Parallel()
		given(t, first()).When(finding.SetStatus{By: alice, Status: "gone"}.Decide).Refused(finding.ErrStatus)
	})
	t.Run("no person raises a finding", func(t *testing.T) {
		t.Parallel()
		given(t).When(finding.Raise{By: alice, Found: raised()}.Decide).Refused(finding.ErrSystemOnly)
	})
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
		return given(t, events...)
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
	found := worse
	found.Risk = 100
	if !tell(first(), exposed, referred, approved).When(finding.Raise{By: vault, Found: worse}.Decide).
		Then(found, finding.StatusChanged{By: vault.ID, From: finding.Accepted, To: finding.Open}).State().Waits(40) {
		t.Error("a greater risk than was approved is not put before people")
	}
}
