package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
)

func (s *Server) setFindingStatus(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Status finding.Status `json:"status"`
		Note   *string        `json:"note"`
	}](r, domain.ParseFindingID)
	if err != nil {
		return err
	}
	note := ""
	if body.Note != nil {
		note = *body.Note
	}
	receipt, err := s.Findings.SetStatus(r.Context(), env, id, body.Status, note)
	return answer(w, receipt, err)
}
