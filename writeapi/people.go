package writeapi

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/person"
)

// maxSubject bounds a person's id in bytes.
const maxSubject = 1000

// personID reads the id of a person, which the identity provider gave him: any text.
func personID(s string) (domain.UserID, error) {
	if s == "" || len(s) > maxSubject || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", person.ErrNobody
	}
	return domain.UserID(s), nil
}

func (s *Server) requestErasure(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Reason person.Ground `json:"reason"`
	}](r, personID)
	if err != nil {
		return err
	}
	receipt, err := s.People.RequestErasure(r.Context(), env, id, body.Reason)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusAccepted, "/v1/streams/"+string(receipt.Stream), receipt, nil)
}
