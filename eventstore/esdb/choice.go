package esdb

import (
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/mediavault-io/mediavault/eventstore"
)

// choice is a filter in two halves: what the server is asked to hold back, and the rest, which lets decides. The server
// filters by one thing only, and by prefixes, so that its half lets more pass and never less.
type choice struct {
	categories, types []string
}

func chosen(f eventstore.Filter) choice { return choice{categories: f.Categories, types: f.Types} }

// lets reports whether an event passes.
func (c choice) lets(raw *eventstore.Raw) bool {
	return !system(raw.Stream) && (len(c.types) == 0 || slices.Contains(c.types, raw.Type)) &&
		(len(c.categories) == 0 || slices.Contains(c.categories, raw.Stream.Category()))
}

// everything reports whether the server's half is all there is to it.
func (c choice) everything() bool { return len(c.types) == 0 && len(c.categories) == 0 }

// searchWindow is how many events a server looks at before it tells a subscriber how far it came.
const searchWindow = 64

// option is the server's half. Types are asked for before categories: there are more of them.
func (c choice) option() *streams.ReadReq_Options_Filter {
	type expression = streams.ReadReq_Options_FilterOptions_Expression
	o := &streams.ReadReq_Options_FilterOptions{
		Window: &streams.ReadReq_Options_FilterOptions_Max{Max: searchWindow}, CheckpointIntervalMultiplier: 1,
	}
	switch {
	case len(c.types) > 0:
		o.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: &expression{Prefix: c.types}}
	case len(c.categories) > 0:
		o.Filter = &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &expression{Prefix: c.categories}}
	default: // all but the system's streams
		o.Filter = &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &expression{Regex: `^[^\$]`}}
	}
	return &streams.ReadReq_Options_Filter{Filter: o}
}
