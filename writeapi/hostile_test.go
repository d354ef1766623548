package writeapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain/media"
)

// untouched fails the test when anything but refusals was written since.
func (v *vault) untouched(events, objects int) {
	v.t.Helper()
	for _, rec := range v.events()[events:] {
		if rec.Type != "media.upload_refused" && rec.Type != "access.refused" {
			v.t.Errorf("%s was written: %+v", rec.Type, rec.Event)
		}
	}
	if n := v.objects(); n != objects {
		v.t.Errorf("%d objects were left in storage", n-objects)
	}
}

func TestHostileFileNames(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for _, name := range []string{
		"../../etc/passwd.png", `..\..\boot.png`, "/etc/cron.d/x.png", `C:\Windows\x.png`, "....//....//x.png", "%2e%2e%2fx.png",
		"a\x00.png", "a\nb.png", "a\r\nX-Injected: 1.png", "a\x1b[31m.png", "\u202egnp.exe", "a\u202egnp.png", "\u2066x\u2069.png",
		strings.Repeat("x", 10_000) + ".png", strings.Repeat("é", 5_000) + ".png", ".", "..", "...", " ", ".png", "x.php", "x.php.png", "x.png.exe",
		"CON.png", "nul", "LPT1.png", "aux.tar.png", "x.png ", "x.png.", "x.html", "x.sh", "<script>alert(1)</script>.png", "'; DROP TABLE events; --.png",
		"$(reboot).png", "`id`.png", "|x.png", "a:b.png", "x.png::$DATA", "\ufeff.png", "\xff\xfe.png", "a/b.png", "~/x.png", "-rf.png",
	} {
		events, objects := len(v.events()), v.objects()
		form, kind := multipartOf(t, "PLACEHOLDER", picture(name))
		form = bytes.Replace(form, []byte("PLACEHOLDER"), []byte(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "%0D", "\n", "%0A").Replace(name)), 1)
		for way, got := range map[string]reply{
			"form": v.do("alice", "POST", "/v1/media", form, "Content-Type", kind),
			"body": v.do("alice", "POST", "/v1/media", picture(name), "Content-Type", "image/png", "Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(name)),
			"json": v.do("alice", "POST", "/v1/uploads", fmt.Sprintf(`{"filename":%s,"size":10,"sha256":%q}`, quoted(name), sumOf("x"))),
		} {
			switch {
			case got.status == 201 && way != "json":
				if bad := nameOf(v, got.id()); strings.ContainsAny(bad, "/\\\x00\r\n\x1b\u202e") || len(bad) > 255 || bad == "" {
					t.Errorf("%s: %q was kept as %q", way, name, bad)
				}
			case got.status != 201 && (got.status < 400 || got.status > 499):
				t.Errorf("%s: %q: %s", way, name, got.raw)
			case got.status != 201 && strings.Contains(string(got.raw), "Injected"):
				t.Errorf("%s: %q is repeated in the answer: %s", way, name, got.raw)
			}
		}
		uploaded := 0
		for _, rec := range v.events()[events:] {
			if _, ok := rec.Event.(media.Uploaded); ok {
				uploaded++
			}
		}
		if n := v.objects(); n != objects+min(1, uploaded) { // one content of one owner
			t.Errorf("%q: %d items, %d objects more", name, uploaded, n-objects)
		}
	}
}

// quoted is the name as a JSON string, bytes that are not UTF-8 and all.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func nameOf(v *vault, id string) string {
	for _, rec := range v.events() {
		if e, ok := rec.Event.(media.Uploaded); ok && string(e.Media) == id {
			return e.File.Name.Text()
		}
	}
	return ""
}

