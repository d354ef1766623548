package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/internal/web"
)

func (s *Server) setFindingStatus(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, domain.ParseFindingID)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		Status finding.Status `json:"status"`
		Note   *string        `json:"note"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	note := ""
	if body.Note != nil {
		note = *body.Note
	}
	receipt, err := s.Findings.SetStatus(r.Context(), env, id, body.Status, note)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusOK, "", receipt, nil)
}
