package readapi_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/readapi"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func TestContentIsServedWholeInPartsAndOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	content := random(3 << 20)
	id, at := v.upload("alice", `Möwe "7".png`, content)
	path := "/v1/media/" + string(id) + "/content"
	tag := `"` + string(digest(content)) + `"`

	t.Run("whole, with the headers that keep a browser from running it", func(t *testing.T) {
		a := v.get("alice user", path, after(at)...)
		if a.StatusCode != 200 || !bytes.Equal(a.body, content) {
			t.Fatalf("%d, %d bytes", a.StatusCode, len(a.body))
		}
		for name, want := range map[string]string{
			"ETag": tag, "Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes",
			"Content-Disposition": `inline; filename="M_we _7_.png"; filename*=UTF-8''M%C3%B6we%20%227%22.png`,
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
		if policy := a.Header.Values("Content-Security-Policy"); len(policy) != 1 || !strings.HasPrefix(policy[0], "sandbox") {
			t.Errorf("policy: %v", policy)
		}
		if s := v.rec.last(); s.Media != id || s.Version != 1 || s.What != "content" || s.Via != "owner" || s.From != 0 || s.Bytes != 3<<20 {
			t.Errorf("recorded: %+v", s)
		}
	})
	t.Run("in parts", func(t *testing.T) {
		a := v.get("alice user", path, "Range", "bytes=1500000-2500000")
		if a.StatusCode != 206 || !bytes.Equal(a.body, content[1500000:2500001]) || a.Header.Get("Content-Range") != "bytes 1500000-2500000/3145728" {
			t.Fatalf("%d %v, %d bytes", a.StatusCode, a.Header, len(a.body))
		}
		if s := v.rec.last(); s.From != 1500000 || s.Bytes != 1000001 {
			t.Errorf("recorded: %+v", s)
		}
		if a := v.get("alice user", path, "Range", "bytes=-3", "If-Range", tag); a.StatusCode != 206 || !bytes.Equal(a.body, content[len(content)-3:]) {
			t.Errorf("the end: %d, %d bytes", a.StatusCode, len(a.body))
		}
		if a := v.get("alice user", path, "Range", "bytes=0-3", "If-Range", `"another"`); a.StatusCode != 200 || len(a.body) != len(content) {
			t.Errorf("another If-Range: %d, %d bytes", a.StatusCode, len(a.body))
		}
		for _, outside := range []string{"bytes=4000000-", "bytes=-0", "bytes=4000000-,5000000-"} {
			n := v.rec.deliveries()
			a := v.get("alice user", path, "Range", outside)
			if a.code() != "range_not_satisfiable" || a.StatusCode != 416 || a.Header.Get("Content-Range") != "bytes */3145728" ||
				a.Header.Get("Content-Disposition") != "" || a.Header.Get("ETag") != "" || v.rec.deliveries() != n {
				t.Errorf("%s: %d %v %s", outside, a.StatusCode, a.Header, a.body)
			}
		}
		for _, ignored := range []string{"lines=0-1", "bytes=9-0", "bytes=a-b", "bytes=", "bytes=0-1,x", "bytes=--1", "bytes=0-99999999999999999999"} {
			if a := v.get("alice user", path, "Range", ignored); a.StatusCode != 200 || len(a.body) != len(content) {
				t.Errorf("%s: %d, %d bytes", ignored, a.StatusCode, len(a.body))
			}
		}
		if a := v.ask(http.MethodHead, "alice user", path, "Range", "bytes=4000000-"); a.StatusCode != 416 || a.Header.Get("Content-Range") != "bytes */3145728" {
			t.Errorf("headers alone, outside: %d %v", a.StatusCode, a.Header)
		}
		a = v.get("alice user", path, "Range", "bytes=0-9,2000000-2000009")
		kind, params, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
		if a.StatusCode != 206 || kind != "multipart/byteranges" {
			t.Fatalf("two parts: %d %s", a.StatusCode, kind)
		}
		parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
		for _, want := range [][]byte{content[:10], content[2000000:2000010]} {
			part, err := parts.NextPart()
			must(t, err)
			if got, _ := io.ReadAll(part); !bytes.Equal(got, want) {
				t.Errorf("part: %x, not %x", got, want)
			}
		}
	})
	t.Run("not at all when nothing changed, and headers alone for HEAD", func(t *testing.T) {
		n := v.rec.deliveries()
		if a := v.get("alice user", path, "If-None-Match", tag); a.StatusCode != 304 || len(a.body) > 0 {
			t.Errorf("%d", a.StatusCode)
		}
		full := v.ask(http.MethodHead, "alice user", path)
		if full.StatusCode != 200 || full.ContentLength != 3<<20 || len(full.body) > 0 {
			t.Errorf("%d %d", full.StatusCode, full.ContentLength)
		}
		if a := v.get("alice user", path, "If-Modified-Since", full.Header.Get("Last-Modified")); a.StatusCode != 304 {
			t.Errorf("%d", a.StatusCode)
		}
		if v.rec.deliveries() != n {
			t.Error("recorded as served although no byte left")
		}
	})
	t.Run("as a file", func(t *testing.T) {
		if a := v.get("alice user", path+"?download=1"); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
		_, at := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
		if a := v.get("bob user", path, after(at)...); a.StatusCode != 200 || v.rec.last().Via != "share" || v.rec.last().Share == "" {
			t.Errorf("%d %+v", a.StatusCode, v.rec.last())
		}
		v.refused(403, "not_permitted", "bob user", path+"?download=1")
		v.refused(404, "not_found", "mallory user", path)
		v.refused(400, "invalid", "bob user", path+"?download=perhaps")
	})
}

