package writeapi

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/web"
)

// The refusals of reading an upload.
var (
	errNoName  = domain.Refuse(domain.Invalid, "file_name_missing", "the file needs a name")
	errDigest  = domain.Refuse(domain.Invalid, "digest_malformed", "the digest cannot be read")
	errDigests = domain.Refuse(domain.Invalid, "digests_differ", "two SHA-256 of the same bytes are given, and they differ")
	errKind    = domain.Refuse(domain.Unsupported, "multipart_not_accepted", "of multipart bodies only multipart/form-data is accepted")
)

// upload is a file on its way in, and what was said about it. What stands behind the file in a form is known once body has
// ended, not before.
type upload struct {
	way      media.Way
	name     string
	declared string // MIME type, without parameters; "" when not said
	size     int64  // bytes; -1 when not said
	sha256   domain.Digest
	body     io.Reader // ends with io.EOF only when everything that was sent is accepted

	title, description string
	tags               []string
}

// file is what commands are told of the upload. What a form says behind its file is asked for when it has ended.
func (u *upload) file() commands.File {
	return commands.File{
		Name: u.name, Declared: u.declared, Size: u.size, SHA256: u.sha256, Way: u.way,
		Title: u.title, Description: u.description, Tags: u.tags,
		Late: func() (commands.Late, error) {
			return commands.Late{Title: u.title, Description: u.description, Tags: u.tags, SHA256: u.sha256}, nil
		},
	}
}

// receive reads what comes before the file's bytes, at most limit of which are accepted. fields are those that a form may have
// beside its file.
func receive(r *http.Request, limit int64, fields ...string) (*upload, error) {
	if err := web.Plain(r); err != nil {
		return nil, err
	}
	kind := ""
	var params map[string]string
	if ct := r.Header.Get("Content-Type"); ct != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(ct); err != nil {
			return nil, domain.ErrInvalid.On("Content-Type").Because("accepted is a MIME type such as image/jpeg")
		}
	}
	switch {
	case kind == "multipart/form-data":
		return receiveForm(r, params["boundary"], limit, fields)
	case strings.HasPrefix(kind, "multipart/"):
		return nil, errKind.On("Content-Type")
	default:
		return receiveBody(r, kind, limit)
	}
}

// receiveBody takes the body itself for the file.
func receiveBody(r *http.Request, kind string, limit int64) (*upload, error) {
	if r.ContentLength > limit {
		return nil, media.TooLarge(limit).On("file")
	}
	values := r.Header.Values("Content-Disposition")
	if len(values) == 0 {
		return nil, errNoName.On("Content-Disposition").Because(
			`send a form with a field "file", or the bytes with Content-Disposition: attachment; filename="..."`)
	}
	if len(values) > 1 {
		return nil, domain.ErrInvalid.On("Content-Disposition").Because("the header is given twice")
	}
	_, params, err := disposition(values[0])
	if err != nil {
		return nil, err
	}
	if params["filename"] == "" {
		return nil, errNoName.On("Content-Disposition")
	}
	sum, err := bodyDigest(r.Header)
	if err != nil {
		return nil, err
	}
	if sum, err = agree(sum, r.Header, "X-Content-SHA256"); err != nil {
		return nil, err
	}
	return &upload{
		way: media.WayBody, name: params["filename"], declared: declared(kind), size: r.ContentLength, sha256: sum,
		body: commands.AtMost(r.Body, limit),
	}, nil
}

// agree adds what a header with hexadecimal digits says to what others said.
func agree(sum domain.Digest, h http.Header, name string) (domain.Digest, error) {
	given := h.Get(name)
	if given == "" {
		return sum, nil
	}
	parsed, err := domain.ParseDigest(given)
	if err != nil {
		return "", errDigest.On(name).Because("a SHA-256 has 64 hexadecimal digits")
	}
	if sum != "" && sum != parsed {
		return "", errDigests.On(name)
	}
	return parsed, nil
}

// declared is the MIME type that a client meant to say: what programs send when nobody told them says nothing.
func declared(kind string) string {
	if kind == "application/x-www-form-urlencoded" || kind == "application/octet-stream" {
		return ""
	}
	return kind
}
