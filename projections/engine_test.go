package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// tally counts a stream's events. Counting is the fold that shows an event taken in twice, or not at all.
type tally struct {
	Count  int       `db:"count"`
	Last   string    `db:"last"`
	Types  []string  `db:"types"`
	Seen   time.Time `db:"seen_at"`
	Detail struct {
		Sum int64 `json:"sum"`
	} `db:"detail,json"`
}

// tallies is a projection that can be made to stumble.
type tallies struct {
	name       string
	appendOnly bool
	revision   int
	stumble    *atomic.Pointer[string] // key over whose fifth event Evolve panics
}

func newTallies() tallies { return tallies{name: "tallies", stumble: &atomic.Pointer[string]{}} }

func (p tallies) Name() string { return p.name }

func (p tallies) Types() []string {
	return []string{"media.deleted", "media.restored", "media.described", "share.revoked", "share.granted"}
}

func (p tallies) Table() Table {
	return Table{Indexes: []Index{{On: "last, key"}}, AppendOnly: p.appendOnly, Revision: p.revision}
}

func (p tallies) Keys(rec eventstore.Recorded) []string {
	if p.appendOnly {
		return []string{fmt.Sprint(rec.Position)}
	}
	if e, ok := rec.Event.(share.Granted); ok { // touches two rows
		return []string{rec.Stream.ID(), string(e.Media), rec.Stream.ID()}
	}
	return []string{rec.Stream.ID()}
}

func (p tallies) Evolve(key string, t tally, rec eventstore.Recorded) (tally, bool) {
	if s := p.stumble.Load(); s != nil && *s == key && t.Count >= 4 {
		t.Types = append(t.Types[:0], "half done")
		panic("stumbled over " + key + " \x00\xff" + strings.Repeat("ü", reasonSize)) // no text that Postgres stores
	}
	if _, ends := rec.Event.(share.Revoked); ends {
		return t, false
	}
	t.Count++
	t.Last = rec.Type
	if d, ok := rec.Event.(media.Described); ok {
		t.Last = d.Title.Text()
	}
	if len(t.Types) > 2 {
		t.Types = t.Types[1:]
		t.Types[0] = "older" // in place, as it may
	}
	t.Types = append(t.Types, rec.Type)
	t.Seen = rec.At
	t.Detail.Sum += int64(rec.Position)
	return t, true
}

func flip(w *world, t testing.TB, id string, times int) {
	t.Helper()
	for i := range times {
		var e domain.Event = media.Deleted{By: "alice"}
		if i%2 == 1 {
			e = media.Restored{By: "alice"}
		}
		w.append(t, eventstore.Stream("media-"+id), e)
	}
}

func titled(text string) media.Described {
	return media.Described{Title: domain.NewPersonal("alice", text)}
}

