// Package moderation is one case about a media item: who reported it, who decided what and why, who objected, and how that
// ended. It decides about the case alone; that the item follows is the work of a reactor and of the media aggregate.
//
//	(nothing) --Report--> open --Decide (approve)------------------> closed
//	                      |  ^
//	               Decide |  | Decide (a later decision)
//	                      v  |
//	                     decided --Close--------------------------> closed
//	                      |  ^
//	                      |  `-- Report (something new): reopened, until a later decision
//	                      |
//	               Appeal v
//	                     appealed --DecideAppeal (another person)--> closed
//
// Dismiss closes a case that waits when it is about findings alone and none of them is open any more. Report joins a case that is not
// closed; Assign and Claim are possible in each state but closed. A case that is closed stays so:
// a later report opens another one. Beside that, a case may be
//
//	in somebody's hands    Assign: until it is given to another; Claim: until the lease ends, GiveBack, or the decision
//	escalated              Escalate: until it is decided, only an admin decides it
//	proposed               Decide (remove, where four eyes are asked for): until another moderator says Confirm, or Decline
package moderation

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrNotFound     = domain.Refuse(domain.NotFound, "not_found", "there is no such item or case")
	ErrNotModerator = domain.Refuse(domain.Forbidden, "not_moderator", "only a moderator may do this")
	ErrOwnMedia     = domain.Refuse(domain.Forbidden, "own_media", "nobody moderates, or reports, what is his own")
	ErrNotOwner     = domain.Refuse(domain.Forbidden, "not_owner", "only the item's owner may appeal")
	ErrClosed       = domain.Refuse(domain.Conflict, "case_closed", "the case is closed")
	ErrNotDecided   = domain.Refuse(domain.Conflict, "not_decided", "the case has no decision yet")
	ErrAppealOpen   = domain.Refuse(domain.Conflict, "appeal_open", "an appeal is waiting for its outcome")
	ErrNoAppeal     = domain.Refuse(domain.NotFound, "no_such_appeal", "there is no such appeal")
	ErrAppealed     = domain.Refuse(domain.Conflict, "appeal_decided", "the appeal was decided already")
	ErrNotAppealed  = domain.Refuse(domain.Conflict, "nothing_to_appeal", "the last decision took nothing away")
	ErrDecidedFirst = domain.Refuse(domain.Forbidden, "decided_first", "an appeal is never judged by who decided first")
	ErrAssigned     = domain.Refuse(domain.Conflict, "assigned_to_another", "the case is in another moderator's hands")
	ErrClaimed      = domain.Refuse(domain.Conflict, "claimed_by_another", "another moderator has the case for now")
	ErrNotClaimed   = domain.Refuse(domain.Conflict, "not_claimed", "the case is not in your hands any more; claim it again")
	ErrNotWaiting   = domain.Refuse(domain.Conflict, "not_waiting", "the case waits for no moderator")
	ErrEscalated    = domain.Refuse(domain.Forbidden, "escalated", "the case was put before an admin")
	ErrProposed     = domain.Refuse(domain.Conflict, "proposed", "a proposal waits for a second moderator")
	ErrNoProposal   = domain.Refuse(domain.NotFound, "no_such_proposal", "there is no such proposal")
	ErrProposalOver = domain.Refuse(domain.Conflict, "proposal_over", "the proposal was confirmed or declined already")
	ErrProposedIt   = domain.Refuse(domain.Forbidden, "proposed_it", "what one moderator proposed another one confirms")
	ErrBlocked      = domain.Refuse(domain.Conflict, "blocked_by_screening", "what screening blocked cannot be approved as it is")
)

// categories are what a report may be about.
var categories = []string{
	"nudity", "sexual", "violence", "hate", "harassment", "self_harm", "child_safety", "terrorism", "illegal", "fraud",
	"copyright", "privacy", "impersonation", "spam", "malware", "screening", "other",
}

// Grave reports whether a report is about somebody in danger, so that an hour matters.
func Grave(category string) bool {
	return category == "child_safety" || category == "self_harm" || category == "terrorism"
}

// Categories answers what a report may be about.
func Categories() []string { return slices.Clone(categories) }

// Decision is what must be remembered of a decision.
type Decision struct {
	By          domain.UserID
	ConfirmedBy domain.UserID // empty: it needed no second moderator
	Action      Action
	Version     int
	said        Decided
}

// Filed is what must be remembered of an appeal.
type Filed struct {
	Decision  int
	Note      domain.Personal
	Outcome   Outcome // empty while it waits
	DecidedBy domain.UserID
	said      AppealDecided
}

