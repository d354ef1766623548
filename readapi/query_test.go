package readapi

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

func TestTheFormIsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, accept, want string }{
		{"", "", formJSON},
		{"", "*/*", formJSON},
		{"", "text/html,application/xhtml+xml,*/*;q=0.8", formJSON},
		{"", "text/csv", formCSV},
		{"", "application/json;q=0.5, text/csv", formCSV},
		{"", "application/*", formJSON},
		{"", "text/*;q=0.2, application/x-ndjson;q=0.3", formNDJSON},
		{"", "text/csv;q=0, */*", formJSON},
		{"", "application/json;q=0", ""},
		{"", "image/png", ""},
		{"format=ndjson", "text/csv", formNDJSON},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+c.query, nil)
		r.Header.Set("Accept", c.accept)
		if got, _ := form(r, web.NewQuery(r), formJSON, formCSV, formNDJSON); got != c.want {
			t.Errorf("?%s, Accept %s: %q", c.query, c.accept, got)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("text/csv;q=0.5, */*", "text/csv")
	f.Add(";;q=NaN", "application/json")
	f.Add("text/csv;q=-Inf", "text/csv")
	f.Fuzz(func(t *testing.T, accept, kind string) {
		if q := quality(accept, kind); !math.IsNaN(q) && (q < 0 || q > 1) {
			t.Fatal(q)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"as_of=1042", "as_of=2026-01-02T15:04:05+02:00", "as_of=-1", "cursor=AAAA&page=2", "page_size=9999999999", "scope=all&owner=x", "download=1", "%zz",
	} {
		f.Add(seed)
	}
	viewer := domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}
	f.Fuzz(func(t *testing.T, raw string) {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: raw}, Header: http.Header{}}
		q := web.NewQuery(r)
		m, page := asOf(q), q.Page(pageSize, maxPageSize)
		_, _ = web.Parameter(q, "from", parseDay), downloads(q)
		answer := usageAnswer{Scope: q.Enum("scope", scopeOwn, scopeOwn, scopeOrganisation, scopeAll), Owner: domain.UserID(q.String("owner", 255))}
		answer.scope(q, viewer)
		err := q.Done()
		if _, refusal := domain.AsRefusal(err); err != nil && !refusal {
			t.Fatalf("%q is a fault: %v", raw, err)
		}
		if err == nil && (page.Size < 1 || page.Size > maxPageSize || page.Number < 1 || page.Offset() < 0) {
			t.Fatalf("%q: %+v", raw, page)
		}
		if asked := r.URL.Query().Get("as_of"); err == nil && (asked == "") != m.IsNow() {
			t.Fatalf("%q: as_of %q became %+v", raw, asked, m)
		}
	})
}

func FuzzIfNoneMatch(f *testing.F) {
	f.Add(`"1", W/"2"`)
	f.Fuzz(func(_ *testing.T, said string) { noneMatch([]string{said}, `"1"`) })
}