func TestEngine(t *testing.T) {
	t.Parallel()

	t.Run("a row has a version for every event, also within one batch", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		for i := range 40 {
			flip(w, t, fmt.Sprint("m", i%3), 1)
			w.append(t, eventstore.Stream(fmt.Sprint("share-s", i%4)), share.Granted{Media: domain.MediaID(fmt.Sprint("m", i%3))})
			if i%5 == 0 {
				w.append(t, eventstore.Stream(fmt.Sprint("share-s", i%4)), share.Revoked{})
			}
		}
		for _, o := range []Options{{}, {BatchSize: 1}, {BatchSize: 7, CachedRows: 1}} {
			e := newEngine(t, pgtest.New(t), w, o, Define(p))
			caughtUp(t, e)
			sameAtEveryMoment(t, e, p)
			verified(t, e)
		}
	})

	t.Run("an append-only table keeps every row", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		p.appendOnly = true
		flip(w, t, "a", 30)
		e := newEngine(t, pgtest.New(t), w, Options{BatchSize: 4}, Define(p))
		caughtUp(t, e)
		sameAtEveryMoment(t, e, p)
		verified(t, e)
		out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		sure(t, err)
		if out.Rows != 30 || out.Differences != 0 || !out.Compared {
			t.Fatalf("rebuilt: %+v", out)
		}
		flip(w, t, "a", 3)
		caughtUp(t, e)
		sameAtEveryMoment(t, e, p)
	})

	t.Run("two processes that fight over every batch take each event in once", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		pool := pgtest.New(t)
		o := Options{Lease: time.Nanosecond, BatchSize: 3}
		one, two := newEngine(t, pool, w, o, Define(p)), newEngine(t, pool, w, o, Define(p))
		stopOne, stopTwo := running(t, one), running(t, two)
		for i := range 60 {
			flip(w, t, fmt.Sprint("m", i%5), 3)
		}
		arrive(t, one)
		stopOne()
		stopTwo()
		sameAtEveryMoment(t, one, p)
		verified(t, one)
	})

	t.Run("when the process that projects goes, the other takes over at once", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		pool := pgtest.New(t)
		one, two := newEngine(t, pool, w, Options{}, Define(p)), newEngine(t, pool, w, Options{}, Define(p))
		stop := running(t, one)
		flip(w, t, "a", 3)
		arrive(t, one)
		running(t, two)
		stop()
		flip(w, t, "a", 3)
		arrive(t, two)
		verified(t, two)
	})

	t.Run("lost connections in mid-batch lose and double nothing", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		pool := pgtest.New(t)
		config := pool.Config()
		config.ConnConfig.RuntimeParams["application_name"] = "victim"
		victims, err := pgxpool.NewWithConfig(t.Context(), config)
		sure(t, err)
		t.Cleanup(victims.Close)
		e := newEngine(t, victims, w, Options{BatchSize: 2, Lease: 10 * time.Millisecond}, Define(p))
		running(t, e)
		for i := range 40 {
			flip(w, t, fmt.Sprint("m", i%4), 3)
			if i%4 == 0 {
				_, err := pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
					where application_name = 'victim' and datname = current_database()`)
				sure(t, err)
			}
		}
		head, err := w.Head(t.Context())
		sure(t, err)
		sane := newEngine(t, pool, w, Options{}, Define(p))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sure(t, sane.marks.wait(ctx, p.Name(), head))
		sameAtEveryMoment(t, sane, p)
	})

	t.Run("a moment that has not come is refused, one that is not reached is not answered with old data", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		flip(w, t, "a", 3)
		e := newEngine(t, pgtest.New(t), w, Options{}, Define(p))
		if _, err := e.Resolve(t.Context(), AsOf(4), p.Name()); !errors.Is(err, ErrFuture) {
			t.Fatalf("position after the head: %v", err)
		}
		if _, err := e.Resolve(t.Context(), AsOfTime(time.Now().Add(time.Hour)), p.Name()); !errors.Is(err, ErrFuture) {
			t.Fatalf("time to come: %v", err)
		}
		if _, err := e.Resolve(t.Context(), AsOf(3), p.Name()); !errors.Is(err, ErrNotYet) {
			t.Fatalf("nobody projects: %v", err)
		}
		if err := e.WaitFor(t.Context(), "nothing", 0); !errors.Is(err, ErrUnknown) {
			t.Fatalf("unknown: %v", err)
		}
		running(t, e)
		at, err := e.Resolve(t.Context(), AsOfTime(time.Now()), p.Name())
		sure(t, err)
		if at.Position != 3 || !at.Past {
			t.Fatalf("resolved to %+v", at)
		}
	})

	t.Run("text that Postgres cannot hold is stored with a sign in its place", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		w.append(t, "media-a", titled("a\x00b\xff"))
		e := newEngine(t, pgtest.New(t), w, Options{}, Define(p))
		caughtUp(t, e)
		view, err := ViewOf(e, p)
		sure(t, err)
		v, ok, err := view.Find(t.Context(), At{}, "a")
		sure(t, err)
		if !ok || v.Row.Last != "a\uFFFDb\uFFFD" {
			t.Fatalf("stored %q", v.Row.Last)
		}
		verified(t, e)
	})
}

func TestParking(t *testing.T) {
	t.Parallel()

	t.Run("what panics parks its key, others go on, and a retry is as if it had never been", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		bad, log := "m1", &journal{}
		for i := range 6 {
			flip(w, t, fmt.Sprint("m", i%3), 2)
		}
		e := newEngine(t, pgtest.New(t), w, Options{BatchSize: 5, Log: log.logger()}, Define(p))
		caughtUp(t, e)
		p.stumble.Store(&bad)
		for i := range 6 {
			flip(w, t, fmt.Sprint("m", i%3), 2)
		}
		stop := running(t, e)
		arrive(t, e)
		list, err := e.Parked(t.Context())
		sure(t, err)
		if len(list) != 1 || list[0].Key != bad || list[0].Events != 4 || !strings.Contains(list[0].Reason, "stumbled over m1") {
			t.Fatalf("parked: %+v", list)
		}
		if !log.has("event is parked") {
			t.Fatal("nothing was said about it")
		}
		verified(t, e) // as of before what is parked
		if n, err := e.Retry(t.Context(), p.Name(), bad); err != nil || n != 0 {
			t.Fatalf("retry of what still panics: %d, %v", n, err)
		}
		_, err = e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		sure(t, err)
		if list, err = e.Parked(t.Context()); err != nil || len(list) != 1 || list[0].Events != 4 || !strings.Contains(list[0].Reason, "stumbled over m1") {
			t.Fatalf("parked after a rebuild: %+v, %v", list, err)
		}
		p.stumble.Store(nil)
		n, err := e.Retry(t.Context(), p.Name(), bad)
		sure(t, err)
		if n != 4 {
			t.Fatalf("%d events went through", n)
		}
		flip(w, t, bad, 2)
		arrive(t, e)
		stop()
		sameAtEveryMoment(t, e, p)
		verified(t, e)
		if _, err := e.Retry(t.Context(), p.Name(), bad); !errors.Is(err, ErrNotParked) {
			t.Fatalf("retry of nothing: %v", err)
		}
	})

	t.Run("what the database refuses parks its key only", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		pool := pgtest.New(t)
		e := newEngine(t, pool, w, Options{}, Define(p))
		_, err := pool.Exec(t.Context(), `alter table tallies add constraint picky check (last <> 'refused')`)
		sure(t, err)
		for i := range 20 {
			flip(w, t, fmt.Sprint("m", i%5), 1)
			if i == 7 {
				w.append(t, "media-m2", titled("refused"))
			}
		}
		caughtUp(t, e)
		list, err := e.Parked(t.Context())
		sure(t, err)
		if len(list) != 1 || list[0].Key != "m2" || !strings.Contains(list[0].Reason, "picky") {
			t.Fatalf("parked: %+v", list)
		}
		if _, err := e.Retry(t.Context(), p.Name(), "m2"); err == nil {
			t.Fatal("what is still refused went through")
		}
		_, err = pool.Exec(t.Context(), `alter table tallies drop constraint picky`)
		sure(t, err)
		_, err = e.Retry(t.Context(), p.Name(), "m2")
		sure(t, err)
		sameAtEveryMoment(t, e, p)
	})

	t.Run("what cannot be decoded parks its key", func(t *testing.T) {
		t.Parallel()
		w, p := newWorld(t), newTallies()
		flip(w, t, "a", 2)
		_, err := w.Log().Append(t.Context(), "media-a", eventstore.Any, eventstore.Entry{
			ID: domain.Derive("broken"), Type: "media.deleted", Data: []byte("not json"), Metadata: []byte("{}"),
		})
		sure(t, err)
		flip(w, t, "a", 2)
		flip(w, t, "b", 2)
		e := newEngine(t, pgtest.New(t), w, Options{}, Define(p))
		caughtUp(t, e)
		list, err := e.Parked(t.Context())
		sure(t, err)
		if len(list) != 1 || list[0].Key != "a" || list[0].Position != 3 || list[0].Events != 3 {
			t.Fatalf("parked: %+v", list)
		}
		if got := stands(t, e, p, At{}); len(got) != 2 {
			t.Fatalf("%d rows", len(got))
		}
		out, err := e.Rebuild(t.Context(), p.Name(), RebuildOptions{})
		sure(t, err)
		if out.Parked != 3 || out.Differences != 0 {
			t.Fatalf("rebuilt: %+v", out)
		}
	})
}
