package readapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Rebuilder builds a read model again, beside the one that serves, and swaps.
type Rebuilder interface {
	// Rebuild starts it and answers at once; whoever implements it owns the work and waits for it when the process ends.
	// Errors: a refusal when there is no such read model, or when it is being rebuilt already.
	Rebuild(ctx context.Context, name string, by domain.Actor) error
}

// model is how one read model does.
type model struct {
	Name       string    `json:"name"`
	Position   int64     `json:"position"`
	Lag        int64     `json:"lag"` // events of the log that it has not taken in yet
	Parked     int       `json:"parked"`
	Projecting bool      `json:"projecting"` // some process keeps it up to date
	UpdatedAt  time.Time `json:"updated_at"`
	Outdated   bool      `json:"outdated"` // its table was made by another version of the program
	CanUndo    bool      `json:"can_undo"` // the table before the last rebuild is still there
}

type models struct {
	web.List[model]
	Head int64 `json:"head"` // of the log
}

func (s *Server) projections(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	statuses, err := s.engine.Statuses(r.Context())
	if err != nil {
		return err
	}
	var all models
	for _, st := range statuses {
		all.Head = max(all.Head, int64(st.Head))
		all.Items = append(all.Items, model{
			Name: st.Name, Position: int64(st.Position), Lag: int64(st.Head - st.Position), Parked: st.Parked, Projecting: st.Held,
			UpdatedAt: st.UpdatedAt.UTC(), Outdated: !st.Shape, CanUndo: st.CanUndo,
		})
	}
	all.List = web.Whole(all.Items)
	w.Header().Set("Cache-Control", "no-store")
	return web.JSON(w, http.StatusOK, all)
}

type rebuilding struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

func (s *Server) rebuild(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	if _, err := web.Perhaps[struct{}](r, 1<<10); err != nil {
		return err
	}
	name := mux.Vars(r)["name"]
	if err := s.rebuilder.Rebuild(r.Context(), name, web.Actor(r)); err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/projections")
	return web.JSON(w, http.StatusAccepted, rebuilding{Name: name, Status: "started"})
}

type me struct {
	ID           domain.UserID `json:"id"`
	Organisation domain.OrgID  `json:"organisation,omitempty"`
	Roles        []domain.Role `json:"roles"`
}

func (s *Server) me(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	viewer := web.Actor(r)
	w.Header().Set("Cache-Control", "no-store")
	return web.JSON(w, http.StatusOK, me{ID: viewer.ID, Organisation: viewer.Org, Roles: viewer.Roles})
}
