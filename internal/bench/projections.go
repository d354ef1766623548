package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/adapters/keys"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/projections"
)

// ProjectionOptions say how much to measure. The zero options measure what docs/benchmarks.md shows.
type ProjectionOptions struct {
	Events int           // in the log; appended first where there are fewer; 1,000,000
	Rate   int           // events per second while latency is measured; 1,000
	For    time.Duration // of measuring latency, and of the peer; 5 s
	Pages  int           // list pages of each kind; 300
}

func (o ProjectionOptions) orDefault() ProjectionOptions {
	if o.Events == 0 {
		o.Events = 1_000_000
	}
	if o.Rate == 0 {
		o.Rate = 1000
	}
	if o.For == 0 {
		o.For = 5 * time.Second
	}
	if o.Pages == 0 {
		o.Pages = 300
	}
	return o
}

// Projections measures the library's projection on the migrated database at url and prints what it found to w: projecting
// live beside a transaction for each event, rebuilding beside a plain COPY of the same rows, and lists of now beside lists as of
// the middle of the log.
func Projections(ctx context.Context, url string, w io.Writer, o ProjectionOptions) error {
	o = o.orDefault()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer pool.Close()
	masters, err := keys.ParseMasters(keys.NewMaster())
	if err != nil {
		return err
	}
	ring, err := keys.Open(ctx, pool, masters)
	if err != nil {
		return err
	}
	defer ring.Close()
	log, err := postgres.Open(ctx, pool)
	if err != nil {
		return err
	}
	defer log.Close()
	codec, err := eventstore.NewCodec(ring, catalog.Types())
	if err != nil {
		return err
	}
	b := projectionBench{ProjectionOptions: o, ctx: ctx, w: w, pool: pool, log: log, store: eventstore.New(log, codec)}
	return b.run()
}

type projectionBench struct {
	ProjectionOptions
	ctx    context.Context //nolint:containedctx // it lives for one run
	w      io.Writer
	pool   *pgxpool.Pool
	log    eventstore.Log
	store  *eventstore.Store
	engine *projections.Engine
}

func (b *projectionBench) run() (err error) {
	if b.engine, err = projections.New(b.pool, b.store, projections.Options{}, projections.Define(projections.LibraryProjection())); err != nil {
		return err
	}
	if err := b.engine.Prepare(b.ctx); err != nil {
		return err
	}
	for _, step := range []func() error{b.fill, b.decoding, b.live, b.latency, b.peer, b.rebuild, b.copying, b.lists} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *projectionBench) say(format string, args ...any) { fmt.Fprintf(b.w, format+"\n", args...) }

