package reactors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// outpatients is how many lanes are ill at once: more than have places, and more than are read at once.
const outpatients = 300

// illLanes is an outbox of lanes that have been due for an hour, tried so many times, and of one more that has just become due.
func illLanes(t *testing.T, attempts, attemptsOfLast int) outbox {
	t.Helper()
	o := newOutbox(pgtest.New(t), "webhooks")
	if _, err := o.pool.Exec(t.Context(), `
		INSERT INTO reactor_outbox (reactor, lane, position, person, notification, attempts, raised_at, due_at)
		SELECT 'webhooks', CASE WHEN n > $1 THEN 'last' ELSE 'ill ' || n END, n, 'bob', 'n' || n, CASE WHEN n > $1 THEN $3::int ELSE $2::int END,
			now() - interval '2 hours', CASE WHEN n > $1 THEN now() - interval '1 second' ELSE now() - interval '1 hour' END
		FROM generate_series(1, $1 + 1) n`, outpatients, attempts, attemptsOfLast); err != nil {
		t.Fatal(err)
	}
	return o
}

// hasItsTurn runs each with ill lanes that behave as told, until the last one has had its turn.
func hasItsTurn(t *testing.T, o outbox, ill func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	had := make(chan struct{})
	var once sync.Once
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_ = o.each(ctx, time.Now, abreast{well: 8, ill: 8}, func(ctx context.Context, lane string) error {
				if lane == "last" {
					once.Do(func() { close(had) })
					return o.close(ctx, lane)
				}
				return ill(ctx)
			})
			pause(ctx, 10*time.Millisecond)
		}
	})
	select {
	case <-had:
	case <-ctx.Done():
		t.Error("it waits for them all")
	}
	cancel()
	work.Wait()
}

func TestLanesThatAreIllKeepNoOtherWaiting(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

	t.Run("those that took nothing before, and hang", func(t *testing.T) {
		t.Parallel()
		hasItsTurn(t, illLanes(t, 1, 0), hang)
	})

	t.Run("those whose turn ends with a fault", func(t *testing.T) {
		t.Parallel()
		hasItsTurn(t, illLanes(t, 0, 0), func(context.Context) error { return errors.New("cannot be read") })
	})

	t.Run("those that were slow before", func(t *testing.T) {
		t.Parallel()
		o := illLanes(t, 0, 0)
		for n := range outpatients {
			o.slow[fmt.Sprintf("ill %d", n+1)] = time.Now().Add(time.Hour)
		}
		hasItsTurn(t, o, hang)
	})

	t.Run("nor do those that are well keep one waiting that is tried again", func(t *testing.T) {
		t.Parallel()
		hasItsTurn(t, illLanes(t, 0, 1), hang)
	})

	t.Run("all of them have their turn, again and again", func(t *testing.T) {
		t.Parallel()
		o := illLanes(t, 1, 0)
		var mu sync.Mutex
		turns := map[string]int{}
		err := o.each(t.Context(), time.Now, abreast{well: 2, ill: 8}, func(ctx context.Context, lane string) error {
			mu.Lock()
			turns[lane]++
			third := turns[lane] == 3
			mu.Unlock()
			if third {
				return o.close(ctx, lane)
			}
			return o.later(ctx, lane, time.Now())
		})
		if err != nil || len(turns) != outpatients+1 {
			t.Errorf("%d lanes had a turn: %v", len(turns), err)
		}
		for lane, n := range turns {
			if n != 3 {
				t.Errorf("%s had %d turns", lane, n)
			}
		}
	})
}

func TestALaneThatEndsWithAFaultWaitsBehindTheOthersAndThatIsNoAttempt(t *testing.T) {
	t.Parallel()
	o := illLanes(t, 0, 0)
	if err := o.each(t.Context(), time.Now, abreast{well: 8, ill: 8}, func(ctx context.Context, lane string) error {
		if lane == "ill 7" {
			panic("cannot be read")
		}
		return o.close(ctx, lane)
	}); err == nil {
		t.Error("nobody hears of it")
	}
	left, err := o.of(t.Context(), "ill 7", 10)
	if err != nil || len(left) != 1 || left[0].attempts != 0 {
		t.Errorf("left %+v: %v", left, err)
	}
	if due, err := o.lanes(t.Context(), time.Now(), nil, 10); err != nil || len(due) != 0 {
		t.Errorf("due %v: %v", due, err)
	}
	if due, err := o.lanes(t.Context(), time.Now().Add(laneAgain), nil, 10); err != nil || len(due) != 1 {
		t.Errorf("due later %v: %v", due, err)
	}
}