func TestHostileContent(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for _, c := range []struct {
		what, name, declared string
		content              []byte
		status               int
	}{
		{"nothing", "a.png", "image/png", nil, 422},
		{"a program", "a.png", "image/png", append([]byte("MZ\x90\x00\x03"), make([]byte, 500)...), 415},
		{"an ELF", "a.jpg", "image/jpeg", append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 500)...), 415},
		{"a page", "a.png", "image/png", []byte("<!DOCTYPE html><html><script>alert(1)</script></html>"), 415},
		{"a script", "a.jpg", "image/jpeg", []byte("#!/bin/sh\nrm -rf /\n"), 415},
		{"an SVG with a script", "a.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 422},
		{"PHP", "a.gif", "image/gif", []byte("<?php system($_GET['c']); ?>"), 415},
		{"noise", "a.png", "image/png", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 201, 202}, 415},
		{"a PNG that says it is a film", "a.png", "video/mp4", picture("x"), 415},
		{"a PNG by the name of a film", "a.mp4", "", picture("x"), 415},
	} {
		events, objects := len(v.events()), v.objects()
		form, kind := multipartOf(t, c.name, c.content)
		form = bytes.Replace(form, []byte("application/octet-stream"), []byte(c.declared+"; x=y"), 1)
		if c.declared == "" {
			form, kind = multipartOf(t, c.name, c.content)
		}
		for way, got := range map[string]reply{
			"form": v.do("alice", "POST", "/v1/media", form, "Content-Type", kind),
			"body": v.do("alice", "POST", "/v1/media", c.content, "Content-Type", c.declared, "Content-Disposition", "attachment; filename="+c.name),
		} {
			if got.status != c.status {
				t.Errorf("%s as a %s: %s", c.what, way, got.raw)
			}
		}
		v.untouched(events, objects)
	}
	// A polyglot is refused, or kept as what it was said to be and as that alone.
	for _, tail := range []string{"<script>alert(1)</script>", "PK\x03\x04 a zip", "%PDF-1.7", "<?php ?>"} {
		got := v.do("alice", "POST", "/v1/media", append(picture(tail), tail...), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png")
		if got.status != 415 && (got.status != 201 || got.text("type") != "image/png") {
			t.Errorf("%s", got.raw)
		}
	}
}

func TestWhatDiffersFromWhatWasAnnouncedIsRefused(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	png := picture("x")
	big := append(picture("big"), make([]byte, 20<<20)...) // several parts in storage
	other := sumOf("other")
	for _, content := range [][]byte{png, big} {
		behind, kindBehind := multipartOf(t, "a.png", content, "sha256", other)
		unknown, kindUnknown := multipartOf(t, "a.png", content, "title", "t", "colour", "red")
		twice, kindTwice := multipartOf(t, "a.png", content, "title", "t", "title", "u")
		whole, kindWhole := multipartOf(t, "a.png", content)
		const disp, name = "Content-Disposition", "attachment; filename=a.png"
		for what, c := range map[string]struct {
			status int
			code   string
			got    reply
		}{
			"X-Content-SHA256":         {422, "sha256_mismatch", v.do("alice", "POST", "/v1/media", content, "Content-Type", "image/png", disp, name, "X-Content-SHA256", other)},
			"Content-Digest":           {422, "sha256_mismatch", v.do("alice", "POST", "/v1/media", content, disp, name, "Content-Digest", "sha-256=:"+base64Of("other")+":")},
			"Digest":                   {422, "sha256_mismatch", v.do("alice", "POST", "/v1/media", content, disp, name, "Digest", "SHA-256="+base64Of("other"))},
			"the field sha256":         {422, "sha256_mismatch", v.do("alice", "POST", "/v1/media", behind, "Content-Type", kindBehind)},
			"the form's digest":        {422, "sha256_mismatch", v.do("alice", "POST", "/v1/media", whole, "Content-Type", kindWhole, "Content-Digest", "sha-256=:"+base64Of("other")+":")},
			"an unknown field behind":  {400, "unknown_field", v.do("alice", "POST", "/v1/media", unknown, "Content-Type", kindUnknown)},
			"a field twice behind":     {400, "duplicate_field", v.do("alice", "POST", "/v1/media", twice, "Content-Type", kindTwice)},
			"a form without an end":    {400, "body_incomplete", v.do("alice", "POST", "/v1/media", whole[:len(whole)-8], "Content-Type", kindWhole)},
			"a form cut in its file":   {400, "body_incomplete", v.do("alice", "POST", "/v1/media", whole[:len(whole)-80], "Content-Type", kindWhole)},
			"a parameter nobody knows": {400, "unknown_parameter", v.do("alice", "POST", "/v1/media?colour=red", content, disp, name)},
			"an If-Match for nothing":  {400, "invalid", v.do("alice", "POST", "/v1/media", content, disp, name, "If-Match", `"1"`)},
		} {
			if c.got.status != c.status || c.got.code() != c.code {
				t.Errorf("%s of %d bytes: %s", what, len(content), c.got.raw)
			}
		}
		v.untouched(0, 0)
	}
}

