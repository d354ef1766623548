package analyzers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bep/imagemeta"

	"github.com/mediavault-io/mediavault/domain/media"
)

// metadata reads what a picture says about itself, and finds what of it others need not know.
func (l *look) metadata() {
	switch l.Type {
	case "image/jpeg":
		l.tags(imagemeta.JPEG, l.all)
		l.cleanJPEG()
	case "image/png", "image/apng":
		l.tags(imagemeta.PNG, l.all)
		l.cleanPNG()
	case "image/webp":
		l.tags(imagemeta.WebP, l.all)
		l.cleanWebP()
	case "image/tiff", "image/x-adobe-dng", "image/x-canon-cr2", "image/x-nikon-nef", "image/x-sony-arw", "image/x-pentax-pef":
		l.tags(imagemeta.TIFF, l.all)
	case "image/heic", "image/heif", "image/avif", "image/heic-sequence", "image/heif-sequence":
		l.cleanBoxes()
	default:
		// Formats that carry none, or whose metadata cannot be read here.
	}
}

// tags reads the tags by a library. Some inputs make such libraries hang or eat memory: that is what the child is for.
func (l *look) tags(format imagemeta.ImageFormat, b []byte) {
	var all imagemeta.Tags
	err := imagemeta.Decode(imagemeta.Options{
		R: bytes.NewReader(b), ImageFormat: format, Sources: imagemeta.EXIF | imagemeta.IPTC | imagemeta.XMP,
		ShouldHandleTag: func(imagemeta.TagInfo) bool { return true },
		HandleTag:       func(t imagemeta.TagInfo) error { all.Add(t); return nil },
		LimitNumTags:    2000, LimitTagSize: 10_000,
	})
	if err != nil && !imagemeta.IsInvalidFormat(err) {
		l.found(Metadata, "metadata_unreadable", "")
		l.report.Telling = true // what cannot be read may be anything
	} else if err != nil {
		l.found(Metadata, "metadata_damaged", "")
		l.report.Telling = true
	}
	l.say(all)
}

// telling are tags that name people, or what they own, and where they were.
var telling = []string{ //nolint:gochecknoglobals // never changed
	"Artist", "Copyright", "CameraOwnerName", "OwnerName", "XPAuthor", "By-line", "Credit", "CopyrightNotice", "Creator", "Contact",
	"BodySerialNumber", "SerialNumber", "LensSerialNumber", "CameraSerialNumber", "ImageUniqueID",
}

