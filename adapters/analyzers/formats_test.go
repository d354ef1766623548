package analyzers_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/tiff"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
)

// kept reads a file that no encoder in Go can make: a scene, as scene draws it.
func kept(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tiff16 is a scene with 16 bits per channel.
func tiff16(t testing.TB) []byte {
	t.Helper()
	small := scene(320, 240)
	deep := image.NewRGBA64(small.Rect)
	for y := range 240 {
		for x := range 320 {
			deep.Set(x, y, small.At(x, y))
		}
	}
	var b bytes.Buffer
	if err := tiff.Encode(&b, deep, &tiff.Options{Compression: tiff.Deflate}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withoutWidth is a TIFF that says it is no pixel wide.
func withoutWidth(t testing.TB) []byte {
	t.Helper()
	b := tiff16(t)
	directory := b[binary.LittleEndian.Uint32(b[4:]):]
	for entry := range int(binary.LittleEndian.Uint16(directory)) {
		if at := directory[2+12*entry:]; binary.LittleEndian.Uint16(at) == 0x0100 {
			clear(at[8:12])
		}
	}
	return b
}

// photoshop is a scene as Photoshop stores it, without layers and packing.
func photoshop(w, h int) []byte {
	b := append([]byte("8BPS\x00\x01\x00\x00\x00\x00\x00\x00\x00\x03"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 3)
	binary.BigEndian.PutUint32(b[14:], uint32(h))
	binary.BigEndian.PutUint32(b[18:], uint32(w))
	b = append(b, make([]byte, 12+2)...) // no palette, no resources, no layers; not packed
	img := scene(w, h)
	for channel := range 3 {
		for i := channel; i < len(img.Pix); i += 4 {
			b = append(b, img.Pix[i])
		}
	}
	return b
}

// cameraRaw is what a camera makes of a scene that it saw on its side: a TIFF, noise of the sensor, a small and a large JPEG.
func cameraRaw(t testing.TB, telling bool) []byte {
	t.Helper()
	b := append(exif(6, telling), bytes.Repeat([]byte("sensor"), 5000)...)
	b = append(b, jpegOf(t, scene(80, 60))...)
	return append(append(b, jpegOf(t, scene(1200, 900))...), bytes.Repeat([]byte("more"), 500)...)
}

// cmykJPEG is a scene in the four inks of print, as Adobe's programs store it: 255 is no ink.
func cmykJPEG(w, h int) []byte {
	segment := func(marker byte, data []byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(data)+2)), data...)
	}
	b := append([]byte{0xff, 0xd8}, segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00"))...)
	b = append(b, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...))...)
	b = append(b, segment(0xc0, []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0})...)
	// Twelve categories of four bits each, and for everything else "the rest is zero", in one bit.
	b = append(b, segment(0xc4, []byte{0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})...)
	b = append(b, segment(0xc4, []byte{0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})...)
	b = append(b, segment(0xda, []byte{4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0})...)
	img, last := scene(w, h), [4]int{}
	var bits uint64
	n := 0
	put := func(v uint64, width int) {
		bits, n = bits<<width|v, n+width
		for ; n >= 8; n -= 8 {
			out := byte(bits >> (n - 8))
			if b = append(b, out); out == 0xff {
				b = append(b, 0)
			}
		}
	}
	for y := 0; y < h; y += 8 {
		for x := 0; x < w; x += 8 {
			c := img.RGBAAt(x, y)
			for i, ink := range []byte{c.R, c.G, c.B, 255} {
				dc := 8 * (int(ink) - 128)
				diff, size := dc-last[i], 0
				last[i] = dc
				for v := max(diff, -diff); v > 0; v >>= 1 {
					size++
				}
				if diff < 0 {
					diff += 1<<size - 1
				}
				put(uint64(size), 4)
				put(uint64(diff), size)
				put(0, 1)
			}
		}
	}
	put(0x7f, 7)
	return append(b, 0xff, 0xd9)
}

