package writeapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/web"
)

const crlf = "\r\n"

// post is a request with this body; headers are name, value, name, value.
func post(body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/media", strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// formOf is a form with the boundary x, of parts as they are written on the wire.
func formOf(parts ...string) *http.Request {
	return post(wire(parts...), "Content-Type", "multipart/form-data; boundary=x")
}

func wire(parts ...string) string {
	return "--x" + crlf + strings.Join(parts, crlf+"--x"+crlf) + crlf + "--x--" + crlf
}

func field(name, value string) string {
	return `Content-Disposition: form-data; name="` + name + `"` + crlf + crlf + value
}

func file(filename, content string) string {
	return `Content-Disposition: form-data; name="file"; filename="` + filename + `"` + crlf + "Content-Type: image/png" + crlf + crlf + content
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func base64Of(content string) string {
	sum := sha256.Sum256([]byte(content))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const plenty = 1 << 20

func TestAFormGivesItsFileAndItsFields(t *testing.T) {
	t.Parallel()
	before := formOf(field("title", "Harbour"), field("tags", "a, b"), field("tags", "c"), field("sha256", sumOf("bytes")), file("h.png", "bytes"))
	behind := formOf(file("h.png", "bytes"), field("title", "Harbour"), field("tags", "a, b"), field("tags", "c"), field("sha256", sumOf("bytes")))
	for name, r := range map[string]*http.Request{"fields before the file": before, "fields behind the file": behind} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := receive(r, plenty, uploadFields...)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(u.body, []byte("bytes")); err != nil {
				t.Fatal(err)
			}
			if u.name != "h.png" || u.declared != "image/png" || u.title != "Harbour" ||
				strings.Join(u.tags, "|") != "a|b|c" || string(u.sha256) != sumOf("bytes") || u.description != "" {
				t.Errorf("got %+v", u)
			}
		})
	}
}

