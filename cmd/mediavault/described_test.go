package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

func TestTheDescriptionOfBothAPIsIsOneAndTheRootLeadsToIt(t *testing.T) {
	t.Parallel()
	router := mux.NewRouter()
	if err := describe(router, parts{"read": true, "write": true}); err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	var doc struct {
		Components map[string]map[string]any
		Paths      map[string]map[string]struct{ Summary string }
	}
	if err := json.Unmarshal(get("/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for kind, all := range doc.Components {
		for name := range all {
			if strings.Contains(name, "_") {
				t.Errorf("%s %s means one thing to the one API and another to the other", kind, name)
			}
		}
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			if op.Summary == "" || strings.HasSuffix(op.Summary, ".") {
				t.Errorf("%s %s has the summary %q", method, path, op.Summary)
			}
		}
	}
	if root := get("/"); root.Code != http.StatusFound || root.Header().Get("Location") != "/docs" {
		t.Errorf("the root answers %d %v", root.Code, root.Header())
	}
}
