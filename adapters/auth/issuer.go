package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// Audience is for whom the dev issuer's tokens are.
const Audience = "media-vault"

// DefaultTTL is how long a token of the dev issuer is good unless asked otherwise: the owner's longest, 30 minutes.
const DefaultTTL = 30 * time.Minute

// keptKeys is how many keys stay published, the newest signing: a token outlives this many rotations less one.
const keptKeys = 3

// Issuer is dev's own OpenID Connect issuer: it has signing keys in the data folder, publishes their public halves and
// signs tokens for whoever can read the folder. It has no login and is never for production. Several processes may open
// the same folder.
type Issuer struct {
	file string
	url  string
	now  func() time.Time
}

// OpenIssuer opens the issuer whose keys are in dir, and makes the first key where there is none. issuerURL is the address
// under which Handler is served, such as http://127.0.0.1:8080.
func OpenIssuer(dir, issuerURL string) (*Issuer, error) {
	i := &Issuer{file: filepath.Join(dir, "issuer-keys.json"), url: strings.TrimSuffix(issuerURL, "/"), now: time.Now}
	_, err := i.keys()
	if !errors.Is(err, fs.ErrNotExist) {
		return i, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of issuer keys: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := i.write(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}}, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	_, err = i.keys() // another process may have been first: its key is as good
	return i, err
}

// URL is the issuer's name, the `iss` of its tokens.
func (i *Issuer) URL() string { return i.url }

// Token signs a token that says who actor is. A ttl of 0 means DefaultTTL. An actor who is or claims to be the vault itself is
// refused, as the verifier would.
func (i *Issuer) Token(actor domain.Actor, ttl time.Duration) (string, error) {
	if !identifier(string(actor.ID)) || actor.ID == domain.System().ID || actor.Is(domain.RoleSystem) {
		return "", fmt.Errorf("token for %q: accepted is an id of up to 200 printable characters, without spaces, other than system", actor.ID)
	}
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	set, err := i.keys()
	if err != nil {
		return "", err
	}
	key := set.Keys[0]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	now := i.now()
	signed, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.url, Subject: string(actor.ID), Audience: jwt.Audience{Audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
	}).Claims(struct {
		Org   domain.OrgID  `json:"org,omitempty"`
		Roles []domain.Role `json:"roles"`
	}{actor.Org, actor.Roles}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// Rotate makes a new key, which signs from now on. The keys before it stay published for a while, so that tokens that are out
// remain good.
func (i *Issuer) Rotate() error {
	set, err := i.keys()
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	set.Keys = slices.Insert(set.Keys, 0, key)
	set.Keys = set.Keys[:min(len(set.Keys), keptKeys)]
	return i.write(set, os.Rename)
}

// Handler serves /.well-known/openid-configuration and /.well-known/jwks.json.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/.well-known/jwks.json",
			"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
			"response_types_supported":              []string{"token"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		set, err := i.keys() // from the file: another process may have rotated
		if err != nil {
			http.Error(w, "the signing keys cannot be read", http.StatusServiceUnavailable)
			return
		}
		public := jose.JSONWebKeySet{}
		for _, key := range set.Keys {
			public.Keys = append(public.Keys, key.Public())
		}
		answer(w, public)
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // plain data; only a client that left fails it
}

func newKey() (jose.JSONWebKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("make signing key: %w", err)
	}
	return jose.JSONWebKey{Key: private, KeyID: uuid.Must(uuid.NewV7()).String(), Algorithm: string(jose.ES256), Use: "sig"}, nil
}

// keys reads the keys, the signing one first.
func (i *Issuer) keys() (jose.JSONWebKeySet, error) {
	data, err := os.ReadFile(i.file)
	if err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("read issuer keys: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("read issuer keys %s: %w", i.file, err)
	}
	if len(set.Keys) == 0 || slices.ContainsFunc(set.Keys, func(k jose.JSONWebKey) bool { return !k.Valid() || k.IsPublic() }) {
		return jose.JSONWebKeySet{}, fmt.Errorf("read issuer keys %s: no private keys in it", i.file)
	}
	return set, nil
}

// write makes a whole file beside and puts it in place at once: os.Link only where there is none yet, os.Rename over the old.
func (i *Issuer) write(set jose.JSONWebKeySet, place func(from, to string) error) error {
	data, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("marshal issuer keys: %w", err)
	}
	beside, err := os.CreateTemp(filepath.Dir(i.file), ".issuer-keys-*") // 0600
	if err != nil {
		return fmt.Errorf("write issuer keys: %w", err)
	}
	defer func() { _ = os.Remove(beside.Name()) }() // gone already after a rename
	_, err = beside.Write(data)
	if err = errors.Join(err, beside.Sync(), beside.Close()); err != nil {
		return fmt.Errorf("write issuer keys: %w", err)
	}
	if err := place(beside.Name(), i.file); err != nil {
		return fmt.Errorf("write issuer keys: %w", err)
	}
	return nil
}
