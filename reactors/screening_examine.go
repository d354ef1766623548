package reactors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// examine reads the stored bytes once: it hashes them, looks for the test file of virus scanners, and has them examined.
func (s Screening) examine(ctx context.Context, subject *Subject) error {
	blob, err := subject.Open(ctx)
	if errors.Is(err, blobs.ErrNotFound) {
		subject.Missing = true
		return nil
	}
	if err != nil {
		return err
	}
	defer blob.Close()
	pass := &pass{in: blob, digest: sha256.New()}
	subject.Examined, err = s.Examiner.Examine(ctx, analyzers.Request{
		Type: subject.File.Type, Size: blob.Info.Size, Thresholds: s.Thresholds,
	}, pass)
	if errors.Is(err, blobs.ErrNotFound) {
		subject.Missing = true
		return nil
	}
	if err != nil {
		return err
	}
	subject.Size, subject.SHA256 = pass.size, domain.Digest(hex.EncodeToString(pass.digest.Sum(nil)))
	subject.EICAR, subject.Sniffed = pass.eicar, s.Media.Sniff(pass.head)
	return nil
}

// pass is one reading of the bytes by all who need them.
type pass struct {
	in     io.Reader
	digest hash.Hash
	size   int64
	head   []byte
	last   []byte // the end of what was read before: what is looked for may lie across
	eicar  bool
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
	if !p.eicar {
		sign := eicar()
		across := append(p.last, part[:min(n, len(sign)-1)]...)
		p.eicar = bytes.Contains(part, sign) || bytes.Contains(across, sign)
		if n >= len(sign)-1 {
			p.last = append(p.last[:0], part[n-len(sign)+1:]...)
		} else {
			p.last = append([]byte(nil), across[max(0, len(across)-len(sign)+1):]...)
		}
	}
	return n, err
}

// took is how long a stage took. What the child looked at for it counts as its own.
func took(stage Stage, s *Subject, began time.Time) time.Duration {
	own := time.Since(began)
	if c, ok := stage.(interface{ steps() []string }); ok {
		for _, step := range c.steps() {
			own += time.Duration(s.Examined.Report.Took[step])
		}
	}
	return own
}

// inspected is what the bytes say about themselves, and what of it is personal to the owner.
func inspected(s *Subject) *media.Inspected {
	r := s.Examined.Report
	seen := &media.Inspected{
		Version: s.Version, Width: r.Width, Height: r.Height, Orientation: r.Orientation, Frames: r.Frames, Pages: r.Pages,
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
