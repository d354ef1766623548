package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/web"
)

// The fields of forms beside the file.
var (
	uploadFields  = []string{"title", "description", "tags", "sha256"}
	versionFields = []string{"sha256"}
)

// uploaded is the answer to bytes.
type uploaded struct {
	web.Written
	Version int    `json:"version"`
	Type    string `json:"type"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
}

func answerUpload(w http.ResponseWriter, status int, receipt commands.UploadReceipt) error {
	return wrote(w, status, "/v1/media/"+receipt.ID, receipt.Receipt, uploaded{
		Written: written(receipt.Receipt), Version: receipt.Version, Type: receipt.Type, Size: receipt.Size, SHA256: string(receipt.SHA256),
	})
}

// aboutFile is err, naming the field that says what is refused about a file, where it does not name one itself.
func aboutFile(err error, field string) error {
	if refusal, ok := domain.AsRefusal(err); ok && refusal.Field == "" && media.AboutFile(refusal) {
		return refusal.On(field)
	}
	return err
}

func (s *Server) uploadMedia(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	in, err := receive(r, s.MaxFile, uploadFields...)
	if err != nil {
		return err
	}
	receipt, err := s.Media.Upload(r.Context(), env, in.file(), in.body)
	if err != nil {
		return aboutFile(err, "file")
	}
	return answerUpload(w, http.StatusCreated, receipt)
}

func (s *Server) addVersion(w http.ResponseWriter, r *http.Request) error {
	env, id, through, err := edit(r)
	if err != nil {
		return err
	}
	in, err := receive(r, s.MaxFile, versionFields...)
	if err != nil {
		return err
	}
	file := in.file()
	file.Share = through
	receipt, err := s.Media.AddVersion(r.Context(), env, id, file, in.body)
	if err != nil {
		return aboutFile(err, "file")
	}
	return answerUpload(w, http.StatusCreated, receipt)
}

func (s *Server) describeMedia(w http.ResponseWriter, r *http.Request) error {
	env, id, through, err := edit(r)
	if err != nil {
		return err
	}
	patch, err := web.Decode[struct {
		Title        optional[string]   `json:"title"`
		Description  optional[string]   `json:"description"`
		Tags         optional[[]string] `json:"tags"`
		KeepMetadata optional[bool]     `json:"keep_metadata"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	receipt, err := s.Media.Describe(r.Context(), env, id, commands.Description{
		Title: patch.Title.pointer(), Description: patch.Description.pointer(), Tags: patch.Tags.pointer(),
		KeepMetadata: patch.KeepMetadata.pointer(), Share: through,
	})
	return answer(w, receipt, err)
}

func (s *Server) rollBackMedia(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Version int `json:"version"`
	}](r, domain.ParseMediaID)
	if err != nil {
		return err
	}
	if body.Version < 1 {
		return domain.ErrInvalid.On("version").Because("accepted is a number from 1")
	}
	receipt, err := s.Media.RollBack(r.Context(), env, id, body.Version)
	return answer(w, receipt, err)
}

func (s *Server) deleteMedia(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseMediaID, s.Media.Delete)
}

func (s *Server) restoreMedia(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseMediaID, s.Media.Restore)
}

func (s *Server) purgeMedia(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseMediaID, s.Media.Purge)
}
