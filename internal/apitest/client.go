package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"
)

// maxKept bounds, in bytes, what of a request and of an answer is kept to be checked.
const maxKept = 1 << 20

// Client is an HTTP client that holds every answer against the documents, and fails the test when an answer is a fault (500),
// is not described, or says something else than is described. It follows no redirects. More than one document serves a server that has both APIs:
// the one that knows the address is asked.
func Client(tb testing.TB, specs ...*Spec) *http.Client {
	return &http.Client{
		Transport:     &transport{tb: tb, specs: specs, next: http.DefaultTransport.(*http.Transport).Clone()}, //nolint:errcheck,forcetypeassert // it is one
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct {
	tb    testing.TB
	specs []*Spec
	next  *http.Transport
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchange{request: r}
	var sent *tee
	if r.Body != nil && r.Body != http.NoBody {
		sent = &tee{ReadCloser: r.Body, size: r.ContentLength}
		out := r.Clone(r.Context())
		out.Body = sent
		r = out
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if sent != nil && r.ContentLength <= maxKept {
		x.sent, x.kept = sent.whole()
	}
	x.status, x.header = res.StatusCode, res.Header
	if live(res.Header) {
		t.judge(x)
		return res, nil
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, maxKept+1))
	if err != nil {
		// What the caller reads will tell the caller.
		res.Body = joined{io.MultiReader(bytes.NewReader(head), failing{err}), res.Body}
		return res, nil
	}
	x.body, x.complete = head, len(head) <= maxKept
	res.Body = joined{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	t.judge(x)
	return res, nil
}

func (t *transport) judge(x exchange) {
	t.tb.Helper()
	if x.status >= 500 && x.status != http.StatusServiceUnavailable && x.status != http.StatusInsufficientStorage {
		t.tb.Errorf("%s %s: %d %s", x.request.Method, x.request.URL.Path, x.status, x.body)
	}
	if x.status >= 400 {
		t.problem(x)
	}
	for i, s := range t.specs {
		if i < len(t.specs)-1 && !s.knows(x.request) {
			continue
		}
		if err := s.check(context.Background(), x); err != nil {
			t.tb.Errorf("%s %s answered %d: %v\n%s", x.request.Method, x.request.URL.Path, x.status, err, clip(x.body))
		}
		return
	}
}

// problem holds every refusal against RFC 9457 and the vault's own conventions, described or not.
func (t *transport) problem(x exchange) {
	t.tb.Helper()
	if x.request.Method == http.MethodHead {
		return
	}
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	kind, _, _ := mime.ParseMediaType(x.header.Get("Content-Type"))
	if err := json.Unmarshal(x.body, &p); err != nil || kind != "application/problem+json" || p.Type == "" || p.Title == "" ||
		p.Detail == "" || p.Code == "" || p.Status != x.status {
		t.tb.Errorf("%s %s answered %d, and no whole problem document: %s %s", x.request.Method, x.request.URL.Path, x.status, kind, clip(x.body))
	}
}

func (s *Spec) knows(r *http.Request) bool {
	_, _, err := s.router.FindRoute(&http.Request{Method: r.Method, URL: r.URL, Header: r.Header})
	return err == nil
}

func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// live reports an answer that does not end by itself.
func live(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream"
}

func clip(b []byte) string {
	if len(b) > 2_000 {
		b = b[:2_000]
	}
	return strings.ToValidUTF8(string(b), "?")
}

func reader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
