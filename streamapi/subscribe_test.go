package streamapi_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// got is what a subscription tells, until a condition holds.
func got(t testing.TB, sub *esdb.Subscription, until func(*esdb.SubscriptionEvent) bool) {
	t.Helper()
	for {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
		}
		if until(e) {
			return
		}
	}
}

func TestASubscriptionGivesEverythingOnceAndInOrderWhileOthersWrite(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.client(t, "")
	const writers, each = 8, 60
	stream := name("app")
	var group errgroup.Group
	for range writers {
		group.Go(func() error {
			for range each {
				if _, err := c.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1, "e")...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	category, _, _ := cut(stream)
	subscribe := map[string]func(context.Context) (*esdb.Subscription, error){
		"stream": func(ctx context.Context) (*esdb.Subscription, error) {
			return c.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		},
		"all": func(ctx context.Context) (*esdb.Subscription, error) {
			return c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
		},
		"category": func(ctx context.Context) (*esdb.Subscription, error) {
			return c.SubscribeToStream(ctx, "$ce-"+category, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
		},
		"type": func(ctx context.Context) (*esdb.Subscription, error) {
			return c.SubscribeToStream(ctx, "$et-e", esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
		},
		"filtered": func(ctx context.Context) (*esdb.Subscription, error) {
			return c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
				From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{stream}},
			})
		},
	}
	for what, how := range subscribe {
		group.Go(func() error {
			sub, err := how(within(t))
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			defer sub.Close()
			for next := uint64(0); next < writers*each; {
				e := sub.Recv()
				switch {
				case e.SubscriptionDropped != nil:
					return fmt.Errorf("%s: %w", what, e.SubscriptionDropped.Error)
				case e.EventAppeared != nil:
					if n := e.EventAppeared.Event.EventNumber; n != next {
						return fmt.Errorf("%s: event %d, want %d", what, n, next)
					}
					next++
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func cut(stream string) (category, id string, ok bool) {
	s := eventstore.Stream(stream)
	return s.Category(), s.ID(), true
}

func TestASubscriptionSaysWhenItCaughtUpAndGoesOnBehindWhereItWas(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	first := appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "e")...)
	sub, err := c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Revision(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	seen := ""
	note := func(e *esdb.SubscriptionEvent) {
		switch {
		case e.EventAppeared != nil:
			seen += fmt.Sprint(e.EventAppeared.OriginalEvent().EventNumber, " ")
		case e.CaughtUp != nil:
			seen += "caught up "
		}
	}
	got(t, sub, func(e *esdb.SubscriptionEvent) bool { note(e); return e.CaughtUp != nil })
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "e")...)
	got(t, sub, func(e *esdb.SubscriptionEvent) bool {
		note(e)
		return e.EventAppeared != nil && e.EventAppeared.OriginalEvent().EventNumber == 4
	})
	if want := "1 2 caught up 3 4 "; seen != want {
		t.Errorf("got %q, want %q", seen, want)
	}

	all, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Position{Commit: first.CommitPosition, Prepare: first.PreparePosition}})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	got(t, all, func(e *esdb.SubscriptionEvent) bool {
		if e.EventAppeared != nil && e.EventAppeared.OriginalEvent().EventNumber != 3 {
			t.Fatalf("behind a position comes %+v", e.EventAppeared.OriginalEvent())
		}
		return e.EventAppeared != nil
	})
}

func TestASubscriptionFromTheEndGivesWhatIsNewOnly(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "old")...)
	one, err := c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.End{}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		t.Fatal(err)
	}
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(1, "new")...)
	for _, sub := range []*esdb.Subscription{one, all} {
		got(t, sub, func(e *esdb.SubscriptionEvent) bool {
			if e.EventAppeared != nil && e.EventAppeared.Event.EventType != "new" {
				t.Errorf("got %+v", e.EventAppeared.Event)
			}
			return e.EventAppeared != nil
		})
		_ = sub.Close()
	}
}

