package writeapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Bounds of a form besides its file.
const (
	maxForm   = 1 << 20  // bytes of everything but the file: boundaries, headers, fields
	maxField  = 64 << 10 // bytes of one field
	maxFields = 200
)

// The refusals of forms.
var (
	errForm      = domain.Refuse(domain.Invalid, "form_malformed", "the multipart form cannot be read")
	errFormCut   = domain.Refuse(domain.Invalid, "body_incomplete", "the form ended before its last boundary")
	errFormLarge = domain.Refuse(domain.TooLarge, "form_too_large", fmt.Sprintf("the form has more in it besides the file than the %d bytes that are accepted", maxForm))
	errNoFile    = domain.Refuse(domain.Invalid, "file_missing", `the form has no field "file" with a file`)
	errField     = domain.Refuse(domain.Invalid, "unknown_field", "there is no such field")
	errTwice     = domain.Refuse(domain.Invalid, "duplicate_field", "the field is given twice")
)

// form reads a multipart form part by part. The bytes of its file pass through Read; nothing of them is kept.
type form struct {
	upload *upload
	parts  *multipart.Reader
	meter  *meter
	raw    io.Reader // the body below the parts
	sum    hash.Hash // of the body, when want is given
	want   domain.Digest

	accepted []string // fields beside the file
	seen     map[string]bool
	count    int
	file     io.Reader // the part, as far as it is accepted
	limit    int64     // bytes of a file that are accepted
	ended    error     // what Read answers from now on
}

// receiveForm reads the form up to its file.
func receiveForm(r *http.Request, boundary string, limit int64, fields []string) (*upload, error) {
	if boundary == "" || len(boundary) > 70 {
		return nil, errForm.On("Content-Type").Because("the form has no boundary of 1 to 70 characters")
	}
	if r.ContentLength > limit+maxForm {
		return nil, media.TooLarge(limit).On("file")
	}
	want, err := bodyDigest(r.Header)
	if err != nil {
		return nil, err
	}
	f := &form{meter: &meter{r: r.Body, left: maxForm}, want: want, limit: limit, accepted: fields, seen: map[string]bool{}}
	f.raw = f.meter
	if want != "" {
		f.sum = sha256.New()
		f.raw = io.TeeReader(f.meter, f.sum)
	}
	f.parts = multipart.NewReader(f.raw, boundary)
	f.upload = &upload{way: media.WayForm, size: -1, body: f}
	if f.upload.sha256, err = agree("", r.Header, "X-Content-SHA256"); err != nil {
		return nil, err
	}
	switch err := f.next(); {
	case errors.Is(err, io.EOF):
		return nil, errNoFile.On("file")
	case err != nil:
		return nil, err
	}
	return f.upload, nil
}

// next reads fields up to the file or to the end of the form, which is io.EOF.
func (f *form) next() error {
	for {
		part, err := f.parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is a form that was cut
			return f.end()
		}
		if err != nil {
			return f.broken(err)
		}
		kind, params, err := disposition(part.Header.Get("Content-Disposition"))
		if err != nil || kind != "form-data" {
			return errForm.Because("each part needs Content-Disposition: form-data with a name")
		}
		name := params["name"]
		if f.count++; f.count > maxFields {
			return errFormLarge
		}
		if f.seen[name] && name != "tags" {
			return errTwice.On(name)
		}
		switch enc := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); enc {
		case "", "binary", "8bit", "7bit":
		default:
			return web.ErrEncoding.On(shown(name))
		}
		if name == "file" {
			return f.begin(part, params)
		}
		if err := f.field(name, part); err != nil {
			return err
		}
		f.seen[name] = true
	}
}

// begin turns to the file, whose bytes Read gives.
func (f *form) begin(part *multipart.Part, params map[string]string) error {
	filename := formName.Replace(params["filename"])
	if filename == "" {
		return errNoName.On("file").Because(`the part "file" needs a filename`)
	}
	if ct := part.Header.Get("Content-Type"); ct != "" {
		kind, _, err := mime.ParseMediaType(ct)
		if err != nil {
			return domain.ErrInvalid.On("file").Because("the part's Content-Type is not a MIME type")
		}
		f.upload.declared = declared(kind)
	}
	f.upload.name, f.file, f.seen["file"] = filename, commands.AtMost(part, f.limit), true
	f.meter.open = true
	return nil
}

// field takes one of the fields beside the file.
func (f *form) field(name string, part io.Reader) error {
	if !slices.Contains(f.accepted, name) {
		return errField.On(shown(name)).Because("there is no such field; accepted here: file, " + strings.Join(f.accepted, ", "))
	}
	raw, err := io.ReadAll(io.LimitReader(part, maxField+1))
	switch {
	case err != nil:
		return f.broken(err)
	case len(raw) > maxField:
		return errFormLarge.On(name).Because(fmt.Sprintf("the field is larger than the %d bytes that are accepted", maxField))
	case !utf8.Valid(raw):
		return domain.ErrInvalid.On(name).Because("the field is not UTF-8")
	}
	text := string(raw)
	switch name {
	case "title":
		f.upload.title = text
	case "description":
		f.upload.description = text
	case "tags":
		for tag := range strings.SplitSeq(text, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				f.upload.tags = append(f.upload.tags, tag)
			}
		}
	case "sha256":
		sum, err := domain.ParseDigest(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		if f.upload.sha256 != "" && f.upload.sha256 != sum {
			return errDigests.On(name)
		}
		f.upload.sha256 = sum
	}
	return nil
}

// end is the end of the form: what follows it must be nothing that matters, and the body's digest must be right.
func (f *form) end() error {
	if _, err := io.Copy(io.Discard, f.raw); err != nil {
		return f.broken(err)
	}
	if f.sum != nil && f.want != domain.Digest(hex.EncodeToString(f.sum.Sum(nil))) {
		return media.ErrSHA256.On("Content-Digest")
	}
	return io.EOF
}

// Read implements io.Reader: the bytes of the file. Its io.EOF means that the fields behind the file are accepted, too.
func (f *form) Read(p []byte) (int, error) {
	if f.ended != nil {
		return 0, f.ended
	}
	n, err := f.file.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, media.ErrTooLarge):
		f.ended = as(err, "file")
	case !errors.Is(err, io.EOF):
		f.ended = f.broken(err)
	default:
		f.meter.open = false
		f.ended = f.next() // never nil: another file is one too many
	}
	return n, f.ended
}

// broken says what is wrong with the form, where it is not the connection that broke.
func (f *form) broken(err error) error {
	switch {
	case f.meter.err != nil && !errors.Is(f.meter.err, io.EOF):
		return fmt.Errorf("read form: %w", f.meter.err)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return errFormCut
	default:
		return errForm
	}
}

// meter bounds what is read while it is not open, and keeps the error of the body below.
type meter struct {
	r    io.Reader
	left int64
	open bool
	err  error
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if !m.open {
		if m.left -= int64(n); m.left < 0 {
			err = errFormLarge
		}
	}
	if err != nil {
		m.err = err
	}
	return n, err
}

// shown is a name as a refusal may repeat it.
func shown(name string) string {
	if len(name) > 64 {
		name = name[:64]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return -1
		}
		return c
	}, name)
}