func TestContentAsOfThePastIsTheVersionOfThenUnderTheRightsOfToday(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, first := v.upload("alice", "harbour.png", []byte("the first version"))
	path := "/v1/media/" + string(id) + "/content"
	v.by("alice", mediaStream(id), media.VersionAdded{Version: 2, File: v.file("alice", "two.png", "image/png", []byte("the second"))})
	v.refused(409, "not_screened", "alice user", path, after(v.settled())...)
	second := v.screen(id, 2)
	if a := v.get("alice user", path, after(second)...); string(a.body) != "the second" {
		t.Errorf("now: %d %s", a.StatusCode, a.body)
	}
	then := fmt.Sprintf("?as_of=%d", first)
	if a := v.get("alice user", path+then); string(a.body) != "the first version" || v.rec.last().Version != 1 {
		t.Errorf("then: %d %s", a.StatusCode, a.body)
	}
	v.refused(404, "not_found", "alice user", path+"?as_of=0")

	v.by("system", mediaStream(id), media.Quarantined{Code: "moderation", Source: media.Source{By: "mod", Case: "c"}})
	// The read model need not know yet: the streams decide.
	v.refused(403, "quarantined", "alice user", path+then)
	v.by("system", mediaStream(id), media.Released{Source: media.Source{By: "mod", Case: "c"}})
	v.by("alice", mediaStream(id), media.Deleted{By: "alice"})
	v.refused(409, "deleted", "alice user", path+then)
	it := into[item](v, "alice user", "/v1/media/"+string(id), after(v.settled())...)
	if it.Status != "deleted" {
		t.Errorf("%+v", it)
	}
	var objects []domain.ObjectKey
	for rec, err := range v.store.Stream(t.Context(), mediaStream(id), 0) {
		must(t, err)
		switch e := rec.Event.(type) {
		case media.Uploaded:
			objects = append(objects, e.File.Object)
		case media.VersionAdded:
			objects = append(objects, e.File.Object)
		}
	}
	purged := v.by("alice", mediaStream(id), media.Purged{By: "alice", Objects: objects})
	for _, key := range objects {
		must(t, v.blobs.Delete(t.Context(), key))
	}
	v.refused(410, "purged", "alice user", path+then, after(purged)...)
	v.refused(410, "purged", "alice user", path)
}

func TestNoByteLeavesThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, at := v.upload("alice", "harbour.png", []byte("harbour"))
	v.rec.breakWith(eventstore.ErrClosed)
	r := v.request(t.Context(), http.MethodGet, "alice user", "/v1/media/"+string(id)+"/content", after(at)...)
	res, err := http.DefaultClient.Do(r)
	must(t, err)
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode < 500 || bytes.Contains(body, []byte("harbour")) || res.Header.Get("Content-Disposition") != "" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
}

