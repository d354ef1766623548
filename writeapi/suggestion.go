package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
)

func (s *Server) requestDescription(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	body, err := maybe[struct {
		Version *int `json:"version"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	version, err := numbered1(body.Version, "version")
	if err != nil {
		return err
	}
	got, err := s.Media.RequestDescription(r.Context(), env, id, version)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusAccepted, "/v1/media/"+got.ID+"/suggestion", got.Receipt, numbered{Written: written(got.Receipt), Number: got.Number})
}

func (s *Server) acceptSuggestion(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	body, err := maybe[struct {
		Number      *int    `json:"number"`
		Description *string `json:"description"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	number, err := numbered1(body.Number, "number")
	if err != nil {
		return err
	}
	receipt, err := s.Media.AcceptSuggestion(r.Context(), env, id, number, body.Description)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusOK, "", receipt, nil)
}

func (s *Server) rejectSuggestion(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	body, err := maybe[struct {
		Number *int `json:"number"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	number, err := numbered1(body.Number, "number")
	if err != nil {
		return err
	}
	receipt, err := s.Media.RejectSuggestion(r.Context(), env, id, number)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusOK, "", receipt, nil)
}

// numbered1 reads what counts from 1 and may be left out; 0 is then the answer.
func numbered1(n *int, field string) (int, error) {
	switch {
	case n == nil:
		return 0, nil
	case *n < 1:
		return 0, domain.ErrInvalid.On(field).Because("it counts from 1")
	}
	return *n, nil
}
