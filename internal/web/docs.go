package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed docs/viewer.html docs/viewer.css docs/viewer.js
var docs embed.FS

// docsPolicy lets the page load what this server serves, and nothing else from anywhere.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Docs serves a page at prefix, such as /docs, that shows OpenAPI 3.1 documents (in JSON, at the addresses specs) and lets
// people try them. It needs no network but this server. Mount it for prefix and everything below it.
func Docs(prefix, title string, specs ...string) (http.Handler, error) {
	prefix = strings.TrimSuffix(prefix, "/")
	page, err := template.ParseFS(docs, "docs/viewer.html")
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	list, err := json.Marshal(specs)
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	var html strings.Builder
	if err := page.Execute(&html, struct {
		Prefix, Title, Specs string
		Links                []string // for who has no JavaScript
	}{prefix, title, string(list), specs}); err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	files := map[string]struct{ name, contentType string }{
		prefix + "/viewer.css": {"docs/viewer.css", "text/css; charset=utf-8"},
		prefix + "/viewer.js":  {"docs/viewer.js", "text/javascript; charset=utf-8"},
	}
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Security-Policy", docsPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		if r.URL.Path == prefix || r.URL.Path == prefix+"/" {
			h.Set("Content-Type", "text/html; charset=utf-8")
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(html.String()))
			return nil
		}
		file, ok := files[r.URL.Path]
		if !ok {
			return ErrNoRoute
		}
		data, err := docs.ReadFile(file.name)
		if err != nil {
			return fmt.Errorf("read %s: %w", file.name, err)
		}
		h.Set("Content-Type", file.contentType)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
		return nil
	}), nil
}
