package moderation

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Decide is a moderator's decision. Its texts are about the item's owner.
type Decide struct {
	By        domain.Actor
	Action    Action
	Version   int             // the media's version that was looked at; 0: the current one, when nothing else was reported
	Current   int             // fact: the media's current version; of others than it and the newest nobody decides
	Blocked   bool            // fact: screening blocked that version
	Reason    domain.Personal // internal; needed unless the action is approve
	Policy    string          // reference of the rule; likewise
	Statement domain.Personal // to the owner; likewise
	FourEyes  bool            // fact: a removal needs a second moderator
	At        time.Time
}

// Decide decides the case, or proposes a removal where that needs a second moderator. Approving closes the case.
func (c Decide) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	if c.Version == 0 {
		// Who says nothing of versions looked at the one that was reported: an owner must not put another in its place under his hands.
		if !s.oneVersion(c.Current) {
			return nil, ErrWhich
		}
		c.Version = c.Current
	}
	next, err := c.decided(s)
	if err != nil {
		return nil, err
	}
	if n := len(s.Decisions); n > 0 && len(s.appealsOf(n)) == 0 && !s.Reopened {
		last := s.Decisions[n-1].said
		next.Number = n
		if last.same(next) {
			return nil, nil
		}
	}
	waiting, proposed := s.proposal()
	if proposed && c.FourEyes && waiting.same(c.proposal(next, waiting.Number)) {
		return nil, nil
	}
	switch {
	case s.Closed:
		return nil, ErrClosed
	case s.appealOpen():
		return nil, ErrAppealOpen
	case s.Escalated && !c.By.Is(domain.RoleAdmin):
		return nil, ErrEscalated
	case s.held(c.By.ID, c.At) != nil:
		return nil, s.held(c.By.ID, c.At)
	case proposed:
		return nil, ErrProposed
	case c.Version < s.newest() && c.Version != c.Current:
		return nil, ErrNewer
	case c.Action == Approve && c.Blocked:
		return nil, ErrBlocked
	case c.Action == Remove && c.FourEyes:
		return []Event{c.proposal(next, len(s.Proposals)+1)}, nil
	}
	next.Number = len(s.Decisions) + 1
	if c.Action == Approve {
		return []Event{next, Closed{By: c.By.ID, Code: CodeApproved}}, nil
	}
	return []Event{next}, nil
}

// decided is the decision as an event, without its number.
func (c Decide) decided(s State) (Decided, error) {
	if !slices.Contains([]Action{Approve, Restrict, Quarantine, Remove}, c.Action) {
		return Decided{}, domain.ErrInvalid.On("action").Because("the action is not one of approve, restrict, quarantine, remove")
	}
	reason, err := textAbout(c.Reason, s.Owner, "reason", c.Action != Approve)
	if err != nil {
		return Decided{}, err
	}
	statement, err := textAbout(c.Statement, s.Owner, "statement", c.Action != Approve)
	if err != nil {
		return Decided{}, err
	}
	policy, err := domain.CleanText("policy", c.Policy, maxPolicy, false)
	if err != nil {
		return Decided{}, err
	}
	if policy == "" && c.Action != Approve {
		return Decided{}, domain.ErrInvalid.On("policy").Because("a decision that takes something away names its rule")
	}
	return Decided{
		Media: s.Media, Version: c.Version, By: c.By.ID, Action: c.Action,
		Reason: reason, Policy: policy, Statement: statement,
	}, nil
}

func (e Decided) same(f Decided) bool {
	return e.Number == f.Number && e.Version == f.Version && e.By == f.By && e.Action == f.Action && e.Policy == f.Policy &&
		e.Reason.Same(f.Reason) && e.Statement.Same(f.Statement)
}

// Policy is the reference of the rule that was applied; empty: none was named.
func (d Decision) Policy() string { return d.said.Policy }

// by reports whether the person decided, or confirmed it.
func (d Decision) by(id domain.UserID) bool { return d.By == id || d.ConfirmedBy == id }

func (e Decided) evolve(s State) State {
	s = s.heard(e.Version)
	s.Decisions = append(slices.Clip(s.Decisions), Decision{By: e.By, ConfirmedBy: e.ConfirmedBy, Action: e.Action, Version: e.Version, said: e})
	s.Escalated = false
	return s.free()
}

// appealsOf are the appeals against the decision.
func (s State) appealsOf(decision int) []Filed {
	var out []Filed
	for _, a := range s.Appeals {
		if a.Decision == decision {
			out = append(out, a)
		}
	}
	return out
}

// Appeal is the owner's appeal against the last decision.
type Appeal struct {
	By   domain.Actor
	Note domain.Personal // about the owner, who says it
}

