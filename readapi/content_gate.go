package readapi

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// gate stands between http.ServeContent and the client. ServeContent decides what is answered: everything, ranges, 304 or 416;
// the gate holds that decision back until permit has said yes to it and the first bytes are at hand, so that a no, or a
// storage that does not answer, is still a proper answer.
type gate struct {
	http.ResponseWriter
	header http.Header // as ServeContent sets it; it becomes the client's with the status
	file   *file
	permit func(served) error
	still  func() error // asked again while bytes leave; nil: never

	opened bool
	asked  time.Time // when permit, or still, last said yes
	err    error     // why nothing, or not all, is delivered
}

// patience is how long bytes go on leaving without asking again whether they may: a decision or a revocation reaches a download
// that is under way, too.
const patience = 400 * time.Millisecond

// served is what ServeContent is about to answer.
type served struct {
	delivers    bool // bytes of the file leave
	part        bool // and not all of them
	from, bytes int64
}

func newGate(w http.ResponseWriter, f *file, permit func(served) error) *gate {
	return &gate{ResponseWriter: w, header: http.Header{}, file: f, permit: permit}
}

// Header implements http.ResponseWriter.
func (g *gate) Header() http.Header { return g.header }

// WriteHeader implements http.ResponseWriter.
func (g *gate) WriteHeader(status int) {
	if g.opened || g.err != nil {
		return
	}
	s := served{delivers: !g.file.head && (status == http.StatusOK || status == http.StatusPartialContent), part: status == http.StatusPartialContent}
	if s.delivers {
		s.from, s.bytes = extent(g.header)
		if g.err = g.file.prime(); g.err != nil {
			return
		}
	}
	if g.err = g.permit(s); g.err != nil {
		return
	}
	to := g.ResponseWriter.Header()
	if status == http.StatusRequestedRangeNotSatisfiable {
		to.Set("Content-Range", g.header.Get("Content-Range"))
		g.err = errRange.Because(fmt.Sprintf("the content has %d bytes, and none of them are in this range", g.file.size))
		return
	}
	g.opened, g.asked = true, time.Now()
	for name, values := range g.header {
		to[name] = values
	}
	g.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (g *gate) Write(p []byte) (int, error) {
	if !g.opened && g.err == nil {
		g.WriteHeader(http.StatusOK)
	}
	if g.err == nil && g.still != nil && time.Since(g.asked) > patience {
		g.err = g.still()
		g.asked = time.Now()
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.ResponseWriter.Write(p)
}

// extent is the first byte and the number of bytes that an answer carries. Several ranges count together with what
// stands between them.
func extent(h http.Header) (from, bytes int64) {
	bytes, _ = strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if said, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes "); ok {
		first, _, _ := strings.Cut(said, "-")
		from, _ = strconv.ParseInt(first, 10, 64)
	}
	return from, bytes
}

// file is a blob as http.ServeContent reads it. Seeking costs nothing before the next Read, and an error of the storage is
// remembered: ServeContent does not tell it.
type file struct {
	src  io.ReadSeeker
	size int64
	head bool // nobody will read

	at    int64 // where the next Read goes on
	srcAt int64 // where src stands
	buf   []byte
	bufAt int64
	err   error
}

// primed is how many bytes are fetched before the status leaves.
const primed = 32 << 10

func (f *file) prime() error {
	if f.at >= f.size {
		return nil
	}
	buf := make([]byte, min(primed, f.size-f.at))
	n, err := f.fetch(buf, f.at)
	if n == 0 && err != nil {
		return err
	}
	f.buf, f.bufAt = buf[:n], f.at
	return nil
}

// Seek implements io.Seeker.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	f.at = max(0, offset)
	return f.at, nil
}

// Read implements io.Reader.
func (f *file) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	if in := f.at - f.bufAt; in >= 0 && in < int64(len(f.buf)) {
		n := copy(p, f.buf[in:])
		f.at += int64(n)
		return n, nil
	}
	n, err := f.fetch(p, f.at)
	f.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if err != nil {
		f.err = err
	}
	return n, err
}

// fetch reads from the storage. Bytes that end before the size of the file are an error: the answer would look whole.
func (f *file) fetch(p []byte, at int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.srcAt != at {
		if _, err := f.src.Seek(at, io.SeekStart); err != nil {
			return 0, err
		}
		f.srcAt = at
	}
	p = p[:min(int64(len(p)), f.size-at)]
	n, err := f.src.Read(p)
	f.srcAt += int64(n)
	if n == 0 && (err == nil || err == io.EOF) { //nolint:errorlint // io.Reader's contract
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// maxRanges bounds the ranges of one request: each is a request to the storage.
const maxRanges = 16

// errRange is a range of which the content has no byte.
var errRange = domain.Refuse(domain.OutOfRange, "range_not_satisfiable", "the range lies outside of the content").On("Range")

// siftRange ignores a Range that is not of bytes, cannot be read, or asks for too much (RFC 9110, section 14.2), so that all that
// ServeContent refuses is a range outside of the content. The last no bytes are such a range, which ServeContent does not know.
func siftRange(r *http.Request, size int64) {
	said, ofBytes := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	ranges := strings.Split(said, ",")
	for i, one := range ranges {
		first, last, ok := strings.Cut(strings.Trim(one, " \t"), "-")
		from, fromErr := strconv.ParseInt("0"+first, 10, 64)
		to, toErr := strconv.ParseInt("0"+last, 10, 64)
		if !ok || first+last == "" || fromErr != nil || toErr != nil || first != "" && last != "" && from > to {
			ofBytes = false
		}
		if first == "" && to == 0 {
			ranges[i] = strconv.FormatInt(size, 10) + "-"
		}
	}
	if !ofBytes || len(ranges) > maxRanges {
		r.Header.Del("Range")
		return
	}
	r.Header.Set("Range", "bytes="+strings.Join(ranges, ","))
}
