package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tables are the names of one model's tables. While it is rebuilt it has a second set, and a third afterwards, to step back to.
type tables struct {
	parent  string
	current string // of the versions that stand
	closed  string // of those that ended; the same for an append-only model
}

const (
	live    = ""
	rebuilt = "_rebuild"
	old     = "_old"
)

func (m *model) tables(suffix string) tables {
	if m.table.AppendOnly {
		return tables{m.name + suffix, m.name + suffix, m.name + suffix}
	}
	return tables{m.name + suffix, m.name + suffix + "_current", m.name + suffix + "_closed"}
}

// executor runs SQL: a pool, a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Prepare makes the tables that are missing. Several processes may call it at once. A table in another shape is left as it
// is: Run rebuilds it, and until then Ready answers ErrShape.
func (e *Engine) Prepare(ctx context.Context) error {
	for _, m := range e.models {
		if err := e.prepare(ctx, m); err != nil {
			return fmt.Errorf("prepare %s: %w", m.name, err)
		}
	}
	return nil
}

func (e *Engine) prepare(ctx context.Context, m *model) error {
	return pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		// Two processes that start at once would both make the table.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1, hashtext('prepare'))`, lockClass); err != nil {
			return err
		}
		var known bool
		if err := tx.QueryRow(ctx, `select exists (select from projections where name = $1)`, m.name).Scan(&known); err != nil {
			return err
		}
		if there, err := m.exists(ctx, tx, live); err != nil || known && there {
			return err
		}
		// A table that somebody dropped is made again from the beginning of the log.
		if err := m.create(ctx, tx, live); err != nil {
			return err
		}
		if err := m.index(ctx, tx, live); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from projection_parked where projection = $1`, m.name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			insert into projections (name, position, shape, updated_at) values ($1, 0, $2, $3)
			on conflict (name) do update set position = 0, shape = $2, updated_at = $3, generation = projections.generation + 1`,
			m.name, m.print, e.now())
		return err
	})
}

// lockClass is the first half of the advisory locks of this package: "proj" in ASCII.
const lockClass = 0x70726f6a

// Ready reports whether every read model can be asked: its table is there, in the shape that this program needs.
// Errors: ErrShape.
func (e *Engine) Ready(ctx context.Context) error {
	rows, err := e.pool.Query(ctx, `select name, shape from projections`)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	prints := map[string]string{}
	var name, print string
	if _, err := pgx.ForEachRow(rows, []any{&name, &print}, func() error { prints[name] = print; return nil }); err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	for _, m := range e.models {
		if prints[m.name] != m.print {
			return fmt.Errorf("%s: %w", m.name, ErrShape)
		}
	}
	return nil
}

// create makes the tables without their indexes.
func (m *model) create(ctx context.Context, x executor, suffix string) error {
	t := m.tables(suffix)
	var b strings.Builder
	fmt.Fprintf(&b, "create table %s (", t.parent)
	for _, c := range m.shape.columns {
		fmt.Fprintf(&b, "%q %s, ", c.name, c.sql)
	}
	b.WriteString(`key text collate "C" not null, ` + "from_position bigint not null, until_position bigint not null, from_time timestamptz not null)")
	if !m.table.AppendOnly {
		b.WriteString(" partition by list (until_position);\n")
		// A change puts the new version on the page of the old one, where there is room. What could not is vacuumed eagerly:
		// otherwise the small table would grow into a large one.
		fmt.Fprintf(&b, `create table %s partition of %s for values in (%d)
			with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);`+"\n", t.current, t.parent, int64(Forever))
		fmt.Fprintf(&b, "create table %s partition of %s default;\n", t.closed, t.parent)
	}
	_, err := x.Exec(ctx, b.String())
	return err
}

