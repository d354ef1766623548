package reactors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// examine has the bytes looked at. A child that was killed, perhaps by chance, says nothing about them: they are given to another.
func (s Screening) examine(ctx context.Context, subject *Subject, early func() (bool, error)) error {
	if err := s.lookAt(ctx, subject, early); err != nil || !subject.Examined.Failure.ByChance() {
		return err
	}
	return s.lookAt(ctx, subject, early)
}

// lookAt reads the stored bytes once: it hashes them, looks for the test file of virus scanners, and has them examined. Before the
// last of them are handed on, early says whether what is known by then is well: otherwise nothing is decoded.
func (s Screening) lookAt(ctx context.Context, subject *Subject, early func() (bool, error)) error {
	blob, err := subject.Open(ctx)
	if errors.Is(err, blobs.ErrNotFound) {
		return s.missing(subject, early)
	}
	if err != nil {
		return err
	}
	defer blob.Close()
	pass := &pass{in: blob, digest: sha256.New(), total: blob.Info.Size}
	pass.goOn = func() (bool, error) {
		subject.Size, subject.SHA256 = pass.size, domain.Digest(hex.EncodeToString(pass.digest.Sum(nil)))
		subject.EICAR, subject.Sniffed, subject.Located = pass.eicar, s.Media.Sniff(pass.head), pass.located
		return early()
	}
	subject.Examined, err = s.Examiner.Examine(ctx, analyzers.Request{
		Type: subject.File.Type, Size: blob.Info.Size, Thresholds: s.Thresholds,
	}, pass)
	if errors.Is(err, blobs.ErrNotFound) {
		return s.missing(subject, early)
	}
	if err == nil && !pass.asked { // there are no bytes, or fewer than the storage says
		pass.well, err = pass.goOn()
	}
	if err != nil || !pass.well {
		return err
	}
	if err := s.probe(ctx, subject); err != nil {
		return err
	}
	return s.draw(ctx, subject)
}

func (s Screening) missing(subject *Subject, early func() (bool, error)) error {
	subject.Missing = true
	_, err := early()
	return err
}

// probe has a video or sound read by a tool, where there is one. Without it, a place that is marked in the usual way is seen all
// the same, so that others do not get it.
func (s Screening) probe(ctx context.Context, subject *Subject) error {
	if !streams(subject.File.Type) {
		return nil
	}
	r := &subject.Examined.Report
	if r.Telling = r.Telling || subject.Located; s.Tools.FFprobe == "" {
		return nil
	}
	file, err := spool(ctx, subject)
	if err != nil {
		return err
	}
	defer file.Close()
	seen, err := s.Tools.Probe(ctx, file)
	if errors.Is(err, analyzers.ErrCannot) {
		r.Findings = append(r.Findings, analyzers.Finding{Stage: analyzers.Content, Code: "undecodable", Verdict: media.VerdictReview})
		return nil
	}
	if err != nil {
		return err
	}
	subject.stream = seen
	r.Width, r.Height, r.TakenAt, r.Place, r.Author = seen.Width, seen.Height, seen.TakenAt, seen.Place, seen.Author
	r.Telling = r.Telling || seen.Telling
	return nil
}

// draw has a tool decode a picture in a format that the child does not know, and what it drew examined in its place: that, too, is
// untrusted.
func (s Screening) draw(ctx context.Context, subject *Subject) error {
	r := &subject.Examined.Report
	notDecoded := func(f analyzers.Finding) bool { return f.Code == analyzers.NotDecoded }
	if !slices.ContainsFunc(r.Findings, notDecoded) || slices.ContainsFunc(r.Findings, func(f analyzers.Finding) bool { return f.Verdict == media.VerdictBlocked }) {
		return nil
	}
	if !analyzers.Draws(subject.File.Type) {
		subject.noPicture = media.NoPictureUnsupported
		return nil
	}
	if !s.Tools.Draws(subject.File.Type) {
		subject.noPicture = media.NoPictureToolMissing
		return nil
	}
	in, err := spool(ctx, subject)
	if err != nil {
		return err
	}
	defer in.Close()
	still, err := s.Tools.Still(ctx, in, subject.File.Type)
	switch {
	case errors.Is(err, analyzers.ErrCannot):
		subject.noPicture = media.NoPictureUndecodable
		return nil
	case err != nil:
		return err
	}
	drawn, err := s.Examiner.Examine(ctx, analyzers.Request{Type: "image/png", Size: int64(len(still)), Thresholds: s.Thresholds}, bytes.NewReader(still))
	if err != nil {
		return err
	}
	if len(drawn.Report.Pictures) == 0 {
		subject.noPicture = media.NoPictureUndecodable
		return nil
	}
	r.Findings = slices.DeleteFunc(r.Findings, notDecoded)
	r.Decoded, r.Pictures, r.Blurhash = true, drawn.Report.Pictures, drawn.Report.Blurhash
	return nil
}

