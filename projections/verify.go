package projections

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// VerifyOptions say how to verify. The zero options are good.
type VerifyOptions struct {
	// Details is how many differences are told in full, per read model. 0: 1,000.
	Details int
	// Progress is told how far it is. It must not block.
	Progress func(Progress)
}

// Verified is what a verification of one read model found.
type Verified struct {
	Name        string
	Position    eventstore.Position // as of which everything was compared
	Rows        int                 // versions that follow from the log
	Differences int
	Details     []Difference // the first of them
	// Parked are keys that have parked events. They are compared as of before those.
	Parked int
	Took   time.Duration
}

// Progress is how far a rebuild or a verification is.
type Progress struct {
	Projection string
	Phase      string // replay, index, catch up, compare, swap
	Position   eventstore.Position
	Through    eventstore.Position // 100 % of this pass
	Events     int                 // taken in so far
	Elapsed    time.Duration
}

// Verify recomputes the named read models (all, when none is named) from the log and compares them, every version of every
// row, with what is stored, as of where they are. Reading and projecting go on meanwhile. Memory is bounded. What it finds is
// in the answer; errors are faults. Open texts of somebody whose key is destroyed are differences: between the wish to forget him and the
// destruction of the key, moments later, those that are gone already, and where the log does not say that he is forgotten, those that stand.
func (e *Engine) Verify(ctx context.Context, o VerifyOptions, names ...string) ([]Verified, error) {
	if len(names) == 0 {
		names = e.Names()
	}
	if o.Details <= 0 {
		o.Details = 1000
	}
	var all []Verified
	for _, name := range names {
		m, err := e.known(name)
		if err != nil {
			return nil, err
		}
		v, err := e.verify(ctx, m, o)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", name, err)
		}
		all = append(all, v)
	}
	return all, nil
}

func (e *Engine) verify(ctx context.Context, m *model, o VerifyOptions) (v Verified, err error) {
	v.Name = m.name
	began := time.Now()
	// One snapshot holds the checkpoint, the parked keys and the rows together.
	tx, err := e.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return v, err
	}
	defer rollback(ctx, tx)
	var print string
	if err := tx.QueryRow(ctx, `select position, shape from projections where name = $1`, m.name).Scan(&v.Position, &print); err != nil {
		return v, err
	}
	if print != m.print {
		return v, ErrShape
	}
	skip := map[string]eventstore.Position{}
	rows, err := tx.Query(ctx, `select key, min(position) from projection_parked where projection = $1 group by key`, m.name)
	if err != nil {
		return v, err
	}
	var key string
	var from eventstore.Position
	if _, err := pgx.ForEachRow(rows, []any{&key, &from}, func() error { skip[key] = from; return nil }); err != nil {
		return v, err
	}
	v.Parked = len(skip)
	found, err := compare(ctx, m.shape, e.replayed(m, v.Position, skip, progressing(o.Progress, m.name, "replay", v.Position)),
		m.stored(tx.Conn(), live, v.Position), o.Details)
	v.Rows, v.Differences, v.Details, v.Took = found.rows, found.count, found.details, time.Since(began)
	return v, err
}

// replayed are the versions that follow from the log.
func (e *Engine) replayed(m *model, through eventstore.Position, skip map[string]eventstore.Position, progress func(eventstore.Position, int)) versions {
	return func(ctx context.Context, chosen func(string) bool, yield func(string, eventstore.Position, []byte) error) error {
		var payload []byte
		r := &replay{
			source: e.source, m: m, through: through, keys: e.options.RebuildKeys, hash: hashKey(maphash.MakeSeed()),
			skip: skip, chosen: chosen, progress: progress,
			emit: func(v version) error {
				payload = v.payload(payload[:0])
				return yield(v.key, v.from, payload)
			},
		}
		return r.run(ctx)
	}
}

func progressing(tell func(Progress), name, phase string, through eventstore.Position) func(eventstore.Position, int) {
	if tell == nil {
		return nil
	}
	began := time.Now()
	return func(at eventstore.Position, events int) {
		tell(Progress{Projection: name, Phase: phase, Position: at, Through: through, Events: events, Elapsed: time.Since(began)})
	}
}

// rollback ends a transaction, if it was not committed.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = tx.Rollback(ctx) // after a commit, or without a connection, there is nothing to undo
}
