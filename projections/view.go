package projections

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/jackc/pgx/v5"

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

// Columns lists the row's and the engine's columns under an alias, for the select list that Query and Each read.
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

// Query answers the rows of a select whose list is Columns.
func (v View[R]) Query(ctx context.Context, sql string, args *Args) ([]Version[R], error) {
	var all []Version[R]
	for r, err := range v.Each(ctx, sql, args) {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Each yields the rows of a select whose list is Columns, in flat memory. It holds a connection until the loop ends.
func (v View[R]) Each(ctx context.Context, sql string, args *Args) iter.Seq2[Version[R], error] {
	return func(yield func(Version[R], error) bool) {
		// In binary, as the engine stores it; pgx would choose text for some types.
		all := append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args.Values()...)
		rows, err := v.engine.pool.Query(ctx, sql, all...)
		if err != nil {
			yield(Version[R]{}, fmt.Errorf("ask %s: %w", v.model.name, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			r, err := readVersion[R](v.model.shape, rows.RawValues())
			if err != nil {
				err = fmt.Errorf("read %s: %w", v.model.name, err)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Version[R]{}, fmt.Errorf("ask %s: %w", v.model.name, err))
		}
	}
}

// Value answers the one value of a select, such as a count.
func Value[T any, R any](ctx context.Context, v View[R], sql string, args *Args) (T, error) {
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
