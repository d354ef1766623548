package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := eventstore.New(memory.New(), newCodec(t, storetest.Keys()))
	const events = 3000
	for i := range events / 10 {
		var batch []domain.Event
		for j := range 10 {
			batch = append(batch, renamed{Title: fmt.Sprint(10*i + j)})
		}
		m := meta()
		m.Command = uuid.New()
		if _, err := s.Append(ctx, "test-1", eventstore.Any, m, batch...); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("everything is read in order, and a reader may stop anywhere", func(t *testing.T) {
		t.Parallel()
		for _, stop := range []int{0, 1, 31, 32, 33, 1000, events} {
			n := 0
			for rec, err := range s.ReadAll(ctx, eventstore.Read{}) {
				if err != nil {
					t.Fatal(err)
				}
				if rec.Event.(renamed).Title != fmt.Sprint(n) { //nolint:forcetypeassert // fails the test
					t.Fatalf("event %d is %+v", n, rec.Event)
				}
				if n++; n == stop {
					break
				}
			}
			if want := stop; n != want && want != 0 || want == 0 && n != events {
				t.Errorf("read %d, want %d", n, stop)
			}
		}
	})

	t.Run("an ended context is an error, not an end", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(ctx)
		var last error
		for _, err := range s.ReadAll(ctx, eventstore.Read{}) {
			cancel()
			last = err
		}
		cancel()
		if !errors.Is(last, context.Canceled) {
			t.Errorf("ended with %v", last)
		}
	})

	t.Run("no events append nothing", func(t *testing.T) {
		t.Parallel()
		if r, err := s.Append(ctx, "test-2", eventstore.Any, meta()); err != nil || r != (eventstore.Receipt{}) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}
