package streamapi_test

import (
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/streamapi"
)

// shared makes a subscription with a strategy that the official client has no word for.
func (p *process) shared(t *testing.T, source, strategy string) {
	t.Helper()
	_, err := p.stub(t).Create(within(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName:    "g",
		StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: identifier(source)}},
		Settings: &persistent.CreateReq_Settings{
			ResolveLinks: true, MaxRetryCount: 10, LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500, MaxCheckpointCount: 1, ConsumerStrategy: strategy,
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// inFlight are what consumers have, in the order in which they came.
func inFlight(t *testing.T, c *esdb.Client, source string) (list []int) {
	t.Helper()
	for _, one := range informed(t, c, source, "g").Connections {
		list = append(list, int(one.InFlightMessages))
	}
	return list
}

func TestPinnedByCorrelationKeepsACorrelationAtOneConsumer(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	category := "c" + name("")[1:12]
	source := "$ce-" + category
	p.shared(t, source, streamapi.PinnedByCorrelation)
	subs := []*esdb.PersistentSubscription{subscribed(t, c, source, "g", 100), subscribed(t, c, source, "g", 100)}
	// Each correlation is spread over all streams, and each stream has events of all correlations.
	for stream := range 4 {
		for n := range 8 {
			metadata := fmt.Appendf(nil, `{"$correlationId":"cause-%d"}`, n)
			if n%2 == 0 {
				metadata = fmt.Appendf(nil, `{"correlation":"cause-%d"}`, n) // the vault's own word for it
			}
			appended(t, c, fmt.Sprintf("%s-%d", category, stream), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
				esdb.EventData{EventType: "a", ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, "%d", n), Metadata: metadata})
		}
	}
	eventually(t, "all are sent", func() bool { return informed(t, c, source, "g").Stats.TotalItems == 32 })
	at := map[string]int{}
	used := map[int]bool{}
	for i, n := range inFlight(t, c, source) {
		for _, e := range received(t, subs[i], n) {
			cause := string(e.Event.Event.Data)
			if before, ok := at[cause]; ok && before != i {
				t.Errorf("correlation %s went to %d and to %d", cause, before, i)
			}
			at[cause], used[i] = i, true
			acked(t, subs[i], e)
		}
	}
	want(t, "correlations", len(at), 8)
	want(t, "consumers used", len(used), 2)
	eventually(t, "all is done", func() bool {
		i := informed(t, c, source, "g")
		return i.Stats.OutstandingMessagesCount == 0 && i.Stats.ParkedMessagesCount == 0
	})
}

func TestPinnedGoesOnWhileConsumersComeAndGo(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	category := "c" + name("")[1:12]
	source := "$ce-" + category
	p.shared(t, source, streamapi.Pinned)
	const streams = 32
	appendRound := func() {
		t.Helper()
		for n := range streams {
			appended(t, c, fmt.Sprintf("%s-%d", category, n), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(2, "a")...)
		}
	}
	done := map[string]uint64{} // by stream: which event comes next
	take := func(sub *esdb.PersistentSubscription, e *esdb.EventAppeared) {
		t.Helper()
		stream := e.Event.Event.StreamID
		want(t, "next of "+stream, e.Event.Event.EventNumber, done[stream])
		done[stream]++
		acked(t, sub, e)
	}
	idle := func() bool { return informed(t, c, source, "g").Stats.OutstandingMessagesCount == 0 }

	a := subscribed(t, c, source, "g", 200)
	appendRound()
	for _, e := range received(t, a, 2*streams) { // it is alone
		take(a, e)
	}
	eventually(t, "nothing is under way", idle)

	b := subscribed(t, c, source, "g", 200)
	eventually(t, "there are two", func() bool { return len(inFlight(t, c, source)) == 2 })
	appendRound()
	eventually(t, "all are sent", func() bool { list := inFlight(t, c, source); return list[0]+list[1] == 2*streams })
	list := inFlight(t, c, source)
	if list[0] == 0 || list[1] == 0 || list[0]%2 != 0 {
		t.Fatalf("the newcomer and the other have %v: streams are not whole at one of them", list)
	}
	for _, e := range received(t, a, list[0]) {
		take(a, e)
	}
	received(t, b, list[1])
	if err := b.Close(); err != nil { // with all of it undone
		t.Fatal(err)
	}
	for _, e := range received(t, a, list[1]) {
		take(a, e)
	}

	// A third one has a share again, and the first one goes.
	third := subscribed(t, c, source, "g", 200)
	eventually(t, "nothing is under way, of two", func() bool { return idle() && len(inFlight(t, c, source)) == 2 })
	appendRound()
	eventually(t, "all are sent", func() bool { list := inFlight(t, c, source); return list[0]+list[1] == 2*streams })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all went to who is left", func() bool { list := inFlight(t, c, source); return len(list) == 1 && list[0] == 2*streams })
	left := map[string]uint64{}
	for _, e := range received(t, third, 2*streams) {
		left[e.Event.Event.StreamID]++
		acked(t, third, e)
	}
	for n := range streams {
		stream := fmt.Sprintf("%s-%d", category, n)
		want(t, "done of "+stream, done[stream]+left[stream], 6)
	}
	eventually(t, "all is done, and nothing parked", func() bool { return idle() && informed(t, c, source, "g").Stats.ParkedMessagesCount == 0 })
}

func TestThereIsRoomAgainWhenAConsumerLeaves(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	stream := name("app")
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{Settings: settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxSubscriberCount = 2 })})
	first := subscribed(t, c, stream, "g", 1)
	subscribed(t, c, stream, "g", 1)
	join := func() (*esdb.PersistentSubscription, error) {
		return c.SubscribeToPersistentSubscription(within(t), stream, "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	}
	_, err := join()
	want(t, "code", status.Code(err), codes.FailedPrecondition)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room", func() bool {
		sub, err := join()
		if err == nil {
			_ = sub.Close()
		}
		return err == nil
	})
}
