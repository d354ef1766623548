package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// ErrNotParked is a key that has no parked events.
var ErrNotParked = domain.Refuse(domain.NotFound, "not_parked", "no event of that key is parked")

// ErrOutOfOrder is an event whose key could not be told when it came: what came after it went on without it.
var ErrOutOfOrder = domain.Refuse(domain.Conflict, "rebuild_needed", "it is not known which rows the event belongs to; rebuild the read model")

// Parked is a key whose events were set aside because one of them could not be processed. The row stands as it was before.
type Parked struct {
	Projection string
	Key        string              // "" when it could not be told
	Position   eventstore.Position // of the event that could not be processed
	Reason     string              // for operators; it may hold personal text
	At         time.Time
	Events     int // with those that wait behind it
}

// Parked lists what is parked, in all read models of this engine, oldest first.
func (e *Engine) Parked(ctx context.Context) ([]Parked, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := e.pool.Query(ctx, `
		select distinct on (projection, key) projection, key, position, reason, at, count(*) over (partition by projection, key)
		from projection_parked where projection = any($1) order by projection, key, position`, e.Names())
	if err != nil {
		return nil, fmt.Errorf("parked events: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Parked])
	if err != nil {
		return nil, fmt.Errorf("parked events: %w", err)
	}
	slices.SortStableFunc(all, func(a, b Parked) int { return a.At.Compare(b.At) })
	return all, nil
}

// parkedIn is how many events of a read model are parked.
func (e *Engine) parkedIn(ctx context.Context, name string) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err = e.pool.QueryRow(ctx, `select count(*) from projection_parked where projection = $1`, name).Scan(&n); err != nil {
		err = fmt.Errorf("parked events: %w", err)
	}
	return n, err
}

// Retry gives a key's parked events to its projection again, in their order. What it makes of them is as if they had never been
// parked. An event that still cannot be processed stays parked, with those behind it. It answers how many went through.
// Errors: ErrUnknown, ErrNotParked, ErrOutOfOrder.
func (e *Engine) Retry(ctx context.Context, projection, key string) (int, error) {
	m, err := e.known(projection)
	if err != nil {
		return 0, err
	}
	if key == "" {
		return 0, ErrOutOfOrder
	}
	through := 0
	err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		// The row of the read model is the lock; a new generation makes its projector read the rows again.
		if _, err := tx.Exec(ctx, `update projections set generation = generation + 1 where name = $1`, m.name); err != nil {
			return err
		}
		events, err := e.parkedEvents(ctx, tx, m, key)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return ErrNotParked
		}
		through, err = m.again(ctx, tx, key, events)
		return err
	})
	if refusedByData(err) {
		return 0, domain.Refuse(domain.Conflict, "still_refused", "the database still refuses the row")
	}
	if err != nil {
		return 0, fmt.Errorf("retry %s: %w", m.name, err)
	}
	return through, nil
}

func (e *Engine) parkedEvents(ctx context.Context, tx pgx.Tx, m *model, key string) ([]eventstore.Recorded, error) {
	rows, err := tx.Query(ctx, `select position from projection_parked where projection = $1 and key = $2 order by position`, m.name, key)
	if err != nil {
		return nil, err
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[eventstore.Position])
	if err != nil {
		return nil, err
	}
	var events []eventstore.Recorded
	for _, p := range positions {
		found := len(events)
		err := readThrough(ctx, e.source, p-1, p, m.filter(), func(batch []eventstore.Recorded, _ eventstore.Position) error {
			events = append(events, batch...)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(events) != found+1 {
			return nil, errors.New("a parked event is not in the log")
		}
	}
	return events, nil
}

// again takes a key's events in and removes from the parked ones those that went through.
func (m *model) again(ctx context.Context, tx pgx.Tx, key string, events []eventstore.Recorded) (int, error) {
	c := change{m: m, rows: m.fold(), tables: m.tables(live), only: &key}
	if _, err := tx.Exec(ctx, `delete from projection_parked where projection = $1 and key = $2`, m.name, key); err != nil {
		return 0, err
	}
	if err := c.run(ctx, tx, events); err != nil {
		return 0, err
	}
	still := map[eventstore.Position]bool{}
	for _, a := range c.aside {
		still[a.position] = true
	}
	return len(events) - len(still), nil
}
