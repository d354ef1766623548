package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/mediavault-io/mediavault/domain"
)

// keySet is the library's set of the issuer's keys. The library tells a bad signature and an issuer that does not answer in the
// same way; this notes the difference at the caller's context.
type keySet struct{ remote *oidc.RemoteKeySet }

type unreachableKey struct{}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	// The library's only sentence for what was wrong with getting keys; a bad signature has another.
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		if note, ok := ctx.Value(unreachableKey{}).(*error); ok {
			*note = err
		}
	}
	return payload, err
}

// throttle answers the same URL from memory when it was asked a moment ago, with what was true then, failure included. The
// library looks for new keys at every signature that does not fit; without this each forged token would be a request to the issuer.
type throttle struct {
	next  http.RoundTripper
	every time.Duration

	mu    sync.Mutex // guards known
	known map[string]reply
}

type reply struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
	err    error
}

func newThrottle(next http.RoundTripper, every time.Duration) *throttle {
	return &throttle{next: next, every: every, known: map[string]reply{}}
}

// maxDocument bounds, in bytes, what an issuer may answer.
const maxDocument = 1 << 20

var errDocument = errors.New("the issuer's answer is larger than 1 MiB")

// RoundTrip implements http.RoundTripper.
func (t *throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	t.mu.Lock()
	last, ok := t.known[url]
	t.mu.Unlock()
	if !ok || time.Since(last.at) >= t.every {
		last = t.ask(r)
		t.mu.Lock()
		if len(t.known) > 16 { // an issuer has two addresses; redirects may add some
			clear(t.known)
		}
		t.known[url] = last
		t.mu.Unlock()
	}
	if last.err != nil {
		return nil, last.err
	}
	return &http.Response{
		Status: http.StatusText(last.status), StatusCode: last.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: last.header.Clone(), Body: io.NopCloser(bytes.NewReader(last.body)), ContentLength: int64(len(last.body)), Request: r,
	}, nil
}

func (t *throttle) ask(r *http.Request) reply {
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return reply{at: time.Now(), err: err}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err == nil && len(body) > maxDocument {
		err = errDocument
	}
	return reply{at: time.Now(), status: res.StatusCode, header: res.Header, body: body, err: err}
}

// Verdicts are remembered for at most a minute: that long a token outlives its issuer's change of mind.
const (
	maxCached    = 20_000
	maxCacheTime = time.Minute
)

// cache remembers good tokens by their digest, in two generations: when the young one is full it becomes the old one, so that
// memory is bounded and no lookup has to clean up.
type cache struct {
	max int

	mu         sync.RWMutex // guards the generations
	young, old map[[sha256.Size]byte]verdict
}

type verdict struct {
	actor domain.Actor
	until time.Time // when it has to be looked at again
	ends  time.Time // when the token is not accepted any more
}

func newCache(maxEntries int) cache {
	return cache{max: maxEntries, young: map[[sha256.Size]byte]verdict{}}
}

func (c *cache) get(key [sha256.Size]byte, now time.Time) (verdict, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.young[key]
	if !ok {
		v, ok = c.old[key]
	}
	if !ok || !now.Before(v.until) {
		return verdict{}, false
	}
	v.actor.Roles = slices.Clone(v.actor.Roles)
	return v, true
}

func (c *cache) put(key [sha256.Size]byte, v verdict) {
	v.actor.Roles = slices.Clone(v.actor.Roles)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.max/2 {
		c.old, c.young = c.young, map[[sha256.Size]byte]verdict{}
	}
	c.young[key] = v
}
