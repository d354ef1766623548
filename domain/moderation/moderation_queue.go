package moderation

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Holder is in whose hands the case is at that time; empty: nobody's.
func (s State) Holder(at time.Time) domain.UserID {
	if s.Lease.IsZero() || at.Before(s.Lease) {
		return s.Moderator
	}
	return ""
}

// leased reports whether somebody claimed the case and his time is not over.
func (s State) leased(at time.Time) bool { return !s.Lease.IsZero() && at.Before(s.Lease) }

// held is why somebody else than the holder may not act; nil for the holder, and when there is none.
func (s State) held(by domain.UserID, at time.Time) error {
	switch holder := s.Holder(at); {
	case holder == "" || holder == by:
		return nil
	case s.leased(at):
		return ErrClaimed
	default:
		return ErrAssigned
	}
}

// free ends a claim. What was assigned by name stays in its hands.
func (s State) free() State {
	if !s.Lease.IsZero() {
		s.Moderator, s.Lease = "", time.Time{}
	}
	return s
}

// Waits reports whether the case waits for somebody to decide something.
func (s State) Waits() bool {
	_, proposed := s.proposal()
	return s.Open() && (len(s.Decisions) == 0 || s.appealOpen() || proposed || s.Escalated || s.Reopened)
}

// Claim takes a case into one's own hands for a time. Of two who claim at once one gets it.
type Claim struct {
	By  domain.Actor
	At  time.Time
	For time.Duration
}

// Decide claims what waits and is in nobody else's hands. Who may not decide what waits cannot claim it.
func (c Claim) Decide(s State) ([]Event, error) {
	if err := s.mayClaim(c.By, c.At); err != nil {
		return nil, err
	}
	if s.Holder(c.At) == c.By.ID {
		return nil, nil
	}
	return []Event{Claimed{Moderator: c.By.ID, Until: c.At.Add(c.For).UTC()}}, nil
}

func (s State) mayClaim(by domain.Actor, at time.Time) error {
	if err := s.moderated(by); err != nil {
		return err
	}
	waiting, proposed := s.proposal()
	switch {
	case s.Closed:
		return ErrClosed
	case s.held(by.ID, at) != nil:
		return s.held(by.ID, at)
	case !s.Waits():
		return ErrNotWaiting
	case s.Escalated && !by.Is(domain.RoleAdmin):
		return ErrEscalated
	case proposed && waiting.By == by.ID:
		return ErrProposedIt
	case s.appealOpen() && s.Decisions[s.Appeals[len(s.Appeals)-1].Decision-1].by(by.ID):
		return ErrDecidedFirst
	}
	return nil
}

// Renew makes one's claim last longer.
type Renew struct {
	By  domain.Actor
	At  time.Time
	For time.Duration
}

// Decide renews a claim that is not over.
func (c Renew) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	until := c.At.Add(c.For).UTC()
	switch {
	case s.Closed:
		return nil, ErrClosed
	case s.held(c.By.ID, c.At) != nil:
		return nil, s.held(c.By.ID, c.At)
	case !s.leased(c.At):
		return nil, ErrNotClaimed
	case !until.After(s.Lease):
		return nil, nil
	}
	return []Event{Claimed{Moderator: c.By.ID, Until: until}}, nil
}

func (e Claimed) evolve(s State) State {
	s.Moderator, s.Lease = e.Moderator, e.Until
	return s
}

// GiveBack ends one's claim.
type GiveBack struct {
	By domain.Actor
	At time.Time
}

// Decide gives back what one has; there is nothing to say when it is nobody's.
func (c GiveBack) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	switch {
	case s.Closed || s.Holder(c.At) == "":
		return nil, nil
	case s.Moderator != c.By.ID:
		return nil, s.held(c.By.ID, c.At)
	}
	return []Event{GivenBack{Moderator: c.By.ID}}, nil
}

func (e GivenBack) evolve(s State) State {
	s.Moderator, s.Lease = "", time.Time{}
	return s
}

// Escalate puts the case before an admin.
type Escalate struct {
	By   domain.Actor
	Note domain.Personal // why; needed
	At   time.Time
}

// Decide escalates what waits, for whoever has it or may take it.
func (c Escalate) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	note, err := textAbout(c.Note, s.Owner, "note", true)
	switch {
	case err != nil:
		return nil, err
	case s.Closed:
		return nil, ErrClosed
	case s.Escalated:
		return nil, nil
	case s.held(c.By.ID, c.At) != nil:
		return nil, s.held(c.By.ID, c.At)
	}
	return []Event{Escalated{By: c.By.ID, Note: note}}, nil
}

func (e Escalated) evolve(s State) State {
	s.Escalated, s.senior = true, true
	s.Moderator, s.Lease = "", time.Time{}
	return s
}

// Spread says who may see the media now; only the vault itself does.
type Spread struct {
	By    domain.Actor
	Reach Reach // fact
}

