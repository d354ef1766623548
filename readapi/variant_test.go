package readapi_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

// webItem is what these tests read of an item or a link.
type webItem struct {
	Web *struct {
		ContentType string `json:"content_type"`
		Size        int64  `json:"size"`
		SHA256      string `json:"sha256"`
	} `json:"web_variant"`
}

func TestTheCopyThatBrowsersPlayIsServedAsContentIs(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	original, film := random(100_000), random(1<<20)
	id, uploaded := v.upload("alice", "Hafen.mov", original)
	path := "/v1/media/" + string(id)
	web := path + "/content?variant=web"
	v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	v.share(id, "alice", share.Grantee{Kind: share.WithLink, Token: digest([]byte("open"))}, share.Terms{})
	v.share(id, "alice", share.Grantee{Kind: share.WithLink, Token: digest([]byte("once"))}, share.Terms{MaxOpens: 1})
	v.settled()
	v.refused(404, "no_web_variant", "alice user", web)
	v.refused(404, "no_web_variant", "bob user", web)
	v.refused(404, "no_web_variant", "", "/v1/public/open/content?variant=web")
	v.refused(404, "not_found", "mallory user", web)
	if got := into[webItem](v, "alice user", path); got.Web != nil {
		t.Errorf("got %+v before there is one", got.Web)
	}

	f := v.file("alice", "", "video/mp4", film)
	v.by("system", mediaStream(id), media.Derived{Version: 1, Derivatives: []media.Derivative{
		{Kind: media.KindPlayable, Type: "video/mp4", Size: f.Size, SHA256: f.SHA256, Object: f.Object},
	}})
	v.settled()
	for _, c := range []struct{ who, path, via string }{
		{"alice user", web, "owner"}, {"bob user", web, "share"}, {"", "/v1/public/open/content?variant=web", "link"},
	} {
		a := v.get(c.who, c.path)
		if a.StatusCode != 200 || !bytes.Equal(a.body, film) || a.Header.Get("Content-Type") != "video/mp4" || a.Header.Get("ETag") != `"`+string(f.SHA256)+`"` {
			t.Fatalf("%q: %d %v, %d bytes", c.who, a.StatusCode, a.Header, len(a.body))
		}
		if name := a.Header.Get("Content-Disposition"); !strings.HasPrefix(name, `inline; filename="Hafen.mp4"`) {
			t.Errorf("%q: %s", c.who, name)
		}
		if s := v.rec.last(); s.What != "content" || s.Via != c.via || s.Object != f.Object || s.Bytes != 1<<20 {
			t.Errorf("%q: recorded %+v", c.who, s)
		}
		// A player asks for the beginning of everything, and seeks.
		a = v.get(c.who, c.path, "Range", "bytes=0-")
		if a.StatusCode != 206 || !bytes.Equal(a.body, film) {
			t.Errorf("%q from the start: %d, %d bytes", c.who, a.StatusCode, len(a.body))
		}
		a = v.get(c.who, c.path, "Range", "bytes=700000-", "If-Range", a.Header.Get("ETag"))
		if a.StatusCode != 206 || !bytes.Equal(a.body, film[700000:]) || a.Header.Get("Content-Range") != "bytes 700000-1048575/1048576" {
			t.Errorf("%q from the middle: %d, %d bytes", c.who, a.StatusCode, len(a.body))
		}
	}
	if a := v.get("alice user", path+"/content?variant=original"); !bytes.Equal(a.body, original) {
		t.Error("the original is another one now")
	}
	if a := v.ask(http.MethodHead, "bob user", web); a.StatusCode != 200 || a.ContentLength != 1<<20 || len(a.body) > 0 {
		t.Errorf("HEAD: %d, %d", a.StatusCode, a.ContentLength)
	}
	v.refused(400, "invalid", "bob user", path+"/content?variant=small")
	v.refused(403, "not_permitted", "bob user", web+"&download=1")
	if a := v.get("alice user", web+"&download=1"); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Disposition"), `attachment; filename="Hafen.mp4"`) {
		t.Errorf("download: %d %v", a.StatusCode, a.Header)
	}
	for _, path := range []string{path, "/v1/public/open"} {
		who := "bob user"
		if strings.Contains(path, "public") {
			who = ""
		}
		if got := into[webItem](v, who, path); got.Web == nil || got.Web.Size != 1<<20 || got.Web.ContentType != "video/mp4" || got.Web.SHA256 != string(f.SHA256) {
			t.Errorf("%s: %+v", path, got.Web)
		}
	}
	t.Run("as of the upload there was none", func(t *testing.T) {
		v.refused(404, "no_web_variant", "alice user", web+"&as_of="+after(uploaded)[1])
	})
	t.Run("it counts as an open of a link with a limit, and whoever opened it fetches the other parts", func(t *testing.T) {
		const once = "/v1/public/once/content"
		a := v.get("", once+"?variant=web", "Range", "bytes=0-9")
		cookies := a.Cookies()
		if a.StatusCode != 206 || len(cookies) != 1 {
			t.Fatalf("%d %s %v", a.StatusCode, a.body, cookies)
		}
		c := cookies[0]
		if c.Value != ticket || c.Path != once || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.MaxAge != 0 {
			t.Errorf("got %+v", c)
		}
		shown := c.Name + "=" + c.Value
		v.refused(410, "share_exhausted", "", once+"?variant=web", "Range", "bytes=10-19")
		v.refused(410, "share_exhausted", "", once+"?variant=web", "Cookie", shown) // all of it is another open
		v.refused(410, "share_exhausted", "", once, "Range", "bytes=10-19", "Cookie", shown)
		v.refused(410, "share_exhausted", "", once+"?variant=web", "Range", "bytes=10-19", "Cookie", shown+"x")
		a = v.get("", once+"?variant=web", "Range", "bytes=10-19", "Cookie", shown, "X-Forwarded-Proto", "https")
		if a.StatusCode != 206 || !bytes.Equal(a.body, film[10:20]) || len(a.Cookies()) > 0 {
			t.Errorf("another part: %d %s %v", a.StatusCode, a.body, a.Cookies())
		}
		if s := v.rec.last(); !s.Part || s.Ticket != ticket || s.From != 10 || s.Bytes != 10 {
			t.Errorf("recorded %+v", s)
		}
	})
	t.Run("a browser that is led to it plays it, and runs nothing in anything", func(t *testing.T) {
		for path, want := range map[string]string{web: "sandbox allow-same-origin; default-src 'none'", path + "/content": "sandbox; default-src 'none'"} {
			if got := v.get("bob user", path).Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, want) || strings.Contains(got, "allow-scripts") {
				t.Errorf("%s: %s", path, got)
			}
		}
	})
	t.Run("nobody gets that of an item in quarantine, whatever the read models say", func(t *testing.T) {
		v.by("system", mediaStream(id), media.Quarantined{Source: media.Source{By: "system", Version: 1}, Code: media.CodeScreening})
		for _, c := range []struct{ who, path string }{
			{"alice user", web}, {"bob user", web}, {"", "/v1/public/open/content?variant=web"}, {"alice user", web + "&as_of=" + after(uploaded + 4)[1]},
		} {
			for _, part := range []string{"bytes=0-", "bytes=5-9"} {
				if a := v.get(c.who, c.path, "Range", part); a.StatusCode < 400 || bytes.Contains(a.body, film[5:10]) {
					t.Errorf("%q gets %s of %s: %d", c.who, part, c.path, a.StatusCode)
				}
			}
		}
	})
}
