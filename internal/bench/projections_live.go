package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/projections"
)

// decoding is the limit of all that follows: the log, read and decoded and thrown away.
func (b *projectionBench) decoding() error {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	start, n := time.Now(), 0
	b.cpu.start()
	for batch, err := range b.store.Follow(b.ctx, 0, eventstore.Filter{}) {
		if err != nil {
			return err
		}
		if n += len(batch.Events); batch.Through >= head {
			break
		}
	}
	b.say("limit: reading and decoding the log alone             %9.0f ev/s; %s", float64(n)/time.Since(start).Seconds(), b.cpu.per(n))
	return nil
}

// live lets the library catch up with the log.
func (b *projectionBench) live() error {
	took, n, err := b.catchUp(b.engine)
	if err != nil {
		return err
	}
	var rows int
	if err := b.pool.QueryRow(b.ctx, `select count(*) from library`).Scan(&rows); err != nil {
		return err
	}
	b.say("projecting the library live, catching up:             %9.0f ev/s, %.0f versions of rows/s   (promised 30,000); %s",
		float64(n)/took.Seconds(), float64(rows)/took.Seconds(), b.cpu.per(n))
	return nil
}

// everything lets all read models of a vault catch up at once: what each event costs where nothing is left out.
func (b *projectionBench) everything() error {
	all, err := projections.New(b.pool, b.store, projections.Options{},
		projections.Define(projections.SharesProjection()), projections.Define(projections.AccessProjection()),
		projections.Define(projections.ReviewProjection()), projections.Define(projections.FindingsProjection()),
		projections.Define(projections.AuditProjection()), projections.Define(projections.UsageProjection()),
		projections.Define(projections.NotificationsProjection()), projections.Define(projections.DuplicatesProjection()),
		projections.Define(projections.SuggestionsProjection()))
	if err != nil {
		return err
	}
	if err := all.Prepare(b.ctx); err != nil {
		return err
	}
	took, n, err := b.catchUp(all)
	if err != nil {
		return err
	}
	b.say("projecting the other nine read models, at once:       %9.0f ev/s; %s", float64(n)/took.Seconds(), b.cpu.per(n))
	return nil
}

func (b *projectionBench) catchUp(e *projections.Engine) (took time.Duration, events int, err error) {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	done := make(chan error, 1)
	start := time.Now()
	b.cpu.start()
	go func() { done <- e.Run(ctx) }()
	for _, name := range e.Names() {
		if err := reach(b.ctx, e, name, head); err != nil {
			return 0, 0, err
		}
	}
	took = time.Since(start)
	cancel()
	return took, int(head), <-done
}

// reach waits as long as it takes.
func reach(ctx context.Context, e *projections.Engine, name string, p eventstore.Position) error {
	for {
		err := e.WaitFor(ctx, name, p)
		if !errors.Is(err, projections.ErrNotYet) {
			return err
		}
	}
}

func (b *projectionBench) reach(p eventstore.Position) error {
	return reach(b.ctx, b.engine, projections.LibraryName, p)
}

// latency appends at a steady rate and waits for each event to be visible.
func (b *projectionBench) latency() error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx) }()
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	if err := b.reach(head); err != nil {
		return err
	}
	var mu sync.Mutex
	var visible, whole []time.Duration // guarded by mu
	var group errgroup.Group
	b.cpu.start()
	const callers = 20
	for c := range callers {
		group.Go(func() error {
			rnd := rand.New(rand.NewPCG(11, uint64(c))) //nolint:gosec // a load needs no secrets
			id := domain.MediaID(uuid.Must(uuid.NewV7()).String())
			beat := time.NewTicker(time.Second * callers / time.Duration(b.Rate))
			defer beat.Stop()
			for end := time.Now().Add(b.For); time.Now().Before(end); <-beat.C {
				i := rnd.IntN(subjects)
				asked := time.Now()
				receipt, err := b.store.Append(b.ctx, eventstore.StreamOf(media.Category, id), eventstore.Any, metadata(i), uploadOf(id, i))
				if err != nil {
					return err
				}
				answered := time.Now()
				if err := b.reach(receipt.Position); err != nil {
					return err
				}
				mu.Lock()
				visible, whole = append(visible, time.Since(answered)), append(whole, time.Since(asked))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	cancel()
	b.say("append -> visible at %4.0f ev/s, after the receipt:     %s   (promised p99 30 ms); %s",
		float64(len(visible))/b.For.Seconds(), spread(visible), b.cpu.per(len(visible)))
	b.say("  the same from the call of append on:                %s", spread(whole))
	return <-done
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "nothing was measured"
	}
	slices.Sort(all)
	at := func(q int) string { return short(all[len(all)*q/100]) }
	return fmt.Sprintf("p50 %9s  p95 %9s  p99 %9s  max %9s", at(50), at(95), at(99), short(all[len(all)-1]))
}

// peer projects the usual way: for each event a transaction that reads the row, ends it, writes the next version and moves the
// checkpoint.
func (b *projectionBench) peer() error {
	if _, err := b.pool.Exec(b.ctx, `
		drop table if exists bench_peer, bench_peer_mark;
		create table bench_peer (key text, from_position bigint, until_position bigint, title text, revision bigint);
		create unique index on bench_peer (key) where until_position is null;
		create table bench_peer_mark (position bigint);
		insert into bench_peer_mark values (0)`); err != nil {
		return err
	}
	defer func() { _, _ = b.pool.Exec(b.ctx, `drop table if exists bench_peer, bench_peer_mark`) }() // the next run would, too
	start, n := time.Now(), 0
	for rec, err := range b.store.ReadAll(b.ctx, eventstore.Read{}) {
		if err != nil {
			return err
		}
		if err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error { return peerStep(b.ctx, tx, rec) }); err != nil {
			return err
		}
		if n++; time.Since(start) > b.For {
			break
		}
	}
	b.say("peer: a transaction for each event                    %9.0f ev/s", float64(n)/time.Since(start).Seconds())
	return nil
}

func peerStep(ctx context.Context, tx pgx.Tx, rec eventstore.Recorded) error {
	var title string
	err := tx.QueryRow(ctx, `select title from bench_peer where key = $1 and until_position is null for update`, rec.Stream.ID()).Scan(&title)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if d, ok := rec.Event.(media.Described); ok {
		title = d.Title.Text()
	}
	if _, err := tx.Exec(ctx, `update bench_peer set until_position = $2 where key = $1 and until_position is null`, rec.Stream.ID(), rec.Position); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `insert into bench_peer values ($1, $2, null, $3, $4)`, rec.Stream.ID(), rec.Position, title, rec.Revision); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update bench_peer_mark set position = $1`, rec.Position)
	return err
}
