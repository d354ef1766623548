package streamapi_test

import (
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/streamapi"
)

func TestAConsumerGetsWhatIsInAStreamAndThenWhatComes(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 2)
	got := received(t, sub, 2)
	want(t, "events", tries(got), "0/0 1/0 ")
	acked(t, sub, got...)
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "b")...)
	want(t, "events", tries(received(t, sub, 2)), "2/0 3/0 ")
	info := informed(t, c, stream, "g")
	want(t, "in flight", info.Connections[0].InFlightMessages, 2)
	want(t, "slots", info.Connections[0].AvailableSlots, 0)
	want(t, "total", info.Stats.TotalItems, 4)
}

func TestASubscriptionBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	for what, begin := range map[string]esdb.StreamPosition{"1/0 ": esdb.Revision(1), "0/0 ": esdb.Start{}, "3/0 ": esdb.End{}} {
		stream := name("app")
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
		created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: begin})
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(1, "b")...) // before anybody subscribes
		want(t, "first event", tries(received(t, subscribed(t, c, stream, "g", 10), 1)), what)
	}
}

func TestErrorsAreEventStoreDBs(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	ctx := within(t)
	stream := name("app")
	one := settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 1 })
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{Settings: one})

	wantCode(t, c.CreatePersistentSubscription(ctx, stream, "g", esdb.PersistentStreamSubscriptionOptions{}), esdb.ErrorCodeResourceAlreadyExists)
	wantCode(t, c.UpdatePersistentSubscription(ctx, stream, "none", esdb.PersistentStreamSubscriptionOptions{}), esdb.ErrorCodeResourceNotFound)
	wantCode(t, c.DeletePersistentSubscription(ctx, stream, "none", esdb.DeletePersistentSubscriptionOptions{}), esdb.ErrorCodeResourceNotFound)
	wantCode(t, c.ReplayParkedMessages(ctx, stream, "none", esdb.ReplayParkedMessagesOptions{}), esdb.ErrorCodeResourceNotFound)
	_, err := c.GetPersistentSubscriptionInfo(ctx, stream, "none", esdb.GetPersistentSubscriptionOptions{})
	wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	_, err = c.ListPersistentSubscriptionsForStream(ctx, name("app"), esdb.ListPersistentSubscriptionsOptions{})
	wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	_, err = c.SubscribeToPersistentSubscription(ctx, stream, "none", esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, err, esdb.ErrorCodeResourceNotFound)

	subscribed(t, c, stream, "g", 10)
	_, trailer := refused(t, p, stream, "g")
	want(t, "exception", trailer["exception"], "maximum-subscribers-reached")
	code, trailer := refused(t, p, stream, "none")
	want(t, "exception", trailer["exception"], "persistent-subscription-does-not-exist")
	want(t, "group", trailer["group-name"], "none")
	want(t, "code", code, codes.NotFound)

	big := settings(func(s *esdb.PersistentSubscriptionSettings) { s.ReadBatchSize = s.HistoryBufferSize })
	err = c.CreatePersistentSubscription(ctx, stream, "big", esdb.PersistentStreamSubscriptionOptions{Settings: big})
	if err == nil {
		t.Fatal("a read batch as large as the buffer was taken")
	}
}

func TestConsumersAreDroppedWhenTheirSubscriptionIsDeletedOrChanged(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	ctx := within(t)
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 10)
	acked(t, sub, received(t, sub, 1)...)
	eventually(t, "the first is acknowledged", func() bool { return informed(t, c, stream, "g").Stats.OutstandingMessagesCount == 1 })

	more := settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 3 })
	if err := c.UpdatePersistentSubscription(ctx, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: more}); err != nil {
		t.Fatal(err)
	}
	wantDropped(t, sub)
	want(t, "retries", informed(t, c, stream, "g").Settings.MaxRetryCount, 3)
	sub = subscribed(t, c, stream, "g", 10)
	want(t, "it goes on where it got", tries(received(t, sub, 1)), "1/0 ")

	if err := c.DeletePersistentSubscription(ctx, stream, "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	wantDropped(t, sub)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	want(t, "a new one begins anew", tries(received(t, subscribed(t, c, stream, "g", 10), 2)), "0/0 1/0 ")
}

