package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/domain"
)

// provider is an issuer on a real port whose keys and health the test decides.
type provider struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	keys  []jose.JSONWebKey
	down  bool
	asked atomic.Int64 // how often for keys
}

func newProvider(t *testing.T, keys ...jose.JSONWebKey) *provider {
	t.Helper()
	p := &provider{keys: keys}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.down:
			http.Error(w, "down", http.StatusBadGateway)
		case r.URL.Path == "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"HS256", "none", "RS256"}})
		default:
			p.asked.Add(1)
			set := jose.JSONWebKeySet{}
			for _, k := range p.keys {
				set.Keys = append(set.Keys, k.Public())
			}
			_ = json.NewEncoder(w).Encode(set)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func key(t testing.TB, kid string, private crypto.Signer, err error) jose.JSONWebKey {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: kid, Use: "sig"}
}

func ecKey(t testing.TB, kid string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return key(t, kid, k, err)
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, k any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: k}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func verifier(t testing.TB, issuer string, change ...func(*auth.Options)) *auth.Verifier {
	t.Helper()
	o := auth.Options{Issuer: issuer, Audience: "media-vault", Refetch: time.Nanosecond}
	for _, c := range change {
		c(&o)
	}
	v, err := auth.NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return r
}

func TestGoodTokensSayWhoAsks(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	rs := key(t, "rs", rsaKey, err)
	es := ecKey(t, "es")
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	ed := key(t, "ed", edKey, err)
	p := newProvider(t, rs, es, ed)
	v := verifier(t, p.URL)
	base := map[string]any{"iss": p.URL, "aud": []string{"account", "media-vault"}, "sub": "f3b1", "exp": time.Now().Add(time.Hour).Unix()}
	with := func(more map[string]any) map[string]any {
		c := maps.Clone(base)
		maps.Copy(c, more)
		return c
	}
	for name, test := range map[string]struct {
		token string
		want  domain.Actor
	}{
		"RS256, as Keycloak writes it": {sign(t, jose.RS256, rs, with(map[string]any{
			"typ": "Bearer", "org": "acme", "realm_access": map[string]any{"roles": []string{"offline_access", "partner"}},
			"resource_access": map[string]any{"account": map[string]any{"roles": []string{"admin"}}, "media-vault": map[string]any{"roles": []string{"manager"}}},
		})), domain.Actor{ID: "f3b1", Org: "acme", Roles: []domain.Role{domain.RolePartner, domain.RoleModerator}}},
		"PS512":                            {sign(t, jose.PS512, rs, with(map[string]any{"roles": []string{"user"}})), domain.Actor{ID: "f3b1", Roles: []domain.Role{domain.RoleUser}}},
		"ES256 with one role as a string":  {sign(t, jose.ES256, es, with(map[string]any{"roles": "auditor"})), domain.Actor{ID: "f3b1", Roles: []domain.Role{domain.RoleAuditor}}},
		"EdDSA, no role is a known guest":  {sign(t, jose.EdDSA, ed, base), domain.Actor{ID: "f3b1", Roles: []domain.Role{domain.RoleGuest}}},
		"system is not for tokens":         {sign(t, jose.ES256, es, with(map[string]any{"roles": []string{"system", "user", "god"}})), domain.Actor{ID: "f3b1", Roles: []domain.Role{domain.RoleUser}}},
		"a clock that differs by a little": {sign(t, jose.ES256, es, with(map[string]any{"exp": time.Now().Add(-5 * time.Second).Unix(), "nbf": time.Now().Add(5 * time.Second).Unix()})), domain.Actor{ID: "f3b1", Roles: []domain.Role{domain.RoleGuest}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // the second comes from memory
				got, err := v.Identify(request("bearer " + test.token))
				if err != nil || got.ID != test.want.ID || got.Org != test.want.Org || !slices.Equal(got.Roles, test.want.Roles) {
					t.Fatalf("%+v, %v", got, err)
				}
			}
		})
	}
}

func TestATokenIsAcceptedUntilItExpires(t *testing.T) {
	t.Parallel()
	es := ecKey(t, "es")
	p := newProvider(t, es)
	v := verifier(t, p.URL, func(o *auth.Options) { o.Leeway = 10 * time.Second })
	expiry := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	token := sign(t, jose.ES256, es, map[string]any{"iss": p.URL, "aud": "media-vault", "sub": "f3b1", "exp": expiry.Unix()})
	for range 2 { // the second comes from memory, where it stays shorter
		if until := v.Until(request("Bearer " + token)); !until.Equal(expiry.Add(10 * time.Second)) {
			t.Errorf("accepted until %v, not %v", until, expiry)
		}
	}
	if until := v.Until(request()); !until.IsZero() {
		t.Errorf("a guest is accepted until %v", until)
	}
	if until := v.Until(request("Bearer a.b.c")); !until.IsZero() {
		t.Errorf("a bad token is accepted until %v", until)
	}
}

