package keys

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
)

// Ring seals and opens under the subjects' keys. Several processes may have one on the same database. A key that one of
// them destroys is noticed by the others at once, by a notification, and after 30 s (Life) at the latest where that is
// lost. What was sealed meanwhile is as lost as the rest.
type Ring struct {
	pool    *pgxpool.Pool
	masters Masters
	options
	cache   *cache
	loading chan struct{} // taken by who asks for the keys of many
	cancel  context.CancelFunc
	work    sync.WaitGroup // the listener

	mu   sync.Mutex // guards told
	told []func()   // when subjects were forgotten
}

type options struct {
	now      func() time.Time
	subjects int
}

const (
	life     = 30 * time.Second    // of keys in memory, before the database is asked for them again
	rotation = 90 * 24 * time.Hour // a subject seals with a new key when his is older; the old ones go on opening
	callTime = 5 * time.Second     // for the database
)

// Option changes how a Ring works.
type Option func(*options)

// WithClock takes the time from now; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithCache keeps the keys of at most so many subjects in memory; the default is 100,000, some 100 MB when full.
func WithCache(subjects int) Option { return func(o *options) { o.subjects = subjects } }

// Open makes a ring on a migrated database. The pool stays the caller's, and has to stay open until Close. It fails with
// ErrMaster when keys are there that none of the masters unwraps.
func Open(ctx context.Context, pool *pgxpool.Pool, masters Masters, opts ...Option) (*Ring, error) {
	r := &Ring{pool: pool, masters: masters, loading: make(chan struct{}, 1), options: options{
		now: time.Now, subjects: 100_000,
	}}
	for _, o := range opts {
		o(&r.options)
	}
	r.cache = newCache(r.subjects, life)
	if err := r.checkMasters(ctx); err != nil {
		return nil, err
	}
	listening, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.work.Go(func() { r.listener(listening) })
	return r, nil
}

// Close ends the ring's own work and waits for it.
func (r *Ring) Close() {
	r.cancel()
	r.work.Wait()
}

// mastersSQL jumps from one master to the next, however many keys each has wrapped.
const mastersSQL = `
	WITH RECURSIVE m AS (
		(SELECT master FROM subject_keys WHERE wrapped IS NOT NULL ORDER BY master LIMIT 1)
		UNION ALL
		SELECT (SELECT k.master FROM subject_keys k WHERE k.wrapped IS NOT NULL AND k.master > m.master ORDER BY k.master LIMIT 1)
		FROM m WHERE m.master IS NOT NULL
	) SELECT master FROM m WHERE master IS NOT NULL`

func (r *Ring) checkMasters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	rows, err := r.pool.Query(ctx, mastersSQL)
	if err != nil {
		return fmt.Errorf("open key ring: %w", err)
	}
	used, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("open key ring: %w", err)
	}
	missing := slices.DeleteFunc(used, func(id string) bool { return r.masters.known[id] != nil })
	if len(missing) > 0 {
		return fmt.Errorf("%w: subjects' keys are wrapped by %s, which is not among those configured; put it behind the current one",
			ErrMaster, strings.Join(missing, ", "))
	}
	return nil
}

const (
	numberAt  = 1            // behind the format
	nonceAt   = numberAt + 4 // behind the key's number
	sealedAt  = nonceAt + 12 // behind the nonce
	personal  = "mediavault personal\x00"
	boundSize = 128 // bytes, enough for most subjects
)

// Seal encrypts text under the subject's newest key, which is durable before. A forgotten subject is domain.ErrForgotten.
func (r *Ring) Seal(ctx context.Context, subject domain.UserID, text []byte) ([]byte, error) {
	k, err := r.lookUp(ctx, subject)
	if err != nil {
		return nil, err
	}
	if !k.destroyed && (k.current == 0 || r.now().Sub(k.made) >= rotation) {
		if k, err = r.make(ctx, subject); err != nil {
			return nil, err
		}
	}
	if k.destroyed {
		return nil, domain.ErrForgotten
	}
	aead := k.keys[k.current]
	sealed := make([]byte, sealedAt, sealedAt+len(text)+aead.Overhead())
	sealed[0] = format
	binary.BigEndian.PutUint32(sealed[numberAt:], uint32(k.current)) //nolint:gosec // numbers are counted from 1
	rand.Read(sealed[nonceAt:])                                      //nolint:errcheck // it never fails
	return aead.Seal(sealed, sealed[nonceAt:sealedAt], text, aead.bound), nil
}

// Open decrypts; false when the subject was forgotten. What was not sealed so, for this subject, is domain.ErrBroken.
func (r *Ring) Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error) {
	if len(sealed) < sealedAt || sealed[0] != format {
		return nil, false, fmt.Errorf("%w: its format is not known", domain.ErrBroken)
	}
	k, err := r.lookUp(ctx, subject)
	if err != nil {
		return nil, false, err
	}
	if !k.destroyed && !k.Has(sealed) { // another process may have made it after we looked
		r.cache.forget(subject)
		if k, err = r.lookUp(ctx, subject); err != nil {
			return nil, false, err
		}
	}
	return k.Open(nil, sealed)
}

// Subject implements eventstore.KeyRing.
func (r *Ring) Subject(ctx context.Context, subject domain.UserID, ahead func() []domain.UserID) (domain.SubjectKeys, error) {
	if k, _ := r.cache.get(subject, r.now()); k != nil {
		return k, nil
	}
	if ahead != nil {
		if err := r.load(ctx, subject, ahead); err != nil {
			return nil, err
		}
	}
	return r.lookUp(ctx, subject)
}

