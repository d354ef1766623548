package web

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// apiPolicy lets an answer of the API load nothing and be framed by nobody.
const apiPolicy = "default-src 'none'; frame-ancestors 'none'"

// securityHeaders are the owner's list; a handler that serves a page sets its own Content-Security-Policy. One array holds the
// values of all of a request's.
func securityHeaders(h http.Header) {
	values := [...]string{"max-age=31536000", "nosniff", "DENY", "strict-origin", apiPolicy, "no-store"}
	for i, name := range [...]string{
		"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy", "Cache-Control",
	} {
		h[name] = values[i : i+1 : i+1]
	}
}

// What a page of another origin may send and see.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Content-Disposition, Range, If-Match, If-None-Match, If-Modified-Since, If-Range, " +
		"Content-Digest, Digest, X-Content-Sha256, Idempotency-Key, Last-Event-ID, Vault-Reason, Vault-After, Vault-Password, X-Request-Id, X-Correlation-Id, Traceparent"
	corsExposed = "Location, ETag, Content-Range, Content-Disposition, Vault-Position, X-Request-Id, Retry-After, Allow"
)

// cors answers a preflight, and lets pages of the allowed origins see the answer. Credentials of the browser are never
// involved: who asks shows a bearer token.
func (e *Edge) cors(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	origin := r.Header.Get("Origin")
	if len(e.origins) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if origin == "" {
		return false, nil
	}
	if !slices.Contains(e.origins, origin) && !slices.Contains(e.origins, "*") {
		if preflight {
			return true, errOrigin
		}
		return false, nil
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", corsExposed)
	if !preflight {
		return false, nil
	}
	w.Header().Set("Access-Control-Allow-Methods", corsMethods)
	w.Header().Set("Access-Control-Allow-Headers", corsHeaders)
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

// requestIDs accepts the ids that a well-behaved caller sends and makes those that it does not.
func requestIDs(h http.Header) (id string, correlation uuid.UUID) {
	id = h.Get("X-Request-Id")
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c))
	}) {
		id = uuid.Must(uuid.NewV7()).String()
	}
	if trace, ok := traceID(h.Get("Traceparent")); ok {
		return id, trace
	}
	if given, err := uuid.Parse(h.Get("X-Correlation-Id")); err == nil && given != uuid.Nil {
		return id, given
	}
	if same, err := uuid.Parse(id); err == nil && same != uuid.Nil {
		return id, same
	}
	return id, domain.Derive("request", id)
}

// traceID reads W3C Trace Context, section 3.2: 00-<32 hex>-<16 hex>-<2 hex>.
func traceID(traceparent string) (uuid.UUID, bool) {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return uuid.Nil, false
	}
	var id uuid.UUID
	if _, err := hex.Decode(id[:], []byte(parts[1])); err != nil || id == uuid.Nil {
		return uuid.Nil, false
	}
	return id, true
}

// clientAddr walks X-Forwarded-For from the right as long as the speaker is a trusted proxy.
func clientAddr(r *http.Request, proxies []netip.Prefix) netip.Addr {
	addr := remoteAddr(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted(addr, proxies); i-- {
		hop := strings.TrimSpace(hops[i])
		if host, _, err := net.SplitHostPort(hop); err == nil {
			hop = host
		}
		next, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	return addr
}

func trusted(addr netip.Addr, proxies []netip.Prefix) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func remoteAddr(r *http.Request) netip.Addr {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.IPv4Unspecified()
}

// IfMatch is the revision that the client expects, from If-Match: "<revision>"; given is false when it expects none, or
// with * anything. Revisions are the ETags of writes and of single items.
func IfMatch(r *http.Request) (revision int64, given bool, err error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "*" {
		return 0, false, nil
	}
	tag := strings.TrimSpace(values[0])
	if len(values) == 1 && len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		if n, err := strconv.ParseInt(tag[1:len(tag)-1], 10, 64); err == nil && n >= 0 && ETag(n) == tag {
			return n, true, nil
		}
	}
	return 0, false, domain.ErrInvalid.On("If-Match").Because(`accepted is one revision in quotes, such as "3", as an ETag gave it`)
}

// ETag is a revision as clients see it.
func ETag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// IdempotencyKey is what makes a repeated request the same request; "" when there is none.
func IdempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > 255 || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", domain.ErrInvalid.On("Idempotency-Key").Because("accepted are 1 to 255 visible ASCII characters, given once")
	}
	return key, nil
}

// maxReason bounds, in characters, why somebody did something.
const maxReason = 500

// Reason is why, in the actor's words, from Vault-Reason; "" when there is none. Beyond ASCII the header carries UTF-8, plain
// or as an extended value of RFC 8187: UTF-8”%C3%BC.
func Reason(r *http.Request) (string, error) {
	values := r.Header.Values("Vault-Reason")
	if len(values) == 0 {
		return "", nil
	}
	refused := domain.ErrInvalid.On("Vault-Reason").Because(fmt.Sprintf(
		"accepted are up to %d characters without control characters, in UTF-8, or percent-encoded as UTF-8''...", maxReason))
	reason := strings.TrimSpace(values[0])
	prefix, encoded, extended := strings.Cut(reason, "''")
	if extended = extended && strings.EqualFold(prefix, "utf-8"); !extended {
		encoded = reason
	}
	switch decoded, err := url.PathUnescape(encoded); {
	case err == nil:
		reason = decoded
	case extended:
		return "", refused
	}
	if len(values) > 1 || !utf8.ValidString(reason) || utf8.RuneCountInString(reason) > maxReason || strings.ContainsFunc(reason, unicode.IsControl) {
		return "", refused
	}
	return reason, nil
}

// After is the position that the client wants to see at least, from Vault-After; 0 when it does not say.
func After(r *http.Request) (int64, error) {
	value := r.Header.Get("Vault-After")
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, domain.ErrInvalid.On("Vault-After").Because("accepted is a position as Vault-Position gave it")
	}
	return n, nil
}

// printable is s without what a log or a header must not carry, cut to at most limit bytes.
func printable(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, s)
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// method is a request's method as a label: strangers may make up their own.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "OTHER"
	}
}
