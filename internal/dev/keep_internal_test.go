//go:build unix

package dev

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// frail is a part that dies at once after each start, and whose first starts fail.
type frail struct {
	refusals int // starts that fail before one succeeds
	lives    int // deaths left; then it lives on
	starts   chan struct{}
	alive    chan struct{}
	dead     chan struct{}
}

func (f *frail) Done() <-chan struct{} {
	if f.lives > 0 {
		f.lives--
		return f.dead
	}
	return f.alive
}

func (f *frail) Restart(context.Context) error {
	if f.refusals > 0 {
		f.refusals--
		return errors.New("the port is taken")
	}
	f.starts <- struct{}{}
	return nil
}

func TestAPartThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	keep := func(f *frail) (*Dev, chan struct{}) {
		f.starts, f.alive, f.dead = make(chan struct{}, 100), make(chan struct{}), make(chan struct{})
		close(f.dead)
		d := &Dev{log: slog.New(slog.DiscardHandler), failed: make(chan struct{})}
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(func() { cancel(); <-ended })
		go func() { defer close(ended); d.keep(ctx, "port", f) }()
		return d, ended
	}
	t.Run("also when it does not start at the first try", func(t *testing.T) {
		t.Parallel()
		f := &frail{refusals: 3, lives: 2}
		d, _ := keep(f)
		<-f.starts
		<-f.starts
		if d.Err() != nil {
			t.Error(d.Err())
		}
	})
	t.Run("until it keeps dying", func(t *testing.T) {
		t.Parallel()
		d, ended := keep(&frail{lives: 1000})
		<-d.Failed()
		<-ended
		if d.Err() == nil || !strings.Contains(d.Err().Error(), "port ended 11 times") {
			t.Errorf("got %v", d.Err())
		}
	})
}
