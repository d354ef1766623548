package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
)

// parkedID reads the id of a parked key.
func parkedID(s string) (string, error) { return domain.ParseID[string](s, "id") }

func (s *Server) retryParked(w http.ResponseWriter, r *http.Request) error {
	env, id, _, err := perhaps[struct{}](r, parkedID)
	if err != nil {
		return err
	}
	receipt, err := s.Operations.Retry(r.Context(), env, id)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusAccepted, "/v1/parked", receipt, nil)
}

func (s *Server) dropParked(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, parkedID)
	if err != nil {
		return err
	}
	receipt, err := s.Operations.Drop(r.Context(), env, id)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusAccepted, "/v1/parked", receipt, nil)
}
