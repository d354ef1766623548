package projections

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// busy fills a log so that rows change, end and begin again.
func busy(t testing.TB, w *world, events int) {
	t.Helper()
	for i := range events {
		switch i % 7 {
		case 3:
			w.append(t, eventstore.Stream(fmt.Sprint("share-s", i%5)), share.Granted{Media: domain.MediaID(fmt.Sprint("m", i%11))})
		case 6:
			w.append(t, eventstore.Stream(fmt.Sprint("share-s", i%5)), share.Revoked{})
		default:
			w.append(t, eventstore.Stream(fmt.Sprint("media-m", i%11)), titled(fmt.Sprint("title ", i)))
		}
	}
}

func TestRebuild(t *testing.T) {
	t.Parallel()

	t.Run("what is rebuilt is what stood there, at every moment, also in many passes", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 150)
		for _, keys := range []int{0, 3, 1} {
			e := newEngine(t, pgtest.New(t), w, Options{RebuildKeys: keys}, Define(p))
			caughtUp(t, e)
			var phases []string
			out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{Progress: func(g Progress) {
				if len(phases) == 0 || phases[len(phases)-1] != g.Phase {
					phases = append(phases, g.Phase)
				}
			}})
			sure(t, err)
			if !out.Compared || out.Differences != 0 || out.Position != 150 || out.Rows == 0 {
				t.Fatalf("with %d keys: %+v", keys, out)
			}
			if fmt.Sprint(phases) != "[replay index compare swap]" {
				t.Fatalf("phases %v", phases)
			}
			sameAtEveryMoment(t, e, p)
			verified(t, e)
		}
	})

	t.Run("while it projects and is read, it is rebuilt and nothing is lost", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 50)
		e := newEngine(t, pgtest.New(t), w, Options{BatchSize: 3}, Define(p))
		stop := running(t, e)
		arrive(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		go func() {
			reads := 0
			for ctx.Err() == nil {
				if len(stands(t, e, p, At{})) == 0 {
					t.Error("a reader found an empty table")
				}
				reads++
			}
			done <- reads
		}()
		for range 4 {
			wrote := make(chan struct{})
			go func() { busy(t, w, 60); close(wrote) }()
			out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
			sure(t, err)
			if out.Differences != 0 {
				t.Fatalf("differs: %v", out.Details)
			}
			<-wrote
			arrive(t, e)
		}
		cancel()
		if <-done == 0 {
			t.Fatal("nobody could read")
		}
		stop()
		sameAtEveryMoment(t, e, p)
		verified(t, e)
	})

	t.Run("it tells what was wrong in the table it replaces, puts it right, and can be undone", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 60)
		pool := pgtest.New(t)
		e := newEngine(t, pool, w, Options{}, Define(p))
		caughtUp(t, e)
		_, err := pool.Exec(t.Context(), `update tallies set count = 99 where key = 'm1' and until_position = 9223372036854775807`)
		sure(t, err)
		_, err = pool.Exec(t.Context(), `delete from tallies where key = 'm2' and from_position = (select min(from_position) from tallies where key = 'm2')`)
		sure(t, err)
		_, err = pool.Exec(t.Context(), `insert into tallies select count, last, types, seen_at, detail, 'nobody', 1, until_position, from_time from tallies where key = 'm3' limit 1`)
		sure(t, err)
		kinds := func(all []Difference) (said string) {
			for _, d := range all {
				said += d.Key + " " + string(d.Kind) + " " + d.Column + " " + d.Got + "; "
			}
			return said
		}
		const wrong = "m1 differs count 99; m2 missing  ; nobody surplus  ; "
		found, err := e.Verify(t.Context(), VerifyOptions{})
		sure(t, err)
		if found[0].Differences != 3 || kinds(found[0].Details) != wrong {
			t.Fatalf("verify said %s", kinds(found[0].Details))
		}
		out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		sure(t, err)
		if out.Differences != 3 || kinds(out.Details) != wrong {
			t.Fatalf("rebuild said %s", kinds(out.Details))
		}
		verified(t, e)
		busy(t, w, 20)
		caughtUp(t, e)
		sure(t, e.Rollback(t.Context(), p.Name()))
		if at, err := e.Position(t.Context(), p.Name()); err != nil || at != 60 {
			t.Fatalf("rolled back to %d, %v", at, err)
		}
		if found, err := e.Verify(t.Context(), VerifyOptions{}); err != nil || found[0].Differences != 3 {
			t.Fatalf("what was rolled back is not what was there: %+v, %v", found, err)
		}
		sure(t, e.Rollback(t.Context(), p.Name()))
		verified(t, e)
		sameAtEveryMoment(t, e, p)
	})

	t.Run("there is one at a time, and what a dead one left is cleared away", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 30)
		pool := pgtest.New(t)
		e := newEngine(t, pool, w, Options{}, Define(p))
		if err := e.Rollback(t.Context(), p.Name()); !errors.Is(err, ErrNoOld) {
			t.Fatalf("rollback of nothing: %v", err)
		}
		_, err := pool.Exec(t.Context(), `create table tallies_rebuild (left_behind text)`)
		sure(t, err)
		var second error
		_, err = e.Rebuild(t.Context(), p.Name(), RebuildOptions{Progress: func(g Progress) {
			if g.Phase == "index" {
				_, second = e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
			}
		}})
		sure(t, err)
		if !errors.Is(second, ErrRebuilding) {
			t.Fatalf("second rebuild: %v", second)
		}
		sameAtEveryMoment(t, e, p)
	})

	t.Run("one that is stopped leaves everything as it was", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 30)
		e := newEngine(t, pgtest.New(t), w, Options{}, Define(p))
		caughtUp(t, e)
		for _, phase := range []string{"replay", "index", "compare", "swap"} {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := e.Rebuild(ctx, p.Name(), RebuildOptions{Progress: func(g Progress) {
				if g.Phase == phase {
					cancel()
				}
			}})
			cancel()
			if err == nil {
				t.Fatalf("stopped in %s, it succeeded", phase)
			}
			sameAtEveryMoment(t, e, p)
		}
		_, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		sure(t, err)
		verified(t, e)
	})

	t.Run("a table of another shape is rebuilt by the program that needs it, and another's projector stays away", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 30)
		pool := pgtest.New(t)
		caughtUp(t, newEngine(t, pool, w, Options{}, Define(p)))
		p.revision = 2
		e := newEngine(t, pool, w, Options{}, Define(p))
		if err := e.Ready(t.Context()); !errors.Is(err, ErrShape) {
			t.Fatalf("ready: %v", err)
		}
		stop := running(t, e)
		busy(t, w, 1)
		arrive(t, e)
		stop()
		sure(t, e.Ready(t.Context()))
		verified(t, e)
		p.revision = 0
		older := newEngine(t, pool, w, Options{}, Define(p))
		if err := older.project(t.Context(), older.find(p.Name())); !errors.Is(err, ErrShape) {
			t.Fatalf("the older program: %v", err)
		}
		sure(t, e.Ready(t.Context()))
	})

	t.Run("a table that was dropped is made again", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		busy(t, w, 30)
		pool := pgtest.New(t)
		caughtUp(t, newEngine(t, pool, w, Options{}, Define(p)))
		_, err := pool.Exec(t.Context(), `drop table tallies`)
		sure(t, err)
		e := newEngine(t, pool, w, Options{}, Define(p))
		caughtUp(t, e)
		sameAtEveryMoment(t, e, p)
	})

	t.Run("text that was erased meanwhile is a difference until the model is rebuilt", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := LibraryProjection()
		w.append(t, "media-a", media.Uploaded{Media: "a", Owner: "alice", Title: domain.NewPersonal("alice", "secret")})
		e := newEngine(t, pgtest.New(t), w, Options{}, Define(p))
		caughtUp(t, e)
		sure(t, w.keys.Destroy(t.Context(), "alice"))
		found, err := e.Verify(t.Context(), VerifyOptions{})
		sure(t, err)
		if found[0].Differences == 0 {
			t.Fatal("the library still holds the text, and nobody says so")
		}
		_, err = e.Rebuild(t.Context(), LibraryName, RebuildOptions{})
		sure(t, err)
		view, err := ViewOf(e, p)
		sure(t, err)
		v, _, err := view.Find(t.Context(), At{}, "a")
		sure(t, err)
		if v.Row.Title != "" || !v.Row.Erased || v.Row.Search != "\n\n" {
			t.Fatalf("after the rebuild: %+v", v.Row)
		}
	})
}
