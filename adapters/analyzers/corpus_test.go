package analyzers_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

// The files that the tests make: hostile ones, and odd ones.

// scene is a picture whose left upper quarter is red, the right upper one green, the left lower one blue, the rest white.
func scene(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{255, 255, 255, 255}
			switch {
			case x < w/2 && y < h/2:
				c = color.RGBA{220, 20, 20, 255}
			case y < h/2:
				c = color.RGBA{20, 200, 20, 255}
			case x < w/2:
				c = color.RGBA{20, 20, 220, 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is a TIFF structure with an orientation, a camera, an artist, a time and a place.
func exif(orientation int, telling bool) []byte {
	type entry struct {
		tag, kind uint16
		count     uint32
		value     []byte
	}
	ascii := func(tag uint16, s string) entry { return entry{tag, 2, uint32(len(s) + 1), append([]byte(s), 0)} }
	ratios := func(tag uint16, n ...uint32) entry {
		e := entry{tag: tag, kind: 5, count: uint32(len(n))}
		for _, v := range n {
			e.value = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(e.value, v), 1)
		}
		return e
	}
	short := func(tag uint16, v int) entry {
		return entry{tag, 3, 1, binary.LittleEndian.AppendUint16(nil, uint16(v))}
	}
	lay := func(at int, entries []entry) []byte {
		head := binary.LittleEndian.AppendUint16(nil, uint16(len(entries)))
		var rest []byte
		data := at + 2 + 12*len(entries) + 4
		for _, e := range entries {
			head = binary.LittleEndian.AppendUint16(head, e.tag)
			head = binary.LittleEndian.AppendUint16(head, e.kind)
			head = binary.LittleEndian.AppendUint32(head, e.count)
			if len(e.value) <= 4 {
				head = append(head, append(bytes.Clone(e.value), 0, 0, 0, 0)[:4]...)
				continue
			}
			head = binary.LittleEndian.AppendUint32(head, uint32(data+len(rest)))
			rest = append(rest, e.value...)
		}
		return append(append(head, 0, 0, 0, 0), rest...)
	}
	entries := []entry{ascii(0x010f, "Acme"), ascii(0x0110, "Acme One"), short(0x0112, orientation), ascii(0x0132, "2026:05:04 06:30:00")}
	if telling {
		entries = append(entries, ascii(0x013b, "Alice Example"))
		pointer := entry{0x8825, 4, 1, nil}
		size := len(lay(8, append(entries, entry{0x8825, 4, 1, make([]byte, 4)})))
		pointer.value = binary.LittleEndian.AppendUint32(nil, uint32(8+size))
		entries = append(entries, pointer)
	}
	all := append([]byte("II*\x00\x08\x00\x00\x00"), lay(8, entries)...)
	if telling {
		all = append(all, lay(len(all), []entry{ascii(1, "N"), ratios(2, 53, 33, 4), ascii(3, "W"), ratios(4, 9, 59, 37)})...)
	}
	return all
}

// withEXIF puts EXIF into a JPEG, after its start.
func withEXIF(b, tiff []byte) []byte {
	body := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return append(append(append(bytes.Clone(b[:2]), segment...), body...), b[2:]...)
}

// pngWith puts chunks into a PNG after its header.
func pngWith(b []byte, kind string, data []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	c = append(append(c, kind...), data...)
	c = binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
	const header = 8 + 12 + 13
	return append(append(bytes.Clone(b[:header]), c...), b[header:]...)
}

// pngBomb is a PNG that says it is so large, in a few bytes.
func pngBomb(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	for _, c := range []struct {
		kind string
		data []byte
	}{{"IHDR", append(ihdr, 8, 2, 0, 0, 0)}, {"IDAT", deflated(make([]byte, 1<<20))}, {"IEND", nil}} {
		part := binary.BigEndian.AppendUint32(nil, uint32(len(c.data)))
		part = append(append(part, c.kind...), c.data...)
		b = append(b, binary.BigEndian.AppendUint32(part, crc32.ChecksumIEEE(part[4:]))...)
	}
	return b
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func gifOf(t testing.TB, frames, w, h int) []byte {
	t.Helper()
	g := &gif.GIF{Config: image.Config{Width: w, Height: h}}
	palette := color.Palette{color.White, color.RGBA{200, 0, 0, 255}}
	for range frames {
		frame := image.NewPaletted(image.Rect(0, 0, 2, 2), palette)
		if len(g.Image) == 0 {
			frame = image.NewPaletted(image.Rect(0, 0, w, h), palette)
		}
		g.Image, g.Delay = append(g.Image, frame), append(g.Delay, 1)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zipOf makes an archive: names and contents, one after the other.
func zipOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, content []byte) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		add(name, content)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pdfOf(objects ...string) []byte {
	var b strings.Builder
	b.WriteString("%PDF-1.4\n")
	for i, o := range objects {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	b.WriteString("trailer<</Root 1 0 R>>\n%%EOF\n")
	return []byte(b.String())
}

func pdfStream(dict string, content []byte) string {
	packed := deflated(content)
	return fmt.Sprintf("<</Length %d/Filter/FlateDecode%s>>\nstream\n%s\nendstream", len(packed), dict, packed)
}
