package streamapi_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// raw speaks the protocol itself, for what the official Go client does not use.
func (s *served) raw(t testing.TB) streams.StreamsClient {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return streams.NewStreamsClient(conn)
}

func textID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

func messages(n int) []*streams.BatchAppendReq_ProposedMessage {
	list := make([]*streams.BatchAppendReq_ProposedMessage, n)
	for i := range list {
		list[i] = &streams.BatchAppendReq_ProposedMessage{
			Id: textID(uuid.New()), Metadata: map[string]string{"type": "e", "content-type": "application/json"}, Data: []byte(`{}`),
		}
	}
	return list
}

func TestABatchIsAnsweredAppendByAppend(t *testing.T) {
	t.Parallel()
	s := serve(t)
	call, err := s.raw(t).BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *streams.BatchAppendReq) uuid.UUID {
		t.Helper()
		id := uuid.New()
		r.CorrelationId = textID(id)
		if err := call.Send(r); err != nil {
			t.Fatal(err)
		}
		return id
	}
	stream, closed := name("app"), name("app")
	if _, err := s.raw(t).Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: identifier(closed), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}},
	}}); err != nil {
		t.Fatal(err)
	}
	none := &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	any := &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
	// In two parts.
	first := send(&streams.BatchAppendReq{Options: &streams.BatchAppendReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamPosition: none,
		DeadlineOption: &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(1 << 36)},
	}, ProposedMessages: messages(2)})
	if err := call.Send(&streams.BatchAppendReq{CorrelationId: textID(first), ProposedMessages: messages(1), IsFinal: true}); err != nil {
		t.Fatal(err)
	}
	want := map[uuid.UUID]string{first: "2"}
	want[send(&streams.BatchAppendReq{Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier(stream), ExpectedStreamPosition: none}, ProposedMessages: messages(1), IsFinal: true})] =
		"AlreadyExists shared.WrongExpectedVersion"
	want[send(&streams.BatchAppendReq{Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier(closed), ExpectedStreamPosition: any}, ProposedMessages: messages(1), IsFinal: true})] =
		"FailedPrecondition shared.StreamDeleted"
	big := messages(1)
	big[0].Data = make([]byte, 2<<20)
	want[send(&streams.BatchAppendReq{Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier(stream), ExpectedStreamPosition: any}, ProposedMessages: big, IsFinal: true})] =
		"InvalidArgument shared.MaximumAppendSizeExceeded"
	want[send(&streams.BatchAppendReq{ProposedMessages: messages(1), IsFinal: true})] = "InvalidArgument shared.BadRequest"
	for i := range 50 { // to one stream, in the order in which they are sent
		want[send(&streams.BatchAppendReq{Options: &streams.BatchAppendReq_Options{
			StreamIdentifier: identifier(stream), ExpectedStreamPosition: &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(2 + i)},
		}, ProposedMessages: messages(1), IsFinal: true})] = fmt.Sprint(3 + i)
	}
	if err := call.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range len(want) {
		answer, err := call.Recv()
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.MustParse(answer.GetCorrelationId().GetString_())
		got := fmt.Sprint(answer.GetSuccess().GetCurrentRevision())
		if e := answer.GetError(); e != nil {
			detail, err := e.GetDetails()[0].UnmarshalNew()
			if err != nil {
				t.Fatal(err)
			}
			got = fmt.Sprint(codes.Code(e.GetCode()), " shared.", detail.ProtoReflect().Descriptor().Name())
		}
		if got != want[id] {
			t.Errorf("got %s, want %s", got, want[id])
		}
	}
}

func TestExceptionsCarryTheirFactsInTrailers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.raw(t)
	facts := func(err error, md metadata.MD) string {
		return fmt.Sprintf("%v %v%v%v%v%v", status.Code(err), md.Get("exception"), md.Get("stream-name"), md.Get("expected-version"), md.Get("actual-version"), md.Get("maximum-append-size"))
	}
	var md metadata.MD
	_, err := c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: identifier("app-1"), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 7},
	}}, grpc.Trailer(&md))
	if got, want := facts(err, md), "FailedPrecondition [wrong-expected-version][app-1][7][][]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	_, err = c.Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: identifier("app-1"), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: identifier("app-1"), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
	}}, grpc.Trailer(&md))
	if got, want := facts(err, md), "FailedPrecondition [stream-deleted][app-1][][][]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	tell := func(m map[string]string, size int) string {
		call, err := c.Append(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
			StreamIdentifier: identifier("app-2"), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
		}}})
		_ = call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: textID(uuid.New()), Metadata: m, Data: make([]byte, size),
		}}})
		_, err = call.CloseAndRecv()
		return facts(err, call.Trailer())
	}
	if got, want := tell(map[string]string{"type": "e", "content-type": "x"}, 1<<20+1), "InvalidArgument [maximum-append-size-exceeded][][][][1048576]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := tell(map[string]string{"type": "e"}, 1), "InvalidArgument [missing-required-metadata-property][][][][]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHostileRequestsEndAsClearRefusals(t *testing.T) {
	t.Parallel()
	c := serve(t).raw(t)
	read := func(r *streams.ReadReq) error {
		call, err := c.Read(within(t), r)
		for err == nil {
			_, err = call.Recv()
		}
		return err
	}
	stream := func(name string) *streams.ReadReq_Options_Stream {
		return &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: identifier(name)}}
	}
	all := &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}
	filter := func(regex string) *streams.ReadReq_Options_Filter {
		return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex}},
		}}
	}
	for what, r := range map[string]*streams.ReadReq{
		"nothing":             {},
		"no stream":           {Options: &streams.ReadReq_Options{}},
		"an empty name":       {Options: &streams.ReadReq_Options{StreamOption: stream("")}},
		"a NUL":               {Options: &streams.ReadReq_Options{StreamOption: stream("a\x00b")}},
		"no text":             {Options: &streams.ReadReq_Options{StreamOption: stream("a\xff")}},
		"$all as a stream":    {Options: &streams.ReadReq_Options{StreamOption: stream("$all")}},
		"a broken expression": {Options: &streams.ReadReq_Options{StreamOption: all, FilterOption: filter("(")}},
		"an empty filter":     {Options: &streams.ReadReq_Options{StreamOption: all, FilterOption: filter("")}},
		"a filtered stream":   {Options: &streams.ReadReq_Options{StreamOption: stream("a"), FilterOption: filter("a")}},
		"backwards for ever": {Options: &streams.ReadReq_Options{
			StreamOption: all, ReadDirection: streams.ReadReq_Options_Backwards, CountOption: &streams.ReadReq_Options_Subscription{},
		}},
	} {
		if err := read(r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	call, err := c.Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = call.Send(&streams.AppendReq{})
	if _, err := call.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an append without options: %v", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	batch, err := c.BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = batch.Send(&streams.BatchAppendReq{})
	if _, err := batch.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a batch without correlation: %v", err)
	}
	cancel()
}
