package moderation

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// Cause is why a decided case waits again.
type Cause string

// The causes.
const (
	NewVersion  Cause = "version"  // of a version of the media that nobody decided about
	NewFinding  Cause = "finding"  // the vault found something, or takes its risk to be greater
	NewReferral Cause = "referral" // a moderator asks for it
	NewReports  Cause = "reports"  // people who were not heard before
)

// Reopened is a decided case that waits for another decision: something was said against the media that the last one could not know.
// What was decided stands until then.
type Reopened struct {
	Why      Cause `json:"why"`
	Decision int   `json:"decision"`         // the last one
	People   int   `json:"people,omitempty"` // who reported since, when it is reports; with the one who does now
}

// EventType implements domain.Event.
func (Reopened) EventType() string { return "moderation.reopened" }

func (e Reopened) evolve(s State) State {
	s.Reopened = true
	if e.Why == NewReports {
		s.returns++
	}
	return s
}

// reopens is the event that brings a decided case back because of a report, when it says something that the last decision could not know.
//
// Where nobody but moderators gets the media, what a report asks for is done, and only a moderator brings the case back. Where some still
// see it, a version that nobody decided about, and what the vault finds, do at once. So do people, but ever more of them are needed: the
// first who reports after a decision is heard, after the next one two are, then four, eight. So no report is out of reach of people for
// ever, and a campaign of a thousand takes ten decisions of them.
func (s State) reopens(c Report) (Reopened, bool) {
	n := len(s.Decisions)
	if n == 0 || s.Reopened {
		return Reopened{}, false
	}
	last := s.Decisions[n-1]
	again := Reopened{Decision: n}
	switch {
	case c.Origin == FromReferral:
		again.Why = NewReferral
	case last.Action != Restrict:
		return Reopened{}, false
	case c.Finding != "":
		again.Why = NewFinding
	case c.Version != 0 && !s.decidedAbout(c.Version):
		again.Why = NewVersion
	case c.Origin == FromReport:
		again.Why, again.People = NewReports, len(s.since)
		if !slices.Contains(s.since, c.By.ID) {
			again.People++
		}
		return again, again.People >= s.neededToReopen()
	default:
		return Reopened{}, false
	}
	return again, true
}

// Unheard are the people to whom the last decision says something new, each once: all who reported, or, where it is the one before said
// again, those who reported since that.
func (s State) Unheard() []domain.UserID {
	n := len(s.Decisions)
	if n < 2 || s.Decisions[n-2].Action != s.Decisions[n-1].Action {
		return s.Reporters()
	}
	for _, a := range s.appealsOf(n - 1) {
		if a.Outcome == Overturn {
			return s.Reporters()
		}
	}
	return slices.Clone(s.answered)
}

// neededToReopen is how many people have to report since the last decision until their reports bring the case back.
func (s State) neededToReopen() int { return 1 << min(s.returns, 30) }

// heard begins anew what counts since a decision about a version.
func (s State) heard(version int) State {
	if !s.decidedAbout(version) {
		s.returns = 0
	}
	s.Reopened, s.since, s.answered, s.known = false, nil, s.since, len(s.reports)
	return s
}

// repeated reports whether the same was reported before. What the vault itself found counts again after a decision: it is put before people
// again when its risk has grown since.
func (s State) repeated(c Report) bool {
	among := s.reports
	if c.Finding != "" {
		among = s.reports[s.known:]
	}
	return slices.Contains(among, report{c.By.ID, c.Category, c.Version, c.Finding})
}

// decidedAbout reports whether any decision was about the version of the media.
func (s State) decidedAbout(version int) bool {
	return slices.ContainsFunc(s.Decisions, func(d Decision) bool { return d.Version == version })
}

// oneVersion reports whether all that was reported is about this version of the media, as far as it is known.
func (s State) oneVersion(version int) bool {
	return !slices.ContainsFunc(s.reports, func(r report) bool { return r.version != 0 && r.version != version })
}

// newest is the newest version of the media that anybody reported.
func (s State) newest() int {
	newest := 0
	for _, r := range s.reports {
		newest = max(newest, r.version)
	}
	return newest
}

// These are refusals, as those beside State.
var (
	ErrWhich    = domain.Refuse(domain.Conflict, "which_version", "the item has another version since it was reported; say which one you looked at").On("version")
	ErrNewer    = domain.Refuse(domain.Conflict, "newer_version", "a newer version of the item was reported in this case; look at that one")
	ErrReopened = domain.Refuse(domain.Conflict, "reopened", "the case waits for a decision about what was reported since the last one")
)