func wantDropped(t *testing.T, sub *esdb.PersistentSubscription) {
	t.Helper()
	for {
		e := sub.Recv()
		if e.SubscriptionDropped == nil {
			continue
		}
		want(t, "code", status.Code(e.SubscriptionDropped.Error), codes.Canceled)
		return
	}
}

func TestWhatIsNotAcknowledgedIsTriedAgainAndThenParked(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "a")...)
	few := settings(func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 150, 2 })
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: few})
	sub := subscribed(t, c, stream, "g", 1)
	want(t, "first by timeout", tries(received(t, sub, 3)), "0/0 0/1 0/2 ")
	second := received(t, sub, 1)
	want(t, "then the next", tries(second), "1/0 ")
	nacked(t, sub, esdb.NackActionRetry, second...)
	second = received(t, sub, 1)
	want(t, "again when asked for", tries(second), "1/1 ")
	nacked(t, sub, esdb.NackActionUnknown, second...)
	second = received(t, sub, 1)
	want(t, "and again", tries(second), "1/2 ")
	nacked(t, sub, esdb.NackActionRetry, second...)
	eventually(t, "both are parked", func() bool { return informed(t, c, stream, "g").Stats.ParkedMessagesCount == 2 })
}

func TestWhatIsSkippedIsDoneAndStopDropsTheConsumer(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 1)
	nacked(t, sub, esdb.NackActionSkip, received(t, sub, 1)...)
	got := received(t, sub, 1)
	want(t, "after the skipped one", tries(got), "1/0 ")
	nacked(t, sub, esdb.NackActionStop, got...)
	wantDropped(t, sub)
	sub = subscribed(t, c, stream, "g", 1)
	want(t, "another gets it", tries(received(t, sub, 1)), "1/1 ")
}

func TestParkedMessagesAreReplayed(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	ctx := within(t)
	stream := name("app")
	sent := events(4, "a")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, sent...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 10)
	nacked(t, sub, esdb.NackActionPark, received(t, sub, 4)...)
	parked := func() int64 { return informed(t, c, stream, "g").Stats.ParkedMessagesCount }
	eventually(t, "four are parked", func() bool { return parked() == 4 })

	r, err := c.ReadStream(ctx, "$persistentsubscription-"+stream+"::g-parked", esdb.ReadStreamOptions{ResolveLinkTos: true}, 100)
	list := collected(t, r, err)
	want(t, "parked in the log", len(list), 4)
	want(t, "the link leads to the event", list[0].Event.EventID, sent[0].EventID)

	if err := c.ReplayParkedMessages(ctx, stream, "g", esdb.ReplayParkedMessagesOptions{StopAt: 2}); err != nil {
		t.Fatal(err)
	}
	got := received(t, sub, 2)
	want(t, "replayed", got[0].Event.Event.EventID, sent[0].EventID)
	want(t, "replayed", got[1].Event.Event.EventID, sent[1].EventID)
	want(t, "still parked", parked(), 2)
	acked(t, sub, got[0])
	nacked(t, sub, esdb.NackActionPark, got[1])
	eventually(t, "one of them is parked again", func() bool { return parked() == 3 })

	if err := c.ReplayParkedMessages(ctx, stream, "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	got = received(t, sub, 3)
	want(t, "the one parked again comes last", got[2].Event.Event.EventID, sent[1].EventID)
	acked(t, sub, got...)
	eventually(t, "none is parked", func() bool {
		r, err := c.ReadStream(ctx, "$persistentsubscription-"+stream+"::g-parked", esdb.ReadStreamOptions{}, 100)
		return len(collected(t, r, err)) == 0 && parked() == 0
	})
}

