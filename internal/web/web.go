// Package web is what the write and the read API share of HTTP: how a refusal becomes an answer, strict decoding, lists,
// receipts, streams, and the edge that every request passes (identity, limits, logs, metrics). It knows no rule of the vault
// and imports nothing of it but domain.
package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// Handler is an HTTP handler that may answer by returning an error: a refusal becomes a problem document by the table in
// problem.go, anything else is a fault. It runs under the edge's deadline for requests.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		answerError(w, r, err)
	}
}

// Streaming is a Handler for bodies of any length: uploads, downloads, exports and live streams. It has no deadline as a whole;
// instead each read and each write must make progress within the edge's idle time.
type Streaming func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h Streaming) ServeHTTP(w http.ResponseWriter, r *http.Request) { Handler(h).ServeHTTP(w, r) }

// JSON answers v. A value that cannot be marshalled is a fault, and nothing has been written then.
func JSON(w http.ResponseWriter, status int, v any) error {
	return writeJSON(w, status, "application/json", v)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("marshal answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", fmt.Sprint(body.Len()))
	w.WriteHeader(status)
	_, err := w.Write(body.Bytes())
	return err
}

// Actor is who asks, as the edge identified them; a guest where the edge identifies nobody.
func Actor(r *http.Request) domain.Actor {
	if c := callOf(r); c != nil {
		return c.actor
	}
	return domain.Actor{Roles: []domain.Role{domain.RoleGuest}}
}

// RequestID names this one request; the client finds it in X-Request-Id and in every problem document.
func RequestID(r *http.Request) string {
	if c := callOf(r); c != nil {
		return c.id
	}
	return ""
}

// Correlation names the larger undertaking that the request is part of: the trace id of traceparent, or X-Correlation-Id,
// or else what follows from the request's own id.
func Correlation(r *http.Request) uuid.UUID {
	if c := callOf(r); c != nil {
		return c.correlation
	}
	return uuid.Nil
}

// ClientAddr is the address of the client without a port; behind trusted proxies it is the one they say.
func ClientAddr(r *http.Request) string {
	if c := callOf(r); c != nil {
		return c.addr.String()
	}
	return remoteAddr(r).String()
}

// maxUserAgent bounds, in bytes, what is kept of a client's description of itself.
const maxUserAgent = 256

// UserAgent is the client's description of itself: printable, and at most 256 bytes.
func UserAgent(r *http.Request) string { return printable(r.UserAgent(), maxUserAgent) }

// clientGone reports whether there is nobody left to answer; then nothing of ours broke.
func clientGone(w http.ResponseWriter, r *http.Request) bool {
	if a := answerOf(w); a != nil && a.undelivered {
		return true
	}
	return r.Context().Err() != nil && !errors.Is(causeOf(r), errTimeout)
}
