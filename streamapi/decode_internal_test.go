package streamapi

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// entryOf is what proposal.entry is held against.
func entryOf(m interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
},
) (eventstore.Entry, error) {
	id, err := uuidOf(m.GetId())
	if err != nil {
		return eventstore.Entry{}, err
	}
	name, ok := m.GetMetadata()[keyType]
	if !ok {
		return eventstore.Entry{}, missingMetadata(keyType)
	}
	content, ok := m.GetMetadata()[keyContentType]
	if !ok {
		return eventstore.Entry{}, missingMetadata(keyContentType)
	}
	return eventstore.Entry{ID: id, Type: name, Data: m.GetData(), Metadata: pack(m.GetCustomMetadata(), content == contentJSON)}, nil
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameEntry(t fatal, got eventstore.Entry, gotErr error, want eventstore.Entry, wantErr error) {
	t.Helper()
	if gotErr != nil || wantErr != nil {
		if gotErr == nil || wantErr == nil || gotErr.Error() != wantErr.Error() {
			t.Fatalf("got error %v, want %v", gotErr, wantErr)
		}
		return
	}
	if got.ID != want.ID || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Metadata, want.Metadata) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func sameExpectation(t fatal, o *appendOptions, want expectation, wantErr error) {
	t.Helper()
	got, err := o.expectation()
	if got != want || (err == nil) != (wantErr == nil) {
		t.Fatalf("expected %d (%v), want %d (%v)", got, err, want, wantErr)
	}
}

// sameAppend decodes both ways, and fails when one of them sees something else.
func sameAppend(t fatal, b []byte) {
	t.Helper()
	var want streams.AppendReq
	var got appendReq
	wantErr, err := proto.Unmarshal(b, &want), got.decode(bytes.Clone(b))
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, want %v", err, wantErr)
	}
	if err != nil {
		return
	}
	switch m := want.GetContent().(type) {
	case *streams.AppendReq_Options_:
		if got.has != hasOptions || !bytes.Equal(got.options.stream, m.Options.GetStreamIdentifier().GetStreamName()) {
			t.Fatalf("got %+v, want %v", got, &want)
		}
		e, err := expectationOf(m.Options)
		sameExpectation(t, &got.options, e, err)
	case *streams.AppendReq_ProposedMessage_:
		if got.has != hasProposed {
			t.Fatalf("got %+v, want %v", got, &want)
		}
		g, gotErr := got.proposed.entry()
		w, wantErr := entryOf(m.ProposedMessage)
		sameEntry(t, g, gotErr, w, wantErr)
	default:
		if got.has != hasNothing {
			t.Fatalf("got %+v, want nothing", got)
		}
	}
}

func sameBatch(t fatal, b []byte) {
	t.Helper()
	var want streams.BatchAppendReq
	var got batchReq
	wantErr, err := proto.Unmarshal(b, &want), got.decode(bytes.Clone(b))
	var correlation identity
	if err == nil {
		err = correlation.decode(got.correlation)
	}
	n := 0
	if err == nil {
		err = got.proposals(func(p *proposal) {
			if wantErr == nil {
				g, gotErr := p.entry()
				w, wantErr := entryOf(want.GetProposedMessages()[n])
				sameEntry(t, g, gotErr, w, wantErr)
			}
			n++
		})
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, want %v", err, wantErr)
	}
	if err != nil {
		return
	}
	id, idErr := correlation.uuid()
	wantID, wantIDErr := uuidOf(want.GetCorrelationId())
	o := want.GetOptions()
	if n != len(want.GetProposedMessages()) || got.final != want.GetIsFinal() || got.hasOptions != (o != nil) ||
		id != wantID || (idErr == nil) != (wantIDErr == nil) || !bytes.Equal(got.options.stream, o.GetStreamIdentifier().GetStreamName()) {
		t.Fatalf("got %+v and %d proposals, want %v", got, n, &want)
	}
	var wants bool
	switch p := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		wants = got.options.wants == wantsRevision && got.options.revision == p.StreamPosition
	case *streams.BatchAppendReq_Options_NoStream:
		wants = got.options.wants == wantsNoStream
	case *streams.BatchAppendReq_Options_Any:
		wants = got.options.wants == wantsAny
	case *streams.BatchAppendReq_Options_StreamExists:
		wants = got.options.wants == wantsExisting
	default:
		wants = got.options.wants == 0
	}
	var until bool
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		until = got.options.until == 6 && got.options.seconds == d.Deadline_21_10_0.GetSeconds() && got.options.nanos == d.Deadline_21_10_0.GetNanos()
	case *streams.BatchAppendReq_Options_Deadline:
		until = got.options.until == 7 && got.options.seconds == d.Deadline.GetSeconds() && got.options.nanos == d.Deadline.GetNanos()
	default:
		until = got.options.until == 0
	}
	if !wants || !until {
		t.Fatalf("got %+v, want %v", got.options, o)
	}
}

