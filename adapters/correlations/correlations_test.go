package correlations_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/adapters/correlations"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func through(t *testing.T, x *correlations.Index, want int64) {
	t.Helper()
	if got, err := x.Through(t.Context()); err != nil || got != want {
		t.Errorf("through %d, %v; want %d", got, err, want)
	}
}

func add(t *testing.T, x *correlations.Index, after, through int64, names []string, positions []int64) {
	t.Helper()
	if err := x.Add(t.Context(), after, through, names, positions); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, x *correlations.Index, correlation string, from int64, backward bool, limit int, want ...int64) {
	t.Helper()
	got, err := x.Positions(t.Context(), correlation, from, backward, limit)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q from %d, backward %v: got %v, %v; want %v", correlation, from, backward, got, err, want)
	}
}

func TestPositionsAreFoundByWhatTheyAreOf(t *testing.T) {
	t.Parallel()
	x := correlations.New(pgtest.New(t))
	through(t, x, 0)
	add(t, x, 0, 10, []string{"a", "b", "a", "B"}, []int64{2, 3, 7, 9})
	add(t, x, 10, 20, nil, nil) // nothing of any correlation
	add(t, x, 20, 30, []string{"a"}, []int64{25})
	through(t, x, 30)
	has(t, x, "a", 0, false, 10, 2, 7, 25)
	has(t, x, "a", 2, false, 10, 7, 25)
	has(t, x, "a", 0, false, 2, 2, 7)
	has(t, x, "a", 31, true, 10, 25, 7, 2)
	has(t, x, "a", 25, true, 1, 7)
	has(t, x, "b", 0, false, 10, 3)
	has(t, x, "B", 0, false, 10, 9)
	has(t, x, "none", 0, false, 10)
	has(t, x, "a' OR true --", 0, false, 10)
}

func TestAnAdditionGoesOnWhereTheIndexEndsOrIsNone(t *testing.T) {
	t.Parallel()
	x := correlations.New(pgtest.New(t))
	add(t, x, 0, 10, []string{"a"}, []int64{1})
	for _, after := range []int64{0, 9, 11} {
		if err := x.Add(t.Context(), after, 20, []string{"a"}, []int64{15}); !errors.Is(err, correlations.ErrMoved) {
			t.Errorf("after %d: %v", after, err)
		}
	}
	through(t, x, 10)
	has(t, x, "a", 0, false, 10, 1)
}

func TestOfProcessesThatAddTheSameOneDoes(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	x := correlations.New(pool)
	for _, emptied := range []bool{false, true} {
		after := int64(0)
		if emptied {
			empty(t, pool)
		}
		for range 5 {
			var all sync.WaitGroup
			var mu sync.Mutex
			added := 0
			for range 4 {
				all.Go(func() {
					err := x.Add(t.Context(), after, after+10, []string{"a"}, []int64{after + 5})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						added++
					} else if !errors.Is(err, correlations.ErrMoved) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if added != 1 {
				t.Errorf("%d added", added)
			}
			after += 10
		}
		has(t, x, "a", 0, false, 10, 5, 15, 25, 35, 45)
	}
}

func empty(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), `TRUNCATE correlations_head, correlations`); err != nil {
		t.Fatal(err)
	}
}

func TestAnEmptiedIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	x := correlations.New(pool)
	add(t, x, 0, 10, []string{"a"}, []int64{1})
	if _, err := pool.Exec(t.Context(), `TRUNCATE correlations_head`); err != nil { // its entries are still there
		t.Fatal(err)
	}
	through(t, x, 0)
	if err := x.Add(t.Context(), 10, 20, []string{"a"}, []int64{15}); !errors.Is(err, correlations.ErrMoved) {
		t.Errorf("one who does not know yet: %v", err)
	}
	add(t, x, 0, 10, []string{"a"}, []int64{1})
	add(t, x, 10, 20, []string{"a"}, []int64{15})
	through(t, x, 20)
	has(t, x, "a", 0, false, 10, 1, 15)
}