func TestMessagesAreSharedByStrategy(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	t.Run("round robin gives to one after the other", func(t *testing.T) {
		stream := name("app")
		created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
		a, b := subscribed(t, c, stream, "g", 10), subscribed(t, c, stream, "g", 10)
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(6, "a")...)
		want(t, "to both", tries(received(t, a, 3))+tries(received(t, b, 3)), "0/0 2/0 4/0 1/0 3/0 5/0 ")
	})
	t.Run("dispatch to single gives to one until it is full", func(t *testing.T) {
		stream := name("app")
		single := settings(func(s *esdb.PersistentSubscriptionSettings) {
			s.ConsumerStrategyName = esdb.ConsumerStrategyDispatchToSingle
		})
		created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: single})
		a, b := subscribed(t, c, stream, "g", 4), subscribed(t, c, stream, "g", 4)
		appended(t, c, stream, esdb.AppendToStreamOptions{}, events(6, "a")...)
		want(t, "to both", tries(received(t, a, 4))+tries(received(t, b, 2)), "0/0 1/0 2/0 3/0 4/0 5/0 ")
	})
	t.Run("pinned gives the events of a stream to the same", func(t *testing.T) {
		category := "c" + name("")[1:12]
		pinned := settings(func(s *esdb.PersistentSubscriptionSettings) {
			s.ConsumerStrategyName, s.ResolveLinkTos = esdb.ConsumerStrategyPinned, true
		})
		created(t, c, "$ce-"+category, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: pinned})
		subs := []*esdb.PersistentSubscription{subscribed(t, c, "$ce-"+category, "g", 50), subscribed(t, c, "$ce-"+category, "g", 50)}
		for range 4 {
			for i := range 8 {
				appended(t, c, category+"-"+string(rune('a'+i)), esdb.AppendToStreamOptions{}, events(1, "a")...)
			}
		}
		eventually(t, "all are sent", func() bool { return informed(t, c, "$ce-"+category, "g").Stats.TotalItems == 32 })
		of := map[string][]int{}
		for i, sub := range subs {
			n := int(informed(t, c, "$ce-"+category, "g").Connections[i].InFlightMessages)
			for _, e := range received(t, sub, n) {
				of[e.Event.Event.StreamID] = append(of[e.Event.Event.StreamID], i)
				want(t, "link", e.Event.Link.StreamID, "$ce-"+category)
			}
		}
		used := map[int]bool{}
		for stream, who := range of {
			if len(slices.Compact(who)) != 1 {
				t.Errorf("%s went to several: %v", stream, who)
			}
			used[who[0]] = true
		}
		want(t, "consumers used", len(used), 2)
	})
}

func TestASubscriptionToAllIsFiltered(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	ctx := within(t)
	wanted, other := name("wanted"), name("other")
	appended(t, c, wanted, esdb.AppendToStreamOptions{}, events(2, "a")...)
	appended(t, c, other, esdb.AppendToStreamOptions{}, events(2, "a")...)
	err := c.CreatePersistentSubscriptionToAll(ctx, "g", esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"wanted-"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.SubscribeToPersistentSubscriptionToAll(ctx, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	appended(t, c, wanted, esdb.AppendToStreamOptions{}, events(1, "a")...)
	got := received(t, sub, 3)
	want(t, "events", tries(got), "0/0 1/0 2/0 ")
	want(t, "stream", got[0].Event.Event.StreamID, wanted)
	acked(t, sub, got[:2]...)
	nacked(t, sub, esdb.NackActionPark, got[2])
	info := func() *esdb.PersistentSubscriptionInfo {
		info, err := c.GetPersistentSubscriptionInfoToAll(ctx, "g", esdb.GetPersistentSubscriptionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	eventually(t, "one is parked", func() bool { return info().Stats.ParkedMessagesCount == 1 })
	want(t, "source", info().EventSource, "$all")
	want(t, "known", info().Stats.LastKnownPosition.Commit, got[2].Event.Event.Position.Commit)
	list, err := c.ListPersistentSubscriptionsToAll(ctx, esdb.ListPersistentSubscriptionsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "listed", len(list), 1)
}

func TestVirtualStreamsAreSharedToo(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, append(events(2, "a"), events(1, "special")...)...)
	created(t, c, "$et-special", "g", esdb.PersistentStreamSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true }),
	})
	sub := subscribed(t, c, "$et-special", "g", 1)
	got := received(t, sub, 1)
	want(t, "event", got[0].Event.Event.EventNumber, 2)
	acked(t, sub, got...)
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(1, "special")...)
	want(t, "the next", received(t, sub, 1)[0].Event.Event.EventNumber, 3)
}

