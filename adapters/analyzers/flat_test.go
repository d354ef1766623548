package analyzers_test

import (
	"bytes"
	"fmt"
	"image"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
)

// odd is a file of the corpus.
type odd struct {
	name, kind string
	bytes      []byte
}

// corpus are hostile and odd files of all formats, and every well one of them cut off at each eighth.
func corpus(t testing.TB) []odd {
	t.Helper()
	well := wellFormed(t)
	nested := zipOf(t, map[string][]byte{"a.txt": []byte("a")})
	for range 4 {
		nested = zipOf(t, map[string][]byte{"b.zip": nested})
	}
	all := []odd{
		{"20,000 x 20,000", "image/png", pngBomb(20_000, 20_000)},
		{"9,000 x 9,000 in a few bytes", "image/png", pngBomb(9_000, 9_000)},
		{"endless animation", "image/gif", gifOf(t, 400, 3000, 3000)},
		{"archives in archives", docx, nested},
		{"document that grows", docx, zipOf(t, map[string][]byte{"word/document.xml": make([]byte, 64<<20)})},
		{"PDF that grows", "application/pdf", pdfOf(pdfStream("", make([]byte, 64<<20)))},
		{"noise", "image/jpeg", append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte("noise"), 4000)...)},
		{"nothing", "image/png", nil},
		{"large", "image/jpeg", bytes.Repeat([]byte("\xff\xd8\xff\xe0 and so on"), 2<<20)},
	}
	for _, w := range well {
		all = append(all, w)
		for part := range 8 {
			all = append(all, odd{fmt.Sprintf("%s, %d/8 of it", w.name, part), w.kind, w.bytes[:len(w.bytes)*part/8]})
		}
	}
	for orientation := 1; orientation <= 8; orientation++ {
		all = append(all, odd{fmt.Sprintf("orientation %d", orientation), "image/jpeg", withEXIF(jpegOf(t, scene(300, 200)), exif(orientation, true))})
	}
	return all
}

const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

// wellFormed are files of all families of formats in which nothing is wrong.
func wellFormed(t testing.TB) []odd {
	t.Helper()
	return []odd{
		{"photo", "image/jpeg", jpegOf(t, scene(1600, 1200))},
		{"photo with a place", "image/jpeg", withEXIF(jpegOf(t, scene(1600, 1200)), exif(6, true))},
		{"CMYK", "image/jpeg", cmykJPEG(640, 480)},
		{"drawing", "image/png", pngOf(t, scene(800, 600))},
		{"16 bit PNG", "image/png", pngOf(t, image.NewNRGBA64(image.Rect(0, 0, 400, 300)))},
		{"16 bit TIFF", "image/tiff", tiff16(t)},
		{"animated GIF", "image/gif", gifOf(t, 5, 400, 300)},
		{"animated WebP", "image/webp", kept(t, "animated.webp")},
		{"HEIC", "image/heic", kept(t, "scene.heic")},
		{"AVIF", "image/avif", kept(t, "scene.avif")},
		{"JPEG XL", "image/jxl", kept(t, "scene.jxl")},
		{"JPEG 2000", "image/jp2", kept(t, "scene.jp2")},
		{"Photoshop", "image/vnd.adobe.photoshop", photoshop(320, 240)},
		{"raw", "image/x-adobe-dng", cameraRaw(t, true)},
		{"document", docx, zipOf(t, map[string][]byte{"word/document.xml": bytes.Repeat([]byte("<b/>"), 1000)})},
		{"PDF", "application/pdf", pdfOf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page>>")},
		{"video", "video/mp4", bytes.Repeat([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), 100)},
	}
}

// Not parallel: it measures the memory of the process, which the other tests use as well.
func TestWhateverFilesDoTheParentsMemoryStaysFlat(t *testing.T) {
	e, files := examiner(t), corpus(t)
	rounds := func(n int) {
		for range n {
			var group sync.WaitGroup
			jobs := make(chan odd)
			for range 2 {
				group.Go(func() {
					for f := range jobs {
						decided(t, f, examine(t, e, f.kind, f.bytes))
					}
				})
			}
			for _, f := range files {
				jobs <- f
			}
			close(jobs)
			group.Wait()
		}
	}
	rounds(1) // the children are warm then, and the buffers there
	heap, resident := memory()
	peak := peakOf(func() { rounds(2) })
	after, residentAfter := memory()
	runtime.KeepAlive(files)
	t.Logf("%d files: heap %d KiB before, %d KiB after, %d KiB at most; resident %d MiB before, %d MiB after, %d MiB at most",
		len(files), heap>>10, after>>10, peak.heap>>10, resident>>20, residentAfter>>20, peak.resident>>20)
	if after > heap+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	if peak.heap > heap+64<<20 || peak.resident > resident+96<<20 || residentAfter > resident+32<<20 {
		t.Errorf("memory was not flat: %+v at most", peak)
	}
}

// decided fails for a file about which nothing is said: it is well and was looked into, something was found, or it broke its child.
func decided(t *testing.T, f odd, got analyzers.Examination) {
	t.Helper()
	r := got.Report
	looked := r.Decoded || f.kind == "video/mp4" || len(f.bytes) == 0
	if got.Failure == nil && !looked && len(r.Findings) == 0 {
		t.Errorf("%s: nothing was said about it: %+v", f.name, r)
	}
	if got.Failure != nil {
		t.Errorf("%s: the child %s at %s", f.name, got.Failure.Code, got.Failure.Step)
	}
}

type used struct{ heap, resident uint64 }

// memory is what this process has in use, when what can be is freed.
func memory() (heap, resident uint64) {
	debug.FreeOSMemory()
	now := usedNow()
	return now.heap, now.resident
}

func usedNow() used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	now := used{heap: m.HeapAlloc, resident: m.Sys - m.HeapReleased}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return now // not Linux: what the runtime has of the system
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			if kb, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				now.resident = kb << 10
			}
		}
	}
	return now
}

// peakOf is the most that the process has in use while it does something.
func peakOf(do func()) used {
	var most used
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			now := usedNow()
			most.heap, most.resident = max(most.heap, now.heap), max(most.resident, now.resident)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(done)
	<-watched
	return most
}
