package reactors

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// ErrNotParked is a key that has no parked events.
var ErrNotParked = domain.Refuse(domain.NotFound, "not_parked", "no event of that key is parked")

// Parked is a key whose events were set aside because a reaction to one of them kept failing.
type Parked struct {
	Reactor  string
	Key      string
	Type     string              // of the event that could not be reacted to
	Position eventstore.Position // of that event
	Reason   string              // for operators; it may hold personal text
	At       time.Time
	Events   int  // with those that wait behind it
	Retrying bool // an admin asked to react again, and the process that runs the reactor has not ended doing so
}

// Parked lists what is parked, of all reactors, oldest first.
func (e *Engine) Parked(ctx context.Context) ([]Parked, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, err := e.pool.Query(ctx, `
		SELECT reactor, key, type, position, reason, at, events, retrying FROM (
			SELECT DISTINCT ON (reactor, key) reactor, key, type, position, reason, parked_at AS at,
				count(*) OVER (PARTITION BY reactor, key) AS events, bool_or(retry_at IS NOT NULL) OVER (PARTITION BY reactor, key) AS retrying
			FROM reactor_parked ORDER BY reactor, key, position) p
		ORDER BY at, reactor, key`)
	if err != nil {
		return nil, fmt.Errorf("parked events: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Parked])
	if err != nil {
		return nil, fmt.Errorf("parked events: %w", err)
	}
	return all, nil
}

// Retry asks the process that runs the reactor to react to a key's parked events again, in their order; after the last the key
// is free. It does not wait for that. Errors: ErrNotParked.
func (e *Engine) Retry(ctx context.Context, reactor, key string) error {
	return e.ask(ctx, `UPDATE reactor_parked SET retry_at = $3 WHERE reactor = $1 AND key = $2`, reactor, key, time.Now().UTC())
}

// Drop gives up the event at the position, the first of a key's parked events, for good; those behind it are reacted to again. It
// does not wait for that. Errors: ErrNotParked.
func (e *Engine) Drop(ctx context.Context, reactor, key string, at eventstore.Position) error {
	return e.ask(ctx, `UPDATE reactor_parked p SET retry_at = $3, dropped = dropped OR position = $4 WHERE reactor = $1 AND key = $2
		AND EXISTS (SELECT FROM reactor_parked d WHERE d.reactor = $1 AND d.key = $2 AND d.position = $4)`, reactor, key, time.Now().UTC(), at)
}

func (e *Engine) ask(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tag, err := e.pool.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("parked events: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotParked
	}
	return nil
}