func TestWhoMayNotReadDoesNotSubscribe(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.who["analyst:x"] = streamapi.Principal{ID: "analyst", Categories: []string{"app"}}
	v.who["other:x"] = streamapi.Principal{ID: "other", Categories: []string{"other"}}
	p := v.serve(t, "")
	boss, analyst, other := p.client(t, ""), p.client(t, "analyst:x"), p.client(t, "other:x")
	ctx := within(t)
	stream := name("app")
	appended(t, boss, stream, esdb.AppendToStreamOptions{}, events(1, "a")...)
	appended(t, boss, name("other"), esdb.AppendToStreamOptions{}, events(1, "a")...)

	wantCode(t, other.CreatePersistentSubscription(ctx, stream, "g", esdb.PersistentStreamSubscriptionOptions{}), esdb.ErrorCodeAccessDenied)
	created(t, analyst, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	_, err := other.SubscribeToPersistentSubscription(ctx, stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, err, esdb.ErrorCodeAccessDenied)
	wantCode(t, other.DeletePersistentSubscription(ctx, stream, "g", esdb.DeletePersistentSubscriptionOptions{}), esdb.ErrorCodeAccessDenied)
	wantCode(t, analyst.RestartPersistentSubscriptionSubsystem(ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{}), esdb.ErrorCodeAccessDenied)
	list, err := other.ListAllPersistentSubscriptions(ctx, esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(list) != 0 {
		t.Fatalf("a stranger lists %d subscriptions, %v", len(list), err)
	}

	// A subscription sees what its maker sees.
	if err := analyst.CreatePersistentSubscriptionToAll(ctx, "all", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}}); err != nil {
		t.Fatal(err)
	}
	_, err = other.SubscribeToPersistentSubscriptionToAll(ctx, "all", esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, err, esdb.ErrorCodeAccessDenied)
	sub, err := boss.SubscribeToPersistentSubscriptionToAll(ctx, "all", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	appended(t, boss, stream, esdb.AppendToStreamOptions{}, events(1, "a")...)
	for _, e := range received(t, sub, 2) {
		want(t, "stream", e.Event.Event.StreamID, stream)
	}
}

func TestARestartOfTheSubsystemGoesOnFromCheckpoints(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	ctx := within(t)
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 2)
	acked(t, sub, received(t, sub, 2)...)
	received(t, sub, 1)
	if err := c.RestartPersistentSubscriptionSubsystem(ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	wantDropped(t, sub)
	want(t, "goes on", tries(received(t, subscribed(t, c, stream, "g", 2), 1)), "2/0 ")
}

func TestTheTimeThatConsumersTakeIsMeasured(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: settings(func(s *esdb.PersistentSubscriptionSettings) { s.ExtraStatistics = true }),
	})
	sub := subscribed(t, c, stream, "g", 1)
	acked(t, sub, received(t, sub, 1)...)
	eventually(t, "it is measured", func() bool { return len(informed(t, c, stream, "g").Connections[0].ExtraStatistics) == 14 })
}
