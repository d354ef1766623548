package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// logs is a writer that many goroutines may use and a test may read.
type logs struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve starts a real server with the routes behind an edge.
func serve(t *testing.T, o web.Options, routes func(*mux.Router)) (url string, log *logs, edge *web.Edge) {
	t.Helper()
	log = &logs{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	edge, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	router := web.NewRouter()
	routes(router)
	s := httptest.NewServer(edge.Serve(router))
	t.Cleanup(s.Close)
	return s.URL, log, edge
}

func do(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func problem(t *testing.T, body string) web.Problem {
	t.Helper()
	var p web.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	broken := errors.New("pq: secret internals")
	down := errors.New("connection refused")
	fail := map[string]error{
		"invalid": domain.ErrInvalid.On("title").Because("too long"), "stranger": domain.Refuse(domain.Unauthenticated, "unauthenticated", "who?"),
		"expired": domain.Refuse(domain.Unauthenticated, "token_expired", `it "ended"`), "not-owner": fmt.Errorf("rename: %w", domain.Refuse(domain.Forbidden, "not_owner", "not yours")),
		"conflict": domain.Refuse(domain.Conflict, "c", "d"), "stale": domain.Refuse(domain.Stale, "wrong_revision", "d"), "gone": domain.Refuse(domain.Gone, "c", "d"),
		"wait": web.Later(domain.Refuse(domain.TooMany, "c", "d"), 1500*time.Millisecond), "fault": broken, "down": fmt.Errorf("append: %w", down),
		"full": domain.Refuse(domain.Full, "c", "d"),
	}
	url, log, _ := serve(t, web.Options{Faults: []func(error) (*domain.Refusal, bool){func(err error) (*domain.Refusal, bool) {
		return domain.Refuse(domain.Unavailable, "store_unavailable", "the store does not answer"), errors.Is(err, down)
	}}}, func(r *mux.Router) {
		r.Handle("/fail/{how}", web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("ETag", `"7"`)
			return fail[mux.Vars(r)["how"]]
		})).Methods(http.MethodGet)
		r.Handle("/panic", web.Handler(func(http.ResponseWriter, *http.Request) error { panic("boom") }))
	})
	for how, want := range map[string]struct {
		status       int
		code         string
		header, says string
	}{
		"invalid": {400, "invalid", "", ""}, "stranger": {401, "unauthenticated", "Www-Authenticate", `Bearer realm="media-vault"`},
		"expired":   {401, "token_expired", "Www-Authenticate", `Bearer realm="media-vault", error="invalid_token", error_description="it 'ended'"`},
		"not-owner": {403, "not_owner", "", ""}, "conflict": {409, "c", "", ""}, "stale": {412, "wrong_revision", "", ""}, "gone": {410, "c", "", ""},
		"wait": {429, "c", "Retry-After", "2"}, "fault": {500, "internal", "", ""}, "down": {503, "store_unavailable", "Retry-After", "2"},
		"full": {507, "c", "Retry-After", "60"},
	} {
		t.Run(how, func(t *testing.T) {
			res, body := do(t, http.MethodGet, url+"/fail/"+how)
			p := problem(t, body)
			if res.StatusCode != want.status || p.Status != want.status || p.Code != want.code || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
				t.Errorf("%d %+v", res.StatusCode, p)
			}
			if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if want.header != "" && res.Header.Get(want.header) != want.says {
				t.Errorf("%s: %q", want.header, res.Header.Get(want.header))
			}
			if p.RequestID != res.Header.Get("X-Request-Id") || res.Header.Get("ETag") != "" || strings.Contains(body, "secret") {
				t.Errorf("headers %v, body %s", res.Header, body)
			}
		})
	}
	t.Run("a panic is a fault, and the server goes on", func(t *testing.T) {
		res, body := do(t, http.MethodGet, url+"/panic")
		if res.StatusCode != 500 || strings.Contains(body, "boom") || !strings.Contains(log.String(), "boom") {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
	t.Run("a fault is one error line with its request id", func(t *testing.T) {
		res, _ := do(t, http.MethodGet, url+"/fail/fault", "X-Request-Id", "my-id.1")
		if res.Header.Get("X-Request-Id") != "my-id.1" || strings.Count(log.String(), `level=ERROR msg="request failed" request_id=my-id.1`) != 1 {
			t.Errorf("%v\n%s", res.Header, log)
		}
	})
	t.Run("an address that is not there is a problem, too", func(t *testing.T) {
		res, body := do(t, http.MethodGet, url+"/nowhere")
		if res.StatusCode != 404 || problem(t, body).Code != "no_such_route" {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
	t.Run("another method is told which there are", func(t *testing.T) {
		res, body := do(t, http.MethodPost, url+"/fail/fault")
		if res.StatusCode != 405 || problem(t, body).Code != "method_not_allowed" || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
		}
	})
}

func TestHEADIsAnsweredAsGETUnlessTheBodyHasNoEnd(t *testing.T) {
	t.Parallel()
	url, log, _ := serve(t, web.Options{}, func(r *mux.Router) {
		answer := func(w http.ResponseWriter, r *http.Request) error {
			return web.JSON(w, 200, map[string]string{"id": mux.Vars(r)["id"]})
		}
		r.Handle("/things/{id}", web.Handler(answer)).Methods(http.MethodGet)
		r.Handle("/things/{id}", web.Handler(answer)).Methods(http.MethodPatch)
		r.Handle("/live", web.Streaming(answer)).Methods(http.MethodGet)
		r.Handle("/asked", web.Handler(answer)).Methods(http.MethodPost)
	})
	got, body := do(t, http.MethodGet, url+"/things/7")
	res, none := do(t, http.MethodHead, url+"/things/7")
	if res.StatusCode != 200 || none != "" || res.ContentLength != int64(len(body)) || res.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
		t.Errorf("%d %q %v", res.StatusCode, none, res.Header)
	}
	if !strings.Contains(log.String(), "method=HEAD route=/things/{id} status=200") {
		t.Error(log.String())
	}
	for path, allow := range map[string]string{"/live": "GET", "/asked": "POST"} {
		if res, _ := do(t, http.MethodHead, url+path); res.StatusCode != 405 || res.Header.Get("Allow") != allow {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	if res, _ := do(t, http.MethodOptions, url+"/things/7"); res.StatusCode != 204 || res.Header.Get("Allow") != "GET, HEAD, PATCH" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestTheEdgeGuards(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	url, log, _ := serve(t, web.Options{
		AdminNetworks: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")},
		Origins:       []string{"https://app.example.org"}, Metrics: registry, Exempt: []string{"/healthz", "/docs/"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
		Limits:         web.Limits{PerIP: web.Limit{Requests: 3, Per: time.Hour}, PerPrincipal: []web.Limit{{Requests: 5, Per: time.Hour}, {Requests: 100, Per: time.Minute}}},
		Identify: func(r *http.Request) (domain.Actor, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer alice":
				return domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, nil
			case "Bearer root":
				return domain.Actor{ID: "root", Roles: []domain.Role{domain.RoleAdmin}}, nil
			case "":
				return domain.Actor{Roles: []domain.Role{domain.RoleGuest}}, nil
			}
			return domain.Actor{}, domain.Refuse(domain.Unauthenticated, "token_invalid", "bad")
		},
	}, func(r *mux.Router) {
		r.Handle("/who/{token}", web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			return web.JSON(w, 200, map[string]string{"actor": string(web.Actor(r).ID), "addr": web.ClientAddr(r), "admin": fmt.Sprint(web.Actor(r).Is(domain.RoleAdmin)), "correlation": web.Correlation(r).String()})
		})).Methods(http.MethodGet)
		r.Handle("/healthz", web.Handler(func(w http.ResponseWriter, _ *http.Request) error { return web.JSON(w, 200, "ok") }))
	})
	from := func(addr string) []string { return []string{"X-Forwarded-For", addr} }

	t.Run("trusted proxies say who the client is, strangers do not", func(t *testing.T) {
		_, body := do(t, http.MethodGet, url+"/who/x", "X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.1.1.1",
			"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		if !strings.Contains(body, `"192.0.2.7"`) || !strings.Contains(body, "0af76519-16cd-43dd-8448-eb211c80319c") {
			t.Error(body)
		}
	})
	t.Run("an address gets its share, and another its own", func(t *testing.T) {
		for i := range 3 {
			if res, _ := do(t, http.MethodGet, url+"/who/x", from("198.51.100.1")...); res.StatusCode != 200 {
				t.Fatalf("request %d: %d", i, res.StatusCode)
			}
		}
		res, body := do(t, http.MethodGet, url+"/who/x", from("198.51.100.1")...)
		if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || problem(t, body).Code != "too_many_requests" {
			t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
		}
		if res, _ := do(t, http.MethodGet, url+"/who/x", from("198.51.100.2")...); res.StatusCode != 200 {
			t.Errorf("the neighbour got %d", res.StatusCode)
		}
		if res, _ := do(t, http.MethodGet, url+"/healthz", from("198.51.100.1")...); res.StatusCode != 200 {
			t.Errorf("a probe got %d", res.StatusCode)
		}
	})
	t.Run("guessing tokens counts by address", func(t *testing.T) {
		want := []int{401, 401, 401, 429}
		for i := range want {
			if res, _ := do(t, http.MethodGet, url+"/who/x", append(from("198.51.100.3"), "Authorization", "Bearer guess")...); res.StatusCode != want[i] {
				t.Errorf("request %d: %d", i, res.StatusCode)
			}
		}
	})
	t.Run("a principal counts wherever it comes from", func(t *testing.T) {
		for i, want := range []int{200, 200, 200, 200, 200, 429} {
			if res, _ := do(t, http.MethodGet, url+"/who/x", append(from(fmt.Sprintf("203.0.113.%d", i)), "Authorization", "Bearer alice")...); res.StatusCode != want {
				t.Errorf("request %d: %d", i, res.StatusCode)
			}
		}
	})
	t.Run("an admin is one from the networks of admins", func(t *testing.T) {
		for addr, want := range map[string]string{"192.168.7.7": "true", "203.0.113.7": "false"} {
			if _, body := do(t, http.MethodGet, url+"/who/x", append(from(addr), "Authorization", "Bearer root")...); !strings.Contains(body, `"admin":"`+want+`"`) {
				t.Errorf("from %s: %s", addr, body)
			}
		}
	})
	t.Run("every answer has the security headers", func(t *testing.T) {
		res, _ := do(t, http.MethodGet, url+"/nowhere", from("198.51.100.9")...)
		for name, want := range map[string]string{
			"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "strict-origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
	t.Run("pages of allowed origins only", func(t *testing.T) {
		ask := []string{"Access-Control-Request-Method", "PATCH", "Origin"}
		res, _ := do(t, http.MethodOptions, url+"/who/x", append(ask, "https://app.example.org")...)
		if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "https://app.example.org" || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "If-Match") ||
			!strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Vault-Password") {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		res, _ = do(t, http.MethodOptions, url+"/who/x", append(ask, "https://evil.example")...)
		if res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		if _, err := web.New(web.Options{Origins: []string{"https://app.example.org/"}}); err == nil {
			t.Error("an origin with a path was accepted")
		}
	})
	t.Run("log and metrics carry templates, never paths or queries", func(t *testing.T) {
		do(t, http.MethodGet, url+"/who/hush-hush?password=hush-hush", append(from("198.51.100.10"), "Authorization", "Bearer hush-hush")...)
		do(t, "HUSH-HUSH", url+"/hush-hush", from("198.51.100.11")...)
		found, err := registry.Gather()
		if err != nil || len(found) != 2 {
			t.Fatal(found, err)
		}
		if all := fmt.Sprint(found) + log.String(); strings.Contains(strings.ToLower(all), "hush-hush") || !strings.Contains(all, `/who/{token}`) {
			t.Error(all)
		}
	})
}

func TestTimeIsBounded(t *testing.T) {
	t.Parallel()
	reached, left := make(chan struct{}), make(chan struct{})
	url, log, _ := serve(t, web.Options{Timeout: 50 * time.Millisecond, Idle: 10 * time.Second}, func(r *mux.Router) {
		wait := func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return fmt.Errorf("query: %w", r.Context().Err())
		}
		r.Handle("/slow", web.Handler(wait))
		r.Handle("/stream", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			close(reached)
			defer close(left)
			return wait(w, r)
		}))
		r.Handle("/cut", web.Streaming(func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half of")
			return errors.New("the disk is gone")
		}))
	})
	t.Run("a request that takes too long is told so", func(t *testing.T) {
		t.Parallel()
		res, body := do(t, http.MethodGet, url+"/slow")
		if res.StatusCode != 503 || problem(t, body).Code != "timeout" {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
	t.Run("a stream has no such deadline, and a client that leaves is no fault", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-reached; cancel() }()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/stream", nil)
		if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-left
		if strings.Contains(log.String(), "route=/stream error") {
			t.Error(log)
		}
	})
	t.Run("half an answer is never taken for the whole", func(t *testing.T) {
		t.Parallel()
		res, err := http.Get(url + "/cut")
		if err != nil {
			return // the head did not get out before the cut
		}
		defer func() { _ = res.Body.Close() }()
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("the client saw a complete answer")
		}
	})
}
