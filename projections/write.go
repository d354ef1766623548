package projections

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rowTypes are the types of the rows of a model's tables, which a rebuild or somebody who drops a table changes: with the generation.
type rowTypes struct{ current, closed uint32 }

// find asks for them, if they are not known.
func (t *rowTypes) find(ctx context.Context, tx pgx.Tx, of tables) error {
	if t.current != 0 {
		return nil
	}
	var found rowTypes
	err := tx.QueryRow(ctx, `
		select $1::text::regtype::oid, $2::text::regtype::oid`, of.current, of.closed).Scan(&found.current, &found.closed)
	if err != nil {
		return fmt.Errorf("row types of %s: %w", of.parent, err)
	}
	*t = found
	return nil
}

// tuples are rows as binary COPY takes them, one behind the other.
type tuples struct {
	bytes []byte
	n     int
}

func (t *tuples) add(v version, width int) {
	t.bytes = v.tuple(t.bytes, width)
	t.n++
}

// take cuts some rows off, of about so many bytes.
func (t *tuples) take(width, most int) tuples {
	at, n := 0, 0
	for n < t.n && at < most {
		at += tupleSize(t.bytes[at:], width)
		n++
	}
	first := tuples{t.bytes[:at], n}
	t.bytes, t.n = t.bytes[at:], t.n-n
	return first
}

func tupleSize(b []byte, width int) int {
	at := 2
	for range width {
		at += 4 + max(0, int(int32(binary.BigEndian.Uint32(b[at:]))))
	}
	return at
}

// array is the rows as a value of type row[] in binary.
func (t tuples) array(rowType uint32, columns []uint32) []byte {
	buf := make([]byte, 0, 20+len(t.bytes)+t.n*(8+4*len(columns)))
	buf = binary.BigEndian.AppendUint32(buf, 1) // dimension
	buf = binary.BigEndian.AppendUint32(buf, 0) // no nulls
	buf = binary.BigEndian.AppendUint32(buf, rowType)
	buf = binary.BigEndian.AppendUint32(buf, uint32(t.n))
	buf = binary.BigEndian.AppendUint32(buf, 1) // counted from
	b := t.bytes
	for range t.n {
		start := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(columns)))
		b = b[2:]
		for _, oid := range columns {
			size := 4 + max(0, int(int32(binary.BigEndian.Uint32(b))))
			buf = append(binary.BigEndian.AppendUint32(buf, oid), b[:size]...)
			b = b[size:]
		}
		binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
	}
	return buf
}

const (
	copyFrom  = 256 << 10 // bytes; fewer go with one statement beside others, for which nobody waits in between
	arrayMost = 4 << 20   // bytes of one array
)

// writer gathers statements that go to Postgres together.
type writer struct {
	m     *model
	conn  *pgx.Conn
	batch pgconn.Batch
	check []func(pgconn.CommandTag) error
}

// queue adds a statement over rows. Statements are named by the type of the rows, which no other table ever has.
func (w *writer) queue(ctx context.Context, what, sql string, rows tuples, rowType uint32, check func(pgconn.CommandTag) error) error {
	name := fmt.Sprintf("projections_%s_%d", what, rowType)
	if _, err := w.conn.Prepare(ctx, name, sql); err != nil { // the connection remembers it
		return err
	}
	w.batch.ExecPrepared(name, [][]byte{rows.array(rowType, w.m.shape.oids())}, []int16{1}, nil)
	w.check = append(w.check, check)
	return nil
}

// insert adds rows to a table: few at once with other statements, many by COPY.
func (w *writer) insert(ctx context.Context, table string, rows tuples, rowType uint32) error {
	switch {
	case rows.n == 0:
		return nil
	case len(rows.bytes) >= copyFrom:
		return w.m.copyIn(ctx, w.conn, table, "", rows.bytes)
	}
	names := w.m.shape.names("")
	return w.queue(ctx, "insert", "insert into "+table+" ("+names+") select "+names+" from unnest($1::"+table+"[]) v", rows, rowType, nil)
}

// replace changes current rows in place. As no index of the table has what changed, unless a model asks for it, Postgres puts the new
// row beside the old one and touches no index (a HOT update); where a row was not there after all, missing is called.
func (w *writer) replace(ctx context.Context, table string, rows tuples, rowType uint32) error {
	var b strings.Builder
	b.WriteString("update " + table + " c set ")
	for _, c := range w.m.shape.columns {
		fmt.Fprintf(&b, `"%s" = v."%s", `, c.name, c.name)
	}
	b.WriteString("from_position = v.from_position, from_time = v.from_time from unnest($1::" + table + "[]) v where c.key = v.key")
	for rows.n > 0 {
		some := rows.take(w.m.shape.width(), arrayMost)
		check := func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != int64(some.n) {
				return errMissing
			}
			return nil
		}
		if err := w.queue(ctx, "replace", b.String(), some, rowType, check); err != nil {
			return err
		}
	}
	return nil
}

// errMissing is a row that should stand in the table of current versions, and does not: somebody else changed the table.
var errMissing = errors.New("a current version is missing from its table; a rebuild makes it whole")

// flush sends what was queued.
func (w *writer) flush(ctx context.Context) error {
	if len(w.check) == 0 {
		return nil
	}
	reader := w.conn.PgConn().ExecBatch(ctx, &w.batch)
	var wrong error
	for i := 0; reader.NextResult(); i++ {
		tag, err := reader.ResultReader().Close()
		if err == nil && w.check[i] != nil {
			err = w.check[i](tag)
		}
		wrong = errors.Join(wrong, err)
	}
	err := reader.Close()
	w.batch, w.check = pgconn.Batch{}, nil
	if err != nil {
		return err
	}
	return wrong
}