func TestALinkLeadsToItsItemAlone(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	link := func(token string, terms share.Terms) domain.ShareID {
		s, _ := v.share(id, "alice", share.Grantee{Kind: share.WithLink, Token: digest([]byte(token))}, terms)
		return s
	}
	view := []share.Permission{share.View}
	open := link("open", share.Terms{Permissions: view})
	link("locked", share.Terms{Permissions: []share.Permission{share.Download, share.View}, PasswordHash: "sesame"})
	link("twice", share.Terms{Permissions: view, MaxOpens: 2})
	before := v.settled()

	type public struct {
		MediaID     string `json:"media_id"`
		Title       string
		HasPassword bool `json:"has_password"`
	}
	if got := into[public](v, "", "/v1/public/open"); got.MediaID != string(id) || got.Title != "About harbour.png" || got.HasPassword {
		t.Errorf("%+v", got)
	}
	if a := v.get("", "/v1/public/open/content"); string(a.body) != "harbour" || v.rec.last().Via != "link" || v.rec.last().Share != open {
		t.Errorf("%d %s %+v", a.StatusCode, a.body, v.rec.last())
	}
	if a := v.ask(http.MethodHead, "", "/v1/public/open/content"); a.StatusCode != 200 {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
	v.refused(403, "not_permitted", "", "/v1/public/open/content?download=1")
	v.refused(404, "not_found", "", "/v1/public/nonsense")
	v.refused(404, "not_found", "", "/v1/public/"+strings.Repeat("x", 500)+"/content")
	v.refused(404, "not_found", "", "/v1/public/"+string(open))

	v.refused(401, "password_required", "", "/v1/public/locked/content")
	v.refused(401, "password_required", "", "/v1/public/locked")
	v.refused(403, "password_wrong", "", "/v1/public/locked/content", "Vault-Password", "guess")
	v.refused(400, "unknown_parameter", "", "/v1/public/locked/content?password=sesame")
	v.refused(400, "invalid", "", "/v1/public/locked/content", "Vault-Password", strings.Repeat("x", 2000))
	if a := v.get("", "/v1/public/locked/content?download=1", "Vault-Password", "sesame"); string(a.body) != "harbour" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	var served sync.WaitGroup
	statuses := make(chan int, 8)
	for range cap(statuses) {
		served.Go(func() { statuses <- v.get("", "/v1/public/twice/content").StatusCode })
	}
	served.Wait()
	close(statuses)
	got := map[int]int{}
	for status := range statuses {
		got[status]++
	}
	if got[200] != 2 || got[410] != 6 {
		t.Errorf("eight openers of a link for two: %v", got)
	}

	v.by("alice", shareStream(open), share.Revoked{By: "alice"})
	v.refused(410, "share_revoked", "", "/v1/public/open")
	v.refused(410, "share_revoked", "", fmt.Sprintf("/v1/public/open/content?as_of=%d", before))
	v.refused(404, "not_found", "", "/v1/public/twice?as_of=1")

	for _, r := range v.rec.refusals() {
		if strings.Contains(r.Resource, "open") || strings.Contains(r.Resource, "locked") || strings.Contains(r.Action, "open/") {
			t.Errorf("a link's secret was recorded: %+v", r)
		}
	}
	if r := v.rec.lastRefusal("share_revoked"); r.Share != open || r.Media != id || r.Status != 410 || r.Action != "GET /v1/public/{token}/content" {
		t.Errorf("recorded: %+v", r)
	}
}

func TestSharesAreListedForBothSides(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	s, given := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	_, at := v.share(id, "alice", share.Grantee{Kind: share.WithOrganisation, Organisation: "acme"}, share.Terms{})
	for path, want := range map[string]map[string]int64{
		"/v1/shares":                                   {"alice user": 2, "bob user": 0, "dave partner acme": 0},
		"/v1/shared-with-me":                           {"alice user": 0, "bob user": 1, "dave partner acme": 1},
		"/v1/shares?with=user&status=active":           {"alice user": 1},
		fmt.Sprintf("/v1/shares?as_of=%d", given):      {"alice user": 1},
		"/v1/shares?sort=opens&media_id=" + string(id): {"alice user": 2, "mallory user": 0},
	} {
		for who, n := range want {
			if got := into[list](v, who, path, after(at)...); got.Total != n || int64(len(got.Items)) != n {
				t.Errorf("%s as %s: %+v", path, who, got)
			}
		}
	}
	a := v.get("bob user", "/v1/shares/"+string(s))
	if a.StatusCode != 200 || a.Header.Get("ETag") != `"0"` {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	v.refused(404, "not_found", "mallory user", "/v1/shares/"+string(s))
	v.refused(404, "not_found", "dave partner acme", "/v1/shares/"+string(s))
	v.refused(404, "not_found", "bob user", "/v1/shares/nonsense")
}

func TestStorageThatVanishesIsA503AndNeverATruncatedAnswer(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	content := random(24 << 20)
	id, at := v.upload("alice", "harbour.png", content)
	path := "/v1/media/" + string(id) + "/content"
	r := v.request(t.Context(), http.MethodGet, "alice user", path, after(at)...)
	res, err := http.DefaultClient.Do(r)
	must(t, err)
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	must(t, v.s3.Stop(t.Context()))
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer looks whole after %d bytes: %v", n+100, err)
	}
	served := v.rec.deliveries()
	v.refused(503, "unavailable", "alice user", path)
	v.refused(503, "unavailable", "alice user", path, "Range", "bytes=5-")
	if v.rec.deliveries() != served {
		t.Error("recorded as served although no byte left")
	}
}

func (r *recorder) breakWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

func (r *recorder) last() readapi.Serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.served) == 0 {
		return readapi.Serving{}
	}
	return r.served[len(r.served)-1]
}

func (r *recorder) refusals() []readapi.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refused)
}

func (r *recorder) lastRefusal(code string) readapi.Refusal {
	var last readapi.Refusal
	for _, f := range r.refusals() {
		if f.Code == code {
			last = f
		}
	}
	return last
}

func (r *recorder) deliveries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.served)
}
