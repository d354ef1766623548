// Package parked is what admins did about events that could not be processed. It knows not what is parked, which the engines of
// reactors and read models do; it only remembers what was said about it.
package parked

import "github.com/mediavault-io/mediavault/domain"

// The refusals. Their codes never change.
var (
	ErrNotFound = domain.Refuse(domain.NotFound, "not_parked", "no event of that key is parked")
	ErrNoReason = domain.Refuse(domain.Invalid, "reason_needed", "say in Vault-Reason why the event is dropped")
	ErrReadOnly = domain.Refuse(domain.Conflict, "rebuild_needed", "a read model cannot leave out an event; retry it, or rebuild the read model")
)

// State remembers nothing: whoever asks twice has asked twice.
type State struct{}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Retry has a key's events processed again.
type Retry struct {
	What What
}

// Decide records it.
func (c Retry) Decide(State) ([]Event, error) { return []Event{Retried(c)}, nil }

// Drop goes on without an event.
type Drop struct {
	What   What
	Type   string
	Reason string
}

// Decide records it, when there is a reason, and what parked the event can do without it.
func (c Drop) Decide(State) ([]Event, error) {
	switch {
	case c.What.Source != Reactor:
		return nil, ErrReadOnly
	case c.Reason == "":
		return nil, ErrNoReason.On("Vault-Reason")
	}
	return []Event{Dropped{What: c.What, Type: c.Type}}, nil
}

func (Retried) evolve(s State) State { return s }
func (Dropped) evolve(s State) State { return s }
