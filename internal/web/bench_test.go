package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// BenchmarkEdge is what one small write costs in everything but identity and the command.
func BenchmarkEdge(b *testing.B) {
	edge, err := web.New(web.Options{
		Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry(),
		Limits: web.Limits{PerPrincipal: []web.Limit{{Requests: 1 << 40, Per: time.Second}, {Requests: 1 << 40, Per: time.Hour}}},
		Identify: func(*http.Request) (domain.Actor, error) {
			return domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	router := web.NewRouter()
	web.Mount(router, []web.Route{{Method: http.MethodPatch, Path: "/v1/media/{id}", Name: "describe", Roles: []domain.Role{domain.RoleUser}, Handler: func(w http.ResponseWriter, r *http.Request) error {
		body, err := web.Decode[struct {
			Title *string   `json:"title"`
			Tags  *[]string `json:"tags"`
		}](r, 1<<16)
		if err != nil {
			return err
		}
		return web.Wrote(w, http.StatusOK, "", web.Written{ID: *body.Title, Revision: 1, Position: 2}, nil)
	}}}, nil)
	h := edge.Serve(router)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPatch, "/v1/media/0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21", strings.NewReader(`{"title":"A photograph of the sea","tags":["sea","sun"]}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
