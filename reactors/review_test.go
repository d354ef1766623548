package reactors_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// reviewed is a vault in which findings become cases, from the risk of 40 on. Whatever happens is reacted to twice.
type reviewed struct {
	*vault
	moderation *commands.Moderation
	findings   *commands.Findings
	item       domain.MediaID
}

func newReviewed(t *testing.T) *reviewed {
	t.Helper()
	v := newVault(t)
	return &reviewed{vault: v, moderation: commands.NewModeration(v.vault), findings: commands.NewFindings(v.vault, nil), item: v.item()}
}

// found raises a finding of what others may see.
func (v *reviewed) found(kind string, exposure finding.Exposure) domain.FindingID {
	v.Helper()
	id := domain.FindingID(uuid.NewString())
	v.by("system", findingStream(id), finding.Raised{
		Finding: id, Media: v.item, Owner: "alice", Type: kind, Place: finding.InDescription, Count: 1, Confidence: 95, Sensitivity: 8,
		Exposure: exposure, Risk: finding.Risk(exposure, 8),
	})
	return id
}

func (v *reviewed) exposed(id domain.FindingID, before, now finding.Exposure) {
	v.Helper()
	v.by("system", findingStream(id), finding.Rescored{Exposure: now, Risk: finding.Risk(now, 8), Before: finding.Risk(before, 8)})
}

// settled reacts to everything, and once more as after a checkpoint that was lost.
func (v *reviewed) settled() {
	v.Helper()
	for range 2 {
		stop := v.react(reactors.Review{Moderation: v.moderation, Least: 40}, reactors.Enforcement{Media: commands.NewMedia(v.vault.vault, nil)})
		v.done()
		stop()
		if _, err := v.pool.Exec(v.Context(), `UPDATE reactor_checkpoints SET position = 0`); err != nil {
			v.Fatal(err)
		}
	}
}

// cases are the streams of the item's cases, each as its state.
func (v *reviewed) cases() []moderation.State {
	v.Helper()
	var all []moderation.State
	for rec, err := range v.store.ReadAll(v.Context(), eventstore.Read{Filter: eventstore.Filter{Categories: []string{moderation.Category}}}) {
		if err != nil {
			v.Fatal(err)
		}
		if rec.Type == "moderation.opened" {
			all = append(all, moderation.State{})
		}
		e := rec.Event.(moderation.Event) //nolint:forcetypeassert // of that category
		for i := range all {
			if all[i].ID == domain.CaseID(rec.Stream.ID()) || !all[i].Known() {
				all[i] = moderation.Evolve(all[i], e)
				break
			}
		}
	}
	return all
}

func (v *reviewed) finding(id domain.FindingID) finding.State {
	v.Helper()
	var s finding.State
	for rec, err := range v.store.Stream(v.Context(), findingStream(id), 0) {
		if err != nil {
			v.Fatal(err)
		}
		s = finding.Evolve(s, rec.Event.(finding.Event)) //nolint:forcetypeassert // of that category
	}
	return s
}

func (v *reviewed) decide(action moderation.Action) domain.CaseID {
	v.Helper()
	all := v.cases()
	id := all[len(all)-1].ID
	if _, err := v.moderation.Decide(v.Context(), v.mod("mona"), id, commands.Decision{Action: action, Reason: "r", Policy: "p", Statement: "s"}); err != nil {
		v.Fatal(err)
	}
	return id
}

func (v *reviewed) mod(who domain.UserID) commands.Envelope {
	return commands.Envelope{Actor: domain.Actor{ID: who, Roles: []domain.Role{domain.RoleModerator}}}
}

func (v *reviewed) says(actor commands.Envelope, id domain.FindingID, status finding.Status) {
	v.Helper()
	if _, err := v.findings.SetStatus(v.Context(), actor, id, status, ""); err != nil {
		v.Fatal(err)
	}
}

func findingStream(id domain.FindingID) eventstore.Stream {
	return eventstore.StreamOf(finding.Category, id)
}

