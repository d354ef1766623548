package analyzers

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"regexp"
	"strconv"

	"github.com/mediavault-io/mediavault/domain/media"
)

// pdf looks for what a PDF would do when it is opened, and what it would grow to. Names may be written with escapes and
// objects may lie in compressed streams, so both are undone first.
func (l *look) pdf() {
	l.step("objects")
	u := &pdfLook{look: l}
	u.scan(l.all)
	l.step("streams")
	u.streams()
	if l.report.Pages = int(u.pages); u.pages == 0 {
		l.report.Pages = int(u.count)
	}
	if !l.measure(Expansion, "pages", int64(l.report.Pages), l.Thresholds.Pages) {
		l.found(Expansion, "too_many_pages", media.VerdictBlocked)
	}
	l.measure(Expansion, "expanded_bytes", u.expanded, l.Thresholds.Expanded)
	l.measure(Expansion, "ratio", u.expanded/max(1, int64(len(l.all))), l.Thresholds.Ratio)
	if u.bomb {
		l.found(Expansion, "decompression_bomb", media.VerdictBlocked)
	}
	if zipEnd(l.all) {
		l.found(Content, "polyglot", media.VerdictReview)
	}
	if i := bytes.Index(l.all, []byte("%PDF-")); i > 0 {
		l.found(Content, "polyglot", media.VerdictReview)
	}
	l.report.Decoded = true
}

type pdfLook struct {
	*look
	pages, count, expanded int64
	bomb                   bool
}

var (
	pdfName  = regexp.MustCompile(`/[A-Za-z0-9#]+`)
	pdfPage  = regexp.MustCompile(`/Type\s*/Page\b`)
	pdfCount = regexp.MustCompile(`/Count\s+(\d{1,9})`)
	pdfHex   = regexp.MustCompile(`#[0-9A-Fa-f]{2}`)
)

// active are the names of what a PDF does by itself, or carries.
func active(name string) (code string, found bool) {
	switch name {
	case "/JavaScript", "/JS":
		return "javascript", true
	case "/Launch":
		return "launch", true
	case "/EmbeddedFile", "/EmbeddedFiles":
		return "embedded_file", true
	case "/RichMedia":
		return "rich_media", true
	case "/XFA":
		return "xfa", true
	}
	return "", false
}

func (p *pdfLook) scan(b []byte) {
	for _, raw := range pdfName.FindAll(b, -1) {
		if len(raw) > 64 {
			continue
		}
		name := string(raw)
		if bytes.IndexByte(raw, '#') >= 0 {
			name = pdfHex.ReplaceAllStringFunc(name, func(h string) string {
				n, _ := strconv.ParseUint(h[1:], 16, 8)
				return string([]byte{byte(n)})
			})
		}
		if code, ok := active(name); ok {
			p.found(Content, code, media.VerdictReview)
		}
		if name == "/Encrypt" {
			p.found(Content, "encrypted", "")
		}
	}
	p.pages += int64(len(pdfPage.FindAll(b, -1)))
	for _, m := range pdfCount.FindAllSubmatch(b, -1) {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		p.count = max(p.count, n)
	}
}

// streams inflates the streams of the file within what they may grow to, and scans those that hold objects.
func (p *pdfLook) streams() {
	most := min(p.Thresholds.Expanded, max(fromHere, p.Thresholds.Ratio*int64(len(p.all))))
	for at := 0; ; {
		i := bytes.Index(p.all[at:], []byte("stream"))
		if i < 0 {
			return
		}
		start := at + i + len("stream")
		before := p.all[max(0, at+i-2048) : at+i]
		at = start
		if bytes.HasSuffix(before, []byte("end")) {
			continue
		}
		if d := bytes.LastIndex(before, []byte(" obj")); d >= 0 {
			before = before[d:]
		}
		if !bytes.Contains(before, []byte("FlateDecode")) && !bytes.Contains(before, []byte("/Fl")) {
			continue
		}
		body := bytes.TrimPrefix(bytes.TrimPrefix(p.all[start:], []byte("\r")), []byte("\n"))
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			continue // another filter comes first, or it is encrypted
		}
		if bytes.Contains(before, []byte("ObjStm")) {
			var objects bytes.Buffer
			n, _ := io.CopyN(&objects, z, min(32<<20, most-p.expanded+1))
			p.expanded += n
			p.scan(objects.Bytes())
		}
		n, err := io.CopyN(io.Discard, z, most-p.expanded+1)
		p.expanded += n
		if p.expanded > most {
			p.bomb = true
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			p.found(Content, "damaged_stream", "")
		}
	}
}
