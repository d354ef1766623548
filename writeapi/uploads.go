package writeapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/web"
)

// ticket is the answer to an announced upload.
type ticket struct {
	web.Written
	Method    string            `json:"method"`
	URL       string            `json:"url,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	PartSize  int64             `json:"part_size,omitempty"`
	Parts     []part            `json:"parts,omitempty"`
	ExpiresAt time.Time         `json:"expires_at"`
}

type part struct {
	Number int    `json:"number"`
	URL    string `json:"url"`
}

func (s *Server) requestUpload(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		Filename    string `json:"filename"`
		ContentType string `json:"content_type"`
		Size        int64  `json:"size"`
		SHA256      string `json:"sha256"`
		Title       string `json:"title"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	sum, err := domain.ParseDigest(body.SHA256)
	if err != nil {
		return err
	}
	got, err := s.Media.RequestUpload(r.Context(), env, commands.Announcement{
		Name: body.Filename, Declared: body.ContentType, Size: body.Size, SHA256: sum, Title: body.Title,
	})
	switch {
	case errors.Is(err, media.ErrType):
		return aboutFile(err, "content_type")
	case err != nil:
		return aboutFile(err, "size")
	}
	answer := ticket{
		Written: written(got.Receipt), Method: got.Method, URL: got.URL, Headers: got.Headers, PartSize: got.PartSize,
		ExpiresAt: got.ExpiresAt.UTC(),
	}
	for _, p := range got.Parts {
		answer.Parts = append(answer.Parts, part{Number: p.Number, URL: p.URL})
	}
	return wrote(w, http.StatusCreated, "/v1/uploads/"+got.ID+"/complete", got.Receipt, answer)
}

func (s *Server) completeUpload(w http.ResponseWriter, r *http.Request) error {
	env, id, err := on(r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	body, err := web.Perhaps[struct {
		Parts []struct {
			Number int    `json:"number"`
			ETag   string `json:"etag"`
		} `json:"parts"`
	}](r, maxParts)
	if err != nil {
		return err
	}
	parts := make([]commands.Part, 0, len(body.Parts))
	for _, p := range body.Parts {
		parts = append(parts, commands.Part{Number: p.Number, ETag: p.ETag})
	}
	receipt, err := s.Media.CompleteUpload(r.Context(), env, id, parts)
	if err != nil {
		return err
	}
	return answerUpload(w, http.StatusAccepted, receipt)
}