// raw sends bytes as they are and answers the first answer's status and what follows; half closes the sending side after them.
func (v *vault) raw(request string, half bool) (status int, rest string) {
	v.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(v.url, "http://"))
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		v.t.Fatal(err)
	}
	if half {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		v.t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestBodiesThatEndBeforeTheirLength(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	png := string(append(picture("x"), make([]byte, 9<<20)...))
	head := "POST /v1/media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + v.token("alice") + "\r\n"
	named := "Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n"
	form := wire(file("a.png", png))
	for what, request := range map[string]string{
		"a small body":          head + named + "Content-Length: 500\r\n\r\n" + png[:300],
		"a large body":          head + named + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(png)+1) + png,
		"chunks without an end": head + named + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", len(png)) + png + "\r\n",
		"chunks that are none":  head + named + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + png[:100],
		"a form":                head + "Content-Type: multipart/form-data; boundary=x\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(form)+10) + form[:len(form)-10],
		"JSON":                  strings.Replace(head, "/v1/media", "/v1/shares", 1) + "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"media_id\":",
	} {
		if status, body := v.raw(request, true); status != 400 {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	v.untouched(0, 0)
	// What is longer than its length is another request, and one that makes no sense; the length itself holds.
	got, body := v.raw(head+named+fmt.Sprintf("X-Content-SHA256: %s\r\nContent-Length: %d\r\n\r\n", sumOf(png), len(png)-1)+png, true)
	if got != 422 || !strings.Contains(body, "sha256_mismatch") {
		t.Errorf("a body that is longer: %d %s", got, body)
	}
	v.untouched(0, 0)
}

func TestWhoAsksBeforeSendingIsToldBeforeSending(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	named := "Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n"
	head := func(who string) string {
		return "POST /v1/media HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + who + named
	}
	alice := "Authorization: Bearer " + v.token("alice") + "\r\n"
	for what, c := range map[string]struct {
		request string
		status  int
	}{
		"too large":        {head(alice) + "Content-Length: 6000000000\r\n\r\n", 413},
		"a guest":          {head("") + "Content-Length: 100\r\n\r\n", 401},
		"a moderator":      {head("Authorization: Bearer "+v.token("mod1", "moderator")+"\r\n") + "Content-Length: 100\r\n\r\n", 403},
		"a dangerous name": {strings.Replace(head(alice), "a.png", "a.exe", 1) + "Content-Length: 100\r\n\r\n", 422},
		"welcome":          {head(alice) + "Content-Length: 100\r\n\r\n", 100},
	} {
		if status, body := v.raw(c.request, false); status != c.status {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
}

func TestALargeFileIsRefusedWithoutBeingRead(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(s *Server) { s.MaxFile = 12 << 20 })
	content := append(picture("x"), make([]byte, 12<<20)...)
	form, kind := multipartOf(t, "a.png", content)
	v.want(v.do("alice", "POST", "/v1/media", content, "Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png"), 413, "too_large")
	v.want(v.do("alice", "POST", "/v1/media", io.MultiReader(bytes.NewReader(content)), "Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png"), 413, "too_large")
	v.want(v.do("alice", "POST", "/v1/media", io.MultiReader(bytes.NewReader(form)), "Content-Type", kind), 413, "too_large")
	v.untouched(0, 0)
}
