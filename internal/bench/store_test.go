package bench_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/bench"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestStoreIsMeasured(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := bench.Store(context.Background(), pgtest.URL(t), &out, bench.Options{Callers: 8, For: 200 * time.Millisecond, Events: 2000})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"8 callers x  1", "8 callers x 10", "locked head row", "decoded and opened"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing is said of %q:\n%s", want, out.String())
		}
	}
}

// BenchmarkStore measures on a cluster with fsync on; run it with -benchtime 1x.
func BenchmarkStore(b *testing.B) {
	url := pgtest.URL(b, pgtest.Durable())
	for b.Loop() {
		if err := bench.Store(context.Background(), url, os.Stderr, bench.Options{For: 4 * time.Second}); err != nil {
			b.Fatal(err)
		}
	}
}
