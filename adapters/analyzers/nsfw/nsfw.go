// Package nsfw scores pictures by how likely they are unsafe for work, with a small open model that runs in this process, or with a
// model that is asked over HTTP. Scores are hints for people; they judge nothing.
package nsfw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what it is given is a picture that the vault itself encoded
	_ "image/png"
	"runtime"
	"sync"
)

// ErrNoModel is that there is no model: it was not fetched.
var ErrNoModel = errors.New("there is no model: mediavault models fetch")

// The classes of the model, in its order.
const (
	Drawing = iota
	Hentai
	Neutral
	Porn
	Sexy
	classes
)

// Classes are their names.
func Classes() []string { return []string{"drawing", "hentai", "neutral", "porn", "sexy"} }

// Scores are likelihoods by class; together they are 1.
type Scores [classes]float32

// Unsafe is the likelihood of what nobody wants to see unasked.
func (s Scores) Unsafe() float32 { return s[Porn] + s[Hentai] }

// Model scores with MobileNetV2 (nsfwjs's Mid model). It is safe for concurrent use.
type Model struct {
	hash  string
	load  func() (*net, error)
	slots chan struct{} // one for each inference at once: they take all of a core, and 40 MB

	mu  sync.Mutex // guards net
	net *net       // nil before the first picture
}

// Hash is the SHA-256 of the model's file.
func (m *Model) Hash() string { return m.hash }

// Scored is what a model says of a picture.
type Scored struct {
	Classes map[string]float64 // likelihoods, from 0 to 1, by the model's own classes
	Unsafe  float64            // the likelihood of what nobody wants to see unasked
	Model   string             // its hash, or whatever names it
}

// Score scores a picture that the vault itself encoded as JPEG. Errors: a picture that cannot be decoded; the context's.
func (m *Model) Score(ctx context.Context, picture []byte) (Scored, error) {
	scores, err := m.scores(ctx, picture)
	if err != nil {
		return Scored{}, err
	}
	said := Scored{Classes: map[string]float64{}, Unsafe: float64(scores.Unsafe()), Model: "sha256:" + m.hash}
	for i, name := range Classes() {
		said.Classes[name] = float64(scores[i])
	}
	return said, nil
}

func (m *Model) scores(ctx context.Context, picture []byte) (Scores, error) {
	img, _, err := image.Decode(bytes.NewReader(picture))
	if err != nil {
		return Scores{}, fmt.Errorf("decode the picture to be scored: %w", err)
	}
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return Scores{}, context.Cause(ctx)
	}
	defer func() { <-m.slots }()
	n, err := m.loaded()
	if err != nil {
		return Scores{}, err
	}
	return n.infer(input(img)), nil
}

// loaded reads the model when the first picture is there: a vault that scores none does without the 20 MB.
func (m *Model) loaded() (*net, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.net != nil {
		return m.net, nil
	}
	var err error
	m.net, err = m.load()
	return m.net, err
}

func newModel(hash string, load func() (*net, error)) *Model {
	return &Model{hash: hash, load: load, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// size is the model's: pictures are stretched to it.
const size = 224

// input is a picture as the model wants it: size x size, red, green, blue from -1 to 1. Between pixels it goes in a straight line,
// corner to corner, as nsfwjs does; what is much larger is averaged first, which nsfwjs does not.
func input(img image.Image) []float32 {
	pixels, w, h := rgb(img)
	for w >= 2*size && h >= 2*size {
		pixels, w, h = halve(pixels, w, h)
	}
	out := make([]float32, size*size*3)
	scaleX, scaleY := scale(w), scale(h)
	for y := range size {
		top, down := split(float32(y)*scaleY, h)
		for x := range size {
			left, right := split(float32(x)*scaleX, w)
			for c := range 3 {
				at := func(x, y int) float32 { return pixels[(y*w+x)*3+c] / 255 }
				upper := at(left.at, top.at) + (at(right.at, top.at)-at(left.at, top.at))*left.part
				lower := at(left.at, down.at) + (at(right.at, down.at)-at(left.at, down.at))*left.part
				out[(y*size+x)*3+c] = (upper+(lower-upper)*top.part)*2 - 1
			}
		}
	}
	return out
}

func scale(n int) float32 { return float32(n-1) / (size - 1) }

type place struct {
	at   int
	part float32 // of the way to the next
}

func split(v float32, n int) (low, high place) {
	at := min(int(v), n-1)
	return place{at, v - float32(at)}, place{at: min(at+1, n-1)}
}

func rgb(img image.Image) (pixels []float32, w, h int) {
	b := img.Bounds()
	w, h = b.Dx(), b.Dy()
	pixels = make([]float32, 0, w*h*3)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			pixels = append(pixels, float32(r>>8), float32(g>>8), float32(bl>>8))
		}
	}
	return pixels, w, h
}

func halve(pixels []float32, w, h int) (half []float32, width, height int) {
	width, height = w/2, h/2
	half = make([]float32, width*height*3)
	for y := range height {
		for x := range width {
			for c := range 3 {
				i := (2*y*w+2*x)*3 + c
				half[(y*width+x)*3+c] = (pixels[i] + pixels[i+3] + pixels[i+w*3] + pixels[i+w*3+3]) / 4
			}
		}
	}
	return half, width, height
}
