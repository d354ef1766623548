package projections

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestQuestionsThatComeTogetherAreAskedTogether(t *testing.T) {
	t.Parallel()

	t.Run("while one is asked the others gather, and each gets its own answer", func(t *testing.T) {
		t.Parallel()
		asked := make(chan []string, 10)
		let := make(chan struct{})
		q := newTogether(time.Minute, func(_ context.Context, keys []string) (map[string]int, error) {
			asked <- keys
			<-let
			answers := map[string]int{}
			for _, k := range keys {
				answers[k] = len(k)
			}
			return answers, nil
		})
		var asking sync.WaitGroup
		ask := func(key string) {
			asking.Go(func() {
				if got, err := q.about(t.Context(), key); err != nil || got != len(key) {
					t.Errorf("%s: %d, %v", key, got, err)
				}
			})
		}
		ask("a")
		<-asked
		for _, key := range []string{"bb", "ccc", "dddd", "bb"} {
			ask(key)
		}
		gathered := func() int {
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.next == nil {
				return 0
			}
			return len(q.next.keys)
		}
		for gathered() < 3 {
			runtime.Gosched()
		}
		close(let)
		asking.Wait()
		for n := 0; len(asked) > 0; n++ {
			if got := len(<-asked); n == 0 && got != 3 {
				t.Errorf("the next question was about %d things", got)
			}
		}
	})

	t.Run("who leaves takes no answer from others, and a fault is everybody's of the round", func(t *testing.T) {
		t.Parallel()
		fault := errors.New("no")
		q := newTogether(time.Minute, func(ctx context.Context, keys []string) (map[string]int, error) {
			return nil, errors.Join(ctx.Err(), fault)
		})
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := q.about(gone, "a"); err == nil {
			t.Error("who left was answered")
		}
		if _, err := q.about(t.Context(), "a"); !errors.Is(err, fault) || errors.Is(err, context.Canceled) {
			t.Errorf("answered %v", err)
		}
	})

	t.Run("a panic of who asks fails the others, and lets the next ask", func(t *testing.T) {
		t.Parallel()
		panics := true
		q := newTogether(time.Minute, func(context.Context, []string) (map[string]int, error) {
			if panics {
				panics = false
				panic("stumbled")
			}
			return map[string]int{"a": 1}, nil
		})
		func() {
			defer func() { _ = recover() }()
			_, _ = q.about(t.Context(), "a")
		}()
		if got, err := q.about(t.Context(), "a"); err != nil || got != 1 {
			t.Errorf("%d, %v", got, err)
		}
	})
}
