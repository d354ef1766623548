package analyzers

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"slices"

	"github.com/bep/imagemeta"
)

// raw reports whether a format is a camera's own, in which the camera also puts pictures of its making.
func raw(kind string) bool {
	return slices.Contains([]string{"image/x-adobe-dng", "image/x-canon-cr2", "image/x-nikon-nef", "image/x-sony-arw", "image/x-pentax-pef"}, kind)
}

// mostPreviews is how many pictures in a raw file are looked at.
const mostPreviews = 64

// preview makes the small pictures of a raw file of the largest JPEG that the camera put into it. What the sensor saw is not
// developed: that is a matter of taste, and of each camera.
func (l *look) preview() {
	l.step("decode")
	var best []byte
	var size image.Point
	for at, seen := 0, 0; seen < mostPreviews; seen++ {
		i := bytes.Index(l.all[at:], []byte("\xff\xd8\xff"))
		if i < 0 {
			break
		}
		at += i
		// The sensor's own data is a JPEG, too, of a kind without loss that no viewer knows: it is no picture yet.
		c, err := jpeg.DecodeConfig(bytes.NewReader(l.all[at:]))
		if err == nil && int64(c.Width)*int64(c.Height) <= l.Thresholds.Pixels && c.Width*c.Height > size.X*size.Y {
			best, size = l.all[at:], image.Pt(c.Width, c.Height)
		}
		at += 3
	}
	if best == nil {
		l.found(Content, "no_preview", "")
		return
	}
	if end := jpegEnd(best); end < len(best) {
		best = best[:end]
	}
	if l.report.Orientation == 0 {
		l.report.Orientation = orientationOf(best)
	}
	img, err := l.decodedJPEG(best, size)
	if err != nil {
		l.found(Content, "no_preview", "")
		return
	}
	l.report.Decoded = true
	l.small(img)
}

// orientationOf is what the EXIF of a JPEG says; 0: nothing.
func orientationOf(b []byte) int {
	found := 0
	err := imagemeta.Decode(imagemeta.Options{
		R: bytes.NewReader(b), ImageFormat: imagemeta.JPEG, Sources: imagemeta.EXIF, LimitNumTags: 500, LimitTagSize: 1000,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool { return t.Tag == "Orientation" },
		HandleTag: func(t imagemeta.TagInfo) error {
			if o, ok := t.Value.(uint16); ok && o >= 1 && o <= 8 {
				found = int(o)
			}
			return nil
		},
	})
	if err != nil {
		return 0
	}
	return found
}

// unknownSize is how large a picture is of which only the header is read here; 0 where even that is not known.
func unknownSize(kind string, b []byte) (width, height int) {
	switch {
	case kind == "image/vnd.adobe.photoshop" && len(b) >= 22:
		return int(binary.BigEndian.Uint32(b[18:])), int(binary.BigEndian.Uint32(b[14:]))
	case slices.Contains(byHEIF(), kind):
		return boxSize(b)
	}
	return 0, 0
}
