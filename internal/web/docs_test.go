package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/internal/web"
)

func TestTheDocsPageNeedsNobodyElse(t *testing.T) {
	t.Parallel()
	docs, err := web.Docs("/docs", `The "API"`, "/openapi.json", "/write/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	url, _, _ := serve(t, web.Options{Exempt: []string{"/docs", "/docs/"}}, func(r *mux.Router) { r.PathPrefix("/docs").Handler(docs).Methods(http.MethodGet, http.MethodHead) })
	res, page := do(t, http.MethodGet, url+"/docs")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page, `<title>The &#34;API&#34;</title>`) || !strings.Contains(page, `<a href="/write/openapi.json">`) {
		t.Errorf("%d %v\n%s", res.StatusCode, res.Header, page)
	}
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	all := page
	for _, file := range regexp.MustCompile(`(?:href|src)="(/docs/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		res, text := do(t, http.MethodGet, url+file[1])
		if res.StatusCode != 200 || text == "" {
			t.Errorf("%s: %d", file[1], res.StatusCode)
		}
		all += text
	}
	if found := regexp.MustCompile(`https?://|<script>|style="|innerHTML|\beval\b`).FindString(all); found != "" {
		t.Errorf("the page has %q: it would need another server or another policy", found)
	}
	if res, _ := do(t, http.MethodGet, url+"/docs/../docs.go"); res.StatusCode != 404 {
		t.Errorf("%d", res.StatusCode)
	}
	if res, _ := do(t, http.MethodGet, url+"/docs/viewer.html"); res.StatusCode != 404 {
		t.Errorf("%d", res.StatusCode)
	}
}