// corners are the colours of a thumbnail, in words of one letter, from the upper left one.
func corners(t testing.TB, p analyzers.Picture) string {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(p.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	return corner(img, false, false) + corner(img, true, false) + corner(img, false, true) + corner(img, true, true)
}

func TestFormatsThatAreDecodedHereShowTheScene(t *testing.T) {
	t.Parallel()
	e := examiner(t)
	for name, c := range map[string]struct {
		kind  string
		bytes []byte
		want  string
		w, h  int // as it is seen; 0: the file does not say
	}{
		"CMYK":           {"image/jpeg", cmykJPEG(320, 240), "rgbw", 320, 240},
		"a large CMYK":   {"image/jpeg", cmykJPEG(3200, 2400), "rgbw", 3200, 2400},
		"16 bit TIFF":    {"image/tiff", tiff16(t), "rgbw", 320, 240},
		"animated WebP":  {"image/webp", kept(t, "animated.webp"), "rgbw", 320, 240},
		"a camera's DNG": {"image/x-adobe-dng", cameraRaw(t, false), "brwg", 0, 0},
		"a camera's NEF": {"image/x-nikon-nef", cameraRaw(t, true), "brwg", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := examine(t, e, c.kind, c.bytes)
			if got.Failure != nil || len(got.Report.Pictures) != 2 || got.Report.Blurhash == "" || said(got) != "" {
				t.Fatalf("got %s, %d pictures, %+v", said(got), len(got.Report.Pictures), got.Failure)
			}
			if got.Report.Width != c.w || got.Report.Height != c.h {
				t.Errorf("%d x %d", got.Report.Width, got.Report.Height)
			}
			for _, p := range got.Report.Pictures {
				if now := corners(t, p); now != c.want {
					t.Errorf("%s has corners %s", p.Name, now)
				}
			}
		})
	}
	t.Run("a raw file without a picture says so", func(t *testing.T) {
		t.Parallel()
		if got := examine(t, e, "image/x-canon-cr2", exif(1, false)); said(got) != "note:no_preview" {
			t.Errorf("got %s", said(got))
		}
	})
	t.Run("a Photoshop file that is too large is not even given to a tool", func(t *testing.T) {
		t.Parallel()
		bomb := photoshop(8, 8)
		binary.BigEndian.PutUint32(bomb[14:], 30_000)
		binary.BigEndian.PutUint32(bomb[18:], 30_000)
		if got := examine(t, e, "image/vnd.adobe.photoshop", bomb); said(got) != "blocked:too_many_pixels note:not_decoded" && said(got) != "blocked:too_many_pixels" {
			t.Errorf("got %s", said(got))
		}
	})
}

// With the tool it has to work; without it what is missing is said, on every machine.
func TestFormatsThatNeedAToolShowTheSceneWhereItIsThere(t *testing.T) {
	t.Parallel()
	e, here := examiner(t), analyzers.FindTools()
	ffmpeg, heif := analyzers.Tools{FFmpeg: here.FFmpeg}, analyzers.Tools{HEIFThumbnailer: here.HEIFThumbnailer}
	for name, c := range map[string]struct {
		kind  string
		bytes []byte
		tools []analyzers.Tools // by each of which it is decoded
	}{
		"HEIC":      {"image/heic", kept(t, "scene.heic"), []analyzers.Tools{heif}},
		"AVIF":      {"image/avif", kept(t, "scene.avif"), []analyzers.Tools{heif, ffmpeg}},
		"JPEG XL":   {"image/jxl", kept(t, "scene.jxl"), []analyzers.Tools{ffmpeg}},
		"JPEG 2000": {"image/jp2", kept(t, "scene.jp2"), []analyzers.Tools{ffmpeg}},
		"Photoshop": {"image/vnd.adobe.photoshop", photoshop(320, 240), []analyzers.Tools{ffmpeg}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := examine(t, e, c.kind, c.bytes); said(got) != "note:"+analyzers.NotDecoded {
				t.Errorf("the child says %s", said(got))
			}
			in := spooled(t, c.bytes)
			if !analyzers.Draws(c.kind) {
				t.Error("no tool is known to draw it")
			}
			if _, err := (analyzers.Tools{}).Still(t.Context(), in, c.kind); !errors.Is(err, analyzers.ErrNoTool) {
				t.Errorf("without a tool: %v", err)
			}
			for _, tools := range c.tools {
				if tools == (analyzers.Tools{}) {
					continue // said above
				}
				still, err := tools.Still(t.Context(), in, c.kind)
				if err != nil {
					t.Fatalf("%+v: %v", tools, err)
				}
				got := examine(t, e, "image/png", still)
				if got.Failure != nil || len(got.Report.Pictures) != 2 || corners(t, got.Report.Pictures[1]) != "rgbw" {
					t.Errorf("%+v: %s, %d pictures", tools, said(got), len(got.Report.Pictures))
				}
				for _, part := range []int{1, 4, 7} {
					half := spooled(t, c.bytes[:len(c.bytes)*part/8])
					// A decoder may show what it has; whatever it does is its own affair.
					if _, err := tools.Still(t.Context(), half, c.kind); err != nil && !errors.Is(err, analyzers.ErrCannot) {
						t.Errorf("%d/8: %v", part, err)
					}
				}
			}
		})
	}
}

func spooled(t testing.TB, b []byte) *os.File {
	t.Helper()
	f, err := analyzers.Spool(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
