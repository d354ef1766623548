package streamapi

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

// DefaultRecheck is how often it is asked whether who subscribes still may.
const DefaultRecheck = 2 * time.Second

// whileAllowed answers a context that ends when the caller's key is revoked, its token expires or what it may changes: calls that go on
// for long are not asked for their credentials again by themselves. While nobody can say so, the call goes on. The caller calls
// ended with its result, which makes it the reason for which the call ended.
func (s *Server) whileAllowed(ctx context.Context) (_ context.Context, ended func(error) error) {
	who := callerOf(ctx)
	if who.door == nil {
		return ctx, func(err error) error { return err }
	}
	watched, cancel := context.WithCancelCause(ctx)
	w := &watch{server: s, who: who, end: cancel}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(s.Recheck, func() { w.look(watched) })
	return watched, func(err error) error {
		cause := context.Cause(watched)
		cancel(nil) // a look that is under way ends, too
		w.stop()
		if w.why != nil && errors.Is(cause, w.why) {
			return w.why
		}
		return err
	}
}

// watch asks again and again who a caller is.
type watch struct {
	server *Server
	who    *caller
	end    context.CancelCauseFunc
	why    error // why the call ended; written before end is called

	mu      sync.Mutex // held while it looks; guards what follows
	timer   *time.Timer
	stopped bool
}

func (w *watch) look(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || ctx.Err() != nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if w.why, err = w.who.changed(asking); err != nil && ctx.Err() == nil {
		w.server.Logger.Warn("stream API: whether a subscriber still may is not known", "principal", w.who.principal.ID, "error", err)
	}
	if w.why != nil {
		w.end(w.why)
		return
	}
	w.timer.Reset(w.server.Recheck)
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
