package projections

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

var (
	// ErrRebuilding is a read model that is being rebuilt already.
	ErrRebuilding = domain.Refuse(domain.Conflict, "rebuilding", "the read model is being rebuilt already")
	// ErrNoOld is a read model that has no table of before its last rebuild.
	ErrNoOld = domain.Refuse(domain.Conflict, "nothing_to_roll_back", "no table from before a rebuild is kept")
)

// RebuildOptions say how to rebuild. The zero options are good.
type RebuildOptions struct {
	// Details is how many differences from the replaced table are told in full. 0: 100.
	Details int
	// Progress is told how far it is. It must not block.
	Progress func(Progress)
	// NoCompare leaves the comparison with the replaced table out.
	NoCompare bool
}

// Rebuilt is what a rebuild did.
type Rebuilt struct {
	Name     string
	Position eventstore.Position // of the new table when it took over
	Events   int                 // that were taken in
	Rows     int                 // versions that were written
	Parked   int                 // events that could not be processed, and those behind them
	// Compared says whether the new and the replaced table could be compared: they had the same shape, and both were there.
	Compared    bool
	ComparedAt  eventstore.Position
	Differences int
	Details     []Difference  // Want is in the new table, Got in the replaced one
	Load        time.Duration // reading, folding and copying
	Index       time.Duration
	Compare     time.Duration
	Swap        time.Duration // how long readers may have waited
	Took        time.Duration
}

// Rebuild builds a read model again from the whole log, in tables beside, compares them with the ones that serve, and puts them
// in their place; the old ones are kept for Rollback. Reading and projecting go on meanwhile. What a rebuild that died left
// behind is removed by the next. Errors: ErrUnknown, ErrRebuilding; faults leave everything as it was.
func (e *Engine) Rebuild(ctx context.Context, name string, o RebuildOptions) (Rebuilt, error) {
	m, err := e.known(name)
	if err != nil {
		return Rebuilt{}, err
	}
	if o.Details <= 0 {
		o.Details = 100
	}
	r := &rebuild{Engine: e, m: m, o: o, began: time.Now()}
	r.out.Name = name
	err = e.alone(ctx, m, func(conn *pgx.Conn) error {
		r.conn = conn
		return r.run(ctx)
	})
	r.out.Took = time.Since(r.began)
	if err != nil {
		return r.out, fmt.Errorf("rebuild %s: %w", name, err)
	}
	return r.out, nil
}

