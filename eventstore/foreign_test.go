package eventstore_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestWhatOtherProgramsWriteIsNoneOfTheDomainsBusiness(t *testing.T) {
	t.Parallel()
	log := memory.New()
	s := eventstore.New(log, newCodec(t, storetest.Keys()), "test")
	foreign := func(stream eventstore.Stream, typ string) {
		t.Helper()
		if _, err := log.Append(t.Context(), stream, eventstore.Any, eventstore.Entry{ID: uuid.New(), Type: typ, Data: []byte{0}, Metadata: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
	foreign("app-1", "test.noted") // a type of ours, in a stream that is not
	foreign("app-1", "order-placed")
	if _, err := s.Append(t.Context(), "test-1", eventstore.NoStream, meta(), example()); err != nil {
		t.Fatal(err)
	}
	foreign("app-2", "test.renamed")

	for _, limit := range []int{0, 10} {
		n := 0
		for rec, err := range s.ReadAll(t.Context(), eventstore.Read{Limit: limit}) {
			if n++; err != nil || rec.Stream != "test-1" {
				t.Fatalf("read %+v, %v", rec, err)
			}
		}
		if n != 1 {
			t.Errorf("read %d events", n)
		}
	}
	for _, f := range []eventstore.Filter{{}, {Types: []string{"test.noted", "test.renamed"}}} {
		n := 0
		for batch, err := range s.Follow(t.Context(), 0, f) {
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range batch.Events {
				if n++; rec.Undecodable != nil || rec.Stream != "test-1" {
					t.Errorf("followed %+v", rec)
				}
			}
			if batch.Live {
				if batch.Through != 4 {
					t.Errorf("the follower stands at %d, and the log ends at 4", batch.Through)
				}
				break
			}
		}
		if n != 1 {
			t.Errorf("followed %d events", n)
		}
	}
}
