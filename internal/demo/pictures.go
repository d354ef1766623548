package demo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"time"
)

// Picture is a photo that the demo draws itself.
type Picture struct {
	Name  string
	Title string
	Tags  []string
	Taken time.Time
	// Lat and Lon are where the EXIF says it was taken, in degrees.
	Lat, Lon float64
	// Seed decides what it looks like.
	Seed uint64
	// Grain is how rough every surface is, in levels of brightness; 0: smooth. Photos of 12 megapixels have 3 to 5 MB at 25.
	Grain float64
}

// JPEG draws the picture, a sky over a range of hills above water, w by h pixels, with EXIF.
func (p Picture) JPEG(w, h int) ([]byte, error) {
	var body bytes.Buffer
	if err := jpeg.Encode(&body, p.draw(w, h), &jpeg.Options{Quality: 88}); err != nil {
		return nil, fmt.Errorf("draw %s: %w", p.Name, err)
	}
	raw := body.Bytes()
	exif := p.exif()
	out := make([]byte, 0, len(raw)+len(exif)+4)
	out = append(out, raw[:2]...) // SOI
	out = append(out, 0xFF, 0xE1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(exif)+2)) //nolint:gosec // some hundred bytes
	out = append(out, exif...)
	return append(out, raw[2:]...), nil
}

func (p Picture) draw(w, h int) image.Image {
	rnd := rand.New(rand.NewPCG(p.Seed, 7)) //nolint:gosec // a picture, not a secret
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	hue := rnd.Float64()
	horizon := 0.55 + 0.1*rnd.Float64()
	sunX, sunY, sunR := 0.2+0.6*rnd.Float64(), 0.18+0.2*rnd.Float64(), 0.05+0.03*rnd.Float64()
	phase := [4]float64{rnd.Float64() * 6, rnd.Float64() * 6, rnd.Float64() * 6, rnd.Float64() * 6}
	ridge := func(x float64, layer int) float64 {
		f := float64(layer)
		return horizon - 0.22 + 0.07*f +
			0.05*math.Sin(x*(5+2*f)+phase[layer]) + 0.02*math.Sin(x*(17+5*f)+2*phase[layer]) + 0.006*math.Sin(x*61+3*phase[layer])
	}
	aspect := float64(w) / float64(h)
	for py := range h {
		y := float64(py) / float64(h)
		for px := range w {
			x := float64(px) / float64(w)
			c := hsl(hue+0.08*y, 0.55, 0.35+0.45*y)
			if d := math.Hypot((x-sunX)*aspect, y-sunY); d < sunR*4 {
				c = blend(c, color.RGBA{255, 244, 214, 255}, math.Min(1, math.Pow(sunR/math.Max(d, 1e-6), 2.2)))
			}
			for layer := range 3 {
				if y > ridge(x, layer) {
					c = hsl(hue+0.45, 0.25+0.08*float64(layer), 0.42-0.12*float64(layer))
				}
			}
			if y > horizon {
				wave := 0.02 * math.Sin(y*240+3*math.Sin(x*9+phase[3]))
				c = hsl(hue+0.55, 0.4, 0.22+0.3*(1-y)+wave)
			}
			if p.Grain > 0 {
				leaves := math.Sin(x*900+3*math.Sin(y*310)) * math.Sin(y*700+3*math.Sin(x*270))
				c = roughen(c, p.Grain*(rnd.Float64()-0.5+0.5*leaves))
			}
			img.SetRGBA(px, py, c)
		}
	}
	return img
}

func blend(a, b color.RGBA, t float64) color.RGBA {
	mix := func(x, y uint8) uint8 { return uint8(float64(x)*(1-t) + float64(y)*t) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

func roughen(c color.RGBA, by float64) color.RGBA {
	level := func(v uint8) uint8 { return uint8(math.Max(0, math.Min(255, float64(v)+by))) }
	return color.RGBA{level(c.R), level(c.G), level(c.B), 255}
}

// hsl is a colour by hue (turns), saturation and lightness (0..1).
func hsl(h, s, l float64) color.RGBA {
	l = math.Max(0, math.Min(1, l))
	part := func(n float64) uint8 {
		k := math.Mod(n+h*12, 12)
		return uint8(255 * (l - s*math.Min(l, 1-l)*math.Max(-1, math.Min(math.Min(k-3, 9-k), 1))))
	}
	return color.RGBA{part(0), part(8), part(4), 255}
}

// exif is an APP1 payload by the Exif 2.32 specification (CIPA DC-008): a big-endian TIFF with a main, an Exif and a GPS directory.
func (p Picture) exif() []byte {
	type entry struct {
		tag, kind uint16
		count     uint32
		data      []byte
	}
	const ascii, short, long, rational, bytesType = 2, 3, 4, 5, 1
	text := func(tag uint16, s string) entry {
		return entry{tag, ascii, uint32(len(s) + 1), append([]byte(s), 0)} //nolint:gosec // short
	}
	u32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	degrees := func(v float64) []byte {
		v = math.Abs(v)
		d, m := math.Floor(v), math.Floor(math.Mod(v*60, 60))
		var b []byte
		for _, n := range []uint32{uint32(d), 1, uint32(m), 1, uint32(math.Mod(v*3600, 60) * 100), 100} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	ref := func(v float64, pos, neg string) string {
		if v < 0 {
			return neg
		}
		return pos
	}
	taken := p.Taken.UTC().Format("2006:01:02 15:04:05")
	gps := []entry{
		{0, bytesType, 4, []byte{2, 3, 0, 0}},
		text(1, ref(p.Lat, "N", "S")), {2, rational, 3, degrees(p.Lat)},
		text(3, ref(p.Lon, "E", "W")), {4, rational, 3, degrees(p.Lon)},
	}
	sub := []entry{text(0x9003, taken)}
	main := []entry{
		text(0x010F, "Media Vault"), text(0x0110, "Demo Camera"),
		{0x0112, short, 1, []byte{0, 1, 0, 0}},
		text(0x0132, taken),
		{0x8769, long, 1, nil}, {0x8825, long, 1, nil}, // where the other two directories are, filled in below
	}
	size := func(es []entry) int {
		n := 2 + 12*len(es) + 4
		for _, e := range es {
			if len(e.data) > 4 {
				n += len(e.data) + len(e.data)%2
			}
		}
		return n
	}
	subAt := 8 + size(main)
	gpsAt := subAt + size(sub)
	main[4].data, main[5].data = u32(uint32(subAt)), u32(uint32(gpsAt)) //nolint:gosec // some hundred

	out := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08")
	at := 8
	for _, dir := range [][]entry{main, sub, gps} {
		out = binary.BigEndian.AppendUint16(out, uint16(len(dir))) //nolint:gosec // a handful
		values := at + 2 + 12*len(dir) + 4
		var rest []byte
		for _, e := range dir {
			out = binary.BigEndian.AppendUint16(out, e.tag)
			out = binary.BigEndian.AppendUint16(out, e.kind)
			out = binary.BigEndian.AppendUint32(out, e.count)
			if len(e.data) <= 4 {
				out = append(out, append(e.data, make([]byte, 4-len(e.data))...)...)
				continue
			}
			out = binary.BigEndian.AppendUint32(out, uint32(values+len(rest))) //nolint:gosec // some hundred
			rest = append(rest, e.data...)
			if len(e.data)%2 == 1 {
				rest = append(rest, 0)
			}
		}
		out = append(out, 0, 0, 0, 0)
		out = append(out, rest...)
		at += size(dir)
	}
	return out
}
