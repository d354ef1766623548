package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
)

// parkedID reads the id of a parked key.
func parkedID(s string) (string, error) {
	id, err := domain.ParseCaseID(s) // any UUID
	return string(id), err
}

func (s *Server) retryParked(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, parkedID)
	if err != nil {
		return err
	}
	if _, err := maybe[struct{}](r, maxJSON); err != nil {
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