func TestAFilterLetsThroughWhatMatchesAndTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	wanted, unwanted := "wanted"+uuid.NewString(), "unwanted"+uuid.NewString()
	for range 3 {
		appended(t, c, unwanted, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(50, "a-type")...)
		appended(t, c, wanted, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1, "b-type")...)
	}
	last := appended(t, c, unwanted, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(40, "a-type")...)
	for _, f := range []esdb.SubscriptionFilter{
		{Type: esdb.StreamFilterType, Prefixes: []string{"x", "wanted"}},
		{Type: esdb.StreamFilterType, Regex: "^w.*$"},
		{Type: esdb.EventFilterType, Prefixes: []string{"b-"}},
		{Type: esdb.EventFilterType, Regex: "^b-"},
	} {
		sub, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &f, MaxSearchWindow: 10, CheckpointInterval: 2})
		if err != nil {
			t.Fatal(err)
		}
		n, told := 0, uint64(0)
		got(t, sub, func(e *esdb.SubscriptionEvent) bool {
			switch {
			case e.EventAppeared != nil:
				if n++; e.EventAppeared.OriginalEvent().StreamID != wanted {
					t.Errorf("%+v let through %s", f, e.EventAppeared.OriginalEvent().StreamID)
				}
			case e.CheckPointReached != nil:
				if e.CheckPointReached.Commit <= told {
					t.Errorf("checkpoint %d behind %d", e.CheckPointReached.Commit, told)
				}
				told = e.CheckPointReached.Commit
			}
			return n == 3 && told+20 > last.CommitPosition
		})
		_ = sub.Close()
	}
}

func TestTheEndOfAStreamEndsItsSubscriptions(t *testing.T) {
	t.Parallel()
	c := serve(t).client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(1, "e")...)
	sub, err := c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	got(t, sub, func(e *esdb.SubscriptionEvent) bool { return e.CaughtUp != nil })
	if _, err := c.TombstoneStream(t.Context(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("got %+v", e)
	}
}

func TestSubscribersWhoSeeTheSameEventDifferentlyAreEachSentTheirOwn(t *testing.T) {
	t.Parallel()
	s := restricted(t)
	type subscriber struct {
		who, stream, title string
		sub                *esdb.Subscription
	}
	var subs []subscriber
	for range 2 { // who comes first makes what is shared, so that each is asked for before and after the others
		for _, one := range []subscriber{
			{who: "auditor:x", title: `{"title":"Alice"}`}, {who: "analyst:x", title: `{"title":` + sealed("a", "ecilA") + `}`},
			{who: "auditor:x", stream: "media-9", title: `{"title":"Alice"}`}, {who: "restorer:x", title: `{"title":` + sealed("a", "ecilA") + `}`},
		} {
			var err error
			if one.stream == "" {
				one.sub, err = s.client(t, one.who).SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.End{}})
			} else {
				one.sub, err = s.client(t, one.who).SubscribeToStream(within(t), one.stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = one.sub.Close() })
			got(t, one.sub, func(e *esdb.SubscriptionEvent) bool { return e.CaughtUp != nil })
			subs = append(subs, one)
		}
	}
	entry := eventstore.Entry{ID: uuid.New(), Type: "media.uploaded", Data: []byte(`{"title":` + sealed("a", "ecilA") + `}`), Metadata: []byte(`{}`)}
	if _, err := s.log.Append(t.Context(), "media-9", eventstore.NoStream, entry); err != nil {
		t.Fatal(err)
	}
	for _, one := range subs {
		got(t, one.sub, func(e *esdb.SubscriptionEvent) bool {
			if e.EventAppeared == nil {
				return false
			}
			if data := string(e.EventAppeared.OriginalEvent().Data); data != one.title {
				t.Errorf("%s on %q is sent %s, want %s", one.who, one.stream, data, one.title)
			}
			return true
		})
	}
}
