package readapi

import (
	"context"
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/internal/web"
)

// Parked is a key whose events were set aside, by a reactor or a read model.
type Parked struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"` // reactor, projection
	Name     string    `json:"name"`
	Key      string    `json:"key"`
	Type     string    `json:"type,omitempty"` // of the event that could not be processed
	Position int64     `json:"position"`       // of that event
	Reason   string    `json:"reason"`
	ParkedAt time.Time `json:"parked_at"`
	Events   int       `json:"events"` // with those that wait behind it
	Retrying bool      `json:"retrying"`
}

// ParkedLister knows what is parked; nil: nothing is.
type ParkedLister interface {
	Parked(ctx context.Context) ([]Parked, error)
}

func (s *Server) listParked(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	var all []Parked
	if s.parked != nil {
		var err error
		if all, err = s.parked.Parked(r.Context()); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.JSON(w, http.StatusOK, web.Whole(all))
}