// report is who reported what; the same again is nothing new.
type report struct {
	by       domain.UserID
	category string
	version  int
	finding  domain.FindingID
}

// State is what deciding about a case must remember.
type State struct {
	ID        domain.CaseID
	Media     domain.MediaID
	Owner     domain.UserID
	Moderator domain.UserID // in whose hands it is; empty: nobody's
	Lease     time.Time     // until when; zero: without an end
	Reach     Reach
	Escalated bool       // only an admin decides
	Proposals []Proposal // number n at index n-1
	Decisions []Decision // number n at index n-1
	Appeals   []Filed    // number n at index n-1
	Closed    bool
	reports   []report
	reporters []domain.UserID // persons, each once
	senior    bool            // it was escalated once
	Reopened  bool            // it is decided, and waits for another decision
	since     []domain.UserID // persons who reported since the last decision, each once
	answered  []domain.UserID // those of since whom the last decision answered
	known     int             // so many of reports were there at the last decision
	returns   int             // how often reports of people reopened it, about the version that was decided about
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Known reports whether the case was ever opened.
func (s State) Known() bool { return s.ID != "" }

// Open reports whether the case is there and not closed.
func (s State) Open() bool { return s.Known() && !s.Closed }

// appealOpen reports whether an appeal waits for its outcome.
func (s State) appealOpen() bool {
	return len(s.Appeals) > 0 && s.Appeals[len(s.Appeals)-1].Outcome == ""
}

// Report says that something is wrong with an item. It opens the case, or joins it when it is open.
type Report struct {
	Case     domain.CaseID
	Media    domain.MediaID
	Owner    domain.UserID // fact: of the item
	Visible  bool          // fact: By can see the item
	By       domain.Actor
	Origin   Origin
	Category string
	Note     domain.Personal  // may be empty
	Score    int              // 0..100: how sure a detector is
	Version  int              // fact: of the media, that it is about
	Reach    Reach            // fact: who may see it
	Finding  domain.FindingID // what was found in it, when that is the report
}

// Decide opens or joins the case. Of what he cannot see, nobody learns that it is there.
func (c Report) Decide(s State) ([]Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	note, err := textAbout(c.Note, c.By.ID, "note", false)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Closed:
		return nil, ErrClosed
	case !s.Known():
		return []Event{Opened{
			Case: c.Case, Media: c.Media, Owner: c.Owner, Origin: c.Origin, By: c.By.ID,
			Category: c.Category, Note: note, Score: c.Score, Version: c.Version, Reach: c.Reach, Finding: c.Finding,
		}}, nil
	case s.repeated(c):
		return nil, nil
	}
	said := Reported{Origin: c.Origin, By: c.By.ID, Category: c.Category, Note: note, Score: c.Score, Version: c.Version, Finding: c.Finding}
	if again, ok := s.reopens(c); ok {
		return []Event{again, said}, nil
	}
	return []Event{said}, nil
}

func (c Report) check() error {
	switch c.Origin {
	case FromReport:
		if c.Owner == "" || !c.Visible {
			return ErrNotFound
		}
		if c.By.ID == c.Owner {
			return ErrOwnMedia
		}
		if c.Score != 0 {
			return domain.ErrInvalid.On("score").Because("only a detector has a score")
		}
	case FromReferral:
		if !c.By.Is(domain.RoleModerator) {
			return ErrNotModerator
		}
		if c.Owner == "" {
			return ErrNotFound
		}
		if c.By.ID == c.Owner {
			return ErrOwnMedia
		}
	case FromDetector:
		if !c.By.Is(domain.RoleSystem) {
			return ErrNotModerator
		}
		if c.Owner == "" {
			return ErrNotFound
		}
	default:
		return domain.ErrInvalid.On("origin").Because("the origin is not one of report, detector, referral")
	}
	if c.Finding != "" && c.Origin != FromDetector {
		return domain.ErrInvalid.On("finding").Because("only the vault itself reports what it found")
	}
	if c.Score < 0 || c.Score > 100 {
		return domain.ErrInvalid.On("score").Because("a score is from 0 to 100")
	}
	if !slices.Contains(categories, c.Category) {
		return domain.NotOneOf("category", categories)
	}
	return nil
}

func (e Opened) evolve(s State) State {
	s.ID, s.Media, s.Owner, s.Reach = e.Case, e.Media, e.Owner, e.Reach
	return s.reported(e.Origin, report{e.By, e.Category, e.Version, e.Finding})
}

