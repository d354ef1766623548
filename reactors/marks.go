package reactors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
)

var errNotInLog = errors.New("a parked event is not in the log")

// behind is the reason of what waits behind a parked event.
const behind = "behind an event of the same key that is parked"

// marks is what one reactor remembers between runs: its checkpoint and its parked events. What is written under a lease that
// was lost changes nothing.
type marks struct {
	pool    *pgxpool.Pool
	reactor string
	epoch   int64

	mu     sync.Mutex      // guards parked
	parked map[string]bool // keys with a parked event
}

// load reads the parked keys.
func (m *marks) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, err := m.pool.Query(ctx, `SELECT DISTINCT key FROM reactor_parked WHERE reactor = $1`, m.reactor)
	if err != nil {
		return fmt.Errorf("load parked keys of %s: %w", m.reactor, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("load parked keys of %s: %w", m.reactor, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parked = make(map[string]bool, len(keys))
	for _, k := range keys {
		m.parked[k] = true
	}
	return nil
}

// save moves the checkpoint forward, never back. A crash of the database may lose the move: what follows from the events is then
// done again, which does no harm, so that it need not wait for the disk.
func (m *marks) save(ctx context.Context, to eventstore.Position) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := m.pool.Exec(ctx, `
		UPDATE reactor_checkpoints SET position = $2, moved_at = $3
		FROM (SELECT set_config('synchronous_commit', 'off', true)) AS soon
		WHERE reactor = $1 AND epoch = $4 AND position < $2`,
		m.reactor, to, time.Now().UTC(), m.epoch)
	if err != nil {
		return fmt.Errorf("save checkpoint of %s: %w", m.reactor, err)
	}
	return nil
}

func (m *marks) isParked(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.parked[key]
}

// count is how many keys are parked.
func (m *marks) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.parked)
}

// free forgets that the key is parked. Its queue calls it, so that nothing of the key is decided meanwhile.
func (m *marks) free(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parked, key)
}

// park sets an event aside; parking it again says why it failed this time.
func (m *marks) park(ctx context.Context, rec eventstore.Recorded, key, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := m.pool.Exec(ctx, `
		INSERT INTO reactor_parked AS p (reactor, position, key, type, reason, parked_at)
		SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT FROM reactor_checkpoints WHERE reactor = $1 AND epoch = $7)
		ON CONFLICT (reactor, position) DO UPDATE SET reason = excluded.reason WHERE excluded.reason <> $8`,
		m.reactor, rec.Position, key, rec.Type, reason, time.Now().UTC(), m.epoch, behind)
	if err != nil {
		return fmt.Errorf("park position %d for %s: %w", rec.Position, m.reactor, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parked[key] = true
	return nil
}

// unpark forgets a parked event that was reacted to, or dropped.
func (m *marks) unpark(ctx context.Context, at eventstore.Position) error {
	return m.change(ctx, `DELETE FROM reactor_parked WHERE reactor = $1 AND position = $2
		AND EXISTS (SELECT FROM reactor_checkpoints WHERE reactor = $1 AND epoch = $3)`, m.reactor, at, m.epoch)
}

// settle leaves a key parked until it is asked for again.
func (m *marks) settle(ctx context.Context, key string) error {
	return m.change(ctx, `UPDATE reactor_parked SET retry_at = NULL WHERE reactor = $1 AND key = $2`, m.reactor, key)
}

func (m *marks) change(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := m.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("parked events of %s: %w", m.reactor, err)
	}
	return nil
}

// asked are the keys whose parked events are to be reacted to again.
func (m *marks) asked(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rows, err := m.pool.Query(ctx, `SELECT DISTINCT key FROM reactor_parked WHERE reactor = $1 AND retry_at IS NOT NULL LIMIT 100`, m.reactor)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

type parkedEvent struct {
	position eventstore.Position
	dropped  bool
}

// of are the first of a key's parked events, in order.
func (m *marks) of(ctx context.Context, key string) ([]parkedEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rows, err := m.pool.Query(ctx, `SELECT position, dropped FROM reactor_parked WHERE reactor = $1 AND key = $2 ORDER BY position LIMIT 100`,
		m.reactor, key)
	if err != nil {
		return nil, fmt.Errorf("parked events of %s: %w", m.reactor, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p parkedEvent, err error) {
		err = row.Scan(&p.position, &p.dropped)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("parked events of %s: %w", m.reactor, err)
	}
	return all, nil
}
