package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"
)

// checkTime bounds one look at a neighbour.
const checkTime = 2 * time.Second

// health registers the probes: /healthz says that the process lives, /readyz and /health that it and its neighbours can serve,
// /health/db the database alone.
func (a *app) health(r *mux.Router) {
	r.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, map[string]string{"process": "ok"})
	}).Methods(http.MethodGet)
	all := func(w http.ResponseWriter, r *http.Request) {
		answerHealth(w, a.lookAt(r.Context(), map[string]func(context.Context) error{
			"database": a.pool.Ping, "storage": a.blobs.Ping, "models": a.models.engine.Ready,
		}))
	}
	r.HandleFunc("/readyz", all).Methods(http.MethodGet)
	r.HandleFunc("/health", all).Methods(http.MethodGet)
	r.HandleFunc("/health/db", func(w http.ResponseWriter, r *http.Request) {
		answerHealth(w, a.lookAt(r.Context(), map[string]func(context.Context) error{"database": a.pool.Ping}))
	}).Methods(http.MethodGet)
}

// lookAt looks at all neighbours at once: whoever asks has not more patience because there are several.
func (a *app) lookAt(ctx context.Context, checks map[string]func(context.Context) error) map[string]string {
	var mu sync.Mutex // guards found
	found := make(map[string]string, len(checks))
	var looking sync.WaitGroup
	for name, check := range checks {
		looking.Go(func() {
			said := a.look(ctx, check)
			mu.Lock()
			defer mu.Unlock()
			found[name] = said
		})
	}
	looking.Wait()
	return found
}

// look answers ok, or failed; why it failed stands in the log, for the answer may go to strangers.
func (a *app) look(ctx context.Context, check func(context.Context) error) string {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := check(ctx); err != nil {
		a.log.Warn("not healthy", "error", err)
		return "failed"
	}
	return "ok"
}

func answerHealth(w http.ResponseWriter, checks map[string]string) {
	status, code := "ok", http.StatusOK
	for _, c := range checks {
		if c != "ok" {
			status, code = "failed", http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "checks": checks})
}
