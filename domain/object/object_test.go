package object_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/object"
)

const digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

func given(t *testing.T, events ...object.Event) domaintest.Story[object.State, object.Event] {
	t.Helper()
	return domaintest.Given(t, object.Evolve, events...)
}

func keep(upload domain.ObjectKey, item domain.MediaID) object.Keep {
	return object.Keep{Owner: "alice", SHA256: digest, Size: 10, Upload: upload, Media: item}
}

var (
	stored = object.Stored{Owner: "alice", SHA256: digest, Size: 10, Object: "o/1"}
	first  = object.Referenced{Upload: "o/1", Media: "m1"}
	second = object.Referenced{Upload: "o/2", Media: "m2"}
)

func TestBytesAreStoredOnceAndAsLongAsSomebodyNeedsThem(t *testing.T) {
	t.Parallel()
	s := given(t).When(keep("o/1", "m1").Decide).Then(stored, first).When(keep("o/2", "m2").Decide).Then(second)
	if s.State().Object != "o/1" {
		t.Errorf("the second upload's bytes are at %s", s.State().Object)
	}
	s = s.When(object.Release{Media: "m1"}.Decide).Then(object.Released{Media: "m1", Uploads: []domain.ObjectKey{"o/1"}})
	s = s.When(object.Release{Media: "m2"}.Decide).Then(object.Released{Media: "m2", Uploads: []domain.ObjectKey{"o/2"}}, object.Destroyed{Object: "o/1"})
	s = s.When(keep("o/3", "m3").Decide).Then(object.Stored{Owner: "alice", SHA256: digest, Size: 10, Object: "o/3"}, object.Referenced{Upload: "o/3", Media: "m3"})
	if s.State().Object != "o/3" {
		t.Errorf("what was destroyed is used again: %s", s.State().Object)
	}
}

func TestAnUploadThatFailsReleasesItsOwnReferenceAlone(t *testing.T) {
	t.Parallel()
	again := object.Referenced{Upload: "o/9", Media: "m1"}
	s := given(t, stored, first, again)
	s.When(object.Release{Media: "m1", Upload: "o/9"}.Decide).Then(object.Released{Media: "m1", Uploads: []domain.ObjectKey{"o/9"}})
	s.When(object.Release{Media: "m2"}.Decide).Nothing()
	given(t).When(object.Release{Media: "m1"}.Decide).Nothing()
}

// TestNothingThatIsNeededIsDestroyed plays random uploads and purges.
func TestNothingThatIsNeededIsDestroyed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s object.State
		needs := map[domain.ObjectKey]domain.MediaID{}
		for range rapid.IntRange(1, 40).Draw(t, "length") {
			upload := rapid.SampledFrom([]domain.ObjectKey{"a", "b", "c", "d"}).Draw(t, "upload")
			item := rapid.SampledFrom([]domain.MediaID{"m1", "m2"}).Draw(t, "item")
			var events []object.Event
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				if owner, ok := needs[upload]; ok {
					item = owner
				}
				events, _ = keep(upload, item).Decide(s)
				needs[upload] = item
			case 1:
				events, _ = object.Release{Media: item}.Decide(s)
				for u, m := range needs {
					if m == item {
						delete(needs, u)
					}
				}
			case 2:
				events, _ = object.Release{Media: needs[upload], Upload: upload}.Decide(s)
				delete(needs, upload)
			}
			for _, e := range events {
				s = object.Evolve(s, e)
			}
			if s.Live != (len(needs) > 0) || s.Live && len(s.References) != len(needs) {
				t.Fatalf("%d need it, and the state is %+v", len(needs), s)
			}
		}
	})
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	domaintest.Golden(t, object.Types, stored, first, object.Released{Media: "m1", Uploads: []domain.ObjectKey{"o/1", "o/9"}}, object.Destroyed{Object: "o/1"},
		object.Swept{Objects: []object.Litter{{Object: "o/7", Size: 10, StoredAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Why: object.Unnamed}}})
}
