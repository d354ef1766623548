package reactors

import (
	"slices"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestWhatGoesInOneMailStaysTogetherWhateverComesBetween(t *testing.T) {
	t.Parallel()
	o := newOutbox(pgtest.New(t), "mailing")
	now := time.Now()
	put := func(positions ...eventstore.Position) {
		t.Helper()
		for _, p := range positions {
			if err := o.put(t.Context(), letter{lane: "alice", person: "alice", position: p, notification: notification.ID("n"), raised: now}, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	mail := func(want ...eventstore.Position) ([]letter, string) {
		t.Helper()
		letters, digest, err := o.together(t.Context(), "alice", digestMax)
		if err != nil {
			t.Fatal(err)
		}
		var got []eventstore.Position
		for _, l := range letters {
			got = append(got, l.position)
		}
		if !slices.Equal(got, want) || digest == "" {
			t.Fatalf("mail %q holds %v, not %v", digest, got, want)
		}
		return letters, digest
	}
	put(5, 9)
	_, first := mail(5, 9)
	put(7, 12)
	if _, again := mail(5, 9); again != first {
		t.Error("the mail that is sent again is another")
	}
	put(3)
	earlier, second := mail(3, 7, 12)
	if second == first {
		t.Error("two mails have one id")
	}
	if err := o.gone(t.Context(), earlier...); err != nil {
		t.Fatal(err)
	}
	if _, again := mail(5, 9); again != first {
		t.Error("the mail that waited is another")
	}
}
