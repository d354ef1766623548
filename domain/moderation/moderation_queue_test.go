package moderation_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

var (
	chief = domain.Actor{ID: "chief", Roles: []domain.Role{domain.RoleAdmin}}
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

const lease = 15 * time.Minute

var proposed = moderation.Proposed{
	Number: 1, Media: "m1", Version: 2, By: "mod", Action: moderation.Remove,
	Reason: about("alice", "a child"), Policy: "P-7", Statement: about("alice", "we hide it"),
}

func claim(by domain.Actor, at time.Time) moderation.Claim {
	return moderation.Claim{By: by, At: at, For: lease}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	claimed := moderation.Claimed{Moderator: "mod", Until: noon.Add(lease)}
	t.Run("a case is claimed for a time, by one, and then it is free again", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened).When(claim(mod, noon).Decide).Then(claimed)
		s.When(claim(judge, noon.Add(lease-1)).Decide).Refused(moderation.ErrClaimed)
		s.When(claim(judge, noon.Add(lease)).Decide).Then(moderation.Claimed{Moderator: "judge", Until: noon.Add(2 * lease)})
	})
	t.Run("a claim is renewed while it lasts, by whoever has it", func(t *testing.T) {
		t.Parallel()
		renew := func(by domain.Actor, after time.Duration) moderation.Renew {
			return moderation.Renew{By: by, At: noon.Add(after), For: lease}
		}
		given(t, opened, claimed).When(renew(mod, time.Minute).Decide).Then(moderation.Claimed{Moderator: "mod", Until: noon.Add(lease + time.Minute)})
		given(t, opened, claimed).When(renew(judge, time.Minute).Decide).Refused(moderation.ErrClaimed)
		given(t, opened, claimed).When(renew(mod, lease).Decide).Refused(moderation.ErrNotClaimed)
		given(t, opened).When(renew(mod, 0).Decide).Refused(moderation.ErrNotClaimed)
	})
	t.Run("what is given back is anybody's, and nobody gives back what another has", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened, claimed)
		s.When(moderation.GiveBack{By: judge, At: noon}.Decide).Refused(moderation.ErrClaimed)
		s.When(moderation.GiveBack{By: mod, At: noon}.Decide).Then(moderation.GivenBack{Moderator: "mod"}).
			When(claim(judge, noon).Decide).Then(moderation.Claimed{Moderator: "judge", Until: noon.Add(lease)})
	})
	t.Run("while one has it, nobody else decides it or gives it away", func(t *testing.T) {
		t.Parallel()
		d := decide(judge, moderation.Restrict)
		d.At = noon.Add(time.Minute)
		given(t, opened, claimed).When(d.Decide).Refused(moderation.ErrClaimed)
		given(t, opened, claimed).When(moderation.Assign{By: judge, Moderator: "judge", At: noon}.Decide).Refused(moderation.ErrClaimed)
		given(t, opened, claimed).When(moderation.Assign{By: mod, Moderator: "judge", At: noon}.Decide).Then(moderation.Assigned{Moderator: "judge", By: "mod"})
	})
	t.Run("a claim ends with the decision, so that another may judge the appeal", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened, claimed, decided, appealed)
		s.When(claim(mod, noon).Decide).Refused(moderation.ErrDecidedFirst)
		s.When(claim(judge, noon).Decide).Then(moderation.Claimed{Moderator: "judge", Until: noon.Add(lease)})
	})
	t.Run("nobody claims what does not wait, is his own, or another's by name", func(t *testing.T) {
		t.Parallel()
		given(t, opened, decided).When(claim(mod, noon).Decide).Refused(moderation.ErrNotWaiting)
		given(t, opened, decided, moderation.Closed{}).When(claim(mod, noon).Decide).Refused(moderation.ErrClosed)
		given(t, opened).When(claim(owning, noon).Decide).Refused(moderation.ErrOwnMedia)
		given(t, opened).When(claim(bob, noon).Decide).Refused(moderation.ErrNotModerator)
		given(t, opened, moderation.Assigned{Moderator: "judge"}).When(claim(mod, noon).Decide).Refused(moderation.ErrAssigned)
	})
}

