// Package doctext reads the text of documents: plain text, RTF, the office formats that are archives of XML, and PDF. It is work on
// untrusted bytes, so it is done in a child process; what it cannot read is no text, and never an error.
package doctext

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// Limits of one document, in bytes: of what is read, of what that may unpack to, and of the text that is answered.
const (
	maxInput    = 64 << 20
	maxUnpacked = 64 << 20
	maxText     = 1 << 20
)

// jobName is the job's name in the children.
const jobName = "doctext"

// Jobs are what children can do, for sandbox.MaybeChild.
func Jobs() map[string]sandbox.Job { return map[string]sandbox.Job{jobName: job} }

// Reader reads text in the children of a pool whose binary knows Jobs.
type Reader struct{ Pool *sandbox.Pool }

// Reads reports whether files of the MIME type have text that can be read.
func (Reader) Reads(mime string) bool { return kindOf(mime) != "" }

// Text answers the text of a document, in UTF-8; whole says whether that is all of it. A child that fails is a document without
// text. Errors: those of in, and the context's.
func (r Reader) Text(ctx context.Context, mime string, in io.Reader) (text string, whole bool, err error) {
	done, err := r.Pool.Run(ctx, sandbox.Task{Job: jobName, Args: []byte(mime), Input: in, Send: maxInput + 1})
	var failure *sandbox.Failure
	if errors.As(err, &failure) || errors.Is(err, sandbox.ErrRefused) {
		return "", false, nil
	}
	if err != nil || len(done.Output) == 0 {
		return "", false, err
	}
	return string(done.Output[1:]), done.Output[0] == 1, nil
}

func job(w *sandbox.Work) error {
	all, err := io.ReadAll(io.LimitReader(w.Input, maxInput+1))
	if err != nil {
		return err
	}
	text, whole := Extract(string(w.Args), all)
	head := []byte{0}
	if whole {
		head[0] = 1
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err = w.Write([]byte(text))
	return err
}

// Extract answers the text of a document, at most 1 MiB in UTF-8, and whether it is all of it. Untrusted bytes belong in a child:
// see Reader.
func Extract(mime string, all []byte) (text string, whole bool) {
	o := &output{whole: len(all) <= maxInput}
	all = all[:min(len(all), maxInput)]
	switch kindOf(mime) {
	case "plain":
		o.text(decode(all))
	case "rtf":
		rtf(o, all)
	case "office":
		office(o, all)
	case "pdf":
		pdf(o, all)
	default:
		return "", false
	}
	return strings.ToValidUTF8(o.String(), "?"), o.whole
}

func kindOf(mime string) string {
	mime, _, _ = strings.Cut(mime, ";")
	switch mime = strings.TrimSpace(mime); {
	case mime == "application/rtf", mime == "text/rtf":
		return "rtf"
	case mime == "application/pdf":
		return "pdf"
	case strings.HasPrefix(mime, "application/vnd.openxmlformats-officedocument."), strings.HasPrefix(mime, "application/vnd.oasis.opendocument."):
		return "office"
	case strings.HasPrefix(mime, "text/"), mime == "application/json", mime == "application/csv":
		return "plain"
	default:
		return ""
	}
}

// output collects text up to its limit.
type output struct {
	strings.Builder
	whole bool
}

// text adds text, and reports whether there is room for more.
func (o *output) text(s string) bool {
	if room := maxText - o.Len(); len(s) > room {
		s, o.whole = s[:room], false
	}
	o.WriteString(s)
	return o.whole || o.Len() < maxText
}

// decode reads text by its byte order mark, as UTF-8, or else as Windows' Western European.
func decode(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}):
		return string(b[3:])
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		return decodeUTF16(b[2:], binary.LittleEndian)
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		return decodeUTF16(b[2:], binary.BigEndian)
	case utf8.Valid(b):
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(western(c))
	}
	return s.String()
}

func decodeUTF16(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// western is a character of Windows-1252.
func western(c byte) rune {
	if c >= 0x80 && c < 0xA0 {
		return []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")[c-0x80]
	}
	return rune(c)
}
