package writeapi

import (
	"testing"

	"github.com/mediavault-io/mediavault/internal/apitest"
)

func TestOpenAPIIsValid(t *testing.T) { t.Parallel(); apitest.Load(t, OpenAPI()) }
