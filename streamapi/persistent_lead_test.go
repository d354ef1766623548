package streamapi_test

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/streamapi"
)

func TestASubscriptionGoesOnWhereItGotWhenTheServerWasStopped(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p := v.serve(t, "")
	c := p.client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(5, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 3)
	got := received(t, sub, 3)
	acked(t, sub, got[0])
	received(t, sub, 1)
	acked(t, sub, got[2]) // but not the second: it is the first that is not done
	eventually(t, "both are done", func() bool { return informed(t, c, stream, "g").Connections[0].TotalItemsProcessed == 5 })
	p.stop()

	p = v.serve(t, "")
	c = p.client(t, "")
	want(t, "goes on", tries(received(t, subscribed(t, c, stream, "g", 10), 4)), "1/0 2/0 3/0 4/0 ")
	want(t, "checkpoint", *informed(t, c, stream, "g").Stats.LastCheckpointedEventRevision, 0)
}

func TestASubscriptionGoesOnFromItsCheckpointWhenTheServerWasKilled(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p := v.serve(t, "")
	c := p.client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(30, "a")...)
	often := settings(func(s *esdb.PersistentSubscriptionSettings) { s.CheckpointLowerBound, s.CheckpointUpperBound = 1, 10 })
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: often})
	sub := subscribed(t, c, stream, "g", 30)
	got := received(t, sub, 30)
	acked(t, sub, got[:12]...)
	eventually(t, "there is a checkpoint", func() bool {
		at := informed(t, c, stream, "g").Stats.LastCheckpointedEventRevision
		return at != nil && *at >= 9
	})
	nacked(t, sub, esdb.NackActionPark, got[12])
	eventually(t, "one is parked", func() bool { return informed(t, c, stream, "g").Stats.ParkedMessagesCount == 1 })
	p.kill()

	c = v.serve(t, "").client(t, "") // it waits until the lead of the other is over
	sub = subscribed(t, c, stream, "g", 30)
	first := received(t, sub, 1)[0].Event.OriginalEvent().EventNumber
	if first < 10 || first > 12 {
		t.Fatalf("it goes on at %d", first)
	}
	for n := first; n < 29; {
		n = received(t, sub, 1)[0].Event.OriginalEvent().EventNumber
	}
	want(t, "still parked", informed(t, c, stream, "g").Stats.ParkedMessagesCount, 1)
}

func TestConsumersAreSentToTheServerThatLeads(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	leader := v.serve(t, "")
	c := leader.client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})

	other := v.serve(t, "")
	eventually(t, "the other server knows who leads", func() bool {
		_, facts := refused(t, other, stream, "g")
		return facts["exception"] == "not-leader" && facts["leader-endpoint-host"]+":"+facts["leader-endpoint-port"] == leader.addr
	})
	// The official client follows: its next call goes to the leader.
	follower := other.client(t, "")
	_, err := follower.SubscribeToPersistentSubscription(within(t), stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	wantCode(t, err, esdb.ErrorCodeNotLeader)
	sub := subscribed(t, follower, stream, "g", 1)
	acked(t, sub, received(t, sub, 1)...)
	received(t, sub, 1)

	leader.stop()
	if e := sub.Recv(); e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != codes.Unavailable {
		t.Fatalf("not told that the leader ends, but %+v", e)
	}
	follower = other.client(t, "")
	eventually(t, "the other leads", func() bool { // until it knows, it sends consumers to the one who left
		_, err := follower.GetPersistentSubscriptionInfo(within(t), stream, "g", esdb.GetPersistentSubscriptionOptions{})
		return err == nil
	})
	want(t, "it goes on", tries(received(t, subscribed(t, follower, stream, "g", 1), 1)), "1/0 ")
}

func TestNothingIsLostWhenLeadersAreKilled(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := within(t)
	stream := name("app")
	leader := v.serve(t, "")
	c := leader.client(t, "")
	often := settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.CheckpointAfter, s.CheckpointLowerBound, s.CheckpointUpperBound = 20, 1, 5
	})
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: often})
	const rounds, each = 3, 40
	seen := map[uint64]int{}
	for range rounds {
		other := v.serve(t, "")
		for range each {
			appended(t, other.client(t, ""), stream, esdb.AppendToStreamOptions{}, events(1, "a")...)
		}
		sub := subscribed(t, c, stream, "g", 7)
		for range each / 2 {
			e := received(t, sub, 1)
			seen[e[0].Event.OriginalEvent().EventNumber]++
			acked(t, sub, e...)
		}
		eventually(t, "what was acknowledged is written", func() bool {
			at := informed(t, c, stream, "g").Stats.LastCheckpointedEventRevision
			return at != nil && int(*at) == len(seen)-1
		})
		leader.kill()
		leader, c = other, other.client(t, "")
		eventually(t, "the other leads", func() bool {
			_, err := c.GetPersistentSubscriptionInfo(ctx, stream, "g", esdb.GetPersistentSubscriptionOptions{})
			return err == nil
		})
	}
	sub := subscribed(t, c, stream, "g", 7)
	for len(seen) < rounds*each {
		e := received(t, sub, 1)
		seen[e[0].Event.OriginalEvent().EventNumber]++
		acked(t, sub, e...)
	}
	for number, times := range seen {
		if times > 1 {
			t.Errorf("event %d came %d times, though what was done had been written", number, times)
		}
	}
}

