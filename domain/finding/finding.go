// Package finding is one kind of sensitive thing found in one place of a media item: an IBAN in its description, card numbers in
// the text of a document. It decides what is said of it, and how great the risk is; it searches nothing.
//
//	(nothing) --Raise--> open <--------.          Raise (again): what is found now
//	                      |  SetStatus |          Rescore: others may see the item now
//	                      v            |
//	   accepted, resolved, false_positive
//
// Refer puts an open finding before people when its risk asks for that: once, until it is opened again or its risk has grown. Approve
// accepts it when they let the item be.
//
// What is gone from the item is resolved by the vault itself (Clear), and opened again when it comes back.
package finding

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrNotFound   = domain.Refuse(domain.NotFound, "not_found", "there is no such finding")
	ErrSystemOnly = domain.Refuse(domain.Forbidden, "system_only", "only the vault itself does this")
	ErrStatus     = domain.Refuse(domain.Invalid, "unknown_status", "the status is not one of open, accepted, resolved, false_positive").On("status")
)

// Status is what became of a finding.
type Status string

// The statuses.
const (
	Open          Status = "open"
	Accepted      Status = "accepted" // it is so, and shall be so
	Resolved      Status = "resolved" // it is there no more
	FalsePositive Status = "false_positive"
)

// Statuses are all of them.
func Statuses() []Status { return []Status{Open, Accepted, Resolved, FalsePositive} }

// The codes of StatusChanged when the vault itself says it.
const (
	CodeGone = "gone" // what was found is not in the item any more
	CodeBack = "back" // it is in the item again
	// CodeApproved is that moderators looked at the item because of it, and let the item be.
	CodeApproved = "approved"
)

// MaxNote bounds a note, in characters.
const MaxNote = 2000

// State is what deciding about a finding must remember.
type State struct {
	Raised   Raised // as it was said last
	Exposure Exposure
	Risk     int
	Status   Status
	// ByVault says that the vault itself resolved it, so that it may open it again.
	ByVault bool
	// AcceptedRisk is the risk that somebody accepted: a greater one opens the finding again.
	AcceptedRisk int
	SaidBy       domain.UserID // who said the status; empty: it is as it was raised
	// Case is the last one that it was put before people in, at CaseRisk, since it was opened; empty: none.
	Case     domain.CaseID
	CaseRisk int
	Referred int // how often it was put before people
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Known reports whether the finding was ever raised.
func (s State) Known() bool { return s.Raised.Finding != "" }

// Raise says what was found. Only the vault itself finds.
type Raise struct {
	By    domain.Actor
	Found Raised // without Risk, which follows
}

// Decide says it when it is something new. What was gone, or was accepted at a lower risk, is open again; what somebody called a
// false positive stays so.
func (c Raise) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	f := c.Found
	if f.Finding == "" || f.Media == "" || f.Owner == "" || f.Type == "" || f.Count < 1 || f.Confidence < 0 || f.Confidence > 100 {
		return nil, domain.ErrInvalid.On("finding").Because("a finding has an item, a type, a count and a confidence from 0 to 100")
	}
	if f.Sensitivity < 1 || f.Sensitivity > 10 {
		return nil, domain.ErrInvalid.On("sensitivity").Because("a sensitivity is from 1 to 10")
	}
	if s.Known() && f.Version < s.Raised.Version {
		return nil, nil // an older version that was looked at late
	}
	f.Risk = Risk(f.Exposure, f.Sensitivity)
	var events []Event
	if !s.Known() || !f.same(s.Raised) || f.Exposure != s.Exposure {
		events = append(events, f)
	}
	if s.Known() {
		events = append(events, s.reopened(c.By, f.Risk, true)...)
	}
	return events, nil
}

func (r Raised) same(q Raised) bool {
	return r.Version == q.Version && r.Count == q.Count && r.Confidence == q.Confidence && r.Sensitivity == q.Sensitivity &&
		r.Detector == q.Detector && r.Sample.Text() == q.Sample.Text() && r.Org == q.Org
}

func (s State) reopened(by domain.Actor, risk int, found bool) []Event {
	gone := found && s.Status == Resolved && s.ByVault
	grown := s.Status == Accepted && risk > s.AcceptedRisk
	if !gone && !grown {
		return nil
	}
	back := StatusChanged{By: by.ID, From: s.Status, To: Open}
	if gone {
		back.Code = CodeBack
	}
	return []Event{back}
}

