package readapi_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/internal/apitest"
	"github.com/mediavault-io/mediavault/readapi"
)

func TestTheDescriptionAndTheRoutesAreOneAndTheSame(t *testing.T) {
	t.Parallel()
	apitest.Load(t, readapi.OpenAPI()).MatchesRoutes(t, readapi.New(readapi.Parts{}).Routes())
}
