// Package subscriptions keeps what must outlive a server of persistent subscriptions: which there are, how far each got, and
// which server leads them. It delivers nothing, and knows nothing of events but their places.
package subscriptions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is the subscriptions in a database. Its methods are safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

const deadline = 10 * time.Second

// New makes it of a migrated database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Lead makes a server the leader for a while, or goes on with its lead; it does neither while another leads. fence is above
// 0 when the server leads. Otherwise endpoint is where the leader is found, and renewal is another number each time that
// the leader went on. The time is the database's, so that the servers' clocks do not matter.
func (s *Store) Lead(ctx context.Context, server, at string, lasts time.Duration) (fence int64, endpoint string, renewal int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(deadline, lasts))
	defer cancel()
	err = s.pool.QueryRow(ctx, `
		INSERT INTO subscriptions_lead AS l (fence, server, endpoint, renewal, until) VALUES (1, $1, $2, 1, clock_timestamp() + $3)
		ON CONFLICT (one) DO UPDATE SET
			fence = CASE WHEN l.server = $1 THEN l.fence ELSE l.fence + 1 END,
			server = $1, endpoint = $2, renewal = l.renewal + 1, until = clock_timestamp() + $3
		WHERE l.server = $1 OR l.until < clock_timestamp()
		RETURNING fence`, server, at, lasts).Scan(&fence)
	if !errors.Is(err, pgx.ErrNoRows) {
		return fence, at, 0, wrap("lead the subscriptions", err)
	}
	err = s.pool.QueryRow(ctx, `SELECT endpoint, renewal FROM subscriptions_lead`).Scan(&endpoint, &renewal)
	return 0, endpoint, renewal, wrap("see who leads the subscriptions", err)
}

// Resign ends a lead at once, so that nobody has to wait for its end.
func (s *Store) Resign(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE subscriptions_lead SET until = clock_timestamp() - interval '1 second' WHERE server = $1`, server)
	return wrap("resign from the subscriptions", err)
}

// Each calls found with every subscription; done is -1 where there is no checkpoint.
func (s *Store) Each(ctx context.Context, found func(definition []byte, done int64) error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT definition, coalesce(done, -1) FROM subscriptions ORDER BY source, name`)
	if err != nil {
		return wrap("list the subscriptions", err)
	}
	var definition []byte
	var done int64
	_, err = pgx.ForEachRow(rows, []any{&definition, &done}, func() error { return found(definition, done) })
	return wrap("list the subscriptions", err)
}

// Every change is made by the leader alone: the row of the lead is held until the change is there, so that no other can
// become leader, and read what is about to change, in between.
const leading = `WITH lead AS (SELECT 1 FROM subscriptions_lead WHERE fence = $1 FOR SHARE) `

// Put makes a subscription, or changes what one is; how far it got stays. It answers false, having done nothing, when fence
// is not the leader's.
func (s *Store) Put(ctx context.Context, fence int64, source, name, incarnation string, definition []byte) (bool, error) {
	return s.change(ctx, "put subscription", leading+`
		INSERT INTO subscriptions (source, name, incarnation, definition, changed_at) SELECT $2, $3, $4, $5, clock_timestamp() FROM lead
		ON CONFLICT (source, name) DO UPDATE SET incarnation = $4, definition = $5, changed_at = excluded.changed_at,
			done = CASE WHEN subscriptions.incarnation = $4 THEN subscriptions.done END`, fence, source, name, incarnation, definition)
}

// Remove forgets a subscription. It answers false, having done nothing, when fence is not the leader's, or it was not there.
func (s *Store) Remove(ctx context.Context, fence int64, source, name string) (bool, error) {
	return s.change(ctx, "remove subscription", leading+`
		DELETE FROM subscriptions USING lead WHERE source = $2 AND name = $3`, fence, source, name)
}

// Checkpoint says how far a subscription got; it never goes back. It answers false, having done nothing, when fence is not
// the leader's, or the subscription is not there, or is another of the same name.
func (s *Store) Checkpoint(ctx context.Context, fence int64, source, name, incarnation string, done int64) (bool, error) {
	return s.change(ctx, "checkpoint subscription", leading+`
		UPDATE subscriptions SET done = greatest(done, $5) FROM lead WHERE source = $2 AND name = $3 AND incarnation = $4`,
		fence, source, name, incarnation, done)
}

func (s *Store) change(ctx context.Context, what, sql string, args ...any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql, args...)
	if err != nil {
		return false, wrap(what, err)
	}
	return tag.RowsAffected() > 0, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