func (e Reported) evolve(s State) State {
	return s.reported(e.Origin, report{e.By, e.Category, e.Version, e.Finding})
}

func (s State) reported(origin Origin, r report) State {
	s.reports = append(slices.Clip(s.reports), r)
	if origin == FromReport && r.by != "" && !slices.Contains(s.reporters, r.by) {
		s.reporters = append(slices.Clip(s.reporters), r.by)
	}
	if origin == FromReport && r.by != "" && len(s.Decisions) > 0 && !slices.Contains(s.since, r.by) {
		s.since = append(slices.Clip(s.since), r.by)
	}
	return s
}

// Reporters are who reported the item in this case, each once; neither detectors nor moderators who referred it.
func (s State) Reporters() []domain.UserID { return slices.Clone(s.reporters) }

// Assign puts the case into one moderator's hands.
type Assign struct {
	By        domain.Actor
	Moderator domain.UserID
	At        time.Time
}

// Decide assigns. Who owns the item cannot be its moderator.
func (c Assign) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	switch {
	case c.Moderator == "" || len(c.Moderator) > 255:
		return nil, domain.ErrInvalid.On("moderator").Because("name the moderator by id")
	case s.Holder(c.At) == c.Moderator:
		return nil, nil
	case s.Closed:
		return nil, ErrClosed
	case c.Moderator == s.Owner:
		return nil, ErrOwnMedia
	case s.leased(c.At) && s.Moderator != c.By.ID:
		return nil, ErrClaimed
	}
	return []Event{Assigned{Moderator: c.Moderator, By: c.By.ID}}, nil
}

func (e Assigned) evolve(s State) State {
	s.Moderator, s.Lease = e.Moderator, time.Time{}
	return s
}

// Close ends a case whose last decision stands.
type Close struct {
	By domain.Actor
}

// Decide closes, for a moderator or the vault itself (when the time to appeal is over).
func (c Close) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) || !s.Known() {
		if err := s.moderated(c.By); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Closed:
		return nil, nil
	case len(s.Decisions) == 0:
		return nil, ErrNotDecided
	case s.appealOpen():
		return nil, ErrAppealOpen
	case s.Reopened:
		return nil, ErrReopened
	}
	return []Event{Closed{By: c.By.ID, Code: CodeFinal}}, nil
}

// Findings are those that the case is about, each once.
func (s State) Findings() []domain.FindingID {
	var all []domain.FindingID
	for _, r := range s.reports {
		if r.finding != "" && !slices.Contains(all, r.finding) {
			all = append(all, r.finding)
		}
	}
	return all
}

// LetBe reports whether the case ended with the item as it was: it was approved, or the decision fell on appeal.
func (s State) LetBe() bool {
	if !s.Closed || len(s.Decisions) == 0 {
		return false
	}
	if last := len(s.Appeals) - 1; last >= 0 && s.Appeals[last].Decision == len(s.Decisions) {
		return s.Appeals[last].Outcome == Overturn
	}
	return s.Decisions[len(s.Decisions)-1].Action == Approve
}

// Dismiss ends a case that is about findings alone, when none of them is open any more; only the vault itself does.
type Dismiss struct {
	By   domain.Actor
	Over []domain.FindingID // fact: those that are not open, by another word than that of the item's owner
}

// Decide closes a case that nobody decided, proposed to decide or put before an admin, and in which nobody else reported anything.
func (c Dismiss) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrNotModerator
	}
	_, proposed := s.proposal()
	if !s.Open() || len(s.Decisions) > 0 || proposed || s.Escalated {
		return nil, nil
	}
	if slices.ContainsFunc(s.reports, func(r report) bool { return r.finding == "" || !slices.Contains(c.Over, r.finding) }) {
		return nil, nil
	}
	return []Event{Closed{By: c.By.ID, Code: CodeFindings}}, nil
}

// The codes of Closed.
const (
	CodeApproved      = "approved"
	CodeAppealDecided = "appeal_decided"
	CodeFinal         = "final"
	CodeFindings      = "findings_closed" // nothing of what the case was about is left
)

func (e Closed) evolve(s State) State { s.Closed = true; return s }

// moderated lets moderators through who do not own the item, and admins where it was escalated. Of a case others learn nothing.
func (s State) moderated(by domain.Actor) error {
	switch {
	case !by.Is(domain.RoleModerator) && !(s.senior && by.Is(domain.RoleAdmin)):
		return ErrNotModerator
	case !s.Known():
		return ErrNotFound
	case by.ID == s.Owner:
		return ErrOwnMedia
	}
	return nil
}