func TestBadTokensAreRefused(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	rs := key(t, "rs", rsaKey, err)
	es, forger := ecKey(t, "es"), ecKey(t, "es")
	p := newProvider(t, rs, es)
	v := verifier(t, p.URL)
	claims := func(more ...any) map[string]any {
		c := map[string]any{"iss": p.URL, "aud": "media-vault", "sub": "f3b1", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"}}
		for i := 0; i < len(more); i += 2 {
			if c[more[i].(string)] = more[i+1]; more[i+1] == nil {
				delete(c, more[i].(string))
			}
		}
		return c
	}
	good := sign(t, jose.ES256, es, claims())
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := func(secret []byte) string {
		signed := b64([]byte(`{"alg":"HS256","kid":"rs"}`)) + "." + payload
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + b64(mac.Sum(nil))
	}
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: forger}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(claims())
	signed, err := embedded.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	embeddedToken, _ := signed.CompactSerialize()

	for name, test := range map[string]struct {
		header []string
		want   error
	}{
		"another key under the same kid":          {[]string{"Bearer " + sign(t, jose.ES256, forger, claims())}, auth.ErrInvalid},
		"a key that the token brings along":       {[]string{"Bearer " + embeddedToken}, auth.ErrInvalid},
		"an unknown kid":                          {[]string{"Bearer " + sign(t, jose.ES256, ecKey(t, "who"), claims())}, auth.ErrInvalid},
		"alg none":                                {[]string{"Bearer " + b64([]byte(`{"alg":"none"}`)) + "." + payload + "."}, auth.ErrInvalid},
		"alg None with a signature":               {[]string{"Bearer " + b64([]byte(`{"alg":"None","kid":"es"}`)) + "." + payload + "." + signature}, auth.ErrInvalid},
		"HS256 with the public key as secret":     {[]string{"Bearer " + hs(publicPEM)}, auth.ErrInvalid},
		"HS256 with the public key's DER":         {[]string{"Bearer " + hs(der)}, auth.ErrInvalid},
		"HS256 with no secret":                    {[]string{"Bearer " + hs(nil)}, auth.ErrInvalid},
		"a payload that was changed":              {[]string{"Bearer " + head + "." + b64([]byte(`{"sub":"root"}`)) + "." + signature}, auth.ErrInvalid},
		"a signature cut off":                     {[]string{"Bearer " + head + "." + payload + "."}, auth.ErrInvalid},
		"expired":                                 {[]string{"Bearer " + sign(t, jose.ES256, es, claims("exp", time.Now().Add(-time.Minute).Unix()))}, auth.ErrExpired},
		"no expiry":                               {[]string{"Bearer " + sign(t, jose.ES256, es, claims("exp", nil))}, auth.ErrInvalid},
		"for later":                               {[]string{"Bearer " + sign(t, jose.ES256, es, claims("nbf", time.Now().Add(time.Minute).Unix()))}, auth.ErrNotYet},
		"for somebody else":                       {[]string{"Bearer " + sign(t, jose.ES256, es, claims("aud", "other"))}, auth.ErrInvalid},
		"for nobody":                              {[]string{"Bearer " + sign(t, jose.ES256, es, claims("aud", nil))}, auth.ErrInvalid},
		"of another issuer":                       {[]string{"Bearer " + sign(t, jose.ES256, es, claims("iss", "https://evil.example"))}, auth.ErrInvalid},
		"of no subject":                           {[]string{"Bearer " + sign(t, jose.ES256, es, claims("sub", nil))}, auth.ErrInvalid},
		"of the vault itself":                     {[]string{"Bearer " + sign(t, jose.ES256, es, claims("sub", "system"))}, auth.ErrInvalid},
		"of a subject with a line break":          {[]string{"Bearer " + sign(t, jose.ES256, es, claims("sub", "a\nb"))}, auth.ErrInvalid},
		"of two organisations":                    {[]string{"Bearer " + sign(t, jose.ES256, es, claims("org", []string{"a", "b"}))}, auth.ErrInvalid},
		"an ID token":                             {[]string{"Bearer " + sign(t, jose.ES256, es, claims("typ", "ID"))}, auth.ErrInvalid},
		"claims of odd types":                     {[]string{"Bearer " + sign(t, jose.ES256, es, claims("roles", map[string]any{"a": 1}))}, auth.ErrInvalid},
		"a token of a megabyte":                   {[]string{"Bearer " + strings.Repeat("a", 1<<20)}, auth.ErrTooLarge},
		"not a token":                             {[]string{"Bearer hello"}, auth.ErrInvalid},
		"the JSON form, which may hold many keys": {[]string{`Bearer {"payload":"a.b.c"}`}, auth.ErrInvalid},
		"another scheme":                          {[]string{"Basic YTpi"}, auth.ErrMalformed},
		"a scheme alone":                          {[]string{"Bearer"}, auth.ErrMalformed},
		"two headers":                             {[]string{"Bearer " + good, "Bearer " + good}, auth.ErrMalformed},
		"an empty header":                         {[]string{""}, auth.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := v.Identify(request(test.header...)); !errors.Is(err, test.want) || got.Known() || len(got.Roles) != 0 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("no token is a guest", func(t *testing.T) {
		t.Parallel()
		if got, err := v.Identify(request()); err != nil || got.Known() || !got.Is(domain.RoleGuest) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestTheIssuerMayBeAway(t *testing.T) {
	t.Parallel()
	first, second := ecKey(t, "first"), ecKey(t, "second")
	p := newProvider(t, first)
	p.down = true
	now := time.Now()
	var clock atomic.Pointer[time.Time]
	clock.Store(&now)
	v := verifier(t, p.URL, func(o *auth.Options) { o.Now = func() time.Time { return *clock.Load() } })
	claims := map[string]any{"iss": p.URL, "aud": "media-vault", "sub": "f3b1", "exp": now.Add(time.Hour).Unix()}
	token := func(k jose.JSONWebKey, jti string) string {
		c := maps.Clone(claims)
		c["jti"] = jti
		return "Bearer " + sign(t, jose.ES256, k, c)
	}
	expect := func(what, token string, want error) {
		t.Helper()
		if _, err := v.Identify(request(token)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	a := token(first, "a")
	expect("down at start", a, auth.ErrUnavailable)
	p.set(func() { p.down = false })
	expect("up again", a, nil)
	p.set(func() { p.keys = []jose.JSONWebKey{second, first} })
	expect("a new key is fetched", token(second, "b"), nil)
	p.set(func() { p.down = true })
	expect("known keys serve while it is down", token(first, "c"), nil)
	expect("an unknown key cannot be checked while it is down", token(ecKey(t, "third"), "d"), auth.ErrUnavailable)
	p.set(func() { p.down, p.keys = false, []jose.JSONWebKey{second} })
	expect("keys were dropped", token(ecKey(t, "fourth"), "e"), auth.ErrInvalid)
	expect("a checked token is remembered for a minute", a, nil)
	later := now.Add(time.Minute)
	clock.Store(&later)
	expect("and not longer", a, auth.ErrInvalid)
	end := now.Add(2 * time.Hour)
	clock.Store(&end)
	expect("what is remembered expires, too", token(second, "b"), auth.ErrExpired)
}

func TestAnIssuerThatHangsCostsADeadline(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(s.Close)
	v := verifier(t, s.URL, func(o *auth.Options) { o.Deadline = 50 * time.Millisecond })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := v.Identify(request("Bearer a.b.c")); !errors.Is(err, auth.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestForgedTokensDoNotFloodTheIssuer(t *testing.T) {
	t.Parallel()
	es := ecKey(t, "es")
	p := newProvider(t, es)
	v := verifier(t, p.URL, func(o *auth.Options) { o.Refetch = time.Hour })
	claims := map[string]any{"iss": p.URL, "aud": "media-vault", "sub": "f3b1", "exp": time.Now().Add(time.Hour).Unix()}
	for range 50 {
		if _, err := v.Identify(request("Bearer " + sign(t, jose.ES256, ecKey(t, "guess"), claims))); !errors.Is(err, auth.ErrInvalid) {
			t.Fatal(err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func FuzzIdentify(f *testing.F) {
	es := ecKey(f, "es")
	s := httptest.NewServer(http.NotFoundHandler())
	f.Cleanup(s.Close)
	v := verifier(f, s.URL, func(o *auth.Options) { o.Refetch = time.Hour })
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer a.b.c", "bearer  a.b.c", "Basic YQ==", "Bearer a.b.c d", "Bearer \x00.\xff.é", "Bearer ..",
		"Bearer " + sign(f, jose.ES256, es, map[string]any{"sub": "a"}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		got, err := v.Identify(r)
		if err == nil || got.Known() || len(got.Roles) != 0 {
			t.Fatalf("%q was accepted: %+v", header, got)
		}
		if _, ok := domain.AsRefusal(err); !ok {
			t.Fatalf("%q: %v is a fault", header, err)
		}
	})
}

func BenchmarkIdentifyFromMemory(b *testing.B) {
	dir := b.TempDir()
	var issuer *auth.Issuer
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { issuer.Handler().ServeHTTP(w, r) }))
	b.Cleanup(s.Close)
	issuer, err := auth.OpenIssuer(dir, s.URL)
	if err != nil {
		b.Fatal(err)
	}
	token, err := issuer.Token(domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	v, r := verifier(b, s.URL), request("Bearer "+token)
	for b.Loop() {
		if _, err := v.Identify(r); err != nil {
			b.Fatal(err)
		}
	}
}
