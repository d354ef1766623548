package media

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// Screen records how screening of one version ended. Only the vault itself screens.
type Screen struct {
	By      domain.Actor
	Version int // from 1
	Verdict Verdict
	Score   int // 0 (worst) to 100
	Stages  []Stage
	// MinScore is the threshold that was used; 0: none.
	MinScore int
	// Inspected and Derived, where there are any, are recorded before the result: what is deliverable has them.
	Inspected *Inspected
	Derived   *Derived
}

// Decide records the result when it says something new. The current version blocked puts the item in quarantine; the current
// version clean lifts the quarantine that screening laid before.
func (c Screen) Decide(m State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	switch m.Phase {
	case Live, Erasable:
	case Gone:
		if c.Derived != nil {
			return nil, ErrPurged // what was made has to be destroyed again
		}
		return nil, nil
	default:
		return nil, ErrNotFound
	}
	v, ok := m.Version(c.Version)
	if !ok || c.Version == 0 {
		return nil, ErrNoVersion.On("version")
	}
	if !slices.Contains([]Verdict{VerdictClean, VerdictReview, VerdictBlocked}, c.Verdict) {
		return nil, domain.ErrInvalid.On("verdict").Because("the verdict is not one of clean, review, blocked")
	}
	for _, n := range []int{c.Version, c.inspected(), c.derived()} {
		if n != c.Version {
			return nil, ErrNoVersion.On("version")
		}
	}
	if c.Score < 0 || c.Score > 100 {
		return nil, domain.ErrInvalid.On("score").Because("a score is from 0 to 100")
	}
	var events []Event
	if c.Inspected != nil && !c.Inspected.same(v.Inspected) {
		events = append(events, *c.Inspected)
	}
	if c.Derived != nil && m.derives(*c.Derived) {
		events = append(events, *c.Derived)
	}
	said := Screened{Version: c.Version, Verdict: c.Verdict, Score: c.Score, Stages: c.Stages, MinScore: c.MinScore}
	if said.same(v.Screened) {
		return events, nil
	}
	events = append(events, said)
	source := Source{By: c.By.ID, Version: c.Version}
	switch {
	case c.Version != m.Current:
	case c.Verdict == VerdictBlocked:
		if !slices.ContainsFunc(m.Holds, func(h Hold) bool { return h.screening() && h.Source.Version == c.Version }) {
			events = append(events, Quarantined{Source: source, Code: CodeScreening})
		}
	case c.Verdict == VerdictClean:
		events = append(events, m.lift(source, Hold.screening)...)
	}
	return events, nil
}

func (c Screen) inspected() int {
	if c.Inspected == nil {
		return c.Version
	}
	return c.Inspected.Version
}

func (c Screen) derived() int {
	if c.Derived == nil {
		return c.Version
	}
	return c.Derived.Version
}

// The codes of Quarantined.
const (
	CodeScreening  = "screening"
	CodeModeration = "moderation"
)

// same compares results without their durations, which differ each time.
func (e Screened) same(f Screened) bool {
	return e.Version == f.Version && e.Verdict == f.Verdict && e.Score == f.Score && e.MinScore == f.MinScore &&
		slices.EqualFunc(e.Stages, f.Stages, func(a, b Stage) bool {
			return a.Name == b.Name && a.Version == b.Version && a.Verdict == b.Verdict && slices.Equal(a.Codes, b.Codes) &&
				slices.Equal(a.Measured, b.Measured) && a.Model == b.Model
		})
}

// evolve forgets an earlier clearance: what a moderator let pass was another result.
func (e Screened) evolve(m State) State {
	m.Versions = slices.Clone(m.Versions)
	if e.Version >= 1 && e.Version <= len(m.Versions) {
		m.Versions[e.Version-1].Screened = e
		m.Versions[e.Version-1].Cleared = false
	}
	return m
}

// Act is what a moderation decision does to an item. The words are those of moderation.Action.
type Act string

// The acts.
const (
	ActApprove    Act = "approve"
	ActRestrict   Act = "restrict"
	ActQuarantine Act = "quarantine"
	ActRemove     Act = "remove"
)

// Enforce makes an item follow a moderator's decision. The decisions of a case are enforced in their order; one that is not
// newer than what the item follows already changes nothing, so that a decision may be delivered again at any time.
type Enforce struct {
	By       domain.Actor // the vault itself
	Source   Source       // case, number of the decision, who decided, the version he looked at
	Action   Act
	Overturn bool // an appeal made the decision fall
}

