package analyzers_test

import (
	"bytes"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
)

// large is a 12 megapixel photo: smooth, with some noise, as photos are.
func large(b *testing.B) []byte {
	b.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 4000, 3000))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range 3000 {
		for x := range 4000 {
			n := uint8(r.IntN(12))
			img.SetRGBA(x, y, color.RGBA{uint8(x/16) + n, uint8(y/12) + n, uint8((x + y) / 28), 255})
		}
	}
	return jpegOf(b, img)
}

func BenchmarkExamineTwelveMegapixels(b *testing.B) {
	photo := large(b)
	e := examiner(b)
	b.SetBytes(int64(len(photo)))
	took := map[string]int64{}
	for b.Loop() {
		got, err := e.Examine(b.Context(), analyzers.Request{Type: "image/jpeg", Size: int64(len(photo))}, bytes.NewReader(photo))
		if err != nil || got.Failure != nil {
			b.Fatal(err, got.Failure)
		}
		for step, ns := range got.Report.Took {
			took[step] += ns
		}
	}
	for step, ns := range took {
		b.ReportMetric(float64(ns)/float64(b.N)/1e6, step+"-cpu-ms/op")
	}
}
