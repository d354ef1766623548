package analyzers

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/gen2brain/jpegn"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/mediavault-io/mediavault/domain/media"
)

// decoder is a format that can be decoded here.
type decoder struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func decoderOf(kind string) (decoder, bool) {
	switch kind {
	case "image/jpeg":
		return decoder{jpeg.DecodeConfig, jpeg.Decode}, true
	case "image/png", "image/apng":
		return decoder{png.DecodeConfig, png.Decode}, true
	case "image/gif":
		return decoder{gif.DecodeConfig, gif.Decode}, true // the first frame
	case "image/webp":
		return decoder{webp.DecodeConfig, webp.Decode}, true
	case "image/bmp":
		return decoder{bmp.DecodeConfig, bmp.Decode}, true
	case "image/tiff":
		return decoder{tiff.DecodeConfig, tiff.Decode}, true
	}
	return decoder{}, false
}

// picture looks at a picture: how large it is, what it says about itself, and how it looks in small.
func (l *look) picture() {
	l.step("polyglot")
	l.appended()
	l.step("header")
	d, known := decoderOf(l.Type)
	content, width, height := l.all, 0, 0
	switch frames := l.frames(); {
	case !known:
		width, height = unknownSize(l.Type, l.all)
	case frames.width > 0:
		width, height = frames.width, frames.height
		if frames.still != nil {
			content = frames.still
		}
		if frames.count > 1 {
			l.report.Frames = frames.count
		}
		if !l.measure(Expansion, "frame_pixels", frames.pixels, l.Thresholds.Frames) {
			l.found(Expansion, "too_many_frames", media.VerdictBlocked)
		}
	default:
		c, err := d.config(bytes.NewReader(l.all))
		if err != nil {
			l.found(Content, "undecodable", media.VerdictReview)
			l.step("metadata")
			l.metadata()
			return
		}
		width, height = c.Width, c.Height
	}
	l.report.Width, l.report.Height = width, height
	if width > 0 && !l.measure(Expansion, "pixels", int64(width)*int64(height), l.Thresholds.Pixels) {
		l.found(Expansion, "too_many_pixels", media.VerdictBlocked)
	}
	l.step("metadata")
	l.metadata()
	if l.report.Orientation >= 5 {
		l.report.Width, l.report.Height = l.report.Height, l.report.Width
	}
	switch {
	case l.blocked():
		return
	case !known && raw(l.Type):
		l.preview()
		return
	case !known:
		l.found(Content, NotDecoded, "")
		return
	}
	l.step("decode")
	img, err := l.decoded(d, content, image.Pt(width, height))
	if err != nil || img.Bounds().Empty() {
		l.found(Content, "undecodable", media.VerdictReview)
		return
	}
	l.report.Decoded = true
	l.small(img)
}

// decoded decodes the picture; one that is to become much smaller anyway, at a smaller size where its format allows that.
func (l *look) decoded(d decoder, content []byte, size image.Point) (image.Image, error) {
	if l.Type != "image/jpeg" {
		return d.decode(bytes.NewReader(content))
	}
	return l.decodedJPEG(content, size)
}

func (l *look) decodedJPEG(content []byte, size image.Point) (image.Image, error) {
	if end := jpegEnd(content); !bytes.HasSuffix(content[:end], []byte("\xff\xd9")) {
		return nil, io.ErrUnexpectedEOF // the decoder would make up the rest
	}
	// What is printed in four inks, and what is not in luma and chroma, the standard library gets right.
	c, err := jpeg.DecodeConfig(bytes.NewReader(content))
	if err != nil || c.ColorModel != color.YCbCrModel && c.ColorModel != color.GrayModel {
		return jpeg.Decode(bytes.NewReader(content))
	}
	by := 1
	for by < 8 && 2*by <= factor(size, l.report.Orientation) {
		by *= 2
	}
	img, err := jpegn.Decode(bytes.NewReader(content), &jpegn.Options{ScaleDenom: by})
	if err != nil {
		return jpeg.Decode(bytes.NewReader(content)) // the standard library knows some that the other does not
	}
	return img, nil
}

// animation is what the headers of an animation say.
type animation struct {
	width, height int // 0: not an animation whose frames are counted here
	count         int
	pixels        int64
	still         []byte // the first frame as a picture of its own, where the decoder takes no animation
}

