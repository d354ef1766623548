// Package person is that a person is forgotten (GDPR, article 17). Nothing here is personal but the pseudonym that the identity
// provider gave him, which stands in every event anyway.
//
//	(nothing) --RequestErasure--> requested --FinishErasure--> erased, for ever
//
// In between the vault destroys his key, lets every process forget it, and purges what he has.
package person

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrForbidden = domain.Refuse(domain.Forbidden, "forbidden", "only an admin has people forgotten")
	ErrUnknown   = domain.Refuse(domain.NotFound, "person_unknown", "the vault holds nothing about a person of that id")
	ErrNobody    = domain.Refuse(domain.Invalid, "invalid", "that is not the id of a person").On("subject")
	ErrGround    = domain.NotOneOf("reason", Grounds())
	ErrNotAsked  = domain.Refuse(domain.Conflict, "erasure_not_requested", "nobody asked for this person to be forgotten")
)

// Phase is how far forgetting a person is.
type Phase int

// The phases.
const (
	Remembered Phase = iota
	Forgetting
	Forgotten
)

// State is what deciding about a person must remember.
type State struct {
	Subject domain.UserID
	Phase   Phase
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// RequestErasure has a person forgotten.
type RequestErasure struct {
	Subject domain.UserID
	By      domain.Actor
	Ground  Ground
	Known   bool // the vault holds something about him, or did
}

// Decide says so once. Ids that are no person's have keys that many share.
func (c RequestErasure) Decide(s State) ([]Event, error) {
	switch {
	case !c.By.Is(domain.RoleAdmin):
		return nil, ErrForbidden
	case c.Subject == "" || c.Subject == "anonymous" || c.Subject == domain.System().ID:
		return nil, ErrNobody
	case !slices.Contains(Grounds(), c.Ground):
		return nil, ErrGround
	case s.Phase != Remembered:
		return nil, nil
	case !c.Known:
		return nil, ErrUnknown
	}
	return []Event{ErasureRequested{Subject: c.Subject, By: c.By.ID, Ground: c.Ground}}, nil
}

func (e ErasureRequested) evolve(s State) State {
	s.Subject, s.Phase = e.Subject, Forgetting
	return s
}

// FinishErasure is the vault's word that it is done.
type FinishErasure struct {
	Kept int // items that are evidence
}

// Decide says so once.
func (c FinishErasure) Decide(s State) ([]Event, error) {
	switch s.Phase {
	case Remembered:
		return nil, ErrNotAsked
	case Forgotten:
		return nil, nil
	default:
		return []Event{Erased{Subject: s.Subject, Kept: c.Kept}}, nil
	}
}

func (e Erased) evolve(s State) State { s.Phase = Forgotten; return s }