func TestEventsOfAStreamWaitForTheOneThatIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	ctx := within(t)
	category := "c" + name("")[1:12]
	_, err := p.stub(t).Create(ctx, &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName: "g",
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("$ce-" + category)},
			RevisionOption:   &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		Settings: &persistent.CreateReq_Settings{
			ResolveLinks: true, MaxRetryCount: 2, LiveBufferSize: 100, ReadBatchSize: 10, HistoryBufferSize: 100,
			MaxCheckpointCount: 100, ConsumerStrategy: streamapi.OrderedByStream,
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		appended(t, c, category+"-1", esdb.AppendToStreamOptions{}, events(1, "a")...)
		appended(t, c, category+"-2", esdb.AppendToStreamOptions{}, events(1, "a")...)
	}
	sub := subscribed(t, c, "$ce-"+category, "g", 10)
	tell := func(e *esdb.EventAppeared) string {
		return e.Event.Event.StreamID[len(category):] + ":" + string(rune('0'+e.Event.Event.EventNumber))
	}
	got := received(t, sub, 2)
	want(t, "one of each", tell(got[0])+" "+tell(got[1]), "-1:0 -2:0")
	nacked(t, sub, esdb.NackActionRetry, got[0])
	again := received(t, sub, 1)
	want(t, "the same again, and no later one", tell(again[0]), "-1:0")
	acked(t, sub, got[1])
	next := received(t, sub, 1)
	want(t, "the other stream goes on", tell(next[0]), "-2:1")
	nacked(t, sub, esdb.NackActionPark, again...)
	want(t, "then the next", tell(received(t, sub, 1)[0]), "-1:1")
	info := informed(t, c, "$ce-"+category, "g")
	want(t, "strategy", string(info.Settings.ConsumerStrategyName), streamapi.OrderedByStream)
}

func TestAConsumerWhoDoesNotReadHoldsNobodyUpAndGrowsNothing(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	stream := name("app")
	large := make([]byte, 100<<10)
	for range 10 {
		list := events(10, "a")
		for i := range list {
			list[i].ContentType, list[i].Data = esdb.ContentTypeBinary, large
		}
		appended(t, c, stream, esdb.AppendToStreamOptions{}, list[:5]...)
		appended(t, c, stream, esdb.AppendToStreamOptions{}, list[5:]...)
	}
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.MessageTimeout, s.MaxRetryCount, s.HistoryBufferSize, s.ReadBatchSize = 500, 1000, 20, 5
	})})
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	if _, err := p.client(t, "").SubscribeToPersistentSubscription(ctx, stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 50}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one who does not read is full", func() bool { return informed(t, c, stream, "g").Connections[0].AvailableSlots == 0 })
	info := informed(t, c, stream, "g")
	if ahead := info.Stats.ReadBufferCount + info.Stats.LiveBufferCount; ahead > 20 {
		t.Fatalf("%d events were read ahead", ahead)
	}
	sub := subscribed(t, p.client(t, ""), stream, "g", 5)
	seen := map[uint64]bool{}
	for len(seen) < 100 {
		e := received(t, sub, 1)
		seen[e[0].Event.OriginalEvent().EventNumber] = true
		acked(t, sub, e...)
	}
}

func TestConsumersAreSentToALeaderThatNobodyCalledYet(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	leader := v.serve(t, "")
	leader.server.ListensAt(leader.addr)
	other := v.serve(t, "")
	eventually(t, "one of them knows that the other leads", func() bool {
		code, facts := refused(t, other, "app-1", "g")
		return code == codes.NotFound && (facts["exception"] == "persistent-subscription-does-not-exist" || // it leads itself
			facts["leader-endpoint-host"]+":"+facts["leader-endpoint-port"] == leader.addr)
	})
}