// version gives the item another version, of which screening wants a person to look.
func (v *reviewed) version(number int) {
	v.Helper()
	v.by("alice", mediaStream(v.item), media.VersionAdded{Version: number, File: media.File{Type: "image/png", Size: 1, Object: domain.ObjectKey(uuid.NewString())}})
	v.by("system", mediaStream(v.item), media.Screened{Version: number, Verdict: media.VerdictReview, Score: 30, Stages: []media.Stage{
		{Name: "nsfw", Verdict: media.VerdictReview, Codes: []string{"nsfw"}},
	}})
}

func TestADoubtfulVersionNeverWaitsForNobody(t *testing.T) {
	t.Parallel()
	t.Run("after a restriction the decided case waits again", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		v.version(2)
		v.settled()
		v.decide(moderation.Restrict)
		v.version(3)
		v.settled()
		all := v.cases()
		if len(all) != 1 || !all[0].Reopened || !all[0].Waits() {
			t.Fatalf("cases are %+v", all)
		}
		decision := commands.Decision{Action: moderation.Approve}
		if _, err := v.moderation.Decide(v.Context(), v.mod("mona"), all[0].ID, decision); !errors.Is(err, moderation.ErrWhich) {
			t.Errorf("he may have looked at the version before: %v", err)
		}
		decision.Version = 3
		if _, err := v.moderation.Decide(v.Context(), v.mod("mona"), all[0].ID, decision); err != nil {
			t.Fatal(err)
		}
		v.settled()
		if all = v.cases(); len(all) != 1 || !all[0].Closed {
			t.Errorf("cases are %+v", all)
		}
	})
	t.Run("of a version that came while its item was taken into quarantine, an appeal that overturns opens another case", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		v.version(2)
		v.settled()
		id := v.decide(moderation.Quarantine)
		v.version(3) // as it would have, had it been added in the same moment
		v.settled()
		if all := v.cases(); len(all) != 1 || all[0].Waits() {
			t.Fatalf("cases are %+v", all)
		}
		alice := commands.Envelope{Actor: domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}}
		if _, err := v.moderation.Appeal(v.Context(), alice, id, "it is mine"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.moderation.DecideAppeal(v.Context(), v.mod("moe"), id, 1, commands.Verdict{Outcome: moderation.Overturn, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		v.settled()
		all := v.cases()
		if len(all) != 2 || !all[0].Closed || !all[1].Waits() {
			t.Errorf("cases are %+v", all)
		}
	})
}

