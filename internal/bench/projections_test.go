package bench_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/bench"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestProjectionsAreMeasured(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := bench.Projections(context.Background(), pgtest.URL(t), &out, bench.ProjectionOptions{Events: 2000, For: 200 * time.Millisecond, Pages: 3})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"projecting the library live", "append -> visible", "a transaction for each event", "rebuild, alone", "the other nine", "COPY of the same rows", "as of the middle"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing is said of %q:\n%s", want, out.String())
		}
	}
}

// BenchmarkProjections measures on a cluster with fsync on; run it with -benchtime 1x. EVENTS says how many (1,000,000).
func BenchmarkProjections(b *testing.B) {
	url := pgtest.URL(b, pgtest.Durable())
	events, _ := strconv.Atoi(os.Getenv("EVENTS"))
	for b.Loop() {
		if err := bench.Projections(context.Background(), url, os.Stderr, bench.ProjectionOptions{Events: events}); err != nil {
			b.Fatal(err)
		}
	}
}
