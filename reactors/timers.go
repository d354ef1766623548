package reactors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// timers are what one reactor has to do at a time, by key. They are kept in the database and follow from events, so that neither
// a stop nor a kill loses one: with none, and the reactor's checkpoint at 0, they come back.
type timers struct {
	pool    *pgxpool.Pool
	reactor string
}

// timer is one of them.
type timer struct {
	key, about string
	at         time.Time
}

const timerTimeout = 10 * time.Second

// set replaces what is due of a key; a zero time: nothing. about is what the key belongs to.
func (t timers) set(ctx context.Context, key, about string, at time.Time) error {
	return t.exec(ctx, `
		INSERT INTO reactor_timers (reactor, key, about, due_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (reactor, key) DO UPDATE SET about = excluded.about, due_at = excluded.due_at`,
		t.reactor, key, about, dueAt(at))
}

// next replaces what was due, unless somebody set it otherwise meanwhile.
func (t timers) next(ctx context.Context, was timer, at time.Time) error {
	return t.exec(ctx, `UPDATE reactor_timers SET due_at = $4 WHERE reactor = $1 AND key = $2 AND due_at = $3`, t.reactor, was.key, was.at, dueAt(at))
}

// forget removes a key.
func (t timers) forget(ctx context.Context, key string) error {
	return t.exec(ctx, `DELETE FROM reactor_timers WHERE reactor = $1 AND key = $2`, t.reactor, key)
}

// of is the timer of a key; false when there is none.
func (t timers) of(ctx context.Context, key string) (timer, bool, error) {
	found, err := t.query(ctx, `SELECT key, about, due_at FROM reactor_timers WHERE reactor = $1 AND key = $2`, t.reactor, key)
	if err != nil || len(found) == 0 {
		return timer{}, false, err
	}
	return found[0], true, nil
}

// due are the first that are due.
func (t timers) due(ctx context.Context, now time.Time) ([]timer, error) {
	return t.query(ctx, `SELECT key, about, due_at FROM reactor_timers WHERE reactor = $1 AND due_at <= $2 ORDER BY due_at LIMIT 200`, t.reactor, now)
}

// about are all that belong to something.
func (t timers) about(ctx context.Context, about string) ([]timer, error) {
	return t.query(ctx, `SELECT key, about, due_at FROM reactor_timers WHERE reactor = $1 AND about = $2 ORDER BY key`, t.reactor, about)
}

func dueAt(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

func (t timers) exec(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	if _, err := t.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("timers of %s: %w", t.reactor, err)
	}
	return nil
}

func (t timers) query(ctx context.Context, sql string, args ...any) ([]timer, error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	rows, err := t.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("timers of %s: %w", t.reactor, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (timer, error) {
		var found timer
		var at *time.Time
		err := row.Scan(&found.key, &found.about, &at)
		if at != nil {
			found.at = *at
		}
		return found, err
	})
	if err != nil {
		return nil, fmt.Errorf("timers of %s: %w", t.reactor, err)
	}
	return all, nil
}

// timerAgain is how soon something is due again that failed.
const timerAgain = 5 * time.Second

// each does what is due, one after the other. What fails, or panics, does not keep the others from being done: it is due again a little
// later, behind them.
func (t timers) each(ctx context.Context, now time.Time, do func(ctx context.Context, due timer) error) error {
	all, err := t.due(ctx, now)
	if err != nil {
		return err
	}
	var errs []error
	for _, one := range all {
		if ctx.Err() != nil {
			break
		}
		err := recovered(func() error { return do(ctx, one) })
		if err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", one.key, err))
		if ctx.Err() == nil {
			errs = append(errs, t.next(ctx, one, now.Add(timerAgain)))
		}
	}
	return errors.Join(errs...)
}
