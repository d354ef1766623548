package projections

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// View asks the table of a projection. The queries of a read model are methods of a struct that holds one.
type View[R any] struct {
	engine *Engine
	model  *model
}

// ViewOf makes the view of a projection that was given to New.
func ViewOf[R any](e *Engine, p Projection[R]) (View[R], error) {
	m, err := e.known(p.Name())
	return View[R]{engine: e, model: m}, err
}

// Columns lists the row's and the engine's columns under an alias, for the select list that Query reads.
func (v View[R]) Columns(alias string) string { return v.model.shape.names(alias + ".") }

// Resolve is Engine.Resolve for this read model.
func (v View[R]) Resolve(ctx context.Context, m Moment) (At, error) {
	return v.engine.Resolve(ctx, m, v.model.name)
}

// Find is the version of a row that held at a moment; false when there was none.
func (v View[R]) Find(ctx context.Context, at At, key string) (Version[R], bool, error) {
	var args Args
	sql := "select " + v.Columns("m") + " from " + v.model.name + " m where m.key = " + args.Add(key) + " and " + at.Where("m", &args)
	found, err := v.Query(ctx, sql, &args)
	if err != nil || len(found) == 0 {
		return Version[R]{}, false, err
	}
	return found[0], true, nil
}

// OfItem are the rows about an item that held at a moment, in no order; the table has a column media.
func (v View[R]) OfItem(ctx context.Context, at At, id domain.MediaID) ([]Version[R], error) {
	var args Args
	return v.Query(ctx, "select "+v.Columns("s")+" from "+v.model.name+" s where s.media = "+args.Add(string(id))+" and "+at.Where("s", &args), &args)
}

// Query answers the rows of a select whose list is Columns, within queryTimeout.
func (v View[R]) Query(ctx context.Context, sql string, args *Args) ([]Version[R], error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// In binary, as the engine stores it; pgx would choose text for some types.
	rows, err := v.engine.pool.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args.Values()...)...)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", v.model.name, err)
	}
	defer rows.Close()
	var all []Version[R]
	for rows.Next() {
		r, err := readVersion[R](v.model.shape, rows.RawValues())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", v.model.name, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask %s: %w", v.model.name, err)
	}
	return all, nil
}

// Value answers the one value of a select, such as a count, within queryTimeout.
func Value[T any, R any](ctx context.Context, v View[R], sql string, args *Args) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var value T
	if err := v.engine.pool.QueryRow(ctx, sql, args.Values()...).Scan(&value); err != nil {
		return value, fmt.Errorf("ask %s: %w", v.model.name, err)
	}
	return value, nil
}

func readVersion[R any](s *shape, values [][]byte) (Version[R], error) {
	var v Version[R]
	if len(values) < s.width() {
		return v, fmt.Errorf("row has %d values, not %d", len(values), s.width())
	}
	if err := s.read(reflect.ValueOf(&v.Row).Elem(), values); err != nil {
		return v, err
	}
	rest := values[len(s.columns):]
	from, err := readInt(rest[1])
	if err != nil {
		return v, err
	}
	until, err := readInt(rest[2])
	if err != nil {
		return v, err
	}
	at, err := readInt(rest[3])
	if err != nil {
		return v, err
	}
	v.Key, v.From, v.Until, v.Time = string(rest[0]), eventstore.Position(from), eventstore.Position(until), timeOf(at)
	return v, nil
}
