package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// errMoved is a read model that somebody else moved or changed.
var errMoved = errors.New("read model was moved by somebody else")

// runner projects one model. Only its goroutine touches it.
type runner struct {
	*Engine
	m          *model
	rows       folder
	position   eventstore.Position
	generation int64
	types      rowTypes        // of this generation
	parked     map[string]bool // keys that have parked events
	wrote      time.Time       // when the last batch was committed
}

// linger is the least time between two transactions of one read model while it follows live. A batch that comes after a
// pause is written at once; under load, events and moves of the checkpoint that come within it share a transaction.
const linger = 8 * time.Millisecond

// idle is linger for a move of the checkpoint alone, over events that the read model does not take, while nobody of this process
// waits for it: most models take few of the events of a busy vault, and would keep the database busy saying so.
const idle = 50 * time.Millisecond

// project follows the log from where the read model is, until something fails or ctx ends.
func (e *Engine) project(ctx context.Context, m *model) error {
	r := &runner{Engine: e, m: m}
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.leave(ctx)
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan eventstore.Batch[eventstore.Recorded], 4)
	group.Go(func() error {
		defer close(batches)
		for b, err := range e.source.Follow(ctx, r.position, m.filter()) {
			if err != nil {
				return fmt.Errorf("follow the log: %w", err)
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return errors.New("the log's subscription ended")
	})
	group.Go(func() error { return r.consume(ctx, batches) })
	return group.Wait()
}

// take waits until no other process projects the model, and finds where it is.
func (r *runner) take(ctx context.Context) error {
	for {
		var print, before string
		asking, cancel := context.WithTimeout(ctx, commitTimeout)
		err := r.pool.QueryRow(asking, `
			update projections set holder = $2, held_until = now() + $3
			where name = $1 and (holder is null or holder = $2 or held_until < now())
			returning position, generation, shape, coalesce(old_shape, '')`,
			r.m.name, r.id, r.options.Lease).Scan(&r.position, &r.generation, &print, &before)
		cancel()
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			if !pause(ctx, max(r.options.Lease/10, time.Millisecond)) {
				return ctx.Err()
			}
			continue
		case err != nil:
			return fmt.Errorf("take %s: %w", r.m.name, err)
		case print != r.m.print && before == r.m.print:
			// A newer program replaced this one's table. Building it back would make the two fight.
			r.leave(ctx)
			return fmt.Errorf("%s: %w", r.m.name, ErrShape)
		case print != r.m.print:
			r.log.Warn("read model has another shape; rebuilding", "projection", r.m.name)
			if _, err := r.Rebuild(ctx, r.m.name, RebuildOptions{}); err != nil {
				return fmt.Errorf("rebuild %s: %w", r.m.name, err)
			}
			continue
		}
		break
	}
	r.marks.wake(r.m.name, r.position)
	r.rows, r.types = r.m.fold(), rowTypes{}
	r.parked = map[string]bool{}
	asking, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	rows, err := r.pool.Query(asking, `select distinct key from projection_parked where projection = $1`, r.m.name)
	if err != nil {
		return fmt.Errorf("parked keys: %w", err)
	}
	var key string
	if _, err := pgx.ForEachRow(rows, []any{&key}, func() error { r.parked[key] = true; return nil }); err != nil {
		return fmt.Errorf("parked keys: %w", err)
	}
	return nil
}

// leave lets another process take over at once.
func (r *runner) leave(ctx context.Context) {
	r.marks.away(r.m.name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := r.pool.Exec(ctx, `update projections set holder = null, held_until = null where name = $1 and holder = $2`,
		r.m.name, r.id); err != nil {
		r.log.Warn("lease is left to run out", "projection", r.m.name, "error", err)
	}
}

// consume writes batches, as many events at once as came while the last ones were written.
func (r *runner) consume(ctx context.Context, batches <-chan eventstore.Batch[eventstore.Recorded]) error {
	renew := time.NewTicker(max(r.options.Lease/3, 5*time.Millisecond))
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-renew.C:
			if err := r.renew(ctx); err != nil {
				return err
			}
		case b, ok := <-batches:
			if !ok {
				return nil
			}
			b = r.gather(ctx, b, batches)
			for len(b.Events) > r.options.BatchSize {
				part := b.Events[:r.options.BatchSize]
				b.Events = b.Events[r.options.BatchSize:]
				if err := r.write(ctx, part, part[len(part)-1].Position, false); err != nil {
					return err
				}
			}
			if err := r.write(ctx, b.Events, b.Through, b.Live); err != nil {
				return err
			}
		}
	}
}

