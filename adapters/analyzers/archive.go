package analyzers

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/mediavault-io/mediavault/domain/media"
)

// archive unpacks an office document (a ZIP) as far as it may grow, and looks at what is in it. What the archive says about
// its own sizes is not believed.
func (l *look) archive() {
	l.step("unpack")
	u := &unpacking{look: l}
	u.open(l.all, 1)
	l.measure(Expansion, "entries", u.entries, l.Thresholds.Entries)
	l.measure(Expansion, "depth", u.depth, l.Thresholds.Depth)
	within := l.measure(Expansion, "expanded_bytes", u.expanded, l.Thresholds.Expanded)
	ratio := u.expanded / max(1, int64(len(l.all)))
	thin := l.measure(Expansion, "ratio", ratio, l.Thresholds.Ratio)
	if !within || u.expanded >= fromHere && !thin || u.stop {
		l.found(Expansion, "decompression_bomb", media.VerdictBlocked)
	}
	l.report.Decoded = true
}

// fromHere is from which size on a ratio is looked at: small files of zeros are no harm.
const fromHere = 16 << 20

// unpacking is one walk through an archive and those in it.
type unpacking struct {
	*look
	entries, expanded, depth int64
	stop                     bool
}

func (u *unpacking) open(b []byte, depth int64) {
	u.depth = max(u.depth, depth)
	if depth > u.Thresholds.Depth {
		u.found(Expansion, "nested_archives", media.VerdictBlocked)
		return
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		u.found(Content, "undecodable", media.VerdictReview)
		return
	}
	for _, f := range z.File {
		if u.entries++; u.entries > u.Thresholds.Entries {
			u.found(Expansion, "too_many_entries", media.VerdictBlocked)
			return
		}
		u.entry(f, depth)
		if u.stop {
			return
		}
	}
}

func (u *unpacking) entry(f *zip.File, depth int64) {
	name := strings.ReplaceAll(f.Name, `\`, "/")
	if strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") {
		u.found(Content, "entry_path", media.VerdictBlocked)
	}
	if f.Flags&1 != 0 {
		u.found(Content, "encrypted", media.VerdictReview)
		return
	}
	base := strings.ToLower(path.Base(name))
	switch path.Ext(base) {
	case ".exe", ".dll", ".scr", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".jar", ".msi", ".com", ".hta", ".lnk":
		u.found(Content, "embedded_program", media.VerdictReview)
	}
	if base == "vbaproject.bin" || strings.Contains(strings.ToLower(name), "basic/script-lb.xml") {
		u.found(Content, "macros", media.VerdictReview)
	}
	r, err := f.Open()
	if err != nil {
		u.found(Content, "undecodable", media.VerdictReview)
		return
	}
	defer r.Close()
	head := make([]byte, 8)
	n, _ := io.ReadFull(r, head) // shorter ones are no archives
	head = head[:n]
	u.expanded += int64(n)
	switch {
	case bytes.HasPrefix(head, []byte("MZ")), bytes.HasPrefix(head, []byte("\x7fELF")):
		u.found(Content, "embedded_program", media.VerdictReview)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		u.inner(io.MultiReader(bytes.NewReader(head), r), depth)
		return
	case bytes.HasPrefix(head, []byte("Rar!")), bytes.HasPrefix(head, []byte("7z\xbc\xaf")), bytes.HasPrefix(head, []byte("\x1f\x8b\x08")),
		bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		u.found(Content, "embedded_archive", media.VerdictReview)
	}
	u.drain(r)
}

// left is how much may still be unpacked. What the ratio forbids comes first for small archives.
func (u *unpacking) left() int64 {
	most := max(fromHere, u.Thresholds.Ratio*int64(len(u.all)))
	return min(u.Thresholds.Expanded, most) - u.expanded
}

// drain unpacks without keeping anything.
func (u *unpacking) drain(r io.Reader) {
	n, err := io.CopyN(io.Discard, r, u.left()+1)
	u.expanded += n
	switch {
	case u.left() < 0:
		u.stop = true
	case err != nil && !errors.Is(err, io.EOF):
		u.found(Content, "undecodable", media.VerdictReview)
	}
}

// inner unpacks an archive in the archive.
func (u *unpacking) inner(r io.Reader, depth int64) {
	const most = 64 << 20
	b, err := io.ReadAll(io.LimitReader(r, min(most, u.left())+1))
	u.expanded += int64(len(b))
	switch {
	case u.left() < 0:
		u.stop = true
	case int64(len(b)) > most:
		u.found(Content, "embedded_archive", media.VerdictReview)
		u.drain(r)
	case err != nil:
		u.found(Content, "undecodable", media.VerdictReview)
	default:
		u.open(b, depth+1)
	}
}