// Decide notes it while the case is open and when it is new.
func (c Spread) Decide(s State) ([]Event, error) {
	switch {
	case !c.By.Is(domain.RoleSystem):
		return nil, ErrNotModerator
	case !s.Open() || s.Reach == c.Reach:
		return nil, nil
	}
	return []Event{ReachChanged{Reach: c.Reach}}, nil
}

func (e ReachChanged) evolve(s State) State { s.Reach = e.Reach; return s }

// Proposal is what must be remembered of a proposal.
type Proposal struct {
	Proposed
	Over      bool          // confirmed or declined
	Confirmed bool          // confirmed
	EndedBy   domain.UserID // who said so
}

func (p Proposal) same(e Proposed) bool {
	return p.Version == e.Version && p.By == e.By && p.Action == e.Action && p.Policy == e.Policy &&
		p.Reason.Same(e.Reason) && p.Statement.Same(e.Statement)
}

// proposal is the one that waits for a second moderator.
func (s State) proposal() (Proposal, bool) {
	if n := len(s.Proposals); n > 0 && !s.Proposals[n-1].Over {
		return s.Proposals[n-1], true
	}
	return Proposal{}, false
}

func (c Decide) proposal(d Decided, number int) Proposed {
	return Proposed{
		Number: number, Media: d.Media, Version: d.Version, By: d.By, Action: d.Action, Reason: d.Reason, Policy: d.Policy, Statement: d.Statement,
	}
}

func (e Proposed) evolve(s State) State {
	s.Proposals = append(slices.Clip(s.Proposals), Proposal{Proposed: e})
	return s.free()
}

// Confirm makes a proposal a decision; Decline ends it. A second moderator does, but its author may withdraw it.
type Confirm struct {
	By     domain.Actor
	Number int // of the proposal
	At     time.Time
}

// Decide confirms: four eyes have seen it, and the case is decided.
func (c Confirm) Decide(s State) ([]Event, error) {
	p, err := s.proposed(c.By, c.Number)
	switch {
	case err != nil:
		return nil, err
	case p.By == c.By.ID:
		return nil, ErrProposedIt
	case p.Confirmed && p.EndedBy == c.By.ID:
		return nil, nil
	case s.Closed:
		return nil, ErrClosed
	case p.Over:
		return nil, ErrProposalOver
	case s.appealOpen():
		return nil, ErrAppealOpen
	case s.Escalated && !c.By.Is(domain.RoleAdmin):
		return nil, ErrEscalated
	case s.leased(c.At) && s.Moderator != c.By.ID:
		return nil, ErrClaimed
	}
	return []Event{Confirmed{Number: c.Number, By: c.By.ID}, Decided{
		Number: len(s.Decisions) + 1, Media: p.Media, Version: p.Version, By: p.By, Action: p.Action, Reason: p.Reason,
		Policy: p.Policy, Statement: p.Statement, ConfirmedBy: c.By.ID,
	}}, nil
}

// proposed finds a proposal for a moderator.
func (s State) proposed(by domain.Actor, number int) (Proposal, error) {
	if err := s.moderated(by); err != nil {
		return Proposal{}, err
	}
	if number < 1 || number > len(s.Proposals) {
		return Proposal{}, ErrNoProposal
	}
	return s.Proposals[number-1], nil
}

func (e Confirmed) evolve(s State) State { return s.ended(e.Number, e.By, true) }

func (s State) ended(number int, by domain.UserID, confirmed bool) State {
	s.Proposals = slices.Clone(s.Proposals)
	if number >= 1 && number <= len(s.Proposals) {
		p := &s.Proposals[number-1]
		p.Over, p.Confirmed, p.EndedBy = true, confirmed, by
	}
	return s.free()
}

// Decline ends a proposal without a decision.
type Decline struct {
	By     domain.Actor
	Number int             // of the proposal
	Reason domain.Personal // internal; needed
	At     time.Time
}

// Decide declines, or withdraws one's own proposal. The case waits for a decision again.
func (c Decline) Decide(s State) ([]Event, error) {
	p, err := s.proposed(c.By, c.Number)
	if err != nil {
		return nil, err
	}
	reason, err := textAbout(c.Reason, s.Owner, "reason", true)
	switch {
	case err != nil:
		return nil, err
	case p.Over && !p.Confirmed && p.EndedBy == c.By.ID:
		return nil, nil
	case s.Closed:
		return nil, ErrClosed
	case p.Over:
		return nil, ErrProposalOver
	case s.leased(c.At) && s.Moderator != c.By.ID && p.By != c.By.ID:
		return nil, ErrClaimed
	}
	return []Event{Declined{Number: c.Number, By: c.By.ID, Reason: reason}}, nil
}

func (e Declined) evolve(s State) State { return s.ended(e.Number, e.By, false) }
