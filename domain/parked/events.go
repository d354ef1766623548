package parked

import "github.com/mediavault-io/mediavault/domain"

// Category is the first part of the streams of this aggregate: `parked-<id>`.
const Category = "parked"

// Event is a fact about one parked key. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Retried](),
	domain.TypeOf[Dropped](),
}

// Source is what parks events.
type Source string

// The sources.
const (
	Reactor    Source = "reactor"
	Projection Source = "projection" // a read model
)

// What is parked: the events of one key, because one of them could not be processed.
type What struct {
	Source   Source `json:"source"`
	Name     string `json:"name"` // of the reactor or read model
	Key      string `json:"key"`
	Position int64  `json:"position"` // of the event that could not be processed
}

// Retried is an admin's word to process a key's parked events again.
type Retried struct {
	What What `json:"what"`
}

// Dropped is an admin's word to go on without the event that could not be processed. Why stands in the event's metadata.
type Dropped struct {
	What What   `json:"what"`
	Type string `json:"type"` // of the event that was dropped
}

// EventType implements domain.Event.
func (Retried) EventType() string { return "parked.retried" }

// EventType implements domain.Event.
func (Dropped) EventType() string { return "parked.dropped" }
