package readapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// People answers who was forgotten; the key ring implements it. Every request asks, so it answers from memory.
type People interface {
	Forgotten(ctx context.Context, person domain.UserID) (bool, error)
}

// errForgotten has the code that writes and deliveries answer, too.
var errForgotten = domain.Refuse(domain.Forbidden, "forgotten", "the person was forgotten: nothing is answered to him")

// forgottenEvery is how often it is asked whether who is being answered at length was forgotten meanwhile.
const forgottenEvery = time.Second

// remembered has no route answer somebody who was forgotten: his token goes on being good until the identity provider ends it. What was
// begun before, a live stream or a download, ends within seconds.
func (s *Server) remembered(table []web.Route) []web.Route {
	if s.people == nil {
		return table
	}
	for i, rt := range table {
		table[i].Handler = func(w http.ResponseWriter, r *http.Request) error {
			actor := web.Actor(r)
			if !actor.Known() {
				return rt.Handler(w, r)
			}
			forgotten, err := s.people.Forgotten(r.Context(), actor.ID)
			switch {
			case err != nil:
				return err
			case forgotten:
				return errForgotten
			case !rt.Streaming:
				return rt.Handler(w, r)
			}
			ctx, end := s.whileRemembered(r.Context(), actor.ID)
			defer end()
			err = rt.Handler(w, r.WithContext(ctx))
			if err != nil && errors.Is(context.Cause(ctx), errForgotten) {
				return errForgotten
			}
			return err
		}
	}
	return table
}

// whileRemembered answers a context that ends when somebody is forgotten. While nobody can say so, what was begun goes on.
func (s *Server) whileRemembered(ctx context.Context, person domain.UserID) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(forgottenEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if forgotten, err := s.people.Forgotten(ctx, person); err == nil && forgotten {
				cancel(errForgotten)
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}
