package projections

import (
	"testing"
	"time"
)

func TestARunnerComesBackQuicklyWhileTroubleIsYoung(t *testing.T) {
	t.Parallel()
	t.Run("a database that is away for seconds is asked several times a second", func(t *testing.T) {
		t.Parallel()
		var tr trouble
		now := time.Unix(1_700_000_000, 0)
		began := now
		for tries := 1; now.Sub(began) < 25*time.Second; tries++ {
			wait, tell := tr.failed(now, time.Millisecond)
			if wait > youngWait || tries == 1 && wait != shortestWait {
				t.Fatalf("try %d waits %s", tries, wait)
			}
			if tries > 1 && tell && now.Sub(began) < complaint {
				t.Errorf("the same trouble is told again after %s", now.Sub(began))
			}
			now = now.Add(wait)
		}
	})
	t.Run("lasting trouble is left in peace", func(t *testing.T) {
		t.Parallel()
		var tr trouble
		now := time.Unix(1_700_000_000, 0)
		var wait time.Duration
		for range 400 {
			wait, _ = tr.failed(now, time.Millisecond)
			now = now.Add(wait)
		}
		if wait != longestWait {
			t.Errorf("it waits %s", wait)
		}
	})
	t.Run("what had come back begins anew, however often the database was killed before", func(t *testing.T) {
		t.Parallel()
		var tr trouble
		now := time.Unix(1_700_000_000, 0)
		for range 50 {
			now = now.Add(2 * time.Second)
			wait, _ := tr.failed(now, 2*time.Second)
			if wait != shortestWait {
				t.Fatalf("it waits %s", wait)
			}
		}
	})
}