func drawnID(t *rapid.T) *shared.UUID {
	switch rapid.IntRange(0, 3).Draw(t, "id form") {
	case 0:
		return nil
	case 1:
		return &shared.UUID{Value: &shared.UUID_String_{String_: rapid.SampledFrom([]string{"", "no", "a8f2f1f0-9bfb-4b64-a3d5-0d4e3c1f5a77"}).Draw(t, "id")}}
	default:
		return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
			MostSignificantBits: rapid.Int64().Draw(t, "most"), LeastSignificantBits: rapid.Int64().Draw(t, "least"),
		}}}
	}
}

func drawnMetadata(t *rapid.T) map[string]string {
	m := rapid.MapOfN(rapid.SampledFrom([]string{keyType, keyContentType, "", "other"}), rapid.String(), 0, 4).Draw(t, "metadata")
	if rapid.Bool().Draw(t, "is JSON") {
		m[keyContentType] = contentJSON
	}
	return m
}

func drawnBytes(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)
}

func TestAnAppendIsReadAsItsMessageWouldBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &streams.AppendReq{}
		if rapid.Bool().Draw(t, "options") {
			o := &streams.AppendReq_Options{}
			if rapid.Bool().Draw(t, "stream") {
				o.StreamIdentifier = &shared.StreamIdentifier{StreamName: drawnBytes(t, "name")}
			}
			switch rapid.IntRange(0, 4).Draw(t, "expected") {
			case 1:
				o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: rapid.Uint64().Draw(t, "revision")}
			case 2:
				o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
			case 3:
				o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
			case 4:
				o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
			}
			m.Content = &streams.AppendReq_Options_{Options: o}
		} else {
			m.Content = &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
				Id: drawnID(t), Metadata: drawnMetadata(t), CustomMetadata: drawnBytes(t, "custom"), Data: drawnBytes(t, "data"),
			}}
		}
		sameAppend(t, marshalled(t, m))
	})
}

func marshalled(t fatal, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func drawnBatch(t *rapid.T) *streams.BatchAppendReq {
	m := &streams.BatchAppendReq{CorrelationId: drawnID(t), IsFinal: rapid.Bool().Draw(t, "final")}
	if rapid.Bool().Draw(t, "options") {
		m.Options = &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: drawnBytes(t, "name")}}
		switch rapid.IntRange(0, 4).Draw(t, "expected") {
		case 1:
			m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: rapid.Uint64().Draw(t, "revision")}
		case 2:
			m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}
		case 3:
			m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		case 4:
			m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
		}
		switch rapid.IntRange(0, 2).Draw(t, "deadline") {
		case 1:
			m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{Seconds: rapid.Int64().Draw(t, "s"), Nanos: rapid.Int32().Draw(t, "ns")}}
		case 2:
			m.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: &timestamppb.Timestamp{Seconds: rapid.Int64().Draw(t, "s"), Nanos: rapid.Int32().Draw(t, "ns")}}
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "proposals") {
		m.ProposedMessages = append(m.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id: drawnID(t), Metadata: drawnMetadata(t), CustomMetadata: drawnBytes(t, "custom"), Data: drawnBytes(t, "data"),
		})
	}
	return m
}

func TestABatchIsReadAsItsMessageWouldBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { sameBatch(t, marshalled(t, drawnBatch(t))) })
}

func TestADeadlineIsWhatTheBatchSays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		o    batchOptions
		want time.Time
	}{
		{batchOptions{}, time.Time{}},
		{batchOptions{until: 6, seconds: now.Unix() + 3}, now.Add(3 * time.Second)},
		{batchOptions{until: 6, seconds: 253402300799}, time.Time{}},
		{batchOptions{until: 7, seconds: 3}, now.Add(3 * time.Second)},
		{batchOptions{until: 7, seconds: 1 << 62}, time.Time{}},
		{batchOptions{until: 7, seconds: -1}, time.Time{}},
	} {
		if got := c.o.deadline(now); !got.Equal(c.want) {
			t.Errorf("%+v: got %v, want %v", c.o, got, c.want)
		}
	}
}

func TestAnswersToAppendsAreWhatTheMessagesWouldBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := appended{
			revision: eventstore.Revision(rapid.Int64Min(-1).Draw(t, "revision")), position: eventstore.Position(rapid.Int64Min(0).Draw(t, "position")),
		}
		want := &streams.AppendResp_Success{CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}}
		if d.revision >= 0 {
			want.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(d.revision)}
		}
		want.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
		if at := uint64(d.position); at > 0 {
			want.PositionOption = &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: at, PreparePosition: at}}
		}
		var got streams.AppendResp
		if err := proto.Unmarshal(encodedAppended(d), &got); err != nil || !proto.Equal(got.GetSuccess(), want) {
			t.Fatalf("got %v (%v), want %v", &got, err, want)
		}

		var m batchReq
		asked := drawnBatch(t)
		if err := m.decode(marshalled(t, asked)); err != nil {
			t.Fatal(err)
		}
		m.options.stream = append([]byte{}, m.options.stream...)
		var batched streams.BatchAppendResp
		if err := proto.Unmarshal(encodedBatched(m.correlation, &m.options, d), &batched); err != nil {
			t.Fatal(err)
		}
		refused := (&batch{correlation: m.correlation, options: m.options}).refused(nil)
		refused.Result = batched.GetResult() // the rest is the same whether it was done or not
		if !proto.Equal(&batched, refused) || batched.GetSuccess() == nil {
			t.Fatalf("got %v, want %v", &batched, refused)
		}
		for _, same := range [][2]uint64{
			{batched.GetSuccess().GetCurrentRevision(), want.GetCurrentRevision()},
			{batched.GetSuccess().GetPosition().GetCommitPosition(), want.GetPosition().GetCommitPosition()},
			{batched.GetSuccess().GetPosition().GetPreparePosition(), want.GetPosition().GetPreparePosition()},
		} {
			if same[0] != same[1] {
				t.Fatalf("got %v, want %v", &batched, want)
			}
		}
	})
}

// FuzzAppend holds what hostile clients may send against what the messages make of it.
func FuzzAppend(f *testing.F) {
	meta := map[string]string{keyType: "t", keyContentType: contentJSON}
	for _, m := range []proto.Message{
		&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{StreamIdentifier: identifierOf("s-1")}}},
		&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: uuidTo([16]byte{1}, true), Metadata: maps.Clone(meta), Data: []byte("d"), CustomMetadata: []byte("c"),
		}}},
		&streams.BatchAppendReq{
			CorrelationId: uuidTo([16]byte{2}, false), IsFinal: true,
			Options:          &streams.BatchAppendReq_Options{StreamIdentifier: identifierOf("s-2")},
			ProposedMessages: slices.Repeat([]*streams.BatchAppendReq_ProposedMessage{{Id: uuidTo([16]byte{3}, false), Metadata: meta}}, 2),
		},
	} {
		f.Add(marshalled(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sameAppend(t, b)
		sameBatch(t, b)
	})
}