func TestFindingsBecomeCases(t *testing.T) {
	t.Parallel()

	t.Run("a finding becomes a case when its risk asks for people, once, with its priority", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		private := v.found("iban", finding.Private)
		v.settled()
		if n := len(v.cases()); n != 0 {
			t.Fatalf("%d cases for what nobody else sees", n)
		}
		v.exposed(private, finding.Private, finding.Anyone)
		second := v.found("ssn", finding.Anyone)
		v.settled()
		all := v.cases()
		if len(all) != 1 || len(all[0].Findings()) != 2 {
			t.Fatalf("cases %+v", all)
		}
		for _, id := range []domain.FindingID{private, second} {
			if s := v.finding(id); s.Case != all[0].ID || s.CaseRisk != 80 {
				t.Errorf("the finding says %+v", s)
			}
		}
		for rec := range v.store.ReadAll(t.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"moderation.opened"}}}) {
			if e := rec.Event.(moderation.Opened); e.Score != 80 || e.Category != "privacy" || e.Origin != moderation.FromDetector || e.Finding != private && e.Finding != second { //nolint:forcetypeassert // of that type
				t.Errorf("the case says %+v", e)
			}
		}
	})

	t.Run("what moderators let be is accepted and opens no other case, until it is worse", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		id := v.found("iban", finding.Partner)
		v.settled()
		v.decide(moderation.Approve)
		v.settled()
		if s := v.finding(id); s.Status != finding.Accepted || s.AcceptedRisk != 40 {
			t.Fatalf("the finding says %+v", s)
		}
		v.exposed(id, finding.Partner, finding.Private)
		v.exposed(id, finding.Private, finding.Partner)
		v.settled()
		if all := v.cases(); len(all) != 1 {
			t.Fatalf("%d cases", len(all))
		}
		if _, err := v.store.Append(t.Context(), findingStream(id), eventstore.Any, eventstore.Metadata{Command: uuid.New(), Actor: domain.System()},
			finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 40}, finding.StatusChanged{By: "system", From: finding.Accepted, To: finding.Open}); err != nil {
			t.Fatal(err)
		}
		v.settled()
		if all := v.cases(); len(all) != 2 || all[1].Closed {
			t.Errorf("cases %+v", all)
		}
	})

	t.Run("a decision that falls on appeal lets it be, too; one that stands leaves the finding open", func(t *testing.T) {
		t.Parallel()
		for outcome, want := range map[moderation.Outcome]finding.Status{moderation.Overturn: finding.Accepted, moderation.Uphold: finding.Open} {
			v := newReviewed(t)
			id := v.found("iban", finding.Anyone)
			v.settled()
			file := v.decide(moderation.Quarantine)
			v.exposed(id, finding.Anyone, finding.Private)
			if _, err := v.moderation.Appeal(t.Context(), v.as("alice"), file, "it is mine"); err != nil {
				t.Fatal(err)
			}
			if _, err := v.moderation.DecideAppeal(t.Context(), v.mod("judge"), file, 1, commands.Verdict{Outcome: outcome, Reason: "r"}); err != nil {
				t.Fatal(err)
			}
			v.settled()
			v.exposed(id, finding.Private, finding.Anyone)
			v.settled()
			if s := v.finding(id); s.Status != want || len(v.cases()) != 1 {
				t.Errorf("%s: the finding says %+v, and there are %d cases", outcome, s, len(v.cases()))
			}
		}
	})

	t.Run("a case of which nothing is left is closed, but not on its owner's word", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		one, two := v.found("iban", finding.Anyone), v.found("ssn", finding.Anyone)
		v.settled()
		v.says(v.as("alice"), one, finding.FalsePositive)
		v.says(v.mod("mona"), two, finding.FalsePositive)
		v.settled()
		if all := v.cases(); len(all) != 1 || all[0].Closed {
			t.Fatalf("closed on the owner's word: %+v", all)
		}
		v.says(v.mod("mona"), one, finding.Resolved)
		v.settled()
		if all := v.cases(); len(all) != 1 || !all[0].Closed {
			t.Fatalf("not closed: %+v", all)
		}
		v.says(v.mod("mona"), one, finding.Open)
		v.settled()
		if all := v.cases(); len(all) != 2 || all[1].Closed || len(all[1].Findings()) != 1 {
			t.Errorf("opened again: %+v", all)
		}
	})

	t.Run("what somebody reported, too, is not closed with its findings", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		id := v.found("iban", finding.Anyone)
		v.settled()
		if _, err := v.moderation.Refer(t.Context(), v.mod("mona"), commands.Report{Media: v.item, Category: "privacy"}); err != nil {
			t.Fatal(err)
		}
		v.by("system", findingStream(id), finding.StatusChanged{By: "system", From: finding.Open, To: finding.Resolved, Code: finding.CodeGone})
		v.settled()
		if all := v.cases(); len(all) != 1 || all[0].Closed {
			t.Errorf("cases %+v", all)
		}
	})

	t.Run("without a threshold nothing becomes a case", func(t *testing.T) {
		t.Parallel()
		v := newReviewed(t)
		v.found("iban", finding.Anyone)
		v.react(reactors.Review{Moderation: v.moderation})
		v.done()
		if n := len(v.cases()); n != 0 {
			t.Errorf("%d cases", n)
		}
	})
}
