package projections

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Every version of a library's row carries all versions of the file, and what was made of each. So they are packed by hand: a third of
// the bytes of JSON, a tenth of its cost. Whoever adds a field raises packedFormat, and the table is built again.

// packedFormat is the first byte.
const packedFormat = 2

// appendPacked implements packable.
func (vs *FileVersions) appendPacked(buf []byte) []byte {
	p := packer{append(buf, packedFormat)}
	p.int(int64(len(*vs)))
	for i := range *vs {
		v := &(*vs)[i]
		p.int(int64(v.Number))
		p.text(v.Name)
		p.text(v.Type)
		p.text(v.Declared)
		p.int(v.Size)
		p.digest(v.SHA256)
		p.text(string(v.Object))
		p.text(string(v.Way))
		p.time(v.Uploaded)
		p.text(string(v.Verdict))
		p.int(int64(v.Score))
		p.bool(v.Cleared)
		p.int(int64(len(v.Reasons)))
		for _, code := range v.Reasons {
			p.text(code)
		}
		p.bool(v.Seen != nil)
		if v.Seen != nil {
			p.seen(v.Seen)
		}
		p.int(int64(len(v.Derivatives)))
		for j := range v.Derivatives {
			p.derivative(&v.Derivatives[j])
		}
		p.text(v.Blurhash)
		p.text(v.NoPicture)
	}
	return p.buf
}

// readPacked implements unpackable. What was empty is nil.
func (vs *FileVersions) readPacked(b []byte) error {
	u := unpacker{b: b}
	if u.byte() != packedFormat {
		return errPacked
	}
	*vs = nil
	for n := u.int(); n > 0 && u.err == nil; n-- {
		v := FileVersion{
			Number: int(u.int()), Name: u.text(), Type: u.text(), Declared: u.text(), Size: u.int(), SHA256: u.digest(),
			Object: domain.ObjectKey(u.text()), Way: media.Way(u.text()), Uploaded: u.time(), Verdict: media.Verdict(u.text()),
			Score: int(u.int()), Cleared: u.bool(),
		}
		for r := u.int(); r > 0 && u.err == nil; r-- {
			v.Reasons = append(v.Reasons, u.text())
		}
		if u.bool() {
			v.Seen = u.seen()
		}
		for d := u.int(); d > 0 && u.err == nil; d-- {
			v.Derivatives = append(v.Derivatives, u.derivative())
		}
		v.Blurhash, v.NoPicture = u.text(), u.text()
		*vs = append(*vs, v)
	}
	if u.err == nil && len(u.b) > 0 {
		return errPacked
	}
	return u.err
}

var _ unpackable = (*FileVersions)(nil)

type packer struct{ buf []byte }

func (p *packer) int(n int64) { p.buf = binary.AppendVarint(p.buf, n) }

func (p *packer) text(s string) {
	p.buf = append(binary.AppendUvarint(p.buf, uint64(len(s))), s...)
}

func (p *packer) bool(b bool) {
	if b {
		p.buf = append(p.buf, 1)
	} else {
		p.buf = append(p.buf, 0)
	}
}

// time keeps the moment, to the nanosecond; times are UTC.
func (p *packer) time(t time.Time) {
	p.bool(!t.IsZero())
	if !t.IsZero() {
		p.int(t.Unix())
		p.int(int64(t.Nanosecond()))
	}
}

// digest is 32 bytes where it is 64 hexadecimal digits as everywhere written, and text otherwise.
func (p *packer) digest(d domain.Digest) {
	var raw [32]byte
	if n, err := hex.Decode(raw[:], []byte(d[:min(len(d), 64)])); err == nil && n == len(raw) && len(d) == 64 && hex.EncodeToString(raw[:]) == string(d) {
		p.bool(true)
		p.buf = append(p.buf, raw[:]...)
		return
	}
	p.bool(false)
	p.text(string(d))
}

func (p *packer) seen(s *Seen) {
	for _, n := range [...]int{s.Width, s.Height, s.Orientation, s.Frames, s.Pages} {
		p.int(int64(n))
	}
	p.int(int64(s.Length))
	for _, t := range [...]string{s.Video, s.Audio, s.Camera, s.Lens, s.Place, s.Author} {
		p.text(t)
	}
	p.time(s.TakenAt)
	p.bool(s.Telling)
}

func (p *packer) derivative(d *media.Derivative) {
	p.text(string(d.Kind))
	p.text(d.Name)
	p.text(d.Type)
	p.int(int64(d.Width))
	p.int(int64(d.Height))
	p.int(d.Size)
	p.digest(d.SHA256)
	p.text(string(d.Object))
}

var errPacked = errors.New("packed value is not understood")

// unpacker reads what a packer wrote. After the first error everything is zero.
type unpacker struct {
	b   []byte
	err error
}

func (u *unpacker) fail() { u.b, u.err = nil, errPacked }

func (u *unpacker) byte() byte {
	if len(u.b) == 0 {
		u.fail()
		return 0
	}
	b := u.b[0]
	u.b = u.b[1:]
	return b
}

func (u *unpacker) int() int64 {
	n, size := binary.Varint(u.b)
	if size <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) text() string {
	n, size := binary.Uvarint(u.b)
	if size <= 0 || n > uint64(len(u.b)-size) {
		u.fail()
		return ""
	}
	s := string(u.b[size : size+int(n)])
	u.b = u.b[size+int(n):]
	return s
}

func (u *unpacker) bool() bool { return u.byte() == 1 }

func (u *unpacker) time() time.Time {
	if !u.bool() {
		return time.Time{}
	}
	seconds, nanoseconds := u.int(), u.int()
	return time.Unix(seconds, nanoseconds).UTC()
}

func (u *unpacker) digest() domain.Digest {
	if !u.bool() {
		return domain.Digest(u.text())
	}
	if len(u.b) < 32 {
		u.fail()
		return ""
	}
	d := domain.Digest(hex.EncodeToString(u.b[:32]))
	u.b = u.b[32:]
	return d
}

func (u *unpacker) seen() *Seen {
	return &Seen{
		Width: int(u.int()), Height: int(u.int()), Orientation: int(u.int()), Frames: int(u.int()), Pages: int(u.int()),
		Length: time.Duration(u.int()), Video: u.text(), Audio: u.text(), Camera: u.text(), Lens: u.text(), Place: u.text(), Author: u.text(),
		TakenAt: u.time(), Telling: u.bool(),
	}
}

func (u *unpacker) derivative() media.Derivative {
	return media.Derivative{
		Kind: media.DerivativeKind(u.text()), Name: u.text(), Type: u.text(), Width: int(u.int()), Height: int(u.int()), Size: u.int(),
		SHA256: u.digest(), Object: domain.ObjectKey(u.text()),
	}
}