// Rescore says who may see the item now.
type Rescore struct {
	By       domain.Actor
	Exposure Exposure
}

// Decide says it when the exposure changed. A finding that somebody accepted at a lower risk is open again.
func (c Rescore) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	if !s.Known() || c.Exposure == s.Exposure {
		return nil, nil
	}
	risk := Risk(c.Exposure, s.Raised.Sensitivity)
	return append([]Event{Rescored{Exposure: c.Exposure, Risk: risk, Before: s.Risk}}, s.reopened(c.By, risk, false)...), nil
}

// Clear says that what was found is not in the item any more.
type Clear struct {
	By      domain.Actor
	Version int // of the media that was looked at; 0 for what is not in a version
}

// Decide resolves the finding when it is open or accepted.
func (c Clear) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	if !s.Known() || s.Status != Open && s.Status != Accepted || c.Version < s.Raised.Version {
		return nil, nil
	}
	return []Event{StatusChanged{By: c.By.ID, From: s.Status, To: Resolved, Code: CodeGone}}, nil
}

// SetStatus is what the owner of the item, a moderator or an admin says of a finding.
type SetStatus struct {
	By     domain.Actor
	Status Status
	Note   string
}

// Decide lets the owner and those who look after findings say it; for everybody else there is no finding.
func (c SetStatus) Decide(s State) ([]Event, error) {
	if !s.Known() || !c.By.Known() || c.By.ID != s.Raised.Owner && !c.By.Is(domain.RoleModerator, domain.RoleAdmin) {
		return nil, ErrNotFound
	}
	if !slices.Contains(Statuses(), c.Status) {
		return nil, ErrStatus
	}
	note, err := domain.CleanText("note", c.Note, MaxNote, true)
	if err != nil {
		return nil, err
	}
	if c.Status == s.Status {
		return nil, nil
	}
	return []Event{StatusChanged{By: c.By.ID, From: s.Status, To: c.Status, Note: domain.NewPersonal(s.Raised.Owner, note)}}, nil
}

// Waits reports whether the finding is to be put before people, who look at risks from least on; 0: at none. That the owner of the
// item closed it does not keep it from them.
func (s State) Waits(least int) bool {
	open := s.Known() && (s.Status == Open || s.SaidBy == s.Raised.Owner)
	return open && least > 0 && s.Risk >= least && (s.Case == "" || s.Risk > s.CaseRisk)
}

// Refer says in which case the finding was put before people.
type Refer struct {
	By    domain.Actor
	Case  domain.CaseID
	Least int // the risk from which people look
}

// Decide says it of a finding that waits for it.
func (c Refer) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	if !s.Waits(c.Least) {
		return nil, nil
	}
	return []Event{Referred{Media: s.Raised.Media, Owner: s.Raised.Owner, Case: c.Case, Type: s.Raised.Type, Risk: s.Risk, Least: c.Least}}, nil
}

// Approve says that in the case people let the item be, with what was found in it.
type Approve struct {
	By   domain.Actor
	Case domain.CaseID
}

// Decide accepts the finding, up to the risk at which they saw it.
func (c Approve) Decide(s State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	if s.Status != Open || s.Case != c.Case || c.Case == "" {
		return nil, nil
	}
	return []Event{StatusChanged{By: c.By.ID, From: s.Status, To: Accepted, Code: CodeApproved}}, nil
}

func (e Raised) evolve(s State) State {
	if !s.Known() {
		s.Status = Open
	}
	s.Raised, s.Exposure, s.Risk = e, e.Exposure, e.Risk
	return s
}

func (e Rescored) evolve(s State) State {
	s.Exposure, s.Risk = e.Exposure, e.Risk
	return s
}

func (e StatusChanged) evolve(s State) State {
	s.Status, s.ByVault, s.AcceptedRisk, s.SaidBy = e.To, e.Code == CodeGone, 0, e.By
	switch {
	case e.Code == CodeApproved:
		s.AcceptedRisk = max(s.Risk, s.CaseRisk) // the item may have been held meanwhile, and seen by nobody
	case e.To == Accepted:
		s.AcceptedRisk = s.Risk
	case e.To == Open:
		s.Case, s.CaseRisk = "", 0
	}
	return s
}

func (e Referred) evolve(s State) State {
	s.Case, s.CaseRisk = e.Case, e.Risk
	s.Referred++
	return s
}
