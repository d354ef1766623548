package analyzers

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strconv"

	"github.com/bbrks/go-blurhash"
	xdraw "golang.org/x/image/draw"
)

// The sizes of thumbnails, in pixels: a square, and a width.
const (
	square = 200
	wide   = 400
)

// thumbnailQuality is that of the JPEG encoder, 1 to 100.
const thumbnailQuality = 82

// small makes the thumbnails and the blurhash. The same bytes make the same pictures, on every machine.
func (l *look) small(img image.Image) {
	l.step("shrink")
	near := shrink(img, factor(img.Bounds().Size(), l.report.Orientation))
	l.step("thumbnails")
	near = turn(near, l.report.Orientation)
	size := near.Bounds().Size()
	width := min(wide, size.X)
	fit := scale(near, near.Bounds(), width, max(1, size.Y*width/size.X))
	if middle := fit.Bounds().Size(); min(middle.X, middle.Y) >= square {
		l.encode(strconv.Itoa(square), cut(fit, square))
	} else {
		l.encode(strconv.Itoa(square), cut(near, square))
	}
	// A picture far higher than wide would make a thumbnail as long as a ladder.
	if most := 4 * wide; fit.Bounds().Dy() > most {
		fit = scale(fit, fit.Bounds(), max(1, fit.Bounds().Dx()*most/fit.Bounds().Dy()), most)
	}
	l.encode(strconv.Itoa(wide), fit)
	l.step("blurhash")
	tiny := fit.Bounds().Size()
	if hash, err := blurhash.Encode(4, 3, scale(fit, fit.Bounds(), max(1, min(32, tiny.X)), max(1, min(24, tiny.Y)))); err == nil {
		l.report.Blurhash = hash
	}
}

func (l *look) encode(name string, img *image.RGBA) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: thumbnailQuality}); err != nil {
		l.found(Content, "no_thumbnail", "")
		return
	}
	size := img.Bounds().Size()
	l.report.Pictures = append(l.report.Pictures, Picture{
		Name: name, Type: "image/jpeg", Width: size.X, Height: size.Y, Size: b.Len(), Bytes: b.Bytes(),
	})
}

// factor is by which whole number a picture is made smaller first: so that twice the size of both thumbnails remains where
// there was as much, and a very long one is not kept at its length.
func factor(size image.Point, orientation int) int {
	if orientation >= 5 {
		size.X, size.Y = size.Y, size.X
	}
	short, long := min(size.X, size.Y), max(size.X, size.Y)
	return max(1, min(short, max(min(size.X/(2*wide), short/(2*square)), long/(32*wide))))
}