// Decide opens the appeal. A case that is not about his own media does not exist for anybody.
func (c Appeal) Decide(s State) ([]Event, error) {
	switch {
	case !s.Known() || !c.By.Known():
		return nil, ErrNotFound
	case c.By.ID != s.Owner && c.By.Is(domain.RoleModerator):
		return nil, ErrNotOwner
	case c.By.ID != s.Owner:
		return nil, ErrNotFound
	}
	note, err := textAbout(c.Note, s.Owner, "note", true)
	if err != nil {
		return nil, err
	}
	if s.appealOpen() {
		if s.Appeals[len(s.Appeals)-1].Note.Same(note) {
			return nil, nil
		}
		return nil, ErrAppealOpen
	}
	switch {
	case s.Closed:
		return nil, ErrClosed
	case len(s.Decisions) == 0:
		return nil, ErrNotDecided
	case s.Decisions[len(s.Decisions)-1].Action == Approve:
		return nil, ErrNotAppealed
	}
	return []Event{Appealed{Number: len(s.Appeals) + 1, Decision: len(s.Decisions), By: c.By.ID, Note: note}}, nil
}

func (e Appealed) evolve(s State) State {
	s.Appeals = append(slices.Clip(s.Appeals), Filed{Decision: e.Decision, Note: e.Note})
	return s
}

// DecideAppeal ends an appeal, by another person than who decided first.
type DecideAppeal struct {
	By        domain.Actor
	At        time.Time
	Number    int // of the appeal
	Outcome   Outcome
	Reason    domain.Personal // internal
	Statement domain.Personal // to the owner; may be empty
}

// Decide ends the appeal, and with it the case, unless something else waits in it.
func (c DecideAppeal) Decide(s State) ([]Event, error) {
	if err := s.moderated(c.By); err != nil {
		return nil, err
	}
	if c.Number < 1 || c.Number > len(s.Appeals) {
		return nil, ErrNoAppeal
	}
	if c.Outcome != Uphold && c.Outcome != Overturn {
		return nil, domain.ErrInvalid.On("outcome").Because("the outcome is not one of uphold, overturn")
	}
	reason, err := textAbout(c.Reason, s.Owner, "reason", true)
	if err != nil {
		return nil, err
	}
	statement, err := textAbout(c.Statement, s.Owner, "statement", false)
	if err != nil {
		return nil, err
	}
	appeal := s.Appeals[c.Number-1]
	decision := s.Decisions[appeal.Decision-1]
	if decision.by(c.By.ID) {
		return nil, ErrDecidedFirst
	}
	next := AppealDecided{
		Number: c.Number, Decision: appeal.Decision, Version: decision.Version, Media: s.Media, By: c.By.ID,
		Outcome: c.Outcome, Reason: reason, Statement: statement,
	}
	if c.Outcome == Overturn {
		next.Overturns = decision.Action
	}
	if appeal.Outcome != "" {
		if appeal.said.same(next) {
			return nil, nil
		}
		return nil, ErrAppealed
	}
	switch {
	case s.Escalated && !c.By.Is(domain.RoleAdmin):
		return nil, ErrEscalated
	case s.leased(c.At) && s.Moderator != c.By.ID:
		return nil, ErrClaimed
	}
	if s.Reopened {
		return []Event{next}, nil // what was reported since the decision still waits
	}
	return []Event{next, Closed{By: c.By.ID, Code: CodeAppealDecided}}, nil
}

func (e AppealDecided) same(f AppealDecided) bool {
	return e.Number == f.Number && e.By == f.By && e.Outcome == f.Outcome &&
		e.Reason.Same(f.Reason) && e.Statement.Same(f.Statement)
}

func (e AppealDecided) evolve(s State) State {
	s.Appeals = slices.Clone(s.Appeals)
	if e.Number >= 1 && e.Number <= len(s.Appeals) {
		a := &s.Appeals[e.Number-1]
		a.Outcome, a.DecidedBy, a.said = e.Outcome, e.By, e
	}
	return s
}

// Bounds in characters.
const (
	maxText   = 10_000 // of notes, reasons and statements
	maxPolicy = 200    // of the reference of a rule
)

// textAbout answers a text of several lines as text about the subject.
func textAbout(p domain.Personal, subject domain.UserID, field string, needed bool) (domain.Personal, error) {
	text, err := domain.CleanText(field, p.Text(), maxText, true)
	if err == nil && text == "" && needed {
		err = domain.ErrInvalid.On(field).Because("the text is missing")
	}
	return domain.NewPersonal(subject, text), err
}
