package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// statuses is the one table from kinds of refusal to HTTP.
var statuses = map[domain.Kind]int{
	domain.Invalid:         http.StatusBadRequest,
	domain.Unauthenticated: http.StatusUnauthorized,
	domain.Forbidden:       http.StatusForbidden,
	domain.NotFound:        http.StatusNotFound,
	domain.Conflict:        http.StatusConflict,
	domain.Stale:           http.StatusPreconditionFailed,
	domain.Gone:            http.StatusGone,
	domain.TooLarge:        http.StatusRequestEntityTooLarge,
	domain.Unsupported:     http.StatusUnsupportedMediaType,
	domain.Unprocessable:   http.StatusUnprocessableEntity,
	domain.TooMany:         http.StatusTooManyRequests,
	domain.Unavailable:     http.StatusServiceUnavailable,
	domain.Full:            http.StatusInsufficientStorage,
	domain.OutOfRange:      http.StatusRequestedRangeNotSatisfiable,
}

// Status is the HTTP status of a kind of refusal; 500 for a kind that is none.
func Status(k domain.Kind) int {
	if s, ok := statuses[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Problem is an error as clients see it (RFC 9457). Its type is about:blank; programs look at Code.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// The refusals that belong to HTTP itself.
var (
	ErrNoRoute    = domain.Refuse(domain.NotFound, "no_such_route", "there is nothing at this address; /docs lists what there is")
	ErrTimeout    = domain.Refuse(domain.Unavailable, "timeout", "the answer took too long; ask again later")
	ErrTooLarge   = domain.Refuse(domain.TooLarge, "body_too_large", "the body is larger than is accepted here").On("body")
	errBody       = domain.Refuse(domain.Invalid, "body_incomplete", "the body ended, or stood still, before its declared end")
	errOrigin     = domain.Refuse(domain.Forbidden, "origin_not_allowed", "pages of this origin may not call this server")
	errDrain      = domain.Refuse(domain.Unavailable, "shutting_down", "the server is shutting down; ask again")
	problemMethod = Problem{Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed, Code: "method_not_allowed"}
	problemFault  = Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError, Code: "internal",
		Detail: "something broke on our side; it has been recorded under the request_id",
	}
)

// How long a client is asked to wait when a refusal does not say. Room is made by people.
const (
	retryAfter = 2 * time.Second
	roomAfter  = time.Minute
)

type laterError struct {
	*domain.Refusal
	after time.Duration
}

func (e laterError) Unwrap() error { return e.Refusal }

// Later is the refusal with the time after which asking again may help; it becomes Retry-After, rounded up to seconds.
func Later(r *domain.Refusal, after time.Duration) error { return laterError{Refusal: r, after: after} }

// answerError answers err: the problem document of a refusal, or 500 and one line in the log for a fault.
func answerError(w http.ResponseWriter, r *http.Request, err error) {
	if clientGone(w, r) {
		answerGone(w, r, err)
		return
	}
	e := edgeOf(r)
	refusal, ok := e.refusal(r, err)
	if !ok || refusal.Kind == domain.Unavailable || refusal.Kind == domain.Full {
		logFault(r, e.log, err, ok)
	}
	if started(w) {
		// The status is on its way: cutting the connection is the only way left to say that the answer is not whole.
		panic(http.ErrAbortHandler)
	}
	if !ok {
		writeProblem(w, r, problemFault)
		return
	}
	writeRefusal(w, r, refusal, err)
}

// answerGone is for a client that seems to be gone. One that only stopped sending may still listen, and returning without an
// answer would tell it 200: it is told what was wrong with its body, or the connection is cut.
func answerGone(w http.ResponseWriter, r *http.Request, err error) {
	broken := (*bodyError)(nil)
	b, ok := r.Body.(*body)
	if !started(w) && (ok && b.failed != nil || errors.As(err, &broken)) {
		writeRefusal(w, r, errBody, err)
		return
	}
	panic(http.ErrAbortHandler)
}

func logFault(r *http.Request, log *slog.Logger, err error, unavailable bool) {
	level := slog.LevelError
	if unavailable {
		level = slog.LevelWarn
	}
	log.Log(r.Context(), level, "request failed", "request_id", RequestID(r), "method", r.Method, "route", routeOf(r), "error", err.Error())
}

// refusal says which refusal err is; false means that it is a fault.
func (e *Edge) refusal(r *http.Request, err error) (*domain.Refusal, bool) {
	if refusal, ok := domain.AsRefusal(err); ok {
		return refusal, true
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return ErrTooLarge.Because(fmt.Sprintf("the body is larger than the %d bytes that are accepted here", tooLarge.Limit)), true
	}
	if cut := (*bodyError)(nil); errors.As(err, &cut) {
		return errBody, true
	}
	for _, known := range e.faults {
		if refusal, ok := known(err); ok {
			return refusal, true
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(causeOf(r), errTimeout) {
		return ErrTimeout, true
	}
	return nil, false
}

func writeRefusal(w http.ResponseWriter, r *http.Request, refusal *domain.Refusal, err error) {
	status := Status(refusal.Kind)
	switch refusal.Kind {
	case domain.Unauthenticated:
		w.Header().Set("WWW-Authenticate", challenge(refusal))
	case domain.TooMany, domain.Unavailable, domain.Full:
		after := retryAfter
		if refusal.Kind == domain.Full {
			after = roomAfter
		}
		if later := (laterError{}); errors.As(err, &later) {
			after = later.after
		}
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
	}
	writeProblem(w, r, Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: refusal.Detail, Code: refusal.Code, Field: refusal.Field,
	})
}

// challenge is the WWW-Authenticate of RFC 6750, section 3: it says more only to who sent a token.
func challenge(refusal *domain.Refusal) string {
	const bearer = `Bearer realm="media-vault"`
	switch {
	case refusal.Code == "authorization_malformed":
		return bearer + `, error="invalid_request", error_description="` + quotable(refusal.Detail) + `"`
	case strings.HasPrefix(refusal.Code, "token_"):
		return bearer + `, error="invalid_token", error_description="` + quotable(refusal.Detail) + `"`
	default:
		return bearer
	}
}

func quotable(s string) string {
	return strings.NewReplacer(`"`, "'", `\`, "/").Replace(printable(s, 200))
}

func writeProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	p.RequestID = RequestID(r)
	h := w.Header()
	// What the handler had prepared belongs to the answer that it did not give.
	for _, name := range []string{"ETag", "Last-Modified", "Content-Disposition", "Content-Range", "Content-Encoding", "Accept-Ranges", "Location", "Vault-Position"} {
		if name == "Content-Range" && p.Status == http.StatusRequestedRangeNotSatisfiable {
			continue // it says how long the whole is (RFC 9110, section 15.5.17)
		}
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if err := writeJSON(w, p.Status, "application/problem+json", p); err != nil && r.Context().Err() == nil {
		edgeOf(r).log.DebugContext(r.Context(), "problem not delivered", "request_id", p.RequestID, "error", err.Error())
	}
}