func (l *look) say(all imagemeta.Tags) {
	r := &l.report
	exif := all.EXIF()
	text := func(name string) string {
		s, _ := exif[name].Value.(string)
		return cleanTag(s)
	}
	r.Camera = strings.TrimSpace(text("Make") + " " + strings.TrimPrefix(text("Model"), text("Make")+" "))
	r.Lens = text("LensModel")
	if o, ok := exif["Orientation"].Value.(uint16); ok && o >= 1 && o <= 8 {
		r.Orientation = int(o)
	}
	for _, name := range []string{"DateTimeOriginal", "CreateDate", "DateTimeDigitized", "DateTime", "ModifyDate"} {
		// EXIF times have no zone; OffsetTimeOriginal gives it where the camera knows.
		at, err := time.Parse("2006:01:02 15:04:05-07:00", text(name)+text("OffsetTimeOriginal"))
		if err != nil {
			at, err = time.Parse("2006:01:02 15:04:05", text(name))
		}
		if err == nil && at.Year() > 1800 && at.Year() < 3000 {
			r.TakenAt = at.UTC()
			break
		}
	}
	r.Place = place(exif)
	var names []string
	for _, source := range []map[string]imagemeta.TagInfo{exif, all.IPTC(), all.XMP()} {
		for _, name := range telling {
			s, ok := source[name].Value.(string)
			if s = cleanTag(s); ok && s != "" && !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
		for name := range source {
			r.Telling = r.Telling || strings.HasPrefix(name, "GPS") || name == "MakerNote" || slices.Contains(telling, name)
		}
	}
	r.Telling = r.Telling || len(all.IPTC()) > 0 || len(all.XMP()) > 0
	r.Author = clipText(strings.Join(names, "; "), 500)
}

// place is latitude and longitude in degrees; "" when it is not said.
func place(exif map[string]imagemeta.TagInfo) string {
	degrees := func(name, negative string) (float64, bool) {
		v, ok := exif[name].Value.(float64)
		ref, _ := exif[name+"Ref"].Value.(string)
		if strings.HasPrefix(ref, negative) {
			v = -v
		}
		return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	lat, okLat := degrees("GPSLatitude", "S")
	long, okLong := degrees("GPSLongitude", "W")
	if !okLat || !okLong || math.Abs(lat) > 90 || math.Abs(long) > 180 {
		return ""
	}
	return fmt.Sprintf("%.6f,%.6f", lat, long)
}

// cleanTag is a tag's text as people may read it: one line, no controls, of a bearable length.
func cleanTag(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return clipText(strings.TrimSpace(s), 200)
}

func clipText(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// leaveOut adds an edit. They come in the order of the file.
func (l *look) leaveOut(from, to int, with []byte) {
	l.report.Edits = append(l.report.Edits, Edit{From: int64(from), To: int64(to), With: with})
}

// orientationOnly is EXIF that says how to turn the picture, and nothing else; nil when there is nothing to say.
func (l *look) orientationOnly() []byte {
	if l.report.Orientation < 2 {
		return nil
	}
	b := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b[18] = byte(l.report.Orientation)
	return b
}

// keptInJPEG are the segments that a copy keeps besides those that make the picture: JFIF, ICC profiles, and Adobe's, which
// says how colours are coded.
func keptInJPEG(c chunk) bool {
	switch c.kind {
	case "\xff\xe0":
		return bytes.HasPrefix(c.data, []byte("JFIF\x00"))
	case "\xff\xe2":
		return bytes.HasPrefix(c.data, []byte("ICC_PROFILE\x00"))
	case "\xff\xee":
		return bytes.HasPrefix(c.data, []byte("Adobe"))
	case "\xff\xfe":
		return false
	}
	return c.kind[1] < 0xe0 || c.kind[1] > 0xef
}

// cleanJPEG leaves out every segment that is not needed to show the picture, and what follows the picture.
func (l *look) cleanJPEG() {
	for c := range jpegSegments(l.all) {
		// Of EXIF the tags were read. XMP, IPTC, comments and what makers keep for themselves may say anything.
		read := bytes.HasPrefix(c.data, []byte("Exif\x00\x00")) || bytes.HasPrefix(c.data, []byte("MPF\x00"))
		if c.kind != "\xff\xda" && !keptInJPEG(c) && !read {
			l.report.Telling = true
		}
	}
	if !l.report.Telling && !l.appendedJPEG() {
		return
	}
	l.report.Telling = true
	exif := l.orientationOnly()
	if exif != nil {
		body := append([]byte("Exif\x00\x00"), exif...)
		segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2)) //nolint:gosec // 34 bytes
		exif = append(segment, body...)
	}
	started := false
	for c := range jpegSegments(l.all) {
		started = true
		if c.kind == "\xff\xda" || c.kind == "\xff\xd9" {
			break
		}
		if !keptInJPEG(c) {
			l.leaveOut(c.from, c.to, exif)
			exif = nil
		}
	}
	if end := jpegEnd(l.all); started && end < len(l.all) {
		l.leaveOut(end, len(l.all), nil)
	}
}

// appendedJPEG reports whether something follows the picture: cameras put further pictures and videos there, with metadata
// of their own.
func (l *look) appendedJPEG() bool {
	rest := l.all[jpegEnd(l.all):]
	return len(bytes.Trim(rest, "\x00\xff")) > 0
}

func (l *look) cleanPNG() {
	kept := []string{"Software", "Creation Time"}
	words := false
	var edits []Edit
	end := 0
	for c := range pngChunks(l.all) {
		end = c.to
		switch c.kind {
		case "tEXt", "zTXt", "iTXt":
			keyword, _, _ := bytes.Cut(c.data, []byte{0})
			words = words || !slices.Contains(kept, string(keyword))
		case "eXIf", "tIME":
		default:
			continue
		}
		edits = append(edits, Edit{From: int64(c.from), To: int64(c.to)})
	}
	if rest := len(l.all) - end; end > 0 && rest > 0 {
		edits = append(edits, Edit{From: int64(end), To: int64(len(l.all))})
		words = true
	}
	if l.report.Telling = l.report.Telling || words; l.report.Telling {
		// Few programs turn a PNG by its EXIF; those that do not show the original and the copy alike.
		l.report.Edits = edits
	}
}

// cleanWebP puts zeros in the place of the metadata: its chunks stay where they are, so that nothing else has to change.
func (l *look) cleanWebP() {
	for c := range riffChunks(l.all) {
		l.report.Telling = l.report.Telling || c.kind == "XMP " && len(bytes.Trim(c.data, "\x00")) > 0
	}
	for c := range riffChunks(l.all) {
		if l.report.Telling && (c.kind == "EXIF" || c.kind == "XMP ") {
			l.zero(c.from+8, c.from+8+len(c.data))
		}
	}
}

// zero adds an edit that blots out bytes.
func (l *look) zero(from, to int) {
	if from < to {
		l.report.Edits = append(l.report.Edits, Edit{From: int64(from), To: int64(to), Zero: true})
	}
}

// cleanBoxes reads the EXIF of a HEIF or AVIF, and blots out it and any XMP.
func (l *look) cleanBoxes() {
	if i := bytes.Index(l.all, []byte("Exif\x00\x00")); i >= 0 {
		body := l.all[i+6:]
		if bytes.HasPrefix(body, []byte("II*\x00")) || bytes.HasPrefix(body, []byte("MM\x00*")) {
			l.tags(imagemeta.TIFF, body)
			l.report.Orientation = 0 // of these formats the orientation is a property of the picture
			if l.report.Telling {
				if n := tiffLength(body); n > 0 {
					l.zero(i+6, i+6+n)
				} else {
					l.found(Metadata, "metadata_not_removable", "")
				}
			}
		}
	}
	for at := 0; ; {
		from := bytes.Index(l.all[at:], []byte("<x:xmpmeta"))
		if from < 0 {
			break
		}
		from += at
		to := bytes.Index(l.all[from:], []byte("</x:xmpmeta>"))
		if to < 0 {
			break
		}
		l.report.Telling = true
		l.zero(from, from+to+len("</x:xmpmeta>"))
		at = from + to
	}
	slices.SortFunc(l.report.Edits, func(a, b Edit) int { return int(a.From - b.From) })
	for i := 1; i < len(l.report.Edits); i++ {
		if l.report.Edits[i].From < l.report.Edits[i-1].To { // XMP within EXIF, or the other way round: not of this world
			l.report.Edits = nil
			l.found(Metadata, "metadata_not_removable", media.VerdictReview)
			return
		}
	}
}

// tiffLength is how far a TIFF structure reaches: the end of the last value that its directories point at. 0 when it is not
// sound.
func tiffLength(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	sizes := []int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}
	reach, seen, todo := int64(8), map[int64]bool{}, []int64{int64(order.Uint32(b[4:]))}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at == 0 || seen[at] {
			continue
		}
		seen[at] = true
		if at < 8 || at+2 > int64(len(b)) || len(seen) > 64 {
			return 0
		}
		n := int64(order.Uint16(b[at:]))
		end := at + 2 + 12*n + 4
		if end > int64(len(b)) {
			return 0
		}
		for e := at + 2; e < end-4; e += 12 {
			tag, kind, count := order.Uint16(b[e:]), order.Uint16(b[e+2:]), int64(order.Uint32(b[e+4:]))
			value := int64(order.Uint32(b[e+8:]))
			if int(kind) < len(sizes) && sizes[kind]*count > 4 {
				reach = max(reach, value+sizes[kind]*count)
			}
			if tag == 0x8769 || tag == 0x8825 || tag == 0xa005 {
				todo = append(todo, value)
			}
		}
		reach = max(reach, end)
		todo = append(todo, int64(order.Uint32(b[end-4:])))
	}
	if reach > int64(len(b)) {
		return 0
	}
	return int(reach)
}