func (l *look) frames() animation {
	switch l.Type {
	case "image/gif":
		return gifFrames(l.all)
	case "image/webp":
		return webpFrames(l.all)
	case "image/png", "image/apng":
		return pngFrames(l.all)
	}
	return animation{}
}

// gifFrames walks over the blocks of a GIF without decoding them.
func gifFrames(b []byte) animation {
	if len(b) < 13 {
		return animation{}
	}
	a := animation{width: int(binary.LittleEndian.Uint16(b[6:])), height: int(binary.LittleEndian.Uint16(b[8:]))}
	at := 13 + table(b[10])
	for at < len(b) {
		switch b[at] {
		case 0x21:
			at = skipBlocks(b, at+2)
		case 0x2c:
			if at+10 > len(b) {
				return a
			}
			a.count++
			// A frame is drawn onto the whole screen, however small it is.
			own := int64(binary.LittleEndian.Uint16(b[at+5:])) * int64(binary.LittleEndian.Uint16(b[at+7:]))
			a.pixels += max(own, int64(a.width)*int64(a.height))
			at = skipBlocks(b, at+10+table(b[at+9])+1)
		default:
			return a
		}
	}
	return a
}

func table(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

func skipBlocks(b []byte, at int) int {
	for at < len(b) && b[at] != 0 {
		at += int(b[at]) + 1
	}
	return at + 1
}

// pngFrames reads what an animated PNG announces; a still one is none.
func pngFrames(b []byte) animation {
	a := animation{}
	for c := range pngChunks(b) {
		switch c.kind {
		case "IHDR":
			if len(c.data) >= 8 {
				a.width, a.height = int(binary.BigEndian.Uint32(c.data)&0x7fffffff), int(binary.BigEndian.Uint32(c.data[4:])&0x7fffffff)
			}
		case "acTL":
			if len(c.data) >= 4 {
				a.count = int(binary.BigEndian.Uint32(c.data) & 0x7fffffff)
				a.pixels = int64(a.count) * min(int64(a.width)*int64(a.height), 1<<40)
				if a.count > 0 {
					return a
				}
			}
		case "IDAT":
			return animation{}
		}
	}
	return animation{}
}

// webpFrames walks over the chunks of an animated WebP, and makes a still one of its first frame.
func webpFrames(b []byte) animation {
	a := animation{}
	for c := range riffChunks(b) {
		switch c.kind {
		case "VP8X":
			if len(c.data) < 10 || c.data[0]&2 == 0 {
				return animation{}
			}
			a.width, a.height = 1+int(uint24(c.data[4:])), 1+int(uint24(c.data[7:]))
		case "ANMF":
			if len(c.data) < 16 || a.width == 0 {
				return a
			}
			a.count++
			a.pixels += max((1+int64(uint24(c.data[6:])))*(1+int64(uint24(c.data[9:]))), int64(a.width)*int64(a.height))
			if a.still == nil {
				a.still = stillWebP(c.data)
			}
		}
	}
	return a
}

// stillWebP is a WebP of one frame's data (RFC 9649, section 2.7.1.1).
func stillWebP(frame []byte) []byte {
	body := []byte("WEBP")
	if bytes.HasPrefix(frame[16:], []byte("ALPH")) {
		body = append(body, "VP8X\x0a\x00\x00\x00\x10\x00\x00\x00"...)
		body = append(body, frame[6:12]...)
	}
	body = append(body, frame[16:]...)
	out := append([]byte("RIFF"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(body))) //nolint:gosec // less than MaxInput
	return append(out, body...)
}

// boxSize finds the size of a HEIF or AVIF picture: the largest that one of its properties says (ISO/IEC 23008-12, ispe).
func boxSize(b []byte) (width, height int) {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("ispe"))
		if i < 0 || at+i+16 > len(b) {
			return width, height
		}
		at += i + 4
		w, h := int64(binary.BigEndian.Uint32(b[at+4:])), int64(binary.BigEndian.Uint32(b[at+8:]))
		if w < 1<<20 && h < 1<<20 && w*h > int64(width)*int64(height) {
			width, height = int(w), int(h)
		}
	}
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }
