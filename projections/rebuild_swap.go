package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mediavault-io/mediavault/eventstore"
)

// swap takes in the rest and gives the tables their names, in one short transaction. Readers wait for it, at most as long as
// the lock timeout; then it lets them pass and tries again.
func (r *rebuild) swap(ctx context.Context) error {
	for tries := 0; ; tries++ {
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		was, aside, events := r.position, len(r.aside), r.out.Events
		began := time.Now()
		err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.exchange(ctx, tx) })
		r.out.Swap = time.Since(began)
		if err == nil {
			r.out.Position, r.out.Parked = r.position, len(r.aside)
			r.marks.away(r.m.name) // its runner will say where it is
			return nil
		}
		r.position, r.aside, r.out.Events = was, r.aside[:aside], events
		var pg *pgconn.PgError
		if tries == 20 || !errors.As(err, &pg) || pg.Code != "55P03" && pg.Code != "40P01" { // lock not available, deadlock
			return fmt.Errorf("swap: %w", err)
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (r *rebuild) exchange(ctx context.Context, tx pgx.Tx) error {
	r.tell("swap", r.position, r.position)
	if _, err := tx.Exec(ctx, `set local lock_timeout = '1s'`); err != nil {
		return err
	}
	// From here on no projector of this model commits.
	var at eventstore.Position
	if err := tx.QueryRow(ctx, `select position from projections where name = $1 for update`, r.m.name).Scan(&at); err != nil {
		return err
	}
	if err := r.advance(ctx, at, func(f func(pgx.Tx) error) error { return f(tx) }); err != nil {
		return err
	}
	if err := r.m.drop(ctx, tx, old); err != nil {
		return err
	}
	if err := r.m.rename(ctx, tx, live, old); err != nil {
		return err
	}
	if err := r.m.rename(ctx, tx, rebuilt, live); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		update projections set position = $2, shape = $3, updated_at = $4, generation = generation + 1, old_position = position, old_shape = shape
		where name = $1`, r.m.name, r.position, r.m.print, r.now()); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from projection_parked where projection = $1`, r.m.name+old); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update projection_parked set projection = $2 where projection = $1`, r.m.name, r.m.name+old); err != nil {
		return err
	}
	c := change{m: r.m, aside: r.aside}
	return c.setAside(ctx, tx)
}

// Rollback puts the table from before the last rebuild back in its place, and keeps the other: a second Rollback undoes the
// first. The projection goes on from where that table was. Errors: ErrUnknown, ErrRebuilding, ErrNoOld.
func (e *Engine) Rollback(ctx context.Context, name string) error {
	m, err := e.known(name)
	if err != nil {
		return err
	}
	err = e.alone(ctx, m, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return e.rollBack(ctx, tx, m) })
	})
	if err != nil {
		return fmt.Errorf("roll back %s: %w", name, err)
	}
	e.marks.away(m.name) // its runner will say where it is
	return nil
}

func (e *Engine) rollBack(ctx context.Context, tx pgx.Tx, m *model) error {
	if _, err := tx.Exec(ctx, `set local lock_timeout = '5s'`); err != nil {
		return err
	}
	var kept bool
	err := tx.QueryRow(ctx, `select old_position is not null from projections where name = $1 for update`, m.name).Scan(&kept)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if !kept {
		return ErrNoOld
	}
	if err := m.drop(ctx, tx, rebuilt); err != nil {
		return err
	}
	for _, step := range [][2]string{{live, rebuilt}, {old, live}, {rebuilt, old}} {
		if err := m.rename(ctx, tx, step[0], step[1]); err != nil {
			return err
		}
	}
	for _, step := range [][2]string{{m.name, m.name + rebuilt}, {m.name + old, m.name}, {m.name + rebuilt, m.name + old}} {
		if _, err := tx.Exec(ctx, `update projection_parked set projection = $2 where projection = $1`, step[0], step[1]); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `
		update projections set position = old_position, shape = old_shape, old_position = position, old_shape = shape,
			updated_at = $2, generation = generation + 1
		where name = $1`, m.name, e.now())
	return err
}