// shrink answers the picture on white, smaller by a whole number. Each of its pixels is the mean of those that it stands for.
func shrink(img image.Image, by int) *image.RGBA {
	b := img.Bounds()
	if y, ok := img.(*image.YCbCr); ok && by > 1 {
		return shrinkYCbCr(y, by)
	}
	if by == 1 {
		out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		draw.Draw(out, out.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
		draw.Draw(out, out.Rect, img, b.Min, draw.Over)
		return out
	}
	out := image.NewRGBA(image.Rect(0, 0, max(1, b.Dx()/by), max(1, b.Dy()/by)))
	strip := image.NewRGBA(image.Rect(0, 0, b.Dx(), by))
	white := image.NewUniform(color.White)
	sums := make([]uint32, 3*out.Rect.Dx())
	for y := range out.Rect.Dy() {
		draw.Draw(strip, strip.Rect, white, image.Point{}, draw.Src)
		draw.Draw(strip, strip.Rect, img, image.Pt(b.Min.X, b.Min.Y+y*by), draw.Over)
		clear(sums)
		for row := range by {
			from := strip.Pix[row*strip.Stride:]
			for x := range out.Rect.Dx() {
				var r, g, bl uint32
				for _, px := 0, from[4*x*by:4*(x+1)*by]; len(px) >= 4; px = px[4:] {
					r, g, bl = r+uint32(px[0]), g+uint32(px[1]), bl+uint32(px[2])
				}
				sums[3*x], sums[3*x+1], sums[3*x+2] = sums[3*x]+r, sums[3*x+1]+g, sums[3*x+2]+bl
			}
		}
		all := uint32(by * by) //nolint:gosec // positive
		to := out.Pix[y*out.Stride:]
		for x := range out.Rect.Dx() {
			to[4*x], to[4*x+1], to[4*x+2], to[4*x+3] = uint8(sums[3*x]/all), uint8(sums[3*x+1]/all), uint8(sums[3*x+2]/all), 0xff //nolint:gosec // means of bytes
		}
	}
	return out
}

// shrinkYCbCr is shrink for what JPEG and WebP decode to, without making colours of all of it first.
func shrinkYCbCr(img *image.YCbCr, by int) *image.RGBA {
	b := img.Rect
	out := image.NewRGBA(image.Rect(0, 0, max(1, b.Dx()/by), max(1, b.Dy()/by)))
	luma := make([]uint32, out.Rect.Dx())
	all := uint32(by * by) //nolint:gosec // positive
	for y := range out.Rect.Dy() {
		clear(luma)
		for row := range by {
			from := img.Y[img.YOffset(b.Min.X, b.Min.Y+y*by+row):]
			for x := range luma {
				var sum uint32
				for _, v := range from[x*by : (x+1)*by] {
					sum += uint32(v)
				}
				luma[x] += sum
			}
		}
		to := out.Pix[y*out.Stride:]
		for x := range luma {
			cb, cr := meanChroma(img, b.Min.X+x*by, b.Min.Y+y*by, by)
			to[4*x], to[4*x+1], to[4*x+2] = color.YCbCrToRGB(uint8(luma[x]/all), cb, cr) //nolint:gosec // a mean of bytes
			to[4*x+3] = 0xff
		}
	}
	return out
}

// meanChroma is the mean colour of a square. Its corners are looked up once: between them colour lies in rows.
func meanChroma(img *image.YCbCr, x, y, by int) (cb, cr uint8) {
	from, to := img.COffset(x, y), img.COffset(x+by-1, y)
	last := img.COffset(x, y+by-1)
	var sumB, sumR, n uint32
	for row := from; row <= last; row += img.CStride {
		for i := row; i <= row+to-from; i++ {
			sumB, sumR, n = sumB+uint32(img.Cb[i]), sumR+uint32(img.Cr[i]), n+1
		}
	}
	return uint8(sumB / n), uint8(sumR / n) //nolint:gosec // means of bytes
}

// scale answers a part of the picture in another size.
func scale(img *image.RGBA, part image.Rectangle, width, height int) *image.RGBA {
	if part == img.Rect && part.Dx() == width && part.Dy() == height {
		return img
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	xdraw.CatmullRom.Scale(out, out.Rect, img, part, xdraw.Src, nil)
	return out
}

// cut answers the middle of the picture as a square; a smaller picture stays as it is, on a square of its shorter side.
func cut(img *image.RGBA, side int) *image.RGBA {
	size := img.Bounds().Size()
	short := min(size.X, size.Y)
	part := image.Rect(0, 0, short, short).Add(image.Pt((size.X-short)/2, (size.Y-short)/2))
	return scale(img, part, side, side)
}

// turn applies the orientation of EXIF (CIPA DC-008, 4.6.4): 1 is upright; others are turned, mirrored, or both.
func turn(img *image.RGBA, orientation int) *image.RGBA {
	if orientation < 2 || orientation > 8 {
		return img
	}
	size := img.Bounds().Size()
	w, h := size.X, size.Y
	if orientation >= 5 {
		w, h = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			var fx, fy int // where this pixel comes from
			switch orientation {
			case 2:
				fx, fy = w-1-x, y
			case 3:
				fx, fy = w-1-x, h-1-y
			case 4:
				fx, fy = x, h-1-y
			case 5:
				fx, fy = y, x
			case 6:
				fx, fy = y, w-1-x
			case 7:
				fx, fy = h-1-y, w-1-x
			case 8:
				fx, fy = h-1-y, x
			}
			copy(out.Pix[out.PixOffset(x, y):][:4], img.Pix[img.PixOffset(fx, fy):][:4])
		}
	}
	return out
}
