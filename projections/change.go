package projections

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// change is one batch of events on its way into a model's tables.
type change struct {
	m      *model
	rows   folder
	tables tables
	parked map[string]bool  // keys that are parked already
	refuse map[string]error // keys that must not take the batch's events, and why
	aside  []aside          // what was parked by this batch
	// collect keeps aside from being written to the table of parked events.
	collect bool
	// only, when not nil, is the one key that takes events.
	only *string

	now     map[string]bool // keys of aside
	touched map[string]bool // keys whose current version may have changed
	ended   map[string]bool // keys whose version in the current table ended
	closed  tuples
	written tuples    // current versions, of keys that had none
	changed tuples    // current versions, of keys that had one
	types   *rowTypes // nil: to be asked for
	before  eventstore.Position
}

// aside is an event that is parked.
type aside struct {
	key      string
	position eventstore.Position
	reason   string // "": it waits behind another
}

// step is one event for one key.
type step struct {
	key string
	rec *eventstore.Recorded
}

// run folds the events into the rows and writes what came of it. Where a person is to be forgotten, it writes what came before, and
// goes on with the rows that are left then.
func (c *change) run(ctx context.Context, tx pgx.Tx, events []eventstore.Recorded) error {
	c.now = map[string]bool{}
	for i := 0; c.m.forgets != nil && i < len(events); i++ {
		subject, ok := erasureOf(events[i])
		if !ok {
			continue
		}
		if err := c.part(ctx, tx, events[:i]); err != nil {
			return err
		}
		if err := c.forget(ctx, tx, subject); err != nil {
			return fmt.Errorf("forget a person: %w", err)
		}
		events, i = events[i+1:], -1
	}
	return c.part(ctx, tx, events)
}

func (c *change) part(ctx context.Context, tx pgx.Tx, events []eventstore.Recorded) error {
	if len(events) == 0 {
		return nil
	}
	c.before = events[0].Position
	c.touched, c.ended = map[string]bool{}, map[string]bool{}
	c.closed, c.written, c.changed = tuples{}, tuples{}, tuples{}
	steps := c.plan(events)
	if err := c.load(ctx, tx, steps); err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	for _, s := range steps {
		c.apply(s)
	}
	return c.write(ctx, tx)
}

// plan says which keys take which events; what cannot be told, or must wait, is set aside.
func (c *change) plan(events []eventstore.Recorded) []step {
	steps := make([]step, 0, len(events))
	for i := range events {
		rec := &events[i]
		keys, err := c.m.keysOf(*rec)
		for _, key := range keys {
			switch {
			case c.only != nil && key != *c.only:
			case err != nil:
				c.park(key, rec, err.Error())
			case key != "" && c.parked[key]:
				c.park(key, rec, "")
			case c.refuse[key] != nil:
				c.park(key, rec, c.refuse[key].Error())
			default:
				steps = append(steps, step{key, rec})
			}
		}
	}
	return steps
}

// reasonSize is how much of a reason is kept, in bytes.
const reasonSize = 4000

func (c *change) park(key string, rec *eventstore.Recorded, reason string) {
	c.now[key] = true
	c.aside = append(c.aside, asideOf(key, rec, reason))
}

// asideOf sets an event aside. A reason quotes what it failed at, which may be anything; Postgres stores text alone.
func asideOf(key string, rec *eventstore.Recorded, reason string) aside {
	if len(reason) > reasonSize {
		reason = reason[:reasonSize]
	}
	return aside{key, rec.Position, strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "")}
}

// load fetches the current rows of the keys that are not known yet.
func (c *change) load(ctx context.Context, tx pgx.Tx, steps []step) error {
	var missing []string
	for _, s := range steps {
		if !c.rows.knows(s.key) {
			missing = append(missing, s.key)
			c.rows.absent(s.key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, "select "+c.m.shape.names("")+" from "+c.tables.current+" where key = any($1)",
		pgx.QueryResultFormats{pgx.BinaryFormatCode}, missing)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		key := string(values[len(c.m.shape.columns)])
		if err := c.rows.load(key, values); err != nil {
			return fmt.Errorf("row %q: %w", key, err)
		}
	}
	return rows.Err()
}

func (c *change) apply(s step) {
	if s.key != "" && c.now[s.key] {
		c.park(s.key, s.rec, "")
		return
	}
	err := c.rows.apply(s.key, *s.rec, func(v version) {
		if c.m.table.AppendOnly {
			c.written.add(v, c.m.shape.width())
			return
		}
		// A version from before this batch stands in the table of current ones.
		if v.from < c.before {
			c.ended[s.key] = true
		}
		c.closed.add(v, c.m.shape.width())
	})
	if err != nil {
		c.park(s.key, s.rec, err.Error())
		return
	}
	c.touched[s.key] = true
}

func (c *change) write(ctx context.Context, tx pgx.Tx) error {
	if !c.m.table.AppendOnly {
		for key := range c.touched {
			v, ok := c.rows.current(key)
			switch {
			case !ok || v.from < c.before:
			case c.ended[key]:
				c.changed.add(v, c.m.shape.width())
				delete(c.ended, key)
			default:
				c.written.add(v, c.m.shape.width())
			}
		}
	}
	if c.types == nil {
		c.types = &rowTypes{}
	}
	if err := c.types.find(ctx, tx, c.tables); err != nil {
		return err
	}
	if len(c.ended) > 0 { // and none followed
		if _, err := tx.Exec(ctx, "delete from "+c.tables.current+" where key = any($1)", slices.Collect(maps.Keys(c.ended))); err != nil {
			return fmt.Errorf("end versions: %w", err)
		}
	}
	w := writer{m: c.m, conn: tx.Conn()}
	if err := w.replace(ctx, c.tables.current, c.changed, c.types.current); err != nil {
		return fmt.Errorf("replace current versions: %w", err)
	}
	if err := w.insert(ctx, c.tables.current, c.written, c.types.current); err != nil {
		return fmt.Errorf("write current versions: %w", err)
	}
	if !c.m.table.AppendOnly {
		if err := w.insert(ctx, c.tables.closed, c.closed, c.types.closed); err != nil {
			return fmt.Errorf("write ended versions: %w", err)
		}
	}
	if err := w.flush(ctx); err != nil {
		return fmt.Errorf("write versions: %w", err)
	}
	if c.collect {
		return nil
	}
	return c.setAside(ctx, tx)
}

func (c *change) setAside(ctx context.Context, x executor) error {
	if len(c.aside) == 0 {
		return nil
	}
	keys, positions, reasons := make([]string, len(c.aside)), make([]int64, len(c.aside)), make([]string, len(c.aside))
	for i, a := range c.aside {
		keys[i], positions[i], reasons[i] = a.key, int64(a.position), a.reason
	}
	_, err := x.Exec(ctx, `
		insert into projection_parked (projection, key, position, reason, at)
		select $1, key, position, reason, $5 from unnest($2::text[], $3::bigint[], $4::text[]) as t (key, position, reason)
		on conflict do nothing`, c.m.name, keys, positions, reasons, time.Now().UTC())
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	return nil
}
