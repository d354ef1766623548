package parked_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/parked"
)

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	what := parked.What{Source: parked.Reactor, Name: "screening", Key: "media-1", Position: 12}
	domaintest.Golden(t, parked.Types, parked.Retried{What: what}, parked.Dropped{What: what, Type: "media.uploaded"})
}

func TestDrop(t *testing.T) {
	t.Parallel()
	given := domaintest.Given(t, parked.Evolve)
	what := parked.What{Source: parked.Reactor, Name: "screening", Key: "media-1", Position: 12}
	given.When(parked.Drop{What: what, Type: "media.uploaded", Reason: "a broken file"}.Decide).EachTime(parked.Dropped{What: what, Type: "media.uploaded"})
	given.When(parked.Drop{What: what, Type: "media.uploaded"}.Decide).Refused(parked.ErrNoReason)
	what.Source = parked.Projection
	given.When(parked.Drop{What: what, Reason: "why not"}.Decide).Refused(parked.ErrReadOnly)
	given.When(parked.Retry{What: what}.Decide).EachTime(parked.Retried{What: what})
}
