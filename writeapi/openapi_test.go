package writeapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/apitest"
)

func TestOpenAPIIsValid(t *testing.T) { t.Parallel(); apitest.Load(t, OpenAPI()) }

func TestOpenAPISaysWhatIsAccepted(t *testing.T) {
	t.Parallel()
	var extensions []string
	for _, f := range media.Formats() {
		extensions = append(extensions, f.Extensions...)
	}
	slices.Sort(extensions)
	want := fmt.Sprintf("Accepted are %d types of content, in files with these extensions, or none: %s.", len(media.Formats()), strings.Join(slices.Compact(extensions), ", "))
	if said := strings.Join(strings.Fields(string(OpenAPI())), " "); !strings.Contains(said, want) {
		t.Errorf("the description of uploads has to say: %s", want)
	}
}
