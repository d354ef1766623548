package commands_test

import (
	"fmt"
	"testing"

	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// BenchmarkDescribe says what a command costs beside its store: on a stream that grows with each one.
func BenchmarkDescribe(b *testing.B) {
	v := newVault(b, false)
	id := v.item(alice, media.VerdictClean)
	for i := 0; b.Loop(); i++ {
		if _, err := v.media.Describe(b.Context(), by(alice), id, title(fmt.Sprint("title ", i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(v.events(eventstore.StreamOf("media", id)))), "events")
}
