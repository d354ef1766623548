package projections

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Forgetter is a Projection whose rows hold text about people in the open. When a person is to be forgotten, and again when he
// was, the engine takes it out of all versions of his rows, the ended ones, too, so that no question as of an earlier moment finds
// it. That is a change of rows that were; what follows from the log is the same, because the person's key is destroyed by the second
// time, and whoever replays the log finds his texts erased.
type Forgetter[R any] interface {
	// SubjectColumn is the text column that says whom all open texts of a row are about. It is the first of an index.
	SubjectColumn() string
	// Forget is the row without its texts: the very row that Evolve makes when the texts of its events are erased. It is pure.
	Forget(row R) R
}

// forgets is a Forgetter without its row type.
type forgets struct {
	column string
	// columns are a stored row's, without its texts.
	columns func(values [][]byte) ([]byte, error)
}

func forgetsOf[R any](f Forgetter[R], s *shape) *forgets {
	return &forgets{column: f.SubjectColumn(), columns: func(values [][]byte) ([]byte, error) {
		var row R
		if err := s.read(reflect.ValueOf(&row).Elem(), values); err != nil {
			return nil, err
		}
		row = f.Forget(row)
		return s.append(nil, reflect.ValueOf(&row).Elem())
	}}
}

// erasures are the types of the events at which people are forgotten: when it is asked for, so that it shows at once; and when no
// process can open his texts any more, for what was taken in in between.
func erasures() []string {
	return []string{person.ErasureRequested{}.EventType(), person.Erased{}.EventType()}
}

// erasureOf is who is forgotten by an event.
func erasureOf(rec eventstore.Recorded) (domain.UserID, bool) {
	switch e := rec.Event.(type) {
	case person.ErasureRequested:
		return e.Subject, true
	case person.Erased:
		return e.Subject, true
	default:
		return "", false
	}
}

// forgetAtOnce is how many versions of rows are in memory while a person is forgotten.
const forgetAtOnce = 2000

// forget takes a person's texts out of all versions of his rows, in the transaction. The tables of before the last rebuild, and what a
// rebuild that died left behind, hold them, too: they go.
func (c *change) forget(ctx context.Context, tx pgx.Tx, subject domain.UserID) error {
	// The cursor sees the table as it was, while rows are replaced.
	sql := fmt.Sprintf(`declare forgetting no scroll cursor for select %s from %s where %q = $1`, c.m.shape.names(""), c.tables.parent, c.m.forgets.column)
	if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol, string(subject)); err != nil {
		return err
	}
	for {
		n, err := c.forgetSome(ctx, tx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if _, err := tx.Exec(ctx, `close forgetting`); err != nil {
		return err
	}
	c.rows.drop(func(string) bool { return true }) // what it remembers is not what stands in the table now
	if c.tables.parent != c.m.name {
		return nil
	}
	return c.m.forgetBeside(ctx, tx)
}

// forgetSome goes on by some versions, and answers how many.
func (c *change) forgetSome(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`fetch %d from forgetting`, forgetAtOnce), pgx.QueryResultFormats{pgx.BinaryFormatCode})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var (
		n               int
		keys            []string
		froms, untils   []int64
		current, closed []byte
		width           = c.m.shape.width()
		at              = len(c.m.shape.columns) // of the engine's own columns
	)
	for rows.Next() {
		n++
		values := rows.RawValues()
		columns, err := c.m.forgets.columns(values)
		if err != nil {
			return n, err
		}
		v := version{key: string(values[at]), columns: columns}
		from, err := readInt(values[at+1])
		if err != nil {
			return n, err
		}
		until, err := readInt(values[at+2])
		if err != nil {
			return n, err
		}
		stamp, err := readInt(values[at+3])
		if err != nil {
			return n, err
		}
		v.from, v.until, v.time = eventstore.Position(from), eventstore.Position(until), timeOf(stamp)
		keys, froms, untils = append(keys, v.key), append(froms, from), append(untils, until)
		if v.until == Forever {
			current = v.tuple(current, width)
		} else {
			closed = v.tuple(closed, width)
		}
	}
	if err := rows.Err(); err != nil || n == 0 {
		return n, err
	}
	rows.Close()
	if _, err := tx.Exec(ctx, `delete from `+c.tables.parent+` t using unnest($1::text[], $2::bigint[], $3::bigint[]) as gone (key, f, u)
		where t.key = gone.key and t.from_position = gone.f and t.until_position = gone.u`, keys, froms, untils); err != nil {
		return n, err
	}
	if err := c.m.copyIn(ctx, tx.Conn(), c.tables.current, "", current); err != nil {
		return n, err
	}
	return n, c.m.copyIn(ctx, tx.Conn(), c.tables.closed, "", closed)
}

// forgetBeside removes the tables that do not serve. A rebuild that is running forgets by itself: it comes to the same event.
func (m *model) forgetBeside(ctx context.Context, tx pgx.Tx) error {
	if err := m.drop(ctx, tx, old); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update projections set old_position = null, old_shape = null where name = $1`, m.name); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from projection_parked where projection = $1`, m.name+old); err != nil {
		return err
	}
	var idle bool
	if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1, hashtext($2))`, lockClass, m.name).Scan(&idle); err != nil || !idle {
		return err
	}
	return m.drop(ctx, tx, rebuilt)
}
