package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
)

// Known reports whether the subject has, or ever had, a key: whether anything was sealed for it.
func (r *Ring) Known(ctx context.Context, subject domain.UserID) (bool, error) {
	if strings.ContainsRune(string(subject), 0) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var known bool
	if err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subject_keys WHERE subject = $1)`, string(subject)).Scan(&known); err != nil {
		return false, fmt.Errorf("look for a subject's keys: %w", err)
	}
	return known, nil
}

// Forgotten reports whether the subject's keys were destroyed: from memory, when they were read in the last 30 s (Life). Where another
// process destroys them, it is noticed as for Open.
func (r *Ring) Forgotten(ctx context.Context, subject domain.UserID) (bool, error) {
	if strings.ContainsRune(string(subject), 0) {
		return false, nil
	}
	k, err := r.lookUp(ctx, subject)
	if err != nil {
		return false, err
	}
	return k.destroyed, nil
}

// Life is for how long any process goes on opening texts of a subject whose keys were destroyed, where it did not hear of it. What
// is read from the log later than that is closed everywhere.
func (r *Ring) Life() time.Duration { return life }

// OnForgotten has f called when a subject was forgotten, by whatever process, and when it is not known whether one was: for who
// remembers opened texts. It must be quick.
func (r *Ring) OnForgotten(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, f)
}

func (r *Ring) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.told {
		f()
	}
}

// channel tells the other processes whose keys were destroyed.
const channel = "mediavault_keys"

// Destroy forgets a subject: all its keys are destroyed, it never gets another, and whatever was sealed for it stays closed
// for ever. Doing it again changes nothing.
func (r *Ring) Destroy(ctx context.Context, subject domain.UserID) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	now := r.now().UTC()
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(lockSQL, string(subject))
		b.Queue(`UPDATE subject_keys SET wrapped = NULL, master = NULL, destroyed_at = $2
			WHERE subject = $1 AND wrapped IS NOT NULL`, string(subject), now)
		b.Queue(`INSERT INTO subject_keys (subject, number, created_at, destroyed_at)
			SELECT $1, 0, $2, $2 WHERE NOT EXISTS (SELECT FROM subject_keys WHERE subject = $1)`, string(subject), now)
		b.Queue(`SELECT pg_notify($1, $2)`, channel, string(subject))
		return tx.SendBatch(ctx, b).Close()
	})
	r.cache.forget(subject) // whether or not the answer came: the next use asks
	r.tell()
	if err != nil {
		return fmt.Errorf("destroy a subject's keys: %w", err)
	}
	return nil
}

// listener drops from the cache what other processes destroy. While it is not connected, life is the bound.
func (r *Ring) listener(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.hear(ctx)
		r.cache.drop() // what was said in between was not heard
		r.tell()
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (r *Ring) hear(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	config := r.pool.Config().ConnConfig.Copy()
	config.RuntimeParams["application_name"] = "mediavault-keys"
	conn, err := pgx.ConnectConfig(connecting, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(closing) // it is given up: there is nobody to tell
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+channel); err != nil {
		return err
	}
	r.cache.drop()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		r.cache.forget(domain.UserID(n.Payload))
		r.tell()
	}
}
