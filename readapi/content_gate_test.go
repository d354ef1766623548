package readapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errBroken = errors.New("storage is gone")

// failing reads fail at from on.
type failing struct {
	*bytes.Reader
	from int64
}

func (f failing) Read(p []byte) (int, error) {
	at, _ := f.Seek(0, io.SeekCurrent)
	if at >= f.from {
		return 0, errBroken
	}
	return f.Reader.Read(p[:min(int64(len(p)), f.from-at)])
}

func serve(r *http.Request, src io.ReadSeeker, size int64, permit func(served) error) (*httptest.ResponseRecorder, *gate) {
	w := httptest.NewRecorder()
	f := &file{src: src, size: size, head: r.Method == http.MethodHead}
	g := newGate(w, f, permit)
	g.Header().Set("ETag", `"abc"`)
	g.Header().Set("Content-Type", "image/png")
	http.ServeContent(g, r, "", time.Unix(1_700_000_000, 0), f)
	return w, g
}

func TestTheGateServesWhatServeContentDecides(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	for _, c := range []struct {
		name, method string
		header       map[string]string
		status       int
		asked        served
		permits      int
	}{
		{"everything", "GET", nil, 200, served{true, false, 0, 160_000}, 1},
		{"one range", "GET", map[string]string{"Range": "bytes=70000-70009"}, 206, served{true, true, 70_000, 10}, 1},
		{"the end", "GET", map[string]string{"Range": "bytes=-5"}, 206, served{true, true, 159_995, 5}, 1},
		{"not changed", "GET", map[string]string{"If-None-Match": `"abc"`}, 304, served{}, 1},
		{"another If-Range", "GET", map[string]string{"Range": "bytes=0-1", "If-Range": `"other"`}, 200, served{true, false, 0, 160_000}, 1},
		{"the same If-Range", "GET", map[string]string{"Range": "bytes=0-1", "If-Range": `"abc"`}, 206, served{true, true, 0, 2}, 1},
		{"headers alone", "HEAD", nil, 200, served{}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/", nil)
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			var asked []served
			w, g := serve(r, bytes.NewReader(data), int64(len(data)), func(s served) error { asked = append(asked, s); return nil })
			if g.err != nil || g.file.err != nil || w.Code != c.status || len(asked) != c.permits || asked[0] != c.asked {
				t.Fatalf("got %d, asked %v, error %v", w.Code, asked, g.err)
			}
			if c.status == 200 && c.method == "GET" && !bytes.Equal(w.Body.Bytes(), data) {
				t.Fatal("other bytes")
			}
			if c.status == 206 && w.Body.String() != string(data[c.asked.from:c.asked.from+c.asked.bytes]) {
				t.Fatalf("other bytes: %q", w.Body)
			}
		})
	}
}

func TestARefusalLetsNothingThrough(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "bytes=1-2", "bytes=1-2,4-5", "bytes=99-"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Range", header)
		no := errors.New("no")
		w, g := serve(r, strings.NewReader("hello world"), 11, func(served) error { return no })
		if !errors.Is(g.err, no) || w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Fatalf("range %q: %v, %d bytes, headers %v", header, g.err, w.Body.Len(), w.Header())
		}
	}
}

func TestStorageThatFailsIsToldBeforeTheStatusOrKeptForTheEnd(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 100_000)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w, g := serve(r, failing{bytes.NewReader(data), 0}, 100_000, func(served) error { t.Error("asked although nothing can be served"); return nil })
	if !errors.Is(g.err, errBroken) || len(w.Header()) > 0 {
		t.Fatalf("at once: %v, %v", g.err, w.Header())
	}
	w, g = serve(r, failing{bytes.NewReader(data), 50_000}, 100_000, func(served) error { return nil })
	if g.err != nil || !errors.Is(g.file.err, errBroken) || w.Body.Len() != 50_000 {
		t.Fatalf("later: %v, %v, %d bytes", g.err, g.file.err, w.Body.Len())
	}
	w, g = serve(r, bytes.NewReader(data[:60_000]), 100_000, func(served) error { return nil })
	if !errors.Is(g.file.err, io.ErrUnexpectedEOF) || w.Body.Len() != 60_000 {
		t.Fatalf("a blob that is too short: %v, %d bytes", g.file.err, w.Body.Len())
	}
}

func TestAnySeekAndReadAnswersTheSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := make([]byte, rapid.IntRange(1, 100_000).Draw(t, "size"))
		for i := range data {
			data[i] = byte(i * 7)
		}
		f, want := &file{src: bytes.NewReader(data), size: int64(len(data))}, bytes.NewReader(data)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				to := rapid.Int64Range(0, int64(len(data))).Draw(t, "to")
				_, _ = f.Seek(to, io.SeekStart)
				_, _ = want.Seek(to, io.SeekStart)
			case 1:
				if err := f.prime(); err != nil {
					t.Fatal(err)
				}
			case 2:
				p := make([]byte, rapid.IntRange(1, 50_000).Draw(t, "read"))
				n, err := f.Read(p)
				q := make([]byte, n)
				m, _ := want.Read(q)
				if (err != nil) != (n == 0) || n != m || !bytes.Equal(p[:n], q) {
					t.Fatalf("%d, %d, %v", n, m, err)
				}
			}
		}
	})
}

func TestContentDispositionCarriesAnyName(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"harbour.jpg", `inline; filename="harbour.jpg"; filename*=UTF-8''harbour.jpg`},
		{"Möwe \"7\";.png", `inline; filename="M_we _7__.png"; filename*=UTF-8''M%C3%B6we%20%227%22%3B.png`},
		{"a\r\nSet-Cookie: x", `inline; filename="aSet-Cookie: x"; filename*=UTF-8''aSet-Cookie%3A%20x`},
		{"\u202egpj.exe", `inline; filename="gpj.exe"; filename*=UTF-8''gpj.exe`},
		{"../../etc/passwd", `inline; filename="....etcpasswd"; filename*=UTF-8''....etcpasswd`},
		{"", `inline; filename="file.png"; filename*=UTF-8''file.png`},
	} {
		if got := disposition("inline", c[0], "image/png"); got != c[1] {
			t.Errorf("%q: %s", c[0], got)
		}
	}
}

func FuzzDisposition(f *testing.F) {
	f.Add("harbour.jpg")
	f.Add("\xff\x00\"\\")
	f.Add(strings.Repeat("é", 300))
	f.Fuzz(func(t *testing.T, name string) {
		said := disposition("attachment", name, "image/png")
		if strings.ContainsAny(said, "\r\n\x00") {
			t.Fatalf("breaks the header: %q", said)
		}
		kind, params, err := mime.ParseMediaType(said)
		if err != nil || kind != "attachment" || params["filename"] == "" {
			t.Fatalf("%q: %v %v", said, params, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-1", "bytes=5-", "bytes=0-1,3-4", "bytes=", "bytes=9223372036854775807-", "bytes=1-0", "bytes=-0", "bytes=-0,1-2"} {
		f.Add(seed)
	}
	data := []byte("the quick brown fox jumps over the lazy dog")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Range"] = []string{header}
		siftRange(r, int64(len(data)))
		w, g := serve(r, bytes.NewReader(data), int64(len(data)), func(s served) error {
			if s.delivers && (s.from < 0 || s.bytes < 0) {
				return fmt.Errorf("recorded %v", s)
			}
			return nil
		})
		outside := errors.Is(g.err, errRange) && w.Header().Get("Content-Range") == fmt.Sprintf("bytes */%d", len(data))
		if !outside && (g.err != nil || (w.Code != 200 && w.Code != 206)) {
			t.Fatalf("%q: %d %v", header, w.Code, g.err)
		}
	})
}

func TestADecisionEndsADeliveryUnderWay(t *testing.T) {
	t.Parallel()
	no := errors.New("quarantined")
	asked := 0
	w := httptest.NewRecorder()
	g := newGate(w, &file{src: bytes.NewReader([]byte("0123456789")), size: 10}, func(served) error { return nil })
	g.still = func() error { asked++; return no }
	if n, err := g.Write([]byte("01234")); n != 5 || err != nil || asked != 0 {
		t.Fatalf("%d, %v, asked %d times", n, err, asked)
	}
	g.asked = g.asked.Add(-patience - 1) // time passes
	for range 2 {
		if n, err := g.Write([]byte("56789")); n != 0 || !errors.Is(err, no) {
			t.Errorf("%d bytes left, %v", n, err)
		}
	}
	if asked != 1 || w.Body.String() != "01234" {
		t.Errorf("asked %d times, %q left", asked, w.Body)
	}
}