// gather adds what has already arrived and, soon after the last transaction, what arrives until the next one is due.
func (r *runner) gather(ctx context.Context, b eventstore.Batch[eventstore.Recorded], more <-chan eventstore.Batch[eventstore.Recorded]) eventstore.Batch[eventstore.Recorded] {
	due := make(chan time.Time)
	close(due)
	var until <-chan time.Time = due
	var timer *time.Timer
	wait := func(least time.Duration) {
		left := least - time.Since(r.wrote)
		if left <= 0 {
			until = due
			return
		}
		if timer != nil {
			timer.Stop()
		}
		timer = time.NewTimer(left)
		until = timer.C
	}
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	add := func(next eventstore.Batch[eventstore.Recorded]) {
		b.Events = append(b.Events, next.Events...)
		b.Through, b.Live = next.Through, next.Live
	}
	wanted := r.marks.wanted[r.m.name]
	alone := b.Live && len(b.Events) == 0 // only the checkpoint moves, and nobody waits for it
	switch {
	case alone:
		wait(idle)
	case b.Live:
		wait(linger)
	}
	for waiting := true; len(b.Events) < r.options.BatchSize; {
		if !waiting { // take what is there, and no more
			select {
			case next, ok := <-more:
				if !ok {
					return b
				}
				add(next)
				continue
			default:
				return b
			}
		}
		select {
		case next, ok := <-more:
			if !ok {
				return b
			}
			add(next)
			if alone && len(b.Events) > 0 {
				alone = false
				wait(linger)
			}
		case <-wanted:
			if alone {
				alone = false
				wait(linger)
			}
		case <-until:
			waiting = false
		case <-ctx.Done():
			return b
		}
	}
	return b
}

// renew keeps the lease while there is nothing to write, and notices a rebuild or a retry.
func (r *runner) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	tag, err := r.pool.Exec(ctx, `
		update projections set held_until = now() + $3
		where name = $1 and holder = $2 and generation = $4 and position = $5`,
		r.m.name, r.id, r.options.Lease, r.generation, r.position)
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errMoved
	}
	return nil
}

// write takes events in and moves the read model to through. What the database refuses is narrowed down and set aside.
func (r *runner) write(ctx context.Context, events []eventstore.Recorded, through eventstore.Position, live bool) error {
	err := r.commit(ctx, events, through, live, nil)
	if !refusedByData(err) || len(events) == 0 {
		return err
	}
	r.rows = r.m.fold() // what it folded was not written
	if half := len(events) / 2; half > 0 {
		if err := r.write(ctx, events[:half], events[half-1].Position, false); err != nil {
			return err
		}
		return r.write(ctx, events[half:], through, live)
	}
	keys, _ := r.m.keysOf(events[0]) // an event whose keys are not known writes nothing
	for _, key := range keys {
		again := r.commit(ctx, events, through, live, map[string]error{key: err})
		if !refusedByData(again) {
			return again
		}
		r.rows = r.m.fold()
	}
	all := map[string]error{}
	for _, key := range keys {
		all[key] = err
	}
	return r.commit(ctx, events, through, live, all)
}

// commitTimeout bounds one transaction.
const commitTimeout = time.Minute

// beginWrite begins a transaction of a runner. A crash of the database may lose it as a whole (its events are then taken in again),
// which is why it need not wait for the disk. Rows are written by statements whose plan never changes; without being told so,
// Postgres would plan each anew, with all the rows in it as a constant.
const beginWrite = `begin; set local synchronous_commit = off; set local plan_cache_mode = force_generic_plan`

// commit takes events in, in one transaction with the move of the checkpoint. refuse are keys that cannot take the event, and
// why.
func (r *runner) commit(ctx context.Context, events []eventstore.Recorded, through eventstore.Position, live bool, refuse map[string]error) error {
	if len(events) == 0 && through <= r.position {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	began := time.Now()
	c := change{m: r.m, rows: r.rows, tables: r.m.tables(""), parked: r.parked, refuse: refuse, types: &r.types}
	err := pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{BeginQuery: beginWrite}, func(tx pgx.Tx) error {
		// The row of the read model is the lock.
		tag, err := tx.Exec(ctx, `update projections set position = $2, updated_at = $3, holder = $4, held_until = now() + $5
			where name = $1 and position = $6 and generation = $7 and (holder = $4 or holder is null or held_until < now())`,
			r.m.name, through, r.now(), r.id, r.options.Lease, r.position, r.generation)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errMoved
		}
		return c.run(ctx, tx, events)
	})
	if err != nil {
		r.rows = r.m.fold()
		return fmt.Errorf("project %s: %w", r.m.name, err)
	}
	r.settled(&c, events, through, live, began)
	return nil
}

// settled notes what was committed.
func (r *runner) settled(c *change, events []eventstore.Recorded, through eventstore.Position, live bool, began time.Time) {
	r.position, r.wrote = through, time.Now()
	r.marks.wake(r.m.name, r.position)
	for _, p := range c.aside {
		r.parked[p.key] = true
		if p.reason != "" {
			r.log.Error("event is parked", "projection", r.m.name, "key", p.key, "position", p.position, "reason", p.reason)
		}
	}
	if over := r.rows.size() - r.options.CachedRows; over > 0 {
		over += r.options.CachedRows / 4
		r.rows.drop(func(string) bool { over--; return over >= 0 })
	}
	if r.options.Observe != nil {
		seen := Batch{Projection: r.m.name, Events: len(events), Parked: len(c.aside), Position: through, Took: time.Since(began), Live: live}
		if n := len(events); n > 0 {
			seen.Age = r.now().Sub(events[n-1].At)
		}
		r.options.Observe(seen)
	}
}
