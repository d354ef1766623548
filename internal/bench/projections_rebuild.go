package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/projections"
)

// rebuild builds the library again while somebody reads it.
func (b *projectionBench) rebuild() error {
	library, err := projections.NewLibrary(b.engine, b.log)
	if err != nil {
		return err
	}
	b.cpu.start()
	alone, err := b.engine.Rebuild(b.ctx, projections.LibraryName, projections.RebuildOptions{NoCompare: true})
	if err != nil {
		return err
	}
	b.sayRebuilt("rebuild, alone and without the comparison,", alone)
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
	b.cpu.start()
	out, err := b.engine.Rebuild(b.ctx, projections.LibraryName, projections.RebuildOptions{})
	if err != nil {
		return err
	}
	cancel()
	b.sayRebuilt("rebuild, while lists are read,", out)
	b.say("  then compared row by row: %d differences, %.1f s; readers waited for the swap at most %s; %.0f events of the log/s with all of it",
		out.Differences, out.Compare.Seconds(), short(out.Swap), float64(out.Position)/out.Took.Seconds())
	b.say("  lists meanwhile:                                    %s", spread(<-reads))
	return nil
}

func (b *projectionBench) sayRebuilt(how string, out projections.Rebuilt) {
	build := out.Load + out.Index
	b.say("%s from %d events, of which the library takes %d, into %d versions of rows:", how, out.Position, out.Events, out.Rows)
	b.say("  %.0f events of the log/s (promised 200,000), %.0f versions of rows/s, in %.1f s: load %.1f, index %.1f; of each version %s",
		float64(out.Position)/build.Seconds(), float64(out.Rows)/build.Seconds(), build.Seconds(), out.Load.Seconds(), out.Index.Seconds(), b.cpu.per(out.Rows))
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
		{"an owner's search", viewerOf, projections.MediaQuery{Text: "birthday 711"}},
		{"everything, newest first", admin, projections.MediaQuery{}},
		{"everything, a search", admin, projections.MediaQuery{Text: "picture 471"}},
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
