// Package domain holds the words that every aggregate shares: events, ids, personal text, actors and refusals.
// It is pure: no context, clock, random or I/O. The aggregates stand in the packages below it.
package domain

import "reflect"

// Event is a fact: it happened, it is appended once and it never changes. The aggregates seal this interface with an
// unexported evolve, so that an event without its state change does not compile.
type Event interface {
	// EventType is the name under which the event is stored, `category.past_participle`. It never changes.
	EventType() string
}

// Type is what the codec must know of one kind of event: its stored name and how to make one from stored bytes.
type Type struct {
	Name string
	// Go is the struct that carries the event.
	Go reflect.Type
	// Decode makes the event by handing a pointer to its struct to unmarshal.
	Decode func(unmarshal func(into any) error) (Event, error)
	// Workplace makes a place in which one goroutine makes one event after the other: into is a pointer to the zero struct, take
	// answers the event that was put there and leaves the place zero again.
	Workplace func() (into any, take func() Event)
}

// TypeOf describes the event struct E. It is called once for each event, in the aggregate's list of Types.
func TypeOf[E Event]() Type {
	var zero E
	return Type{
		Name: zero.EventType(),
		Go:   reflect.TypeFor[E](),
		Decode: func(unmarshal func(into any) error) (Event, error) {
			var e E
			if err := unmarshal(&e); err != nil {
				return nil, err
			}
			return e, nil
		},
		Workplace: func() (any, func() Event) {
			place := new(E)
			return place, func() Event {
				event := *place
				var zero E
				*place = zero
				return event
			}
		},
	}
}
