package commands

import (
	"context"
	"fmt"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

// ReferFinding opens or joins a case for a finding whose risk asks for it, from least on (0: none does); for the vault itself. A finding
// is put before people once, until it is opened again or its risk has grown.
func (m *Moderation) ReferFinding(ctx context.Context, env Envelope, id domain.FindingID, least int) error {
	found, err := m.finding(ctx, id)
	if err != nil || !found.Waits(least) {
		return err
	}
	// The key is the referral's, not the event's: of two events that ask for the same one, and of one that asks again after a kill, the
	// first opens the case; and when the finding is opened again, it is another.
	env.IdempotencyKey = fmt.Sprintf("finding-%s-%d-%d", id, found.Referred+1, found.Risk)
	got, err := m.Report(ctx, env, Report{
		Media: found.Raised.Media, Version: found.Raised.Version, Category: "privacy", Score: min(found.Risk, 100), Finding: id,
	})
	if err != nil {
		return err
	}
	which := domain.CaseID(got.ID)
	if err := m.vault.noteFinding(ctx, env, "refer", id, finding.Refer{By: env.Actor, Case: which, Least: least}.Decide); err != nil {
		return err
	}
	return m.ApproveFindings(ctx, env, which) // it may have been closed since the same was done, and cut off, before
}

// DismissFinding closes the case that a finding was put before people in, when that is about findings alone and none of them is open
// any more; for the vault itself. What the owner of the item says of his findings closes no case.
func (m *Moderation) DismissFinding(ctx context.Context, env Envelope, id domain.FindingID) error {
	found, err := m.finding(ctx, id)
	if err != nil || found.Case == "" || !over(found) {
		return err
	}
	f, err := fold(ctx, m.vault, caseStream(found.Case), moderation.Evolve, nil)
	if err != nil || !f.state.Open() {
		return err
	}
	dismiss := moderation.Dismiss{By: env.Actor}
	for _, other := range f.state.Findings() {
		at, err := m.finding(ctx, other)
		if err != nil {
			return err
		}
		if over(at) {
			dismiss.Over = append(dismiss.Over, other)
		}
	}
	_, err = m.decide(ctx, env, "dismiss", found.Case, nil, dismiss.Decide)
	return err
}

// over reports whether a finding is closed by another word than that of its item's owner.
func over(found finding.State) bool {
	return found.Known() && found.Status != finding.Open && found.SaidBy != found.Raised.Owner
}

// ApproveFindings accepts what a closed case was about, when people let the item be; for the vault itself.
func (m *Moderation) ApproveFindings(ctx context.Context, env Envelope, id domain.CaseID) error {
	f, err := fold(ctx, m.vault, caseStream(id), moderation.Evolve, nil)
	if err != nil || !f.state.LetBe() {
		return err
	}
	for _, found := range f.state.Findings() {
		if err := m.vault.noteFinding(ctx, env, "approve", found, finding.Approve{By: env.Actor, Case: id}.Decide); err != nil {
			return err
		}
	}
	return nil
}

func (m *Moderation) finding(ctx context.Context, id domain.FindingID) (finding.State, error) {
	f, err := fold(ctx, m.vault, findingStream(id), finding.Evolve, nil)
	return f.state, err
}