func TestFourEyes(t *testing.T) {
	t.Parallel()
	remove := decide(mod, moderation.Remove)
	remove.FourEyes, remove.At = true, noon
	confirm := func(by domain.Actor) moderation.Confirm { return moderation.Confirm{By: by, Number: 1, At: noon} }
	decline := func(by domain.Actor) moderation.Decline {
		return moderation.Decline{By: by, Number: 1, Reason: about("x", "too hard"), At: noon}
	}
	final := moderation.Decided{
		Number: 1, Media: "m1", Version: 2, By: "mod", Action: moderation.Remove, Reason: proposed.Reason, Policy: "P-7",
		Statement: proposed.Statement, ConfirmedBy: "judge",
	}
	t.Run("a removal is proposed by one and confirmed by another", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened).When(remove.Decide).Then(proposed)
		s.When(confirm(mod).Decide).Refused(moderation.ErrProposedIt)
		s.When(confirm(bob).Decide).Refused(moderation.ErrNotModerator)
		s.When(confirm(judge).Decide).Then(moderation.Confirmed{Number: 1, By: "judge"}, final)
	})
	t.Run("neither of the two judges the appeal", func(t *testing.T) {
		t.Parallel()
		s := given(t, opened, proposed, moderation.Confirmed{Number: 1, By: "judge"}, final, appealed)
		for _, by := range []domain.Actor{mod, judge} {
			s.When(moderation.DecideAppeal{By: by, Number: 1, Outcome: moderation.Uphold, Reason: about("x", "r")}.Decide).Refused(moderation.ErrDecidedFirst)
			s.When(claim(by, noon).Decide).Refused(moderation.ErrDecidedFirst)
		}
	})
	t.Run("what is declined, or withdrawn, comes to nothing", func(t *testing.T) {
		t.Parallel()
		for _, by := range []domain.Actor{judge, mod} {
			s := given(t, opened, proposed).When(decline(by).Decide).Then(moderation.Declined{Number: 1, By: by.ID, Reason: about("alice", "too hard")})
			third := domain.Actor{ID: "third", Roles: mod.Roles}
			s.When(confirm(third).Decide).Refused(moderation.ErrProposalOver)
			s.When(decline(third).Decide).Refused(moderation.ErrProposalOver)
		}
	})
	t.Run("while a proposal waits nothing else is decided, and its author does not claim it", func(t *testing.T) {
		t.Parallel()
		given(t, opened, proposed).When(decide(judge, moderation.Approve).Decide).Refused(moderation.ErrProposed)
		given(t, opened, proposed).When(claim(mod, noon).Decide).Refused(moderation.ErrProposedIt)
		given(t, opened, proposed).When(claim(judge, noon).Decide).Then(moderation.Claimed{Moderator: "judge", Until: noon.Add(lease)})
		given(t, opened).When(confirm(judge).Decide).Refused(moderation.ErrNoProposal)
	})
	t.Run("what is less than a removal needs one", func(t *testing.T) {
		t.Parallel()
		d := decide(mod, moderation.Quarantine)
		d.FourEyes = true
		given(t, opened).When(d.Decide).Then(decided)
	})
}

func TestEscalation(t *testing.T) {
	t.Parallel()
	escalate := moderation.Escalate{By: mod, Note: about("x", " a judge wrote to us "), At: noon}
	escalated := moderation.Escalated{By: "mod", Note: about("alice", "a judge wrote to us")}
	t.Run("an escalated case is an admin's until it is decided", func(t *testing.T) {
		t.Parallel()
		given(t, opened).When(decide(chief, moderation.Quarantine).Decide).Refused(moderation.ErrNotModerator)
		s := given(t, opened).When(escalate.Decide).Then(escalated)
		s.When(decide(mod, moderation.Quarantine).Decide).Refused(moderation.ErrEscalated)
		s.When(claim(mod, noon).Decide).Refused(moderation.ErrEscalated)
		theirs := decided
		theirs.By = "chief"
		s.When(decide(chief, moderation.Quarantine).Decide).Then(theirs)
		given(t, opened, escalated, theirs, appealed).When(claim(mod, noon).Decide).Then(moderation.Claimed{Moderator: "mod", Until: noon.Add(lease)})
	})
	t.Run("an escalation says why, and takes nothing out of another's hands", func(t *testing.T) {
		t.Parallel()
		silent := escalate
		silent.Note = domain.Personal{}
		given(t, opened).When(silent.Decide).Refused(domain.ErrInvalid)
		given(t, opened, moderation.Claimed{Moderator: "judge", Until: noon.Add(1)}).When(escalate.Decide).Refused(moderation.ErrClaimed)
		given(t, opened, moderation.Closed{}).When(escalate.Decide).Refused(moderation.ErrClosed)
	})
}

func TestReach(t *testing.T) {
	t.Parallel()
	spread := moderation.Spread{By: domain.System(), Reach: moderation.Reach{Links: 1}}
	given(t, opened).When(spread.Decide).Then(moderation.ReachChanged{Reach: moderation.Reach{Links: 1}})
	given(t, opened).When(moderation.Spread{By: mod, Reach: spread.Reach}.Decide).Refused(moderation.ErrNotModerator)
	given(t, opened, moderation.Closed{}).When(spread.Decide).Nothing()
}

func TestANewVersionIsAnotherReport(t *testing.T) {
	t.Parallel()
	again := report(bob)
	again.Version = 2
	given(t, opened).When(again.Decide).Then(moderation.Reported{
		Origin: moderation.FromReport, By: "bob", Category: "privacy", Note: about("bob", "my child"), Version: 2,
	})
}