func TestABodyGivesItsNameTypeLengthAndDigest(t *testing.T) {
	t.Parallel()
	r := post("bytes", "Content-Type", "image/png; q=1", "Content-Disposition", `attachment; filename="h.png"; filename*=UTF-8''%C3%BC.png`,
		"Content-Digest", "sha-512=:AAAA:, sha-256=:"+base64Of("bytes")+":;x=1", "Digest", "md5=AAAA,SHA-256="+base64Of("bytes"),
		"X-Content-SHA256", strings.ToUpper(sumOf("bytes")))
	u, err := receive(r, plenty, uploadFields...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(u.body)
	if err != nil || string(got) != "bytes" || u.name != "ü.png" || u.declared != "image/png" || u.size != 5 || string(u.sha256) != sumOf("bytes") {
		t.Errorf("got %+v %q %v", u, got, err)
	}
}

func TestUploadsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	const disp = "Content-Disposition"
	long := strings.Repeat("x", maxForm)
	for _, c := range []struct {
		name  string
		r     *http.Request
		want  error
		field string
	}{
		{"no name", post("b"), errNoName, disp},
		{"no filename in the header", post("b", disp, "attachment"), errNoName, disp},
		{"an empty filename", post("b", disp, `attachment; filename=""`), errNoName, disp},
		{"a header that is none", post("b", disp, `;;;`), domain.ErrInvalid, disp},
		{"a header twice", post("b", disp, "attachment; filename=a", disp, "attachment; filename=b"), domain.ErrInvalid, disp},
		{"a parameter twice", post("b", disp, "attachment; filename=a; filename=b"), domain.ErrInvalid, disp},
		{"a name that is not UTF-8", post("b", disp, "attachment; filename*=UTF-8''%FF%FE"), domain.ErrInvalid, disp},
		{"a huge header", post("b", disp, "attachment; filename="+long), domain.ErrInvalid, disp},
		{"a type that is none", post("b", "Content-Type", "image/", disp, "attachment; filename=a"), domain.ErrInvalid, "Content-Type"},
		{"a compressed body", post("b", "Content-Encoding", "gzip", disp, "attachment; filename=a"), web.ErrEncoding, "Content-Encoding"},
		{"another multipart", post("b", "Content-Type", "multipart/mixed; boundary=x"), errKind, "Content-Type"},
		{"a digest that is none", post("b", disp, "attachment; filename=a", "Content-Digest", "sha-256=:%%%:"), errDigest, "Content-Digest"},
		{"a digest without colons", post("b", disp, "attachment; filename=a", "Content-Digest", "sha-256="+base64Of("b")), errDigest, "Content-Digest"},
		{"a digest that is too short", post("b", disp, "attachment; filename=a", "Digest", "SHA-256=AAAA"), errDigest, "Digest"},
		{"hexadecimal digits that are none", post("b", disp, "attachment; filename=a", "X-Content-SHA256", strings.Repeat("z", 64)), errDigest, "X-Content-SHA256"},
		{"digests that differ", post("b", disp, "attachment; filename=a", "X-Content-SHA256", sumOf("a"), "Content-Digest", "sha-256=:"+base64Of("b")+":"), errDigests, "X-Content-SHA256"},
		{"a length over the limit", post(strings.Repeat("b", plenty+1), disp, "attachment; filename=a"), media.ErrTooLarge, "file"},
		{"no boundary", post("b", "Content-Type", "multipart/form-data"), errForm, "Content-Type"},
		{"a boundary that is too long", post("b", "Content-Type", "multipart/form-data; boundary="+strings.Repeat("x", 71)), errForm, "Content-Type"},
		{"an empty body for a form", post("", "Content-Type", "multipart/form-data; boundary=x"), errFormCut, ""},
		{"garbage for a form", post("garbage", "Content-Type", "multipart/form-data; boundary=x"), errFormCut, ""},
		{"a form without a file", formOf(field("title", "a")), errNoFile, "file"},
		{"a file without a filename", formOf(field("file", "a")), errNoName, "file"},
		{"an unknown field", formOf(field("colour", "a"), file("a", "b")), errField, "colour"},
		{"a field twice", formOf(field("title", "a"), field("title", "b"), file("a", "b")), errTwice, "title"},
		{"a field that is too large", formOf(field("title", strings.Repeat("x", maxField+1)), file("a", "b")), errFormLarge, "title"},
		{"a field that is not UTF-8", formOf(field("title", "\xff"), file("a", "b")), domain.ErrInvalid, "title"},
		{"a sha256 that is none", formOf(field("sha256", "abc"), file("a", "b")), domain.ErrInvalid, "sha256"},
		{"a part without a name", formOf("X: y"+crlf+crlf+"a", file("a", "b")), errForm, ""},
		{"an encoded part", formOf(`Content-Disposition: form-data; name="title"`+crlf+"Content-Transfer-Encoding: base64"+crlf+crlf+"YQ==", file("a", "b")), web.ErrEncoding, "title"},
		{"a huge preamble", post(strings.Repeat(long[:100]+"\n", maxForm/100+10)+wire(file("a", "b")), "Content-Type", "multipart/form-data; boundary=x"), errFormLarge, ""},
		{"a preamble in one line", post(long+wire(file("a", "b")), "Content-Type", "multipart/form-data; boundary=x"), errForm, ""},
		{"many fields", formOf(strings.Split(strings.Repeat(field("tags", "a")+"\x00", maxFields+1), "\x00")[:maxFields+1]...), errFormLarge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := receive(c.r, plenty, uploadFields...)
			refusal, ok := domain.AsRefusal(err)
			if !errors.Is(err, c.want) || !ok || refusal.Field != c.field {
				t.Errorf("got %v, wanted %v on %q", err, c.want, c.field)
			}
		})
	}
}

func TestWhatComesBehindTheFileIsRefusedBeforeTheFileEnds(t *testing.T) {
	t.Parallel()
	good := file("a", "bytes")
	cut := wire(good)
	digested := formOf(good)
	digested.Header.Set("Content-Digest", "sha-256=:"+base64Of("other")+":")
	announced := formOf(good, field("sha256", sumOf("b")))
	announced.Header.Set("X-Content-SHA256", sumOf("a"))
	for _, c := range []struct {
		name string
		r    *http.Request
		want error
	}{
		{"an unknown field", formOf(good, field("colour", "a")), errField},
		{"a field twice", formOf(field("title", "a"), good, field("title", "b")), errTwice},
		{"a second file", formOf(good, good), errTwice},
		{"another sha256 than the header's", announced, errDigests},
		{"no last boundary", post(strings.TrimSuffix(cut, "--x--"+crlf), "Content-Type", "multipart/form-data; boundary=x"), errFormCut},
		{"half a boundary", post(strings.TrimSuffix(cut, "-"+crlf), "Content-Type", "multipart/form-data; boundary=x"), errFormCut},
		{"cut in the file", post(cut[:len(cut)-12], "Content-Type", "multipart/form-data; boundary=x"), errFormCut},
		{"an epilogue that does not end", post(cut+strings.Repeat("x", 2*maxForm), "Content-Type", "multipart/form-data; boundary=x"), errFormLarge},
		{"another digest of the whole body", digested, media.ErrSHA256},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, err := receive(c.r, 64<<20, uploadFields...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(u.body)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, wanted %v", err, c.want)
			}
			if _, again := u.body.Read(make([]byte, 8)); !errors.Is(again, c.want) {
				t.Errorf("reading again got %v, wanted %v", again, c.want)
			}
		})
	}
}