// alone runs f while no other rebuild of the model runs, in whatever process.
func (e *Engine) alone(ctx context.Context, m *model, f func(conn *pgx.Conn) error) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	// The lock of a rebuild that was killed goes when Postgres notices, within moments.
	var locked bool
	for tries := 0; !locked; tries++ {
		if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1, hashtext($2))`, lockClass, m.name).Scan(&locked); err != nil {
			return err
		}
		if !locked && (tries == 20 || !pause(ctx, 50*time.Millisecond)) {
			return ErrRebuilding
		}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, err := conn.Exec(ctx, `select pg_advisory_unlock($1, hashtext($2))`, lockClass, m.name); err != nil {
			_ = conn.Conn().Close(ctx) // the lock goes with the connection
		}
	}()
	return f(conn.Conn())
}

type rebuild struct {
	*Engine
	m        *model
	o        RebuildOptions
	conn     *pgx.Conn
	began    time.Time
	position eventstore.Position // of the tables beside
	aside    []aside
	out      Rebuilt
}

func (r *rebuild) run(ctx context.Context) (err error) {
	if err := r.prepare(ctx, r.m); err != nil {
		return err
	}
	if err := r.m.drop(ctx, r.conn, rebuilt); err != nil {
		return fmt.Errorf("remove leftovers: %w", err)
	}
	defer func() {
		if err != nil && !r.conn.IsClosed() {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = r.m.drop(clean, r.conn, rebuilt) // otherwise the next rebuild does
		}
	}()
	if r.position, err = r.source.Head(ctx); err != nil {
		return err
	}
	if err := r.load(ctx); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := r.catchUp(ctx); err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	if err := r.compare(ctx); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	if err := r.catchUp(ctx); err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	return r.swap(ctx)
}

func (r *rebuild) tell(phase string, at, through eventstore.Position) {
	if r.o.Progress != nil {
		r.o.Progress(Progress{
			Projection: r.m.name, Phase: phase, Position: at, Through: through, Events: r.out.Events, Elapsed: time.Since(r.began),
		})
	}
}

// load fills the tables beside from the log, in one transaction: what is copied into a table that the same transaction made
// needs no second visit to become visible (FREEZE). Folding, and Postgres taking in what was folded, go on at once.
func (r *rebuild) load(ctx context.Context) error {
	began := time.Now()
	tx, err := r.conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer rollback(ctx, tx)
	if _, err := tx.Exec(ctx, `set local maintenance_work_mem = '256MB'; set local synchronous_commit = off`); err != nil {
		return err
	}
	if err := r.m.create(ctx, tx, rebuilt); err != nil {
		return err
	}
	if err := r.copy(ctx, tx); err != nil {
		return err
	}
	r.out.Load = time.Since(began)
	began = time.Now()
	r.tell("index", r.position, r.position)
	if err := r.m.index(ctx, tx, rebuilt); err != nil {
		return err
	}
	if err := r.m.analyze(ctx, tx, rebuilt); err != nil {
		return err
	}
	r.out.Index = time.Since(began)
	return tx.Commit(ctx)
}

// piece is rows on their way into one of the tables.
type piece struct {
	table  string
	tuples []byte
}

const pieceSize = 1 << 20

func (r *rebuild) copy(ctx context.Context, tx pgx.Tx) error {
	t := r.m.tables(rebuilt)
	pieces := make(chan piece, 4)
	free := make(chan []byte, 8)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for p := range pieces {
			if err := r.m.copyIn(ctx, tx.Conn(), p.table, ", freeze true", p.tuples); err != nil {
				return err
			}
			select {
			case free <- p.tuples[:0]:
			default:
			}
		}
		return nil
	})
	group.Go(func() error {
		defer close(pieces)
		buffers := map[bool]piece{true: {table: t.current}, false: {table: t.closed}}
		send := func(p piece) (piece, error) {
			select {
			case pieces <- p:
			case <-ctx.Done():
				return p, ctx.Err()
			}
			select {
			case p.tuples = <-free:
			default:
				p.tuples = make([]byte, 0, pieceSize+pieceSize/8)
			}
			return p, nil
		}
		current, closed := buffers[true], buffers[false]
		f := &replay{
			source: r.source, m: r.m, through: r.position, keys: r.options.RebuildKeys, hash: hashKey(maphash.MakeSeed()),
			emit: func(v version) (err error) {
				p := &closed
				if v.until == Forever {
					p = &current
				}
				r.out.Rows++
				if p.tuples = v.tuple(p.tuples, r.m.shape.width()); len(p.tuples) >= pieceSize {
					*p, err = send(*p)
				}
				return err
			},
			progress: func(at eventstore.Position, events int) {
				r.out.Events = events
				r.tell("replay", at, r.position)
			},
		}
		if err := f.run(ctx); err != nil {
			return err
		}
		r.aside = f.aside
		for _, p := range []piece{closed, current} {
			if _, err := send(p); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// near is how many events may be left for the swap to take in while writers wait.
const near = 500

// catchUp takes in what was appended meanwhile, until little is left.
func (r *rebuild) catchUp(ctx context.Context) error {
	for {
		head, err := r.source.Head(ctx)
		if err != nil {
			return err
		}
		if head-r.position <= near {
			return nil
		}
		r.tell("catch up", r.position, head)
		if err := r.advance(ctx, head, func(f func(pgx.Tx) error) error { return pgx.BeginFunc(ctx, r.conn, f) }); err != nil {
			return err
		}
	}
}

// advance takes in the events up to a position.
func (r *rebuild) advance(ctx context.Context, through eventstore.Position, in func(func(pgx.Tx) error) error) error {
	parked := map[string]bool{}
	for _, a := range r.aside {
		parked[a.key] = true
	}
	rows := r.m.fold()
	return readThrough(ctx, r.source, r.position, through, r.m.filter(), func(events []eventstore.Recorded, at eventstore.Position) error {
		return in(func(tx pgx.Tx) error {
			c := change{m: r.m, rows: rows, tables: r.m.tables(rebuilt), parked: parked, collect: true}
			if err := c.run(ctx, tx, events); err != nil {
				return err
			}
			for _, a := range c.aside {
				parked[a.key] = true
			}
			if rows.size() > r.options.CachedRows {
				rows.drop(func(string) bool { return true })
			}
			r.aside = append(r.aside, c.aside...)
			r.out.Events += len(events)
			r.position = at
			return nil
		})
	})
}

// compare tells how the tables beside differ from those that serve, as of where both have been.
func (r *rebuild) compare(ctx context.Context) error {
	began := time.Now()
	var print string
	var at eventstore.Position
	if err := r.conn.QueryRow(ctx, `select position, shape from projections where name = $1`, r.m.name).Scan(&at, &print); err != nil {
		return err
	}
	if r.o.NoCompare || print != r.m.print || at == 0 {
		return nil
	}
	at = min(at, r.position)
	r.tell("compare", at, at)
	found, err := compare(ctx, r.m.shape, r.m.stored(r.conn, rebuilt, at), r.m.stored(r.conn, live, at), r.o.Details)
	r.out.Compared, r.out.ComparedAt, r.out.Differences, r.out.Details = true, at, found.count, found.details
	r.out.Compare = time.Since(began)
	return err
}
