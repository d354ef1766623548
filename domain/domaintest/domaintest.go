// Package domaintest is how deciders are tested: given what happened, when somebody asks, then this is said, or refused. And
// it holds the stored shapes of events against their golden files. It is for tests only.
package domaintest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
)

// Story is a state that came from events.
type Story[S any, E domain.Event] struct {
	t      testing.TB
	evolve func(S, E) S
	state  S
}

// Given is the state after the events.
func Given[S any, E domain.Event](t testing.TB, evolve func(S, E) S, events ...E) Story[S, E] {
	t.Helper()
	s := Story[S, E]{t: t, evolve: evolve}
	for _, e := range events {
		s.state = evolve(s.state, e)
	}
	return s
}

// State is the state, for questions that are not commands.
func (s Story[S, E]) State() S { return s.state }

// When asks.
func (s Story[S, E]) When(decide func(S) ([]E, error)) Asked[S, E] {
	s.t.Helper()
	before := fmt.Sprintf("%#v", s.state)
	events, err := decide(s.state)
	if after := fmt.Sprintf("%#v", s.state); after != before {
		s.t.Errorf("deciding changed the state:\nbefore %s\nafter  %s", before, after)
	}
	return Asked[S, E]{story: s, decide: decide, events: events, err: err}
}

// Asked is what was answered.
type Asked[S any, E domain.Event] struct {
	story  Story[S, E]
	decide func(S) ([]E, error)
	events []E
	err    error
}

// Then expects these events, and that asking a second time says nothing. It answers the state after them.
func (a Asked[S, E]) Then(want ...E) Story[S, E] {
	a.story.t.Helper()
	next := a.EachTime(want...)
	again, err := a.decide(next.state)
	if err != nil || len(again) > 0 {
		a.story.t.Errorf("asked twice: want silence, got %s, error %v", list(again), err)
	}
	return next
}

// EachTime expects these events, for commands that say the same each time they are asked.
func (a Asked[S, E]) EachTime(want ...E) Story[S, E] {
	t := a.story.t
	t.Helper()
	if a.err != nil {
		t.Fatalf("want %s, got the error %q", list(want), a.err)
	}
	if len(a.events) != len(want) {
		t.Fatalf("want %s, got %s", list(want), list(a.events))
	}
	next := a.story
	for i := range want {
		if !reflect.DeepEqual(want[i], a.events[i]) {
			t.Errorf("event %d: %s\nwant %s\ngot  %s", i, want[i].EventType(), Show(want[i]), Show(a.events[i]))
		}
		next.state = next.evolve(next.state, a.events[i])
	}
	return next
}

// Nothing expects silence: it is so already.
func (a Asked[S, E]) Nothing() {
	a.story.t.Helper()
	if a.err != nil || len(a.events) > 0 {
		a.story.t.Errorf("want silence, got %s, error %v", list(a.events), a.err)
	}
}

// Refused expects the refusal, by its code and kind.
func (a Asked[S, E]) Refused(want *domain.Refusal) {
	t := a.story.t
	t.Helper()
	got, ok := domain.AsRefusal(a.err)
	switch {
	case a.err == nil:
		t.Errorf("want the refusal %s, got %s", want.Code, list(a.events))
	case !ok || !errors.Is(a.err, want) || got.Kind != want.Kind:
		t.Errorf("want the refusal %s, got the error %v", want.Code, a.err)
	case len(a.events) > 0:
		t.Errorf("refused with %s, but said %s", want.Code, list(a.events))
	}
}

func list[E domain.Event](events []E) string {
	if len(events) == 0 {
		return "nothing"
	}
	out := ""
	for _, e := range events {
		out += " " + Show(e)
	}
	return out[1:]
}

// Show prints an event with its personal texts, which never print otherwise.
func Show(e domain.Event) string {
	return e.EventType() + show(reflect.ValueOf(e))
}

func show(v reflect.Value) string {
	if p, ok := v.Interface().(domain.Personal); ok {
		return fmt.Sprintf("%q(%s)", p.Text(), p.Subject())
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return fmt.Sprint(v.Interface())
		}
		out := "{"
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
				out += f.Name + ":" + show(v.Field(i)) + " "
			}
		}
		return out + "}"
	case reflect.Slice:
		out := "["
		for i := range v.Len() {
			out += show(v.Index(i)) + " "
		}
		return out + "]"
	default:
		return fmt.Sprintf("%v", v.Interface())
	}
}
