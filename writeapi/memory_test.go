package writeapi

import (
	"bytes"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The size of the upload of TestALargeUploadIsNotHeldInMemory; by hand with 2048 and more, as docs/benchmarks.md tells.
var largeMiB = flag.Int64("large-upload", 128, "MiB of the large upload")

// It does not run beside other tests: it measures what the process takes from the system.
func TestALargeUploadIsNotHeldInMemory(t *testing.T) {
	v := newVault(t, nil)
	runtime.GC()
	const mib = 1 << 20
	for way, length := range map[string]int64{"length said": *largeMiB * mib, "length not said": -1, "a form": -1} {
		most, done, watched := uint64(0), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for tick := time.NewTicker(20 * time.Millisecond); ; {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.Sys-m.HeapReleased)
				select {
				case <-done:
					tick.Stop()
					return
				case <-tick.C:
				}
			}
		}()
		png := picture(way)
		content := io.MultiReader(bytes.NewReader(png), io.LimitReader(&noise{}, *largeMiB*mib-int64(len(png))))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.url+"/v1/media", content)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("Authorization", "Bearer "+v.token("alice"))
		r.Header.Set("Content-Type", "image/png")
		r.Header.Set("Content-Disposition", "attachment; filename=large.png")
		if way == "a form" {
			const head = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large.png\"\r\n\r\n"
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(head), content, strings.NewReader("\r\n--x--\r\n")))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.Header.Del("Content-Disposition")
		}
		began := time.Now()
		got := v.send(r)
		took := time.Since(began)
		close(done)
		<-watched
		v.want(got, 201, "")
		if got.body["size"] != float64(*largeMiB*mib) {
			t.Errorf("%s: %s", way, got.raw)
		}
		t.Logf("%s: %d MiB in %v (%.0f MiB/s), memory at most %d MiB", way, *largeMiB, took.Round(time.Millisecond), float64(*largeMiB)/took.Seconds(), most/mib)
		if most > 150*mib {
			t.Errorf("%s: %d MiB of memory for an upload of %d MiB", way, most/mib, *largeMiB)
		}
	}
}

// noise is fast, and does not compress.
type noise struct{ block []byte }

func (n *noise) Read(p []byte) (int, error) {
	if n.block == nil {
		n.block = make([]byte, 64<<10)
		for i := range n.block {
			n.block[i] = byte(rand.Uint32())
		}
	}
	return copy(p, n.block), nil
}