// load brings the keys of many subjects to memory by one question. Where several readers need the same, the first asks, and the
// others wait for what it brings.
func (r *Ring) load(ctx context.Context, subject domain.UserID, ahead func() []domain.UserID) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	select {
	case r.loading <- struct{}{}:
		defer func() { <-r.loading }()
	case <-ctx.Done():
		return fmt.Errorf("read the subjects' keys: %w", ctx.Err())
	}
	now := r.now()
	known, epoch := r.cache.get(subject, now)
	if known != nil {
		return nil
	}
	wanted := make([]string, 0, 16)
	for _, s := range ahead() {
		if k, _ := r.cache.get(s, now); k == nil && !strings.ContainsRune(string(s), 0) {
			if wanted = append(wanted, string(s)); len(wanted) >= r.cache.most {
				break
			}
		}
	}
	if len(wanted) <= 1 {
		return nil
	}
	rows, err := r.pool.Query(ctx, manyKeysSQL, wanted)
	if err != nil {
		return fmt.Errorf("read the subjects' keys: %w", err)
	}
	found, err := r.unwrapAll(now, rows)
	if err != nil {
		return err
	}
	for _, s := range wanted {
		k := found[domain.UserID(s)]
		if k == nil {
			k = noKeys(now)
		}
		if k.broken == nil { // else its own reader is told, and nobody else
			r.cache.put(domain.UserID(s), k, epoch)
		}
	}
	return nil
}

const (
	keysSQL     = `SELECT subject, number, coalesce(master, ''), wrapped, created_at FROM subject_keys WHERE subject = $1 ORDER BY number`
	manyKeysSQL = `SELECT subject, number, coalesce(master, ''), wrapped, created_at FROM subject_keys WHERE subject = ANY($1::text[]) ORDER BY subject, number`
)

// lookUp answers the subject's keys, from memory when they were read lately.
func (r *Ring) lookUp(ctx context.Context, subject domain.UserID) (*subjectKeys, error) {
	now := r.now()
	k, epoch := r.cache.get(subject, now)
	if k != nil {
		return k, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	rows, err := r.pool.Query(ctx, keysSQL, string(subject))
	if err != nil {
		return nil, fmt.Errorf("read the subject's keys: %w", err)
	}
	if k, err = r.unwrapOne(subject, now, rows); err != nil {
		return nil, err
	}
	r.cache.put(subject, k, epoch)
	return k, nil
}

func noKeys(now time.Time) *subjectKeys {
	return &subjectKeys{loaded: now, keys: map[int32]dataKey{}}
}

// unwrapOne is unwrapAll for rows of one subject.
func (r *Ring) unwrapOne(subject domain.UserID, now time.Time, rows pgx.Rows) (*subjectKeys, error) {
	found, err := r.unwrapAll(now, rows)
	if err != nil {
		return nil, err
	}
	k := found[subject]
	if k == nil {
		k = noKeys(now)
	}
	return k, k.broken
}

// unwrapAll reads the keys of subjects. What is wrong with a subject's key stays with the subject (broken).
func (r *Ring) unwrapAll(now time.Time, rows pgx.Rows) (map[domain.UserID]*subjectKeys, error) {
	defer rows.Close()
	found := map[domain.UserID]*subjectKeys{}
	for rows.Next() {
		var (
			subject domain.UserID
			number  int32
			master  string
			wrapped []byte
			made    time.Time
		)
		if err := rows.Scan(&subject, &number, &master, &wrapped, &made); err != nil {
			return nil, fmt.Errorf("read the subject's keys: %w", err)
		}
		k := found[subject]
		if k == nil {
			k = noKeys(now)
			found[subject] = k
		}
		k.made = made
		if wrapped == nil {
			k.destroyed = true
			continue
		}
		key, err := r.masters.unwrap(subject, number, master, wrapped)
		if err != nil {
			k.broken = errors.Join(k.broken, err)
			continue
		}
		if k.keys[number], err = newDataKey(subject, number, key); err != nil {
			return nil, err
		}
		k.current = number
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the subject's keys: %w", err)
	}
	return found, nil
}

// lockSQL lets one process at a time make or destroy a subject's keys.
const lockSQL = `SELECT pg_advisory_xact_lock(hashtextextended('mediavault subject key ' || $1, 0))`

// make gives the subject (who may be "", nobody in particular) its first or next key, unless another process was faster.
func (r *Ring) make(ctx context.Context, subject domain.UserID) (*subjectKeys, error) {
	if len(subject) > 1000 || strings.ContainsRune(string(subject), 0) {
		return nil, fmt.Errorf("%w: the subject cannot have a key", domain.ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var k *subjectKeys
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockSQL, string(subject)); err != nil {
			return err
		}
		now := r.now()
		rows, err := tx.Query(ctx, keysSQL, string(subject))
		if err != nil {
			return err
		}
		if k, err = r.unwrapOne(subject, now, rows); err != nil {
			return err
		}
		if k.destroyed || (k.current > 0 && now.Sub(k.made) < rotation) {
			return nil
		}
		key := make([]byte, keySize)
		rand.Read(key) //nolint:errcheck // it never fails
		k.current++
		k.made = now
		if k.keys[k.current], err = newDataKey(subject, k.current, key); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO subject_keys (subject, number, master, wrapped, created_at) VALUES ($1, $2, $3, $4, $5)`,
			string(subject), k.current, r.masters.current, r.masters.wrap(subject, k.current, key), now.UTC())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a key for a subject: %w", err)
	}
	r.cache.forget(subject) // the next use reads what was committed
	return k, nil
}
