package reactors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
)

// outbox is what a reactor has to send, lane by lane. It is kept in the database: a stop loses nothing, and a kill between
// sending and forgetting sends again, under the same id.
type outbox struct {
	pool    *pgxpool.Pool
	reactor string
}

// letter is one notification on its way.
type letter struct {
	lane         string
	position     eventstore.Position
	person       domain.UserID
	notification notification.ID
	attempts     int
	raised       time.Time
}

const letterColumns = `lane, position, person, notification, attempts, raised_at`

// put adds a letter; again: also when it is there, from the first attempt.
func (o outbox) put(ctx context.Context, l letter, due time.Time, again bool) error {
	onConflict := `DO NOTHING`
	if again {
		onConflict = `DO UPDATE SET attempts = 0, due_at = excluded.due_at`
	}
	return o.exec(ctx, `INSERT INTO reactor_outbox (reactor, lane, position, person, notification, raised_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (reactor, lane, position) `+onConflict, o.reactor, l.lane, l.position, l.person, l.notification, l.raised.UTC(), due.UTC())
}

// lanes are those whose first letter is due.
func (o outbox) lanes(ctx context.Context, now time.Time) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	rows, err := o.pool.Query(ctx, `
		SELECT lane FROM (SELECT DISTINCT ON (lane) lane, due_at FROM reactor_outbox WHERE reactor = $1 ORDER BY lane, position) first
		WHERE due_at <= $2 ORDER BY due_at LIMIT 200`, o.reactor, now)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// of are the first letters of a lane, in order.
func (o outbox) of(ctx context.Context, lane string, limit int) ([]letter, error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	rows, err := o.pool.Query(ctx, `SELECT `+letterColumns+` FROM reactor_outbox WHERE reactor = $1 AND lane = $2 ORDER BY position LIMIT $3`, o.reactor, lane, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l letter, err error) {
		err = row.Scan(&l.lane, &l.position, &l.person, &l.notification, &l.attempts, &l.raised)
		return l, err
	})
}

// gone forgets letters, sent or given up.
func (o outbox) gone(ctx context.Context, letters ...letter) error {
	for _, l := range letters {
		if err := o.exec(ctx, `DELETE FROM reactor_outbox WHERE reactor = $1 AND lane = $2 AND position = $3`, o.reactor, l.lane, l.position); err != nil {
			return err
		}
	}
	return nil
}

// close forgets a lane.
func (o outbox) close(ctx context.Context, lane string) error {
	return o.exec(ctx, `DELETE FROM reactor_outbox WHERE reactor = $1 AND lane = $2`, o.reactor, lane)
}

// failed counts a failed attempt of a lane's first letter, and lets the lane wait.
func (o outbox) failed(ctx context.Context, first letter, until time.Time) error {
	return o.exec(ctx, `UPDATE reactor_outbox SET attempts = attempts + 1, due_at = $4 WHERE reactor = $1 AND lane = $2 AND position = $3`,
		o.reactor, first.lane, first.position, until.UTC())
}

func (o outbox) exec(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	if _, err := o.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return nil
}

// failure is what a sender says when a message was not taken; adapters/notify implements it.
type failure interface {
	error
	Code() string
	Permanent() bool
}

// verdict is what became of one attempt. waits are how long to wait after each failure; after the last it is given up.
func verdict(err error, attempts int, waits []time.Duration) (outcome notification.Outcome, code string, final bool) {
	if err == nil {
		return notification.Delivered, "", false
	}
	code = "failed"
	var f failure
	if errors.As(err, &f) {
		code, final = f.Code(), f.Permanent()
	}
	return notification.Failed, code, final || attempts >= len(waits)
}

// after is when to try again, with jitter: receivers that came back are not asked by all at once.
func after(now time.Time, attempts int, waits []time.Duration) time.Time {
	wait := waits[min(attempts, len(waits)-1)]
	return now.Add(wait + rand.N(wait/10+1)) //nolint:gosec // spreads load, keeps no secret
}
