package writeapi

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/internal/web"
)

// reported is the answer to a report.
type reported struct {
	web.Written
	CaseID string `json:"case_id"`
}

// numbered is the answer to what has a number in its case.
type numbered struct {
	web.Written
	Number int `json:"number"`
	// Proposed: it waits for a second moderator, and the number is the proposal's.
	Proposed bool `json:"proposed,omitempty"`
}

const casePath = "/v1/moderation/cases/"

func answerReport(w http.ResponseWriter, receipt commands.Receipt, err error) error {
	if err != nil {
		return err
	}
	return wrote(w, http.StatusCreated, casePath+receipt.ID, receipt, reported{Written: written(receipt), CaseID: receipt.ID})
}

func (s *Server) reportMedia(w http.ResponseWriter, r *http.Request) error {
	id, err := domain.ParseMediaID(mux.Vars(r)["id"])
	if err != nil {
		return as(err, "id")
	}
	env, err := anew(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		Category string  `json:"category"`
		Note     string  `json:"note"`
		ShareID  *string `json:"share_id"`
		Token    string  `json:"token"`
		Password string  `json:"password"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	report := commands.Report{Media: id, Category: body.Category, Note: body.Note, Token: body.Token, Password: body.Password}
	if body.ShareID != nil {
		if report.Share, err = domain.ParseShareID(*body.ShareID); err != nil {
			return err
		}
	}
	receipt, err := s.Moderation.Report(r.Context(), env, report)
	return answerReport(w, receipt, err)
}

func (s *Server) referMedia(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		MediaID  string `json:"media_id"`
		Category string `json:"category"`
		Note     string `json:"note"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	id, err := domain.ParseMediaID(body.MediaID)
	if err != nil {
		return err
	}
	receipt, err := s.Moderation.Refer(r.Context(), env, commands.Report{Media: id, Category: body.Category, Note: body.Note})
	return answerReport(w, receipt, err)
}

func (s *Server) assignCase(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := perhaps[struct {
		Moderator *domain.UserID `json:"moderator"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	moderator := env.Actor.ID
	if body.Moderator != nil {
		if moderator = *body.Moderator; moderator == "" {
			return domain.ErrInvalid.On("moderator").Because("name the moderator by id, or nobody for yourself")
		}
	}
	receipt, err := s.Moderation.Assign(r.Context(), env, id, moderator)
	return answer(w, receipt, err)
}

func (s *Server) decideCase(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Action    moderation.Action `json:"action"`
		Reason    string            `json:"reason"`
		Policy    string            `json:"policy"`
		Statement string            `json:"statement"`
		Version   *int              `json:"version"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	version, err := fromOne(body.Version, "version")
	if err != nil {
		return err
	}
	got, err := s.Moderation.Decide(r.Context(), env, id, commands.Decision{
		Action: body.Action, Reason: body.Reason, Policy: body.Policy, Statement: body.Statement, Version: version,
	})
	return answerNumbered(w, got, err)
}

func (s *Server) appealCase(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Note string `json:"note"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	got, err := s.Moderation.Appeal(r.Context(), env, id, body.Note)
	return answerNumbered(w, got, err)
}

func answerNumbered(w http.ResponseWriter, got commands.Numbered, err error) error {
	if err != nil {
		return err
	}
	return wrote(w, http.StatusCreated, casePath+got.ID, got.Receipt, numbered{Written: written(got.Receipt), Number: got.Number, Proposed: got.Proposed})
}

func (s *Server) decideAppeal(w http.ResponseWriter, r *http.Request) error {
	number, err := numberOf(r)
	if err != nil {
		return err
	}
	env, id, body, err := said[struct {
		Outcome   moderation.Outcome `json:"outcome"`
		Reason    string             `json:"reason"`
		Statement string             `json:"statement"`
	}](r, domain.ParseCaseID)
	if err != nil {
		return err
	}
	receipt, err := s.Moderation.DecideAppeal(r.Context(), env, id, number, commands.Verdict{
		Outcome: body.Outcome, Reason: body.Reason, Statement: body.Statement,
	})
	return answer(w, receipt, err)
}

func (s *Server) closeCase(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseCaseID, s.Moderation.Close)
}