// Decide lays the hold upon the item, lifts what an approval or an overturned decision lifts, or does nothing when that has
// been done.
func (c Enforce) Decide(m State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	if c.Source.Case == "" || c.Source.Number < 1 {
		return nil, domain.ErrInvalid.On("case").Because("a decision has a case and a number")
	}
	switch m.Phase {
	case Live, Erasable:
	case Gone:
		return nil, nil
	default:
		return nil, ErrNotFound
	}
	followed := m.follows(c.Source)
	if c.Overturn {
		fallen := func(h Hold) bool { return h.Source.Case == c.Source.Case && h.Source.Number == c.Source.Number }
		if followed && !slices.ContainsFunc(m.Holds, fallen) {
			return nil, nil
		}
		// Not followed yet: the release is recorded so that the fallen decision, should it arrive late, does nothing.
		return m.release(c.Source, fallen), nil
	}
	if followed {
		return nil, nil
	}
	switch c.Action {
	case ActRestrict:
		return []Event{Restricted{Source: c.Source}}, nil
	case ActQuarantine:
		return []Event{Quarantined{Source: c.Source, Code: CodeModeration}}, nil
	case ActRemove:
		return []Event{Removed{Source: c.Source}}, nil
	case ActApprove:
		return c.approve(m), nil
	default:
		return nil, ErrUnknownAction
	}
}

// approve lifts every hold, except what screening laid upon bytes that it blocked: those are never deliverable as they are.
func (c Enforce) approve(m State) []Event {
	blocked := m.Versions[m.Current-1].Screened.Verdict == VerdictBlocked
	lifted := func(h Hold) bool { return !(h.screening() && blocked) }
	v, ok := m.Version(c.Source.Version)
	clears := ok && v.Screened.Verdict == VerdictReview && !v.Cleared
	if !clears && !slices.ContainsFunc(m.Holds, lifted) {
		return nil
	}
	return m.release(c.Source, lifted)
}

// lift is release when there is something to lift, and nothing otherwise.
func (s State) lift(source Source, lifted func(Hold) bool) []Event {
	if !slices.ContainsFunc(s.Holds, lifted) {
		return nil
	}
	return s.release(source, lifted)
}

// release ends all holds and lays those that remain again, so that a reader who only knows "the last one counts" is right.
func (s State) release(source Source, lifted func(Hold) bool) []Event {
	events := []Event{Released{Source: source}}
	for _, h := range s.Holds {
		if lifted(h) {
			continue
		}
		switch h.Kind {
		case IsRestricted:
			events = append(events, Restricted{Source: h.Source})
		case IsQuarantined:
			events = append(events, Quarantined{Source: h.Source, Code: h.Code})
		case IsRemoved:
			events = append(events, Removed{Source: h.Source})
		}
	}
	return events
}

// follows reports whether the item follows this decision, or a later one of its case.
func (s State) follows(source Source) bool {
	return slices.ContainsFunc(s.Enforced, func(e enforced) bool { return e.Case == source.Case && e.Number >= source.Number })
}

// enforce notes that the item follows the source's decision.
func (s State) enforce(source Source) State {
	if source.Case == "" || s.follows(source) {
		return s
	}
	s.Enforced = slices.DeleteFunc(slices.Clone(s.Enforced), func(e enforced) bool { return e.Case == source.Case })
	s.Enforced = append(s.Enforced, enforced{Case: source.Case, Number: source.Number})
	return s
}

func (s State) hold(h Hold) State {
	s.Holds = append(slices.Clip(s.Holds), h)
	return s.enforce(h.Source)
}

// cleared notes that a moderator looked at the source's version and let it pass.
func (s State) cleared(source Source) State {
	if source.Case == "" || source.Version < 1 || source.Version > len(s.Versions) {
		return s
	}
	s.Versions = slices.Clone(s.Versions)
	s.Versions[source.Version-1].Cleared = true
	return s
}

func (e Restricted) evolve(m State) State {
	return m.cleared(e.Source).hold(Hold{Kind: IsRestricted, Source: e.Source})
}

func (e Quarantined) evolve(m State) State {
	return m.hold(Hold{Kind: IsQuarantined, Source: e.Source, Code: e.Code})
}

func (e Removed) evolve(m State) State { return m.hold(Hold{Kind: IsRemoved, Source: e.Source}) }

func (e Released) evolve(m State) State {
	m.Holds = nil
	return m.cleared(e.Source).enforce(e.Source)
}
