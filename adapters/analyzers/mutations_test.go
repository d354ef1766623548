package analyzers_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
)

var mutations = flag.Int("mutations", 250, "how many files that were damaged at random are examined")

// mutated is a file that was damaged: bits turned, numbers made extreme, pieces lost, repeated, or taken from another file.
func mutated(rnd *rand.Rand, b, other []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rnd.IntN(8) {
		if len(b) < 16 {
			return b
		}
		at := rnd.IntN(len(b) - 8)
		if rnd.IntN(3) == 0 {
			at = rnd.IntN(min(len(b)-8, 512)) // where headers are
		}
		piece := min(1+rnd.IntN(1<<rnd.IntN(13)), len(b)-at)
		switch rnd.IntN(7) {
		case 0:
			b[at] ^= 1 << rnd.IntN(8)
		case 1:
			extreme := []uint32{0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0}[rnd.IntN(10)]
			if rnd.IntN(2) == 0 {
				binary.BigEndian.PutUint32(b[at:], extreme)
			} else {
				binary.LittleEndian.PutUint32(b[at:], extreme)
			}
		case 2:
			for i := range b[at : at+piece] {
				b[at+i] = byte(rnd.IntN(256))
			}
		case 3:
			b = slices.Delete(b, at, at+piece)
		case 4:
			b = slices.Insert(b, at, bytes.Clone(b[at:at+piece])...)
		case 5:
			if len(other) > 16 {
				from := rnd.IntN(len(other) - 8)
				b = slices.Insert(b, at, other[from:min(len(other), from+piece)]...)
			}
		case 6:
			if rnd.IntN(4) == 0 {
				b = b[:at]
			}
		}
	}
	return b
}

// Not parallel: it measures the memory of the process, which the other tests use as well.
func TestWhateverIsDamagedAtRandomIsDecidedAbout(t *testing.T) {
	e, files := examiner(t), wellFormed(t)
	for _, f := range files {
		examine(t, e, f.kind, f.bytes)
	}
	heap, resident := memory()
	var mu sync.Mutex // guards ends
	ends := map[string]int{}
	peak := peakOf(func() {
		var group sync.WaitGroup
		seeds := make(chan int)
		for range 2 {
			group.Go(func() {
				for seed := range seeds {
					rnd := rand.New(rand.NewPCG(uint64(seed), 11))
					f := files[seed%len(files)]
					b := mutated(rnd, f.bytes, files[rnd.IntN(len(files))].bytes)
					got, err := e.Examine(t.Context(), analyzers.Request{Type: f.kind, Size: int64(len(b))}, bytes.NewReader(b))
					end := "looked at"
					switch {
					case err != nil:
						t.Errorf("%s, seed %d: %v", f.name, seed, err)
					case got.Failure != nil:
						end = "the child " + got.Failure.Code
						t.Logf("%s, seed %d: the child %s at %s", f.name, seed, got.Failure.Code, got.Failure.Step)
					case len(got.Report.Findings) > 0:
						end = "found"
					}
					mu.Lock()
					ends[end]++
					mu.Unlock()
				}
			})
		}
		for seed := range *mutations {
			seeds <- seed
		}
		close(seeds)
		group.Wait()
	})
	after, residentAfter := memory()
	t.Logf("%v; heap %d KiB before, %d KiB after, %d KiB at most; resident %d MiB before, %d MiB after, %d MiB at most",
		ends, heap>>10, after>>10, peak.heap>>10, resident>>20, residentAfter>>20, peak.resident>>20)
	if after > heap+4<<20 || peak.heap > heap+64<<20 || residentAfter > resident+32<<20 || peak.resident > resident+96<<20 {
		t.Error("memory was not flat")
	}
}

func TestToolsThatAreGivenDamagedFilesEndInTime(t *testing.T) {
	t.Parallel()
	tools := analyzers.FindTools()
	if tools.FFmpeg == "" || tools.FFprobe == "" || tools.PDFToPPM == "" || tools.HEIFThumbnailer == "" {
		t.Logf("without %+v", tools) // those that are not there are not asked
	}
	pdf := pdfOf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]/Contents 4 0 R>>",
		pdfStream("", []byte("1 0 0 rg 10 10 100 100 re f BT ET")))
	var film []byte
	if tools.FFmpeg != "" {
		path := filepath.Join(t.TempDir(), "film.mp4")
		if out, err := exec.CommandContext(t.Context(), tools.FFmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=2", "-c:v", "mpeg4", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var err error
		if film, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	cannot := 0
	for seed := range 1 + max(1, *mutations/25) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 12))
		damaged := seed > 0 // the first are well
		for name, try := range map[string]struct {
			tool    string
			content []byte
			do      func(in *os.File) error
		}{
			"probe":  {tools.FFprobe, film, func(in *os.File) error { _, err := tools.Probe(t.Context(), in); return err }},
			"poster": {tools.FFmpeg, film, func(in *os.File) error { _, err := tools.Poster(t.Context(), in, 2e9); return err }},
			"copy": {tools.FFmpeg, film, func(in *os.File) error {
				out, err := tools.WithoutMetadata(t.Context(), in, "video/mp4", 8<<20)
				if err == nil {
					err = out.Close()
				}
				return err
			}},
			"film": {tools.FFmpeg, film, func(in *os.File) error {
				out, err := tools.Playable(t.Context(), in, 8<<20)
				if err == nil {
					err = out.Close()
				}
				return err
			}},
			"page": {tools.PDFToPPM, pdf, func(in *os.File) error { _, err := tools.FirstPage(t.Context(), in); return err }},
			"heic": {tools.HEIFThumbnailer, kept(t, "scene.heic"), func(in *os.File) error { _, err := tools.Still(t.Context(), in, "image/heic"); return err }},
			"jxl":  {tools.FFmpeg, kept(t, "scene.jxl"), func(in *os.File) error { _, err := tools.Still(t.Context(), in, "image/jxl"); return err }},
			"jp2":  {tools.FFmpeg, kept(t, "scene.jp2"), func(in *os.File) error { _, err := tools.Still(t.Context(), in, "image/jp2"); return err }},
		} {
			if try.tool == "" {
				continue
			}
			if damaged {
				try.content = mutated(rnd, try.content, pdf)
			}
			in, err := analyzers.Spool(bytes.NewReader(try.content))
			if err != nil {
				t.Fatal(err)
			}
			err = try.do(in)
			if _ = in.Close(); errors.Is(err, analyzers.ErrCannot) && damaged {
				cannot++
			} else if err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
		}
	}
	t.Logf("of %d damaged files of each kind, %d times a tool could not", max(1, *mutations/25), cannot)
}
