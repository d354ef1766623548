package streamapi_test

import (
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWhatASubscriptionToAllParksDoesNotComeBackToIt(t *testing.T) {
	t.Parallel()
	c := newVault(t).serve(t, "").client(t, "")
	ctx := within(t)
	if err := c.CreatePersistentSubscriptionToAll(ctx, "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.End{}}); err != nil {
		t.Fatal(err)
	}
	sub, err := c.SubscribeToPersistentSubscriptionToAll(ctx, "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
	nacked(t, sub, esdb.NackActionPark, received(t, sub, 3)...)
	eventually(t, "three are parked", func() bool {
		info, err := c.GetPersistentSubscriptionInfoToAll(ctx, "g", esdb.GetPersistentSubscriptionOptions{})
		return err == nil && info.Stats.ParkedMessagesCount == 3
	})
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(1, "last")...)
	want(t, "the next event", received(t, sub, 1)[0].Event.OriginalEvent().EventType, "last")
}

func TestWhatIsBeingReplayedSurvivesAKill(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p := v.serve(t, "")
	c := p.client(t, "")
	ctx := within(t)
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(3, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 10)
	nacked(t, sub, esdb.NackActionPark, received(t, sub, 3)...)
	parked := func() int64 { return informed(t, c, stream, "g").Stats.ParkedMessagesCount }
	eventually(t, "three are parked", func() bool { return parked() == 3 })
	if err := c.ReplayParkedMessages(ctx, stream, "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	received(t, sub, 3)
	want(t, "parked while all are replayed", parked(), 0)
	p.kill()

	c = v.serve(t, "").client(t, "")
	if n := parked(); n != 3 {
		t.Fatalf("%d are parked, and 3 were not done", n)
	}
}

func TestHostileRequestsAreRefused(t *testing.T) {
	t.Parallel()
	stub := newVault(t).serve(t, "").stub(t)
	ctx := within(t)
	stream := &shared.StreamIdentifier{StreamName: []byte(name("app"))}
	settings := func() *persistent.CreateReq_Settings {
		return &persistent.CreateReq_Settings{LiveBufferSize: 10, ReadBatchSize: 5, HistoryBufferSize: 10}
	}
	create := func(change func(*persistent.CreateReq_Options)) error {
		o := &persistent.CreateReq_Options{
			GroupName: "g", Settings: settings(),
			StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: stream}},
		}
		change(o)
		_, err := stub.Create(ctx, &persistent.CreateReq{Options: o})
		return err
	}
	all := func(f *persistent.CreateReq_AllOptions_FilterOptions_Expression) func(*persistent.CreateReq_Options) {
		return func(o *persistent.CreateReq_Options) {
			o.StreamOption = &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
				FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{
					Filter: &persistent.CreateReq_AllOptions_FilterOptions_EventType{EventType: f},
				}},
			}}
		}
	}
	for what, change := range map[string]func(*persistent.CreateReq_Options){
		"no settings":        func(o *persistent.CreateReq_Options) { o.Settings = nil },
		"no name":            func(o *persistent.CreateReq_Options) { o.GroupName = "" },
		"no stream":          func(o *persistent.CreateReq_Options) { o.StreamOption = nil },
		"too long a name":    func(o *persistent.CreateReq_Options) { o.GroupName = strings.Repeat("g", 300) },
		"no such strategy":   func(o *persistent.CreateReq_Options) { o.Settings.ConsumerStrategy = "Best" },
		"a negative buffer":  func(o *persistent.CreateReq_Options) { o.Settings.LiveBufferSize = -1 },
		"a negative retry":   func(o *persistent.CreateReq_Options) { o.Settings.MaxRetryCount = -1 },
		"an empty filter":    all(&persistent.CreateReq_AllOptions_FilterOptions_Expression{}),
		"a broken regex":     all(&persistent.CreateReq_AllOptions_FilterOptions_Expression{Regex: "("}),
		"a name with a zero": func(o *persistent.CreateReq_Options) { o.GroupName = "g\x00" },
		"$all as a stream": func(o *persistent.CreateReq_Options) {
			o.StreamOption = &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
				StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("$all")},
			}}
		},
	} {
		if err := create(change); status.Code(err) == codes.OK || strings.Contains(status.Convert(err).Message(), "internal error") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, first := range map[string]*persistent.ReadReq{
		"nothing":      {},
		"an ack first": {Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{}}},
		"no buffer": {Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
			GroupName: "g", StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: stream},
		}}},
	} {
		call, err := stub.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Send(first); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"update": second(stub.Update(ctx, &persistent.UpdateReq{})), "delete": second(stub.Delete(ctx, &persistent.DeleteReq{})),
		"info": second(stub.GetInfo(ctx, &persistent.GetInfoReq{})), "replay": second(stub.ReplayParked(ctx, &persistent.ReplayParkedReq{})),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s of nothing: %v", what, err)
		}
	}
	if _, err := stub.List(ctx, &persistent.ListReq{}); err != nil {
		t.Errorf("a list of everything: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAcksOfWhatNobodyHasAreNothing(t *testing.T) {
	t.Parallel()
	p := newVault(t).serve(t, "")
	c := p.client(t, "")
	stream := name("app")
	appended(t, c, stream, esdb.AppendToStreamOptions{}, events(2, "a")...)
	created(t, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	sub := subscribed(t, c, stream, "g", 1)
	got := received(t, sub, 1)
	stranger := &esdb.EventAppeared{Event: &esdb.ResolvedEvent{Event: &esdb.RecordedEvent{}}}
	acked(t, sub, stranger)
	nacked(t, sub, esdb.NackActionPark, stranger)
	acked(t, sub, got[0], got[0])
	want(t, "the next", tries(received(t, sub, 1)), "1/0 ")
}
