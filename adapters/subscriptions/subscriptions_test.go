package subscriptions_test

import (
	"context"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/subscriptions"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestAStaleLeaderWritesNothing(t *testing.T) {
	t.Parallel()
	store := subscriptions.New(pgtest.New(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, _, _, err := store.Lead(ctx, "a", "a:1", 300*time.Millisecond)
	if err != nil || first == 0 {
		t.Fatalf("no lead: %v", err)
	}
	if ok, err := store.Put(ctx, first, "app-1", "g", "i", []byte(`{}`)); !ok || err != nil {
		t.Fatalf("the leader cannot write: %v", err)
	}
	var second int64
	for second == 0 { // until the lead of the first is over
		var renewal int64
		if second, _, renewal, err = store.Lead(ctx, "b", "b:1", time.Hour); err != nil || (second == 0 && renewal == 0) {
			t.Fatalf("no second lead: %v", err)
		}
	}
	if second <= first {
		t.Fatalf("the fence went from %d to %d", first, second)
	}
	for what, write := range map[string]func(fence int64) (bool, error){
		"a checkpoint": func(f int64) (bool, error) { return store.Checkpoint(ctx, f, "app-1", "g", "i", 7) },
		"a definition": func(f int64) (bool, error) { return store.Put(ctx, f, "app-1", "g", "i", []byte(`{}`)) },
		"a removal":    func(f int64) (bool, error) { return store.Remove(ctx, f, "app-1", "g") },
	} {
		if ok, err := write(first); ok || err != nil {
			t.Errorf("the one who leads no more wrote %s: %v, %v", what, ok, err)
		}
	}
	if ok, err := store.Checkpoint(ctx, second, "app-1", "g", "i", 7); !ok || err != nil {
		t.Errorf("the leader cannot write: %v", err)
	}
	if ok, err := store.Checkpoint(ctx, second, "app-1", "g", "another of the name", 9); ok || err != nil {
		t.Errorf("a subscription that is not there any more got further: %v", err)
	}
}

func TestALeadIsRenewedAndLetGo(t *testing.T) {
	t.Parallel()
	store := subscriptions.New(pgtest.New(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lead := func(server string) (int64, string, int64) {
		fence, endpoint, renewal, err := store.Lead(ctx, server, server+":1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return fence, endpoint, renewal
	}
	first, _, _ := lead("a")
	_, endpoint, before := lead("b")
	if same, _, _ := lead("a"); same != first || endpoint != "a:1" {
		t.Fatalf("the leader went on with fence %d, and had %d; it is found at %s", same, first, endpoint)
	}
	if second, _, after := lead("b"); second != 0 || after == before {
		t.Fatalf("the other leads with %d, and saw renewal %d twice", second, before)
	}
	if err := store.Resign(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if second, _, _ := lead("b"); second != 0 {
		t.Fatal("one let go what another had")
	}
	if err := store.Resign(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if second, _, _ := lead("b"); second <= first {
		t.Fatalf("the other leads with fence %d, after %d", second, first)
	}
}
