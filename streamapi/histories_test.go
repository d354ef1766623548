package streamapi_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/streamapi"
)

// crowded is a log that knows how many read much of it at once.
type crowded struct {
	eventstore.Log
	now   atomic.Int32
	mu    sync.Mutex // guards most
	most  int32
	turns atomic.Int32
}

func (l *crowded) counting(events iter.Seq2[eventstore.Raw, error]) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		l.turns.Add(1)
		n := l.now.Add(1)
		defer l.now.Add(-1)
		l.mu.Lock()
		l.most = max(l.most, n)
		l.mu.Unlock()
		events(yield)
	}
}

func (l *crowded) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return l.counting(l.Log.ReadAll(ctx, r))
}

func (l *crowded) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	if r.Limit == 1 {
		return l.Log.ReadStream(ctx, stream, r)
	}
	return l.counting(l.Log.ReadStream(ctx, stream, r))
}

// fill appends many events to a stream, each of a size of bytes, and says in each which it is.
func fill(t *testing.T, log eventstore.Log, stream string, n, size int) {
	t.Helper()
	for from := 0; from < n; from += 500 {
		entries := make([]eventstore.Entry, 500)
		for i := range entries {
			entries[i] = eventstore.Entry{ID: uuid.New(), Type: "e", Data: fmt.Appendf(make([]byte, 0, size), "%d%s", from+i, strings.Repeat(" ", size))}
		}
		if _, err := log.Append(t.Context(), eventstore.Stream(stream), eventstore.Any, entries...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadersOfHistoryTakeTurnsAndMissNothing(t *testing.T) {
	t.Parallel()
	const n = 5000
	log := &crowded{}
	s := serve(t, func(o *streamapi.Options) { log.Log, o.Log, o.Histories = o.Log, log, 1 })
	stream := name("app")
	fill(t, s.log, stream, n, 1)
	up, down := make([]string, n), make([]string, n)
	for i := range n {
		up[i], down[n-1-i] = fmt.Sprint(i), fmt.Sprint(i)
	}
	data := func(e *esdb.ResolvedEvent) string { return strings.TrimSpace(string(e.Event.Data)) }
	reading := func(r *esdb.ReadStream, err error) ([]string, error) {
		list, err := collect(r, err)
		var got []string
		for _, e := range list {
			if e.Event.StreamID == stream {
				got = append(got, data(e))
			}
		}
		return got, err
	}
	hearing := func(sub *esdb.Subscription, err error) ([]string, error) {
		if err != nil {
			return nil, err
		}
		defer sub.Close()
		var got []string
		for {
			switch e := sub.Recv(); {
			case e.SubscriptionDropped != nil:
				return got, e.SubscriptionDropped.Error
			case e.CaughtUp != nil:
				return got, nil
			case e.EventAppeared != nil && e.EventAppeared.Event.StreamID == stream:
				got = append(got, data(e.EventAppeared))
			}
		}
	}
	backwards := esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}
	virtual := esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}
	c := s.client(t, "")
	var work sync.WaitGroup
	for what, read := range map[string]struct {
		want []string
		how  func() ([]string, error)
	}{
		"$all": {up, func() ([]string, error) {
			return reading(c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}}, n))
		}},
		"$all backwards": {down, func() ([]string, error) {
			return reading(c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, n))
		}},
		"a stream": {up, func() ([]string, error) {
			return reading(c.ReadStream(within(t), stream, esdb.ReadStreamOptions{}, n))
		}},
		"a stream backwards": {down, func() ([]string, error) { return reading(c.ReadStream(within(t), stream, backwards, n)) }},
		"a part of a stream": {up[:2500], func() ([]string, error) {
			return reading(c.ReadStream(within(t), stream, esdb.ReadStreamOptions{}, 2500))
		}},
		"as much as one turn": {up[:2000], func() ([]string, error) {
			return reading(c.ReadStream(within(t), stream, esdb.ReadStreamOptions{}, 2000))
		}},
		"a virtual stream": {up, func() ([]string, error) { return reading(c.ReadStream(within(t), "$ce-app", virtual, n+1)) }},
		"a subscription to $all": {up, func() ([]string, error) {
			return hearing(c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}}))
		}},
		"a subscription to a stream": {up, func() ([]string, error) {
			return hearing(c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}}))
		}},
	} {
		work.Go(func() {
			got, err := read.how()
			if err != nil || !slices.Equal(got, read.want) {
				t.Errorf("%s: %d events, %v", what, len(got), err)
			}
		})
	}
	work.Wait()
	if log.most > 1 {
		t.Errorf("%d read at once", log.most)
	}
	if log.turns.Load() < 10 {
		t.Errorf("there were %d turns, one for each that read: nobody gave up a place", log.turns.Load())
	}
}

func TestReadersThatTakeNothingGiveTheirPlacesToThoseWhoWait(t *testing.T) {
	t.Parallel()
	log := &counted{}
	s := serve(t, func(o *streamapi.Options) { log.Log, o.Log, o.Histories = o.Log, log, 2 })
	stream := name("app")
	fill(t, s.log, stream, 5000, 1000)
	still := []*standing{s.standing(t, false), s.standing(t, true)}
	eventually(t, "both have begun", func() bool { return log.readers.Load() == 2 })
	list, err := collect(s.client(t, "").ReadStream(within(t), stream, esdb.ReadStreamOptions{}, 5000))
	if err != nil || len(list) != 5000 {
		t.Fatalf("who waited read %d events, %v", len(list), err)
	}
	ended := 0
	for _, one := range still {
		n, err := one.rest()
		if status.Code(err) == codes.ResourceExhausted {
			ended++
		} else if err != nil || n < 5000 {
			t.Errorf("another ended after %d events with %v", n, err)
		}
	}
	want(t, "ended for one who waited", ended, 1)
}
