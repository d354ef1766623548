package reactors

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestWhatKeepsFailingKeepsNothingElseWaiting(t *testing.T) {
	t.Parallel()
	due := timers{pool: pgtest.New(t), reactor: "r"}
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for n := range 200 {
		if err := due.set(t.Context(), "bad "+strconv.Itoa(n), "", began); err != nil {
			t.Fatal(err)
		}
	}
	if err := due.set(t.Context(), "good", "", began.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	var done []string
	do := func(_ context.Context, one timer) error {
		switch {
		case one.key == "bad 0":
			panic("boom")
		case strings.HasPrefix(one.key, "bad"):
			return errors.New("always")
		}
		done = append(done, one.key)
		return due.forget(t.Context(), one.key)
	}
	now := began.Add(2 * time.Second)
	if err := due.each(t.Context(), now, do); err == nil || !strings.Contains(err.Error(), "boom") || !strings.Contains(err.Error(), "bad 199: always") {
		t.Errorf("the failures were not told: %v", err)
	}
	if err := due.each(t.Context(), now.Add(time.Second), do); err != nil || !slices.Equal(done, []string{"good"}) {
		t.Errorf("then %v was done, %v", done, err)
	}
	if all, err := due.due(t.Context(), now.Add(timerAgain)); err != nil || len(all) != 200 {
		t.Errorf("%d are due again, %v", len(all), err)
	}
}
