package esdb_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// Positions that nobody was told come from people who ask as of one, and from 'the one before'.
func TestPositionsInTheMiddleOfARecordAreUnderstood(t *testing.T) {
	t.Parallel()
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0")
	t.Cleanup(func() { v.stop(t) })
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	category := "t" + uuid.NewString()[:8]
	stream := eventstore.StreamOf(category, "1")
	only := eventstore.Filter{Categories: []string{category}}
	var at []eventstore.Position
	for range 5 {
		r, err := log.Append(t.Context(), stream, eventstore.Any, eventstore.Entry{ID: uuid.New(), Type: "test.happened", Data: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, r.Position)
	}
	for _, c := range []struct {
		name string
		r    eventstore.Read
		want []eventstore.Position
	}{
		{"right before one", eventstore.Read{After: at[2] - 1}, at[2:]},
		{"right behind one", eventstore.Read{After: at[2] + 1}, at[3:]},
		{"in between", eventstore.Read{After: at[1] + 2, Before: at[3] + 2}, at[2:4]},
		{"backwards, right behind one", eventstore.Read{After: at[0], Before: at[3] + 1, Backward: true}, []eventstore.Position{at[3], at[2], at[1]}},
		{"backwards, in between", eventstore.Read{After: at[0], Before: at[3] + 2, Backward: true, Limit: 2}, []eventstore.Position{at[3], at[2]}},
		{"backwards, behind the end", eventstore.Read{Before: at[4] + 1_000_001, Backward: true, Limit: 1}, at[4:]},
	} {
		c.r.Filter = only
		var got []eventstore.Position
		for raw, err := range log.ReadAll(t.Context(), c.r) {
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got = append(got, raw.Position)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	var got []eventstore.Position
	for b, err := range log.Follow(t.Context(), at[1]-1, only) {
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range b.Events {
			got = append(got, raw.Position)
		}
		if len(got) >= 4 {
			break
		}
	}
	if !slices.Equal(got, at[1:]) {
		t.Errorf("followed %v, want %v", got, at[1:])
	}
}
