package readapi

import (
	"context"
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// People answers who was forgotten; the key ring implements it. Every request asks, so it answers from memory.
type People interface {
	Forgotten(ctx context.Context, person domain.UserID) (bool, error)
}

// errForgotten has the code that writes and deliveries answer, too.
var errForgotten = domain.Refuse(domain.Forbidden, "forgotten", "the person was forgotten: nothing is answered to him")

// remembered has no route answer somebody who was forgotten: his token goes on being good until the identity provider ends it.
func (s *Server) remembered(table []web.Route) []web.Route {
	if s.people == nil {
		return table
	}
	for i, rt := range table {
		table[i].Handler = func(w http.ResponseWriter, r *http.Request) error {
			if actor := web.Actor(r); actor.Known() {
				forgotten, err := s.people.Forgotten(r.Context(), actor.ID)
				if err != nil {
					return err
				}
				if forgotten {
					return errForgotten
				}
			}
			return rt.Handler(w, r)
		}
	}
	return table
}
