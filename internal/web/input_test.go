package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

func get(target string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestQueryParametersAreNamed(t *testing.T) {
	t.Parallel()
	read := func(query string) (string, error) {
		q := web.NewQuery(get("/?" + query))
		all := fmt.Sprintln(q.Page(50, 200), q.AsOf(), q.Time("from").Unix(), q.Enum("kind", "all", "image", "video"), q.Strings("tag", 10),
			q.Bool("deep", false), q.String("text", 5), web.Parameter(q, "media_id", domain.ParseMediaID))
		return strings.TrimSpace(all), q.Done()
	}
	for query, field := range map[string]string{
		"page=0": "page", "page=x": "page", "page=1e3": "page", "page_size=201": "page_size", "page=99999999999999999999": "page", "page=2&cursor=abc": "page",
		"as_of=yesterday": "as_of", "as_of=-1": "as_of", "from=2026-13-01T00:00:00Z": "from", "kind=audio": "kind", "tag=longer-than-ten": "tag",
		"deep=1": "deep", "text=sixsix": "text", "media_id=7": "media_id", "page=1&page=2": "page", "psize=3": "psize", "text=%00": "text", "text=%ff": "text",
		"%zz": "query", "a;b": "query",
	} {
		_, err := read(query)
		refusal, ok := domain.AsRefusal(err)
		if !ok || refusal.Field != field || refusal.Kind != domain.Invalid {
			t.Errorf("%s: %v", query, err)
		}
	}
	if _, err := read("colour=red"); !errors.Is(err, web.ErrNoSuchParameter) || !strings.Contains(err.Error(), "page, page_size, cursor, as_of, from") {
		t.Errorf("%v", err)
	}
	got, err := read("page=3&page_size=10&as_of=2026-01-02T15:04:05+01:00&from=2026-01-02T15:04:05.5Z&kind=video&tag=a,b&tag=b&deep=true&text=h%C3%A9&media_id=0190B5A4-7f3e-7c2a-9d55-0c7d3f1f6e21")
	want := "{3 10 } {0 2026-01-02 14:04:05 +0000 UTC true} 1767366245 video [a b] true hé 0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	got, err = read("as_of=0&page=")
	if err != nil || !strings.HasPrefix(got, "{1 50 } {0 0001-01-01 00:00:00 +0000 UTC true}") {
		t.Errorf("%s, %v", got, err)
	}
}

func TestHeadersAreChecked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"3"`: "3 true", ` "0" `: "0 true", `*`: "0 false", `W/"3"`: "refused", `3`: "refused", `"03"`: "refused", `"-1"`: "refused", `"3", "4"`: "refused",
		`"`: "refused", `""`: "refused", `"99999999999999999999"`: "refused", ``: "refused",
	} {
		revision, given, err := web.IfMatch(get("/", "If-Match", value))
		if got := fmt.Sprint(revision, given); err == nil && got != want || (err != nil) != (want == "refused") {
			t.Errorf("If-Match %q: %s, %v", value, got, err)
		}
	}
	for value, ok := range map[string]bool{"a": true, strings.Repeat("k", 255): true, strings.Repeat("k", 256): false, "": false, "a b": false, "é": false, "a\x7f": false} {
		if key, err := web.IdempotencyKey(get("/", "Idempotency-Key", value)); (err == nil) != ok || ok && key != value {
			t.Errorf("Idempotency-Key %q: %q, %v", value, key, err)
		}
	}
	for value, want := range map[string]string{
		"because": "because", "grüße": "grüße", "UTF-8''gr%C3%BC%C3%9Fe": "grüße", strings.Repeat("ü", 500): strings.Repeat("ü", 500), "it''s": "it''s", "gr%C3%BC%C3%9Fe": "grüße", "100% sure": "100% sure",
		strings.Repeat("ü", 501): "refused", "UTF-8''%0A": "refused", "UTF-8''%ff": "refused", "UTF-8''%": "refused", "a\xff": "refused", "a%0Ab": "refused", "%ff": "refused", "a\x00b": "refused",
	} {
		reason, err := web.Reason(get("/", "Vault-Reason", value))
		if err == nil && reason != want || (err != nil) != (want == "refused") {
			t.Errorf("Vault-Reason %q: %q, %v", value, reason, err)
		}
	}
	for value, ok := range map[string]bool{"17": true, "": true, "-1": false, "x": false, "1.5": false} {
		if _, err := web.After(get("/", "Vault-After", value)); (err == nil) != ok {
			t.Errorf("Vault-After %q: %v", value, err)
		}
		if _, _, err := web.LastEventID(get("/", "Last-Event-ID", value)); (err == nil) != ok {
			t.Errorf("Last-Event-ID %q: %v", value, err)
		}
	}
	if got := web.UserAgent(get("/", "User-Agent", "a\x1b[31mb"+strings.Repeat("é", 300))); strings.ContainsRune(got, '\x1b') || len(got) > 256 {
		t.Errorf("User-Agent %q", got)
	}
}

func TestListsAndReceipts(t *testing.T) {
	t.Parallel()
	l := web.NewList[string](nil, 101, web.Page{Number: 2, Size: 50}, "")
	if l.Items == nil || l.TotalPages != 3 || !l.HasNext || !l.HasPrev {
		t.Errorf("%+v", l)
	}
	if l := web.NewList([]int{1}, 101, web.Page{Number: 1, Size: 50, Cursor: "c"}, ""); l.HasNext || !l.HasPrev {
		t.Errorf("the last page by cursor: %+v", l)
	}
	if l := web.NewList([]int{}, 0, web.Page{Number: 1, Size: 50}, ""); l.HasNext || l.HasPrev || l.TotalPages != 0 {
		t.Errorf("%+v", l)
	}
	w := httptest.NewRecorder()
	if err := web.Wrote(w, http.StatusCreated, "/v1/media/x", web.Written{ID: "x", Stream: "media-x", Revision: 3, Position: 17}, nil); err != nil {
		t.Fatal(err)
	}
	if h := w.Header(); w.Code != 201 || h.Get("ETag") != `"3"` || h.Get("Vault-Position") != "17" || h.Get("Location") != "/v1/media/x" ||
		w.Body.String() != `{"id":"x","stream":"media-x","revision":3,"position":17}`+"\n" {
		t.Errorf("%d %v %s", w.Code, h, w.Body)
	}
}
