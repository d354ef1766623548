package streamapi

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

// EndsWithin is how soon what is open ends when its caller's key is revoked, its token expires or what it may changes, when it can be
// asked within answersWithin: the authenticator may believe what it found for Options.Fresh, and is asked every Options.Recheck.
const (
	EndsWithin    = 5 * time.Second
	answersWithin = time.Second
)

// DefaultRecheck is how often it is asked whether who subscribes still may.
const DefaultRecheck = 1500 * time.Millisecond

// whileAllowed runs f, which is a call that may go on for long, until its caller may not any more: it is not asked for its credentials
// again by itself. f's context ends then; where f is sending to a client that takes nothing, and cannot see that, the call ends without
// it. While nobody can say who the caller is, the call goes on. f can end itself in the same way.
func (s *Server) whileAllowed(ctx context.Context, f func(ctx context.Context, end context.CancelCauseFunc) error) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if who := callerOf(ctx); who.door != nil {
		w := &watch{server: s, who: who, end: cancel}
		w.start(watched)
		defer w.stop()
	}
	if !s.hearing.begin() {
		return notReady()
	}
	done := make(chan error, 1)
	go func() { // Run waits for it; when it outlives this function, what it sends fails, and its context has ended
		defer s.hearing.end()
		done <- f(watched, cancel)
	}()
	var err error
	select {
	case err = <-done:
	case <-watched.Done():
		err = watched.Err()
		t := time.NewTimer(lastWord)
		defer t.Stop()
		select {
		case err = <-done:
		case <-t.C:
		}
	}
	var why *exception
	if errors.As(context.Cause(watched), &why) {
		return why
	}
	return err
}

// lastWord is how long a call whose context has ended is waited for, so that it can say what it was doing.
const lastWord = 100 * time.Millisecond

// watch asks again and again who a caller is.
type watch struct {
	server *Server
	who    *caller
	end    context.CancelCauseFunc

	mu      sync.Mutex // held while it looks; guards what follows
	timer   *time.Timer
	stopped bool
}

func (w *watch) start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.server.Recheck, func() { w.look(ctx) })
}

func (w *watch) look(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || ctx.Err() != nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	why, err := w.who.changed(asking)
	if err != nil && ctx.Err() == nil {
		w.server.Logger.Warn("stream API: whether a subscriber still may is not known", "principal", w.who.principal.ID, "error", err)
	}
	if why != nil {
		w.end(why)
		return
	}
	w.timer.Reset(max(w.server.Recheck-time.Since(began), 0))
}

// changed asks again who the caller is. why says that it is not who it was, or may not what it might; nil: it is.
func (c *caller) changed(ctx context.Context) (why, err error) {
	now, err := c.door.ask(ctx)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return unauthenticated("Not Authenticated"), nil
	case err == nil && !reflect.DeepEqual(now, c.principal):
		return unauthenticated("Not Authenticated: what you may has changed, connect again"), nil
	default:
		return nil, err
	}
}

// stillAllowed is for calls that do one thing at their end: it asks again when the call took long to come to it.
func (s *Server) stillAllowed(ctx context.Context, began time.Time) error {
	who := callerOf(ctx)
	if who.door == nil || time.Since(began) < s.Recheck {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	why, err := who.changed(asking)
	if why != nil {
		return why
	}
	return err
}

// patience bounds how long it takes to say who somebody is.
const patience = 5 * time.Second

// stop waits for a look that is under way.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}
