package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// TestMain is the load process, too: Stream starts this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "bench" && os.Args[2] == "stream-load" {
		if err := StreamLoad(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestTheStreamAPIIsMeasured(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := Stream(context.Background(), pgtest.URL(t), &out, StreamOptions{
		Options: Options{Callers: 8, For: 200 * time.Millisecond, Events: 2000}, Subscribers: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"append, 8 callers x  1", "batch, 8 callers x 10", "links resolved", "links alone", "100 subscribers and 1 that stand still"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing is said of %q:\n%s", want, out.String())
		}
	}
}

// BenchmarkStream measures parts of it on a cluster with fsync on; run one with -benchtime 1x, and -cpuprofile for the server.
func BenchmarkStream(b *testing.B) {
	for name, only := range map[string]func(*streamBench) error{
		"append": func(s *streamBench) error {
			prepared, err := s.prepare(20_000)
			if err == nil {
				err = s.streamAppends(prepared, "append", 1)
			}
			return err
		},
		"appendTen": func(s *streamBench) error {
			prepared, err := s.prepare(20_000)
			if err == nil {
				err = s.streamAppends(prepared, "append", 10)
			}
			return err
		},
		"batch": func(s *streamBench) error {
			prepared, err := s.prepare(20_000)
			if err == nil {
				err = s.streamAppends(prepared, "batch", 1)
			}
			return err
		},
		"read": func(s *streamBench) error {
			prepared, err := s.prepare(20_000)
			if err == nil {
				err = s.storeBench.reads(prepared)
			}
			if err == nil {
				err = s.streamReads()
			}
			return err
		},
		"subscribe": func(s *streamBench) error {
			prepared, err := s.prepare(20_000)
			if err == nil {
				err = s.storeBench.reads(prepared)
			}
			if err == nil {
				err = s.subscriptions(prepared)
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			url := pgtest.URL(b, pgtest.Durable())
			for b.Loop() {
				if err := Stream(context.Background(), url, os.Stderr, StreamOptions{Options: Options{For: 5 * time.Second, Events: 200_000}, only: only}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
