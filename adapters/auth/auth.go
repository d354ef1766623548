// Package auth says who asks: it verifies bearer tokens of an OpenID Connect issuer (Keycloak in production, its own small
// Issuer in dev, through the same code) and turns their claims into a domain.Actor. What an actor may do is not decided here.
package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals of Identify. Codes that begin with token_ become error="invalid_token" (RFC 6750) at the edge.
var (
	ErrMalformed   = domain.Refuse(domain.Unauthenticated, "authorization_malformed", "accepted is one header Authorization: Bearer <token>")
	ErrTooLarge    = domain.Refuse(domain.Unauthenticated, "token_too_large", fmt.Sprintf("a token has at most %d bytes", MaxToken))
	ErrInvalid     = domain.Refuse(domain.Unauthenticated, "token_invalid", "the token is not one that the vault's issuer signed for the vault")
	ErrExpired     = domain.Refuse(domain.Unauthenticated, "token_expired", "the token has expired; get a new one from the issuer")
	ErrNotYet      = domain.Refuse(domain.Unauthenticated, "token_not_yet_valid", "the token is not valid yet")
	ErrUnavailable = domain.Refuse(domain.Unavailable, "issuer_unavailable", "the token cannot be checked now: its issuer does not answer")
)

// MaxToken bounds a token, in bytes; Keycloak's are 1 to 3 kB.
const MaxToken = 16 << 10

// algorithms are those with a key that only the issuer has: never HS*, whose key would be public, and never none.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// Options say whose tokens are accepted.
type Options struct {
	Issuer   string // the exact `iss`; discovery is at <Issuer>/.well-known/openid-configuration
	Audience string // has to be among `aud`
	// Client names the entry of Keycloak's resource_access whose roles count; "" means Audience.
	Client string
	// Leeway is how far the issuer's clock and ours may differ; 0 means 30 s.
	Leeway time.Duration
	// Deadline bounds a conversation with the issuer; 0 means 5 s.
	Deadline time.Duration
	// Refetch is the least time between two looks at the issuer's keys, so that forged tokens do not become a flood
	// there; 0 means 2 s.
	Refetch time.Duration
	// HTTP is the client for the issuer; nil means http.DefaultTransport under Deadline.
	HTTP *http.Client
	Now  func() time.Time
	// Learned is told the verified e-mail address that a good token names (email with email_verified); it must not block. nil: nobody is.
	Learned func(person domain.UserID, address string)
}

// Verifier verifies tokens. It asks the issuer when the first token comes, and again when a key is new: an issuer that is down
// delays nobody's start, and closes the door only for tokens that were not checked within the last minute.
type Verifier struct {
	o       Options
	http    *http.Client
	verdict cache

	discovery singleflight.Group
	mu        sync.RWMutex          // guards verifier
	verifier  *oidc.IDTokenVerifier // nil until discovery succeeded
}

// NewVerifier makes a verifier without asking the issuer.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Issuer == "" || o.Audience == "" {
		return nil, errors.New("token verifier: issuer and audience are needed")
	}
	o.Client = or(o.Client, o.Audience)
	o.Leeway, o.Deadline, o.Refetch = or(o.Leeway, 30*time.Second), or(o.Deadline, 5*time.Second), or(o.Refetch, 2*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := http.DefaultTransport
	if o.HTTP != nil && o.HTTP.Transport != nil {
		transport = o.HTTP.Transport
	}
	return &Verifier{
		o:       o,
		http:    &http.Client{Transport: newThrottle(transport, o.Refetch), Timeout: o.Deadline},
		verdict: newCache(maxCached),
	}, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Identify says who asks: a guest without an id when the request shows no token, the token's subject when it shows a good one.
// Errors are refusals, with what caused them wrapped for the log: Unauthenticated for a bad token, ErrUnavailable when it cannot
// be checked now.
func (v *Verifier) Identify(r *http.Request) (domain.Actor, error) {
	found, err := v.judge(r)
	return found.actor, err
}

// Until says until when the request's token is accepted, for answers that outlast it; the zero time when it shows none, or none
// that is accepted now.
func (v *Verifier) Until(r *http.Request) time.Time {
	found, err := v.judge(r)
	if err != nil {
		return time.Time{}
	}
	return found.ends
}

func (v *Verifier) judge(r *http.Request) (verdict, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return verdict{}, err
	}
	if token == "" {
		return verdict{actor: domain.Actor{Roles: []domain.Role{domain.RoleGuest}}}, nil
	}
	key := sha256.Sum256([]byte(token))
	now := v.o.Now()
	if found, ok := v.verdict.get(key, now); ok {
		return found, nil
	}
	actor, expiry, err := v.verify(r.Context(), token, now)
	if err != nil {
		return verdict{}, err
	}
	found := verdict{actor: actor, until: now.Add(maxCacheTime), ends: expiry.Add(v.o.Leeway)}
	if found.ends.Before(found.until) {
		found.until = found.ends
	}
	v.verdict.put(key, found)
	return found, nil
}

// bearer is the token of RFC 6750, section 2.1; "" when there is no Authorization header. Tokens in the query or in a body are
// not looked for: they end up in logs.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, ok := strings.Cut(strings.TrimSpace(values[0]), " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || token == "":
		return "", ErrMalformed
	case len(token) > MaxToken:
		return "", ErrTooLarge
	case strings.Count(token, ".") != 2 || !plain(token):
		return "", ErrInvalid
	}
	return token, nil
}