// fill appends histories of media, interleaved as many owners make them: an upload with its screening, then ever new
// descriptions of things already there.
func (b *projectionBench) fill() error {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	const callers = 64
	missing := b.Events - int(head)
	start := time.Now()
	var group errgroup.Group
	for c := range callers {
		group.Go(func() error {
			rnd := rand.New(rand.NewPCG(7, uint64(c))) //nolint:gosec // a load needs no secrets
			var mine []domain.MediaID
			for done := 0; done < missing/callers; {
				n, err := b.appendSome(rnd, &mine)
				if err != nil {
					return err
				}
				done += n
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if missing > 0 {
		b.say("appended %d events, sealed, in %.1f s", missing, time.Since(start).Seconds())
	}
	// What runs for long has been vacuumed; a table that was just filled has not.
	_, err = b.pool.Exec(b.ctx, "vacuum analyze")
	return err
}

func (b *projectionBench) appendSome(rnd *rand.Rand, mine *[]domain.MediaID) (int, error) {
	i := rnd.IntN(subjects)
	var id domain.MediaID
	var events []domain.Event
	if len(*mine) == 0 || rnd.IntN(9) == 0 {
		id = domain.MediaID(uuid.Must(uuid.NewV7()).String())
		*mine = append(*mine, id)
		events = []domain.Event{uploadOf(id, i), media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 90, Stages: []media.Stage{{Name: "type", Version: "1", Verdict: media.VerdictClean}}}}
	} else {
		id = (*mine)[rnd.IntN(len(*mine))]
		events = []domain.Event{media.Described{
			Title:       domain.NewPersonal(subject(i), fmt.Sprintf("Grandma's 80th birthday, picture %d", rnd.IntN(1e6))),
			Description: domain.NewPersonal(subject(i), "In the garden behind the house, with everybody who could come."),
			Tags:        []domain.Personal{domain.NewPersonal(subject(i), "family")},
		}}
	}
	_, err := b.store.Append(b.ctx, eventstore.StreamOf(media.Category, id), eventstore.Any, metadata(i), events...)
	return len(events), err
}

func uploadOf(id domain.MediaID, i int) media.Uploaded {
	return media.Uploaded{
		Media: id, Owner: subject(i), Org: "", Title: domain.NewPersonal(subject(i), "IMG 4711"),
		File: media.File{
			Name: domain.NewPersonal(subject(i), "IMG_4711.jpg"), Type: "image/jpeg", Declared: "image/jpeg", Size: 4_300_000,
			SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Object: domain.ObjectKey("o/" + string(id)), Way: media.WayForm,
		},
	}
}

// decoding is the limit of all that follows: the log, read and decoded and thrown away.
func (b *projectionBench) decoding() error {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	start, n := time.Now(), 0
	for batch, err := range b.store.Follow(b.ctx, 0, eventstore.Filter{}) {
		if err != nil {
			return err
		}
		if n += len(batch.Events); batch.Through >= head {
			break
		}
	}
	b.say("limit: reading and decoding the log alone             %9.0f ev/s", float64(n)/time.Since(start).Seconds())
	return nil
}

// live lets the projection catch up with a part of the log.
func (b *projectionBench) live() error {
	head, err := b.log.Head(b.ctx)
	if err != nil {
		return err
	}
	from, err := b.engine.Position(b.ctx, projections.LibraryName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- b.engine.Run(ctx) }()
	if err := b.reach(head); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	cancel()
	b.say("projecting live, catching up %7d events:           %9.0f ev/s   (promised 30,000)", head-from, float64(head-from)/took)
	return <-done
}

func (b *projectionBench) reach(p eventstore.Position) error {
	for {
		err := b.engine.WaitFor(b.ctx, projections.LibraryName, p)
		if !errors.Is(err, projections.ErrNotYet) {
			return err
		}
	}
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
	b.say("append -> visible at %4.0f ev/s, after the receipt:     %s   (promised p99 30 ms)", float64(len(visible))/b.For.Seconds(), spread(visible))
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

// rebuild builds the library again while somebody reads it.
func (b *projectionBench) rebuild() error {
	library, err := projections.NewLibrary(b.engine, b.log)
	if err != nil {
		return err
	}
	if _, err := b.engine.Rebuild(b.ctx, projections.LibraryName, projections.RebuildOptions{NoCompare: true}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	reads := make(chan []time.Duration, 1)
	go func() {
		var took []time.Duration
		for ctx.Err() == nil {
			start := time.Now()
			if _, err := library.Page(ctx, viewerOf(len(took)), projections.MediaQuery{}, projections.Moment{}); err != nil {
				break
			}
			took = append(took, time.Since(start))
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		reads <- took
	}()
	out, err := b.engine.Rebuild(b.ctx, projections.LibraryName, projections.RebuildOptions{})
	if err != nil {
		return err
	}
	cancel()
	n := float64(out.Events)
	b.say("rebuild of %d events into %d rows:               %9.0f ev/s   (promised 200,000) in %.1f s: load %.1f, index %.1f",
		out.Events, out.Rows, n/(out.Load+out.Index).Seconds(), (out.Load + out.Index).Seconds(), out.Load.Seconds(), out.Index.Seconds())
	b.say("  then compared row by row: %d differences, %.1f s; readers waited for the swap at most %s; %.0f ev/s with all of it",
		out.Differences, out.Compare.Seconds(), short(out.Swap), n/out.Took.Seconds())
	b.say("  lists meanwhile:                                    %s", spread(<-reads))
	return nil
}

func viewerOf(i int) domain.Actor {
	return domain.Actor{ID: subject(i * 37), Roles: []domain.Role{domain.RoleUser}}
}

// copying copies some of the same rows into a table without indexes.
func (b *projectionBench) copying() error {
	const most = 300_000
	conn, err := b.pool.Acquire(b.ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var rows bytes.Buffer
	tag, err := conn.Conn().PgConn().CopyTo(b.ctx, &rows, fmt.Sprintf(`copy (select * from library_closed limit %d) to stdout with (format binary)`, most))
	if err != nil {
		return err
	}
	if _, err := conn.Exec(b.ctx, `drop table if exists bench_copy; create table bench_copy (like library_closed)`); err != nil {
		return err
	}
	defer func() { _, _ = b.pool.Exec(b.ctx, `drop table if exists bench_copy`) }() // the next run would, too
	start := time.Now()
	if _, err := conn.Conn().PgConn().CopyFrom(b.ctx, &rows, `copy bench_copy from stdin with (format binary)`); err != nil {
		return err
	}
	b.say("limit: COPY of the same rows, without any index       %9.0f rows/s", float64(tag.RowsAffected())/time.Since(start).Seconds())
	return nil
}

// lists asks for pages now and as of the middle of the log, in turns.
func (b *projectionBench) lists() error {
	library, err := projections.NewLibrary(b.engine, b.log)
	if err != nil {
		return err
	}
	head, err := b.engine.Position(b.ctx, projections.LibraryName)
	if err != nil {
		return err
	}
	admin := func(int) domain.Actor { return domain.Actor{ID: "root", Roles: []domain.Role{domain.RoleAdmin}} }
	for _, kind := range []struct {
		name   string
		viewer func(int) domain.Actor
		query  projections.MediaQuery
	}{
		{"an owner's list", viewerOf, projections.MediaQuery{}},
		{"an owner's list by title", viewerOf, projections.MediaQuery{Sort: "title"}},
		{"an owner's search", viewerOf, projections.MediaQuery{Text: "birthday 11"}},
		{"everything, newest first", admin, projections.MediaQuery{}},
		{"everything, a search", admin, projections.MediaQuery{Text: "picture 4711"}},
	} {
		pages := b.Pages
		if kind.query.Text != "" && kind.viewer(0).Is(domain.RoleAdmin) {
			pages = max(3, pages/30)
		}
		var now, then []time.Duration
		for i := range pages {
			for _, m := range []struct {
				moment projections.Moment
				took   *[]time.Duration
			}{{projections.Moment{}, &now}, {projections.AsOf(head / 2), &then}} {
				start := time.Now()
				if _, err := library.Page(b.ctx, kind.viewer(i), kind.query, m.moment); err != nil {
					return err
				}
				*m.took = append(*m.took, time.Since(start))
			}
		}
		b.say("%-26s now: %s", kind.name, spread(now))
		b.say("%-26s as of the middle: %s   x %.2f (promised 1.5, p95 20 ms)", "", spread(then), float64(then[len(then)/2])/float64(now[len(now)/2]))
	}
	return nil
}
