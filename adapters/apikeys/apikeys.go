// Package apikeys keeps the keys with which programs use the stream API: who they are and what they were granted. It does not
// decide what a grant allows.
package apikeys

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	// ErrUnknown is a key that is not there, was revoked, or is shown with another secret. Which of these is not told.
	ErrUnknown = errors.New("no such API key")
	// ErrTaken is an id that a key has, or had.
	ErrTaken = errors.New("an API key of this id exists, or existed")
	// ErrName is an id that is not of the form that connection strings can hold.
	ErrName = errors.New("an API key's id is 1 to 64 letters, digits, dots, underscores and hyphens, and does not begin with a sign")
)

// Grant is what a key may do.
type Grant struct {
	ID            string
	Description   string
	Roles         []string
	Categories    []string // "*" is all
	Organisations []string // "*" is all
	Opened        bool
	WriteFree     bool
	WriteOwn      bool
	CreatedAt     time.Time
	RevokedAt     time.Time // the zero Time: it was not
}

// Keys are the API keys in a database.
type Keys struct {
	pool *pgxpool.Pool
	now  func() time.Time

	mu    sync.Mutex // guards known
	known map[string]looked
}

// looked is what was found under an id, and when.
type looked struct {
	grant    Grant
	secret   []byte    // SHA-256; nil: there is no such key
	previous []byte    // the one before; nil: there is none
	until    time.Time // previous is believed before
	at       time.Time
}

// Fresh is how long what was found counts: a revoked key is refused after at most so long, by every process.
const Fresh = 2 * time.Second

const (
	deadline  = 5 * time.Second
	mostKnown = 10_000
)

// New makes them of a migrated database.
func New(pool *pgxpool.Pool) *Keys {
	return &Keys{pool: pool, now: time.Now, known: map[string]looked{}}
}

var ids = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Create stores a new key and answers its secret, which nobody can ask for again. Errors: ErrName, ErrTaken.
func (k *Keys) Create(ctx context.Context, g Grant) (string, error) {
	if !ids.MatchString(g.ID) {
		return "", ErrName
	}
	secret, sum := newSecret()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tag, err := k.pool.Exec(ctx, `
		INSERT INTO api_keys (id, secret_sha256, description, roles, categories, organisations, opened, write_free, write_own, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
		g.ID, sum, g.Description, list(g.Roles), list(g.Categories), list(g.Organisations), g.Opened, g.WriteFree, g.WriteOwn, k.now().UTC())
	if err != nil {
		return "", fmt.Errorf("create API key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return "", ErrTaken
	}
	return secret, nil
}

func newSecret() (secret string, sum []byte) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	secret = base64.RawURLEncoding.EncodeToString(random)
	hash := sha256.Sum256([]byte(secret))
	return secret, hash[:]
}

// Rotate gives a key another secret and answers it. The one before is believed for the given time from now on; the one before that no
// more. ErrUnknown when there is no such key, or it was revoked.
func (k *Keys) Rotate(ctx context.Context, id string, keep time.Duration) (string, error) {
	secret, sum := newSecret()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tag, err := k.pool.Exec(ctx, `
		UPDATE api_keys SET previous_sha256 = secret_sha256, previous_until = $3, secret_sha256 = $2 WHERE id = $1 AND revoked_at IS NULL`,
		id, sum, k.now().Add(keep).UTC())
	if err != nil {
		return "", fmt.Errorf("rotate API key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return "", ErrUnknown
	}
	k.forget(id)
	return secret, nil
}

func (k *Keys) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, id)
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

const columns = `id, description, roles, categories, organisations, opened, write_free, write_own, created_at, coalesce(revoked_at, 'epoch'), secret_sha256, previous_sha256, coalesce(previous_until, 'epoch')`

func scan(row pgx.Row) (looked, error) {
	var found looked
	g := &found.grant
	err := row.Scan(&g.ID, &g.Description, &g.Roles, &g.Categories, &g.Organisations, &g.Opened, &g.WriteFree, &g.WriteOwn, &g.CreatedAt, &g.RevokedAt,
		&found.secret, &found.previous, &found.until)
	if g.CreatedAt = g.CreatedAt.UTC(); g.RevokedAt.Unix() == 0 {
		g.RevokedAt = time.Time{}
	}
	return found, err
}

// List answers all keys, revoked ones as well, oldest first.
func (k *Keys) List(ctx context.Context) ([]Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	rows, err := k.pool.Query(ctx, `SELECT `+columns+` FROM api_keys ORDER BY created_at, id`)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	grants, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Grant, error) {
		found, err := scan(row)
		return found.grant, err
	})
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return grants, nil
}

// Revoke ends a key: within seconds no call is begun with it any more. ErrUnknown when there is none to revoke.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tag, err := k.pool.Exec(ctx, `UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, id, k.now().UTC())
	if err != nil {
		return fmt.Errorf("revoke API key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrUnknown
	}
	k.forget(id)
	return nil
}

// Verify answers what a key may do. Errors: ErrUnknown; any other is the database.
func (k *Keys) Verify(ctx context.Context, id, secret string) (Grant, error) {
	if !ids.MatchString(id) {
		return Grant{}, ErrUnknown
	}
	k.mu.Lock()
	found, ok := k.known[id]
	k.mu.Unlock()
	if now := k.now(); !ok || now.Sub(found.at) > Fresh {
		var err error
		if found, err = k.lookUp(ctx, id, now); err != nil {
			return Grant{}, err
		}
	}
	sum := sha256.Sum256([]byte(secret))
	now := subtle.ConstantTimeCompare(sum[:], found.secret) == 1
	before := subtle.ConstantTimeCompare(sum[:], found.previous) == 1 && k.now().Before(found.until)
	if !now && !before {
		return Grant{}, ErrUnknown
	}
	return found.grant, nil
}

func (k *Keys) lookUp(ctx context.Context, id string, now time.Time) (looked, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	found, err := scan(k.pool.QueryRow(ctx, `SELECT `+columns+` FROM api_keys WHERE id = $1 AND revoked_at IS NULL`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		found, err = looked{}, nil
	}
	if err != nil {
		return found, fmt.Errorf("look up API key: %w", err)
	}
	found.at = now
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= mostKnown {
		clear(k.known) // somebody guesses
	}
	k.known[id] = found
	return found, nil
}
