package main

import (
	"cmp"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// front is what stands between a browser and a vault: a page with a player at /page, and everything else as the vault answers it, but
// that no answer gets further than so many bytes, as through a bad network.
type front struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	film  string     // what the page plays
	parts int        // answers with a part that does not begin at the beginning
}

const breaksAfter = 200 << 10 // bytes

func newFront(t *testing.T, vault string) *front {
	t.Helper()
	to, err := url.Parse(vault)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if said := r.Header.Get("Content-Range"); r.StatusCode == http.StatusPartialContent && !strings.HasPrefix(said, "bytes 0-") {
				f.parts++
			}
			r.Body = &breaking{ReadCloser: r.Body, left: breaksAfter}
			return nil
		},
		ErrorLog:     log.New(io.Discard, "", 0), // that it breaks is meant
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			f.mu.Lock()
			defer f.mu.Unlock()
			_, _ = io.WriteString(w, `<!doctype html><video muted controls src="`+f.film+`"></video>`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// breaking ends in the middle.
type breaking struct {
	io.ReadCloser
	left int
}

var errBroken = errors.New("the network broke")

// Read implements io.Reader.
func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBroken
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// film is ten seconds of noise, as a camera's file that browsers do not play: its copy takes many parts to fetch.
func film(t *testing.T, ffmpeg string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mov")
	out, err := exec.CommandContext(t.Context(), ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "nullsrc=s=320x180:r=15:d=10,geq=random(1)*255:128:128", //nolint:gosec // found on PATH
		"-f", "lavfi", "-i", "sine=frequency=440:duration=10", "-c:v", "mpeg4", "-b:v", "2M", "-c:a", "pcm_s16le", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(path) //nolint:gosec // written just now
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAFilmPlaysInABrowserThatOpensItsLinkOnce(t *testing.T) {
	t.Parallel()
	ffmpeg, _ := exec.LookPath("ffmpeg") // the vault that is tested finds the same one, or none
	if ffmpeg == "" || chromium() == "" {
		t.Logf("not tried: ffmpeg at %q, a browser at %q", ffmpeg, chromium())
		return // without ffmpeg there is no film for browsers, without a browser nobody who plays it
	}
	v := startVault(t, t.TempDir())
	alice := v.as("alice", "user")
	up, err := alice.Upload(t.Context(), "/v1/media", "film.mov", "video/quicktime", film(t, ffmpeg), nil)
	if err != nil {
		t.Fatal(err)
	}
	var item struct {
		Web *struct {
			Size int64 `json:"size"`
		} `json:"web_variant"`
	}
	if err := alice.Until(t.Context(), "/v1/media/"+up.ID, &item, func() bool { return item.Web != nil }); err != nil {
		t.Fatal(err)
	}
	f := newFront(t, v.base)
	for _, c := range []struct{ name, page string }{{"led to the film itself", ""}, {"in a page", "/page"}} {
		t.Run(c.name, func(t *testing.T) {
			link, err := alice.Write(t.Context(), http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": map[string]any{"link": true}, "max_opens": 1})
			if err != nil {
				t.Fatal(err)
			}
			film := "/v1/public/" + link.Token + "/content?variant=web"
			before := f.plays(film)
			b := startBrowser(t, chromium())
			b.goTo(f.URL + cmp.Or(c.page, film))
			const player = "document.querySelector('video')"
			seen := ""
			waits := func(what, so string) {
				t.Helper()
				eventually(t, what, 2*time.Minute, func() bool {
					seen = b.eval("(v => v && [v.readyState, v.duration, v.currentTime, v.error && v.error.message].join())(" + player + ")")
					return b.eval("(v => !!v && "+so+")("+player+")") == "true"
				})
			}
			t.Cleanup(func() { t.Logf("at the end: %s; %d parts of %d bytes", seen, f.partly()-before, item.Web.Size) })
			waits("how long it is", "v.duration > 9 && v.duration < 11 && v.videoWidth == 320")
			b.eval(player + ".muted = true, " + player + ".play(), 1")
			waits("it plays", "v.readyState >= 3 && v.currentTime > 0.3")
			b.eval(player + ".currentTime = 8, 1")
			waits("it plays on from elsewhere", "!v.seeking && v.currentTime > 8.3 && !v.error")
			if n := f.partly() - before; n < 2 {
				t.Errorf("%d parts were fetched", n)
			}
			var opened struct {
				Opens  int    `json:"opens"`
				Status string `json:"status"`
			}
			if err := alice.Until(t.Context(), "/v1/shares/"+link.ID, &opened, func() bool { return opened.Opens > 0 }); err != nil || opened.Opens != 1 || opened.Status != "exhausted" {
				t.Errorf("%+v, %v", opened, err)
			}
			other, err := http.Get(f.URL + film) //nolint:gosec,noctx // the test's own server
			if err != nil {
				t.Fatal(err)
			}
			defer other.Body.Close()
			if other.StatusCode != http.StatusGone {
				t.Errorf("another gets a %d", other.StatusCode)
			}
		})
	}
}

// plays has the page play another film, and answers how many parts there were so far.
func (f *front) plays(film string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.film = film
	return f.parts
}

func (f *front) partly() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.parts
}