// whyNoPicture is why there is no small picture of what was examined; "" when there is one, or one is made later.
func (s Screening) whyNoPicture(subject *Subject) string {
	kind, r := subject.File.Type, subject.Examined.Report
	switch {
	case len(r.Pictures) > 0:
		return ""
	case subject.noPicture != "":
		return subject.noPicture
	case strings.HasPrefix(kind, "video/"):
		if s.Tools.FFmpeg == "" {
			return media.NoPictureToolMissing
		}
		return ""
	case kind == "application/pdf":
		if s.Tools.PDFToPPM == "" {
			return media.NoPictureToolMissing
		}
		return ""
	case strings.HasPrefix(kind, "image/"):
		return media.NoPictureUndecodable
	}
	return "" // of what is neither, that goes without saying
}

func streams(kind string) bool {
	return strings.HasPrefix(kind, "video/") || strings.HasPrefix(kind, "audio/")
}

// spool copies the stored bytes into a file that tools can seek in. The caller closes it.
func spool(ctx context.Context, subject *Subject) (*os.File, error) {
	blob, err := subject.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return analyzers.Spool(blob)
}

// pass is one reading of the bytes by all who need them.
type pass struct {
	in     io.Reader
	digest hash.Hash
	size   int64
	head   []byte
	last   []byte // the end of what was read before: what is looked for may lie across
	total  int64  // how many there are, as the storage says

	// goOn is asked once, when all bytes were seen and the last of them are not handed on yet.
	goOn        func() (bool, error)
	asked, well bool

	eicar, located bool
}

// eicar is the test file of virus scanners (https://www.eicar.org), in two parts so that a scanner lets this file pass.
func eicar() []byte {
	return []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)
}

// Read implements io.Reader.
func (p *pass) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	part := b[:n]
	_, _ = p.digest.Write(part) // a hash never fails
	p.size += int64(n)
	if wanted := commands.SniffSize - len(p.head); wanted > 0 {
		p.head = append(p.head, part[:min(n, wanted)]...)
	}
	p.search(part)
	if n > 0 && p.size >= p.total && !p.asked {
		var failed error
		p.asked = true
		if p.well, failed = p.goOn(); failed != nil {
			return 0, failed
		}
		if !p.well {
			return 0, io.EOF // without its end the child leaves it alone
		}
	}
	return n, err
}

// search looks for what is found by its bytes alone, also across two readings.
func (p *pass) search(part []byte) {
	const longest = 68 // the longest of these, less than which is kept
	sign := eicar()
	across := append(p.last, part[:min(len(part), longest-1)]...)
	for _, b := range [][]byte{part, across} {
		p.eicar = p.eicar || bytes.Contains(b, sign)
		// Of QuickTime and its kin: the atom, with the high byte of its length, and Apple's key.
		p.located = p.located || bytes.Contains(b, []byte("\xa9xyz\x00")) || bytes.Contains(b, []byte("quicktime.location"))
	}
	if len(part) >= longest-1 {
		p.last = append(p.last[:0], part[len(part)-longest+1:]...)
	} else {
		p.last = append([]byte(nil), across[max(0, len(across)-longest+1):]...)
	}
}

// took is how long a stage took. What the child looked at for it counts as its own.
func took(stage Stage, s *Subject, began time.Time) time.Duration {
	return time.Since(began) + childTime(stage, s)
}

// childTime is the CPU time that the child took for the stage.
func childTime(stage Stage, s *Subject) (took time.Duration) {
	if c, ok := stage.(interface{ steps() []string }); ok {
		for _, step := range c.steps() {
			took += time.Duration(s.Examined.Report.Took[step])
		}
	}
	return took
}

// inspected is what the bytes say about themselves, and what of it is personal to the owner.
func inspected(s *Subject) *media.Inspected {
	r := s.Examined.Report
	seen := &media.Inspected{
		Version: s.Version, Width: r.Width, Height: r.Height, Orientation: r.Orientation, Frames: r.Frames, Pages: r.Pages,
		Length: s.stream.Length, Video: s.stream.Video, Audio: s.stream.Audio,
		Camera: r.Camera, Lens: r.Lens, TakenAt: r.TakenAt, Telling: r.Telling,
		Place: domain.NewPersonal(s.Owner, r.Place), Author: domain.NewPersonal(s.Owner, r.Author),
	}
	if s.Examined.Failure != nil {
		seen.Telling = true // what could not be read may say anything
	}
	if seen.Empty() {
		return nil
	}
	return seen
}
