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

// marks is what one reactor remembers between runs: its checkpoint and its parked events.
type marks struct {
	pool    *pgxpool.Pool
	reactor string

	mu     sync.Mutex      // guards parked
	parked map[string]bool // keys with a parked event
}

// load reads the checkpoint and the parked keys. A reactor that is new begins at the beginning.
func (m *marks) load(ctx context.Context) (eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var at eventstore.Position
	err := m.pool.QueryRow(ctx, `SELECT position FROM reactor_checkpoints WHERE reactor = $1`, m.reactor).Scan(&at)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("load checkpoint of %s: %w", m.reactor, err)
	}
	rows, err := m.pool.Query(ctx, `SELECT DISTINCT key FROM reactor_parked WHERE reactor = $1`, m.reactor)
	if err != nil {
		return 0, fmt.Errorf("load parked keys of %s: %w", m.reactor, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("load parked keys of %s: %w", m.reactor, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parked = make(map[string]bool, len(keys))
	for _, k := range keys {
		m.parked[k] = true
	}
	return at, nil
}

// save moves the checkpoint forward, never back.
func (m *marks) save(ctx context.Context, to eventstore.Position) error {
	_, err := m.pool.Exec(ctx, `
		INSERT INTO reactor_checkpoints AS c (reactor, position, moved_at) VALUES ($1, $2, $3)
		ON CONFLICT (reactor) DO UPDATE SET position = excluded.position, moved_at = excluded.moved_at
		WHERE c.position < excluded.position`, m.reactor, to, time.Now().UTC())
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

// park sets an event aside; parking it again changes nothing.
func (m *marks) park(ctx context.Context, rec eventstore.Recorded, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := m.pool.Exec(ctx, `
		INSERT INTO reactor_parked (reactor, position, key, type, reason, parked_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (reactor, position) DO NOTHING`,
		m.reactor, rec.Position, string(rec.Stream), rec.Type, reason, time.Now().UTC())
	if err != nil {
		return fmt.Errorf("park position %d for %s: %w", rec.Position, m.reactor, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parked[string(rec.Stream)] = true
	return nil
}

// lock is the right to run one reactor: a session lock of Postgres, so that it ends with the process that holds it.
type lock struct {
	conn *pgxpool.Conn
	name string
}

// acquire waits for the right to run the reactor.
func acquire(ctx context.Context, pool *pgxpool.Pool, reactor string) (*lock, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock reactor %s: %w", reactor, err)
	}
	l := &lock{conn: conn, name: "reactor:" + reactor}
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		var got bool
		err := conn.QueryRow(try, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, l.name).Scan(&got)
		cancel()
		if err == nil && got {
			return l, nil
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(time.Second):
				continue
			}
		}
		l.release()
		return nil, fmt.Errorf("lock reactor %s: %w", reactor, err)
	}
}

// hold returns nil when ctx ends, and an error as soon as the session that holds the lock is lost.
func (l *lock) hold(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			err := l.conn.Ping(ping)
			cancel()
			if err != nil {
				return fmt.Errorf("the lock %s is lost: %w", l.name, err)
			}
		}
	}
}

// release gives the lock back by closing its session.
func (l *lock) release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Conn().Close(ctx)
	l.conn.Release()
}
