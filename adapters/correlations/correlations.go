// Package correlations is an index of events by what they were caused for. It is made from the log by whoever adds to it, and
// knows nothing of events but their positions.
package correlations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrMoved is an addition that does not go on where the index ends: another process was faster.
var ErrMoved = errors.New("the index of correlations was moved by another process")

// Index is the index in a database.
type Index struct{ pool *pgxpool.Pool }

const deadline = 30 * time.Second

// New makes it of a migrated database.
func New(pool *pgxpool.Pool) *Index { return &Index{pool: pool} }

// Through is the position up to which events are in the index; 0 also when somebody emptied it to have it made anew.
func (x *Index) Through(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var position int64
	err := x.pool.QueryRow(ctx, `SELECT position FROM correlations_head`).Scan(&position)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("head of the correlations: %w", err)
	}
	return position, nil
}

// Add adds the events between two positions: entry i of positions belongs to entry i of correlations. Both or neither: the
// events and the place up to which they are known. ErrMoved when the index does not end at after.
func (x *Index) Add(ctx context.Context, after, through int64, correlations []string, positions []int64) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := pgx.BeginFunc(ctx, x.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE correlations_head SET position = $2 WHERE position = $1`, after, through)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 && after == 0 { // emptied: whoever is first begins it
			tag, err = tx.Exec(ctx, `INSERT INTO correlations_head (position) VALUES ($1) ON CONFLICT DO NOTHING`, through)
			if err != nil {
				return err
			}
		}
		if tag.RowsAffected() == 0 {
			return ErrMoved
		}
		if len(positions) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO correlations (correlation, position) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING`, correlations, positions)
		return err
	})
	if err != nil {
		return fmt.Errorf("add correlations: %w", err)
	}
	return nil
}

// Positions answers up to limit positions behind from, in order; backward, those before it, the last first.
func (x *Index) Positions(ctx context.Context, correlation string, from int64, backward bool, limit int) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	sql := `SELECT position FROM correlations WHERE correlation = $1 AND position > $2 ORDER BY position LIMIT $3`
	if backward {
		sql = `SELECT position FROM correlations WHERE correlation = $1 AND position < $2 ORDER BY position DESC LIMIT $3`
	}
	rows, err := x.pool.Query(ctx, sql, correlation, from, limit)
	if err != nil {
		return nil, fmt.Errorf("events of a correlation: %w", err)
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("events of a correlation: %w", err)
	}
	return positions, nil
}