func TestTheDigestOfAFormIsThatOfItsWholeBody(t *testing.T) {
	t.Parallel()
	body := wire(file("a", "bytes"), field("title", "t"))
	u, err := receive(post(body, "Content-Type", "multipart/form-data; boundary=x", "Content-Digest", "sha-256=:"+base64Of(body)+":"), plenty, uploadFields...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(u.body); err != nil || u.sha256 != "" {
		t.Errorf("got %v, and the digest of the body taken for the file's: %q", err, u.sha256)
	}
}

func TestAFileOverTheLimitIsRefusedAsSoonAsItIs(t *testing.T) {
	t.Parallel()
	const limit = 100
	for name, r := range map[string]*http.Request{
		"a form": formOf(file("a", strings.Repeat("b", limit+1))),
		"a body": post("", "Content-Disposition", "attachment; filename=a"),
	} {
		if name == "a body" {
			r.Body, r.ContentLength = io.NopCloser(endless{}), -1
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := receive(r, limit, uploadFields...)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, u.body); !errors.Is(err, media.ErrTooLarge) || n > limit {
				t.Errorf("got %v after %d bytes", err, n)
			}
		})
	}
	exact := formOf(file("a", strings.Repeat("b", limit)))
	if u, err := receive(exact, limit, uploadFields...); err != nil {
		t.Fatal(err)
	} else if n, err := io.Copy(io.Discard, u.body); err != nil || n != limit {
		t.Errorf("exactly the limit: got %v after %d bytes", err, n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABrokenConnectionIsNotTakenForABrokenForm(t *testing.T) {
	t.Parallel()
	broke := errors.New("reset by peer")
	body := wire(file("a", "bytes"))
	for at := range len(body) - 9 { // from there on the form is whole
		r := formOf()
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(body[:at]), iotest.ErrReader(broke)))
		r.ContentLength = -1
		u, err := receive(r, plenty, uploadFields...)
		if err == nil {
			_, err = io.ReadAll(u.body)
		}
		if !errors.Is(err, broke) {
			t.Fatalf("broken at byte %d: got %v", at, err)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add([]byte(wire(field("title", "a"), file("a.png", "bytes"), field("tags", "a,b"))), "x")
	f.Add([]byte(wire(file("a.png", "bytes"))[:40]), "x")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''a%20b\r\n\r\n\r\n--x--"), "x")
	f.Add([]byte("--\r\n"), "")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/media", bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=\""+boundary+"\"")
		u, err := receive(r, 1_000, uploadFields...)
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, u.body); n > 1_000 {
				t.Errorf("%d bytes passed a limit of 1000", n)
			}
			if u.name == "" {
				t.Error("a file without a name")
			}
		}
		if err == nil { // what is accepted here, the standard library's reader must accept, too
			if _, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(1 << 20); err != nil {
				t.Errorf("accepted what the standard library refuses: %v", err)
			}
			return
		}
		if _, ok := domain.AsRefusal(err); !ok {
			t.Errorf("not a refusal: %v", err)
		}
	})
}

func FuzzContentDisposition(f *testing.F) {
	for _, s := range []string{
		`attachment; filename="a.jpg"`, `attachment; filename*=UTF-8''%e2%82%ac`, `form-data; name="file"; filename="C:\a\b.jpg"`,
		`attachment; filename*0="a"; filename*1="b"`, `attachment; filename="\"\\"`, "inline", `attachment; filename=ü`, ";",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, params, err := disposition(value)
		if _, refused := domain.AsRefusal(err); err != nil && !refused {
			t.Errorf("not a refusal: %v", err)
		}
		if err == nil && !strings.Contains(value, "=") && len(params) > 0 {
			t.Errorf("parameters from nowhere: %v", params)
		}
	})
}

func FuzzDigest(f *testing.F) {
	f.Add("sha-256=:"+base64Of("a")+":", "SHA-256="+base64Of("a"))
	f.Add("sha-512=:x:,sha-256", ",,=")
	f.Fuzz(func(t *testing.T, content, digest string) {
		sum, err := bodyDigest(http.Header{"Content-Digest": {content}, "Digest": {digest}})
		if _, refused := domain.AsRefusal(err); err != nil && !refused {
			t.Errorf("not a refusal: %v", err)
		}
		if err == nil && sum != "" && len(sum) != 64 {
			t.Errorf("not a SHA-256: %q", sum)
		}
	})
}
