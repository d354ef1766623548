package writeapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// claimed is the answer to a claim.
type claimed struct {
	web.Written
	CaseID  string         `json:"case_id"`
	MediaID domain.MediaID `json:"media_id"`
	Until   *time.Time     `json:"claimed_until,omitempty"` // absent: without an end, because it was assigned
}

func answerClaim(w http.ResponseWriter, got commands.Claimed, err error) error {
	if err != nil {
		return err
	}
	answer := claimed{Written: written(got.Receipt), CaseID: got.ID, MediaID: got.Media}
	if !got.Until.IsZero() {
		answer.Until = &got.Until
	}
	return wrote(w, http.StatusOK, "", got.Receipt, answer)
}

func (s *Server) claimNext(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	if _, err := web.Perhaps[struct{}](r, maxJSON); err != nil {
		return err
	}
	got, err := s.Moderation.Next(r.Context(), env)
	return answerClaim(w, got, err)
}

func (s *Server) claimCase(w http.ResponseWriter, r *http.Request) error {
	return claiming(w, r, s.Moderation.Claim)
}

func (s *Server) renewCase(w http.ResponseWriter, r *http.Request) error {
	return claiming(w, r, s.Moderation.Renew)
}

func claiming(w http.ResponseWriter, r *http.Request, command func(context.Context, commands.Envelope, domain.CaseID) (commands.Claimed, error)) error {
	env, id, _, err := perhaps[struct{}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	got, err := command(r.Context(), env, id)
	return answerClaim(w, got, err)
}

func (s *Server) releaseCase(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseCaseID, s.Moderation.GiveBack)
}

func (s *Server) escalateCase(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Note string `json:"note"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	receipt, err := s.Moderation.Escalate(r.Context(), env, id, body.Note)
	return answer(w, receipt, err)
}

// numberOf reads the number, within its case, in the path.
func numberOf(r *http.Request) (int, error) {
	number, err := strconv.Atoi(mux.Vars(r)["number"])
	if err != nil || number < 1 {
		return 0, domain.ErrInvalid.On("number").Because("accepted is a number from 1")
	}
	return number, nil
}

func (s *Server) confirmProposal(w http.ResponseWriter, r *http.Request) error {
	number, err := numberOf(r)
	if err != nil {
		return err
	}
	env, id, _, err := perhaps[struct{}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	got, err := s.Moderation.Confirm(r.Context(), env, id, number)
	return answerNumbered(w, got, err)
}

func (s *Server) declineProposal(w http.ResponseWriter, r *http.Request) error {
	number, err := numberOf(r)
	if err != nil {
		return err
	}
	env, id, body, err := said[struct {
		Reason string `json:"reason"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	receipt, err := s.Moderation.Decline(r.Context(), env, id, number, body.Reason)
	return answer(w, receipt, err)
}
