package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
)

func (s *Server) requestDescription(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := perhaps[struct {
		Version *int `json:"version"`
	}](r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	version, err := fromOne(body.Version, "version")
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
	env, id, body, err := perhaps[struct {
		Number      *int    `json:"number"`
		Description *string `json:"description"`
	}](r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	number, err := fromOne(body.Number, "number")
	if err != nil {
		return err
	}
	receipt, err := s.Media.AcceptSuggestion(r.Context(), env, id, number, body.Description)
	return answer(w, receipt, err)
}

func (s *Server) rejectSuggestion(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := perhaps[struct {
		Number *int `json:"number"`
	}](r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	number, err := fromOne(body.Number, "number")
	if err != nil {
		return err
	}
	receipt, err := s.Media.RejectSuggestion(r.Context(), env, id, number)
	return answer(w, receipt, err)
}
