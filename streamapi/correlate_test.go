package streamapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/adapters/correlations"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/streamapi"
)

// index is one that a test hinders.
type index struct {
	*correlations.Index
	pool   *pgxpool.Pool
	stands atomic.Bool // nothing is added any more
	silent atomic.Bool // it does not answer
}

var errHindered = errors.New("a test hinders it")

func (x *index) Add(ctx context.Context, after, through int64, names []string, positions []int64) error {
	if x.stands.Load() {
		return errHindered
	}
	return x.Index.Add(ctx, after, through, names, positions)
}

func (x *index) Through(ctx context.Context) (int64, error) {
	if x.silent.Load() {
		return 0, errHindered
	}
	return x.Index.Through(ctx)
}

func (x *index) Positions(ctx context.Context, correlation string, from int64, backward bool, limit int) ([]int64, error) {
	if x.silent.Load() {
		return nil, nil // nobody asks when it is not known how far it reaches; what it said would be worth nothing
	}
	return x.Index.Positions(ctx, correlation, from, backward, limit)
}

// correlating is a server with an index, and with subscriptions.
func correlating(t *testing.T) (*served, *index) {
	t.Helper()
	pool := pgtest.New(t)
	x := &index{Index: correlations.New(pool), pool: pool}
	return serve(t, func(o *streamapi.Options) { o.Correlations = x }), x
}

func caused(n int, by string) []esdb.EventData {
	list := events(n, "e")
	for i := range list {
		list[i].Metadata = fmt.Appendf(nil, `{"$correlationId":%q}`, by)
	}
	return list
}

// numbered are which events a read answers, in their stream.
func numbered(t *testing.T, r *esdb.ReadStream, err error) string {
	t.Helper()
	var b strings.Builder
	for _, e := range collected(t, r, err) {
		fmt.Fprint(&b, e.Event.EventNumber, " ")
	}
	return b.String()
}

func TestACorrelationIsWholeHoweverFarItsIndexGot(t *testing.T) {
	t.Parallel()
	s, x := correlating(t)
	c := s.client(t, "")
	stream, cause := name("app"), name("cause")
	mixed := func(n int) (last uint64) {
		t.Helper()
		for range n {
			appended(t, c, name("app"), esdb.AppendToStreamOptions{}, caused(3, name("other"))...)
			last = appended(t, c, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, caused(2, cause)...).CommitPosition
		}
		return last
	}
	whole := func(when string) {
		t.Helper()
		ask := func(o esdb.ReadStreamOptions, n uint64) string {
			o.ResolveLinkTos = true
			r, err := c.ReadStream(t.Context(), "$bc-"+cause, o, n)
			return numbered(t, r, err)
		}
		want(t, when+", forwards", ask(esdb.ReadStreamOptions{From: esdb.Start{}}, 100), "0 1 2 3 4 5 6 7 ")
		want(t, when+", backwards", ask(esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 100), "7 6 5 4 3 2 1 0 ")
		want(t, when+", three of them", ask(esdb.ReadStreamOptions{From: esdb.Start{}}, 3), "0 1 2 ")
		want(t, when+", the last three", ask(esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 3), "7 6 5 ")
		// A page at a time, each going on where the last one ended.
		pages, from := "", esdb.StreamPosition(esdb.Start{})
		for {
			r, err := c.ReadStream(t.Context(), "$bc-"+cause, esdb.ReadStreamOptions{From: from, ResolveLinkTos: true}, 3)
			list := collected(t, r, err)
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				pages += fmt.Sprint(e.Event.EventNumber, " ")
			}
			from = esdb.Revision(list[len(list)-1].OriginalEvent().EventNumber + 1)
		}
		want(t, when+", in pages", pages, "0 1 2 3 4 5 6 7 ")
		sub, err := c.SubscribeToStream(within(t), "$bc-"+cause, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		told := ""
		got(t, sub, func(e *esdb.SubscriptionEvent) bool {
			if e.EventAppeared != nil {
				told += fmt.Sprint(e.EventAppeared.Event.EventNumber, " ")
			}
			return e.CaughtUp != nil
		})
		want(t, when+", subscribed to", told, "0 1 2 3 4 5 6 7 ")
	}
	reaches := func(at uint64) {
		t.Helper()
		eventually(t, "the index reaches the end", func() bool {
			through, err := x.Index.Through(t.Context())
			return err == nil && through >= int64(at)
		})
	}
	reaches(mixed(2))
	x.stands.Store(true)
	last := mixed(2)
	whole("behind")
	x.silent.Store(true)
	whole("not there")
	x.silent.Store(false)
	if _, err := x.pool.Exec(t.Context(), `TRUNCATE correlations_head, correlations`); err != nil {
		t.Fatal(err)
	}
	whole("emptied")
	x.stands.Store(false)
	reaches(last)
	whole("made anew")
}

func TestACorrelationGoesOnLiveThroughItsIndex(t *testing.T) {
	t.Parallel()
	s, _ := correlating(t)
	c := s.client(t, "")
	cause, stream := name("cause"), name("app")
	sub, err := c.SubscribeToStream(within(t), "$bc-"+cause, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	const n = 40
	var writer errgroup.Group
	writer.Go(func() error {
		for range n {
			if _, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, caused(1, cause)...); err != nil {
				return err
			}
		}
		return nil
	})
	for next := uint64(0); next < n; {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatal(e.SubscriptionDropped.Error)
		}
		if e.EventAppeared != nil {
			want(t, "event", e.EventAppeared.Event.EventNumber, next)
			next++
		}
	}
	if err := writer.Wait(); err != nil {
		t.Fatal(err)
	}
}