// index makes the indexes.
func (m *model) index(ctx context.Context, x executor, suffix string) error {
	for _, sql := range m.indexes(suffix) {
		if _, err := x.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func (m *model) indexes(suffix string) []string {
	t := m.tables(suffix)
	var all []string
	if m.table.AppendOnly {
		all = append(all, "create unique index on "+t.parent+" (from_position, key)")
	} else {
		all = append(all, "create unique index on "+t.current+" (key)",
			"create unique index on "+t.closed+" (key, from_position, until_position)")
	}
	for _, i := range m.table.Indexes {
		using, where := i.Using, ""
		if using == "" {
			using = "btree"
		}
		if i.Where != "" {
			where = " where " + i.Where
		}
		if i.Scope != ClosedOnly {
			on := i.On
			if using == "btree" && i.Scope == AllVersions && m.table.AppendOnly {
				on += ", from_position"
			}
			// Not from_position: it changes with every version, and what no index has is changed in place.
			all = append(all, fmt.Sprintf("create index on %s using %s (%s)%s", t.current, using, on, where))
		}
		if i.Scope != CurrentOnly && !m.table.AppendOnly {
			on := i.On
			if using == "btree" {
				on += ", from_position, until_position"
			}
			all = append(all, fmt.Sprintf("create index on %s using %s (%s)%s", t.closed, using, on, where))
		}
	}
	return all
}

// analyze lets the planner know the columns that rows are looked for by; looking at the wide ones takes longer than an index.
func (m *model) analyze(ctx context.Context, x executor, suffix string) error {
	columns := "key, from_position, until_position"
	for _, c := range m.shape.columns {
		if slices.ContainsFunc(m.table.Indexes, func(i Index) bool {
			return slices.Contains(strings.FieldsFunc(i.On, func(r rune) bool { return !unicode.IsLetter(r) && r != '_' }), c.name)
		}) {
			columns += `, "` + c.name + `"`
		}
	}
	// A quarter of the usual sample says enough, and fewer pages of a table that was just written are read at random.
	if _, err := x.Exec(ctx, "set local default_statistics_target = 25"); err != nil {
		return err
	}
	t := m.tables(suffix)
	for _, table := range slices.Compact([]string{t.current, t.closed}) {
		if _, err := x.Exec(ctx, "analyze "+table+" ("+columns+")"); err != nil {
			return err
		}
	}
	return nil
}

// drop removes a set of tables, if it is there.
func (m *model) drop(ctx context.Context, x executor, suffix string) error {
	_, err := x.Exec(ctx, "drop table if exists "+m.tables(suffix).parent+" cascade")
	return err
}

// rename gives a set of tables another suffix. Indexes keep their names, which nothing refers to.
func (m *model) rename(ctx context.Context, x executor, from, to string) error {
	f, t := m.tables(from), m.tables(to)
	sql := fmt.Sprintf("alter table %s rename to %s;", f.parent, t.parent)
	if !m.table.AppendOnly {
		sql += fmt.Sprintf("alter table %s rename to %s; alter table %s rename to %s;", f.current, t.current, f.closed, t.closed)
	}
	_, err := x.Exec(ctx, sql)
	return err
}

func (m *model) exists(ctx context.Context, x executor, suffix string) (bool, error) {
	var there bool
	err := x.QueryRow(ctx, `select to_regclass($1) is not null`, m.tables(suffix).parent).Scan(&there)
	return there, err
}

// The frame of binary COPY (https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS).
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// copyIn writes tuples to a table.
func (m *model) copyIn(ctx context.Context, conn *pgx.Conn, table, with string, tuples []byte) error {
	if len(tuples) == 0 {
		return nil
	}
	sql := "copy " + table + " (" + m.shape.names("") + ") from stdin with (format binary" + with + ")"
	r := &frame{parts: [][]byte{copyHeader, tuples, copyTrailer}}
	_, err := conn.PgConn().CopyFrom(ctx, r, sql)
	return err
}

// frame reads several pieces of bytes as one.
type frame struct{ parts [][]byte }

// Read implements io.Reader.
func (f *frame) Read(p []byte) (int, error) {
	n := 0
	for len(f.parts) > 0 && n < len(p) {
		c := copy(p[n:], f.parts[0])
		n += c
		if f.parts[0] = f.parts[0][c:]; len(f.parts[0]) == 0 {
			f.parts = f.parts[1:]
		}
	}
	if n == 0 && len(f.parts) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// refusedByData reports whether the database refused what was written, rather than having failed: writing it again would
// end the same way.
func refusedByData(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data exception, constraint, program limit (an index entry too large)
		return true
	}
	return false
}