// plain reports whether the text has only what the compact serialization of RFC 7515 has a place for. Every request asks.
func plain(token string) bool {
	for i := range len(token) {
		c := token[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (domain.Actor, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, v.o.Deadline)
	defer cancel()
	verifier, err := v.ready(ctx)
	if err != nil {
		return domain.Actor{}, time.Time{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var unreachable error
	parsed, err := verifier.Verify(context.WithValue(ctx, unreachableKey{}, &unreachable), token)
	if unreachable != nil {
		return domain.Actor{}, time.Time{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, v.o.Issuer, unreachable)
	}
	if err != nil {
		return domain.Actor{}, time.Time{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var c claims
	if err := parsed.Claims(&c); err != nil {
		return domain.Actor{}, time.Time{}, ErrInvalid.Because("the token's claims cannot be read")
	}
	if err := v.timely(parsed.Expiry, c, now); err != nil {
		return domain.Actor{}, time.Time{}, err
	}
	actor, err := c.actor(v.o.Client)
	if err == nil && v.o.Learned != nil && c.Verified && c.Email != "" {
		v.o.Learned(actor.ID, string(c.Email))
	}
	return actor, parsed.Expiry, err
}

// timely checks exp and nbf with our own leeway: the library's is five minutes for nbf and none for exp.
func (v *Verifier) timely(expiry time.Time, c claims, now time.Time) error {
	switch {
	case expiry.Unix() <= 0:
		return ErrInvalid.Because("the token has no expiry")
	case !now.Before(expiry.Add(v.o.Leeway)):
		return ErrExpired
	case c.NotBefore != 0 && now.Add(v.o.Leeway).Before(time.Unix(int64(c.NotBefore), 0)):
		return ErrNotYet
	}
	return nil
}

// ready answers the library's verifier, after discovery where that has not succeeded yet.
func (v *Verifier) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	v.mu.RLock()
	verifier := v.verifier
	v.mu.RUnlock()
	if verifier != nil {
		return verifier, nil
	}
	found := v.discovery.DoChan("", func() (any, error) {
		// One caller's impatience must not fail the others: the conversation has its own deadline.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.o.Deadline)
		defer cancel()
		return v.discover(oidc.ClientContext(ctx, v.http))
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-found:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*oidc.IDTokenVerifier), nil
	}
}

func (v *Verifier) discover(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	provider, err := oidc.NewProvider(ctx, v.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", v.o.Issuer, err)
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil || document.Keys == "" {
		return nil, fmt.Errorf("discover %s: no jwks_uri", v.o.Issuer)
	}
	keys := &keySet{remote: oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), v.http), document.Keys)}
	verifier := oidc.NewVerifier(v.o.Issuer, keys, &oidc.Config{
		ClientID: v.o.Audience, SupportedSigningAlgs: algorithms, SkipExpiryCheck: true, // timely does it
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verifier = verifier
	return verifier, nil
}

// claims are what the vault reads of a token.
type claims struct {
	Subject   string  `json:"sub"`
	Type      string  `json:"typ"`
	NotBefore seconds `json:"nbf"`
	Email     lax     `json:"email"`
	Verified  truth   `json:"email_verified"`
	Org       words   `json:"org"`
	Roles     words   `json:"roles"`
	Realm     struct {
		Roles words `json:"roles"`
	} `json:"realm_access"`
	Resource map[string]struct {
		Roles words `json:"roles"`
	} `json:"resource_access"`
}

// seconds is a NumericDate of RFC 7519, which may have a fraction.
type seconds float64

// truth is a boolean claim; what is no boolean is false.
type truth bool

// UnmarshalJSON implements json.Unmarshaler.
func (t *truth) UnmarshalJSON(data []byte) error {
	*t = string(data) == "true" || string(data) == `"true"`
	return nil
}

// lax is a text claim that is not worth refusing a token for: what is no text is none.
type lax string

// UnmarshalJSON implements json.Unmarshaler.
func (l *lax) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*l = lax(text)
	}
	return nil
}

// words is a claim that some issuers write as one string and others as a list.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = strings.Fields(one)
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*w = many
	return nil
}

// roles are the words of the token that mean something here. System is missing on purpose: no token makes somebody the vault.
var roles = map[string]domain.Role{
	"user": domain.RoleUser, "partner": domain.RolePartner, "partner_admin": domain.RolePartnerAdmin,
	"moderator": domain.RoleModerator, "manager": domain.RoleModerator,
	"auditor": domain.RoleAuditor, "analyst": domain.RoleAnalyst, "admin": domain.RoleAdmin,
}

func (c claims) actor(client string) (domain.Actor, error) {
	switch {
	case c.Type == "ID" || c.Type == "Refresh" || c.Type == "Offline" || c.Type == "Logout":
		return domain.Actor{}, ErrInvalid.Because("an access token is needed; this is a token of another use")
	case !identifier(c.Subject) || c.Subject == string(domain.System().ID):
		return domain.Actor{}, ErrInvalid.Because("the token has no subject that is accepted")
	case len(c.Org) > 1 || len(c.Org) == 1 && !identifier(c.Org[0]):
		return domain.Actor{}, ErrInvalid.Because("the token's org is not one identifier")
	}
	actor := domain.Actor{ID: domain.UserID(c.Subject)}
	if len(c.Org) == 1 {
		actor.Org = domain.OrgID(c.Org[0])
	}
	for _, name := range slices.Concat(c.Roles, c.Realm.Roles, c.Resource[client].Roles) {
		if role, ok := roles[name]; ok && !slices.Contains(actor.Roles, role) {
			actor.Roles = append(actor.Roles, role)
		}
	}
	if len(actor.Roles) == 0 {
		actor.Roles = []domain.Role{domain.RoleGuest}
	}
	return actor, nil
}

// identifier accepts what may become part of stream names, logs and stored events.
func identifier(s string) bool {
	return s != "" && len(s) <= 200 && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) || unicode.IsSpace(c) })
}
