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

type parkedList struct {
	Items []Parked `json:"items"`
	Total int      `json:"total"`
}

func (s *Server) listParked(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	all := []Parked{}
	if s.parked != nil {
		found, err := s.parked.Parked(r.Context())
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.JSON(w, http.StatusOK, parkedList{Items: all, Total: len(all)})
}
