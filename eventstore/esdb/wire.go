package esdb

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// The keys and values of an event's system metadata.
const (
	keyType        = "type"
	keyContentType = "content-type"
	keyCreated     = "created"
	contentJSON    = "application/json"
	contentBinary  = "application/octet-stream"
)

type recordedEvent = streams.ReadResp_ReadEvent_RecordedEvent

// rawOf is an event as the log has it. Nothing that a server answers is believed: what is malformed is an error.
func rawOf(e *recordedEvent) (eventstore.Raw, error) {
	meta := e.GetMetadata()
	ticks, err := strconv.ParseInt(meta[keyCreated], 10, 64) // of 100 ns
	if err != nil || ticks < 0 || ticks > math.MaxInt64/100 {
		return eventstore.Raw{}, fmt.Errorf("%w: an event created at %q", errMalformed, meta[keyCreated])
	}
	id, err := uuidOf(e.GetId())
	if err != nil {
		return eventstore.Raw{}, err
	}
	if e.GetCommitPosition() > math.MaxInt64-1 || e.GetStreamRevision() > math.MaxInt64 || e.GetStreamIdentifier() == nil {
		return eventstore.Raw{}, fmt.Errorf("%w: an event without a place", errMalformed)
	}
	return eventstore.Raw{
		Position: eventstore.Position(e.GetCommitPosition()), //nolint:gosec // bounded above
		Stream:   eventstore.Stream(e.GetStreamIdentifier().GetStreamName()),
		Revision: eventstore.Revision(e.GetStreamRevision()), //nolint:gosec // bounded above
		ID:       id, Type: meta[keyType], Data: e.GetData(), Metadata: e.GetCustomMetadata(),
		At: time.Unix(0, ticks*100).UTC().Truncate(time.Microsecond),
	}, nil
}

func uuidOf(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(v.Structured.GetMostSignificantBits()))  //nolint:gosec // the same bits
		binary.BigEndian.PutUint64(u[8:], uint64(v.Structured.GetLeastSignificantBits())) //nolint:gosec // the same bits
		return u, nil
	case *shared.UUID_String_:
		if u, err := uuid.Parse(v.String_); err == nil {
			return u, nil
		}
	}
	return uuid.Nil, fmt.Errorf("%w: an event without an id", errMalformed)
}

func uuidTo(u uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(u[:8])), //nolint:gosec // the same bits
		LeastSignificantBits: int64(binary.BigEndian.Uint64(u[8:])), //nolint:gosec // the same bits
	}}}
}

// proposed is an entry on its way. Whether it is JSON is told to the server, whose projections and pages want to know.
func proposed(e eventstore.Entry) *streams.AppendReq {
	content := contentBinary
	if json.Valid(e.Data) {
		content = contentJSON
	}
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: uuidTo(e.ID), Data: e.Data, CustomMetadata: e.Metadata, Metadata: map[string]string{keyType: e.Type, keyContentType: content},
	}}}
}

func identifier(stream eventstore.Stream) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// appendTo begins an append behind a revision; -1: to a stream that is not there.
func appendTo(stream eventstore.Stream, last eventstore.Revision) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	if last < 0 {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
	} else {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(last)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

// unbounded is a count that no read reaches.
const unbounded = math.MaxInt64

// readRequest begins any read.
func readRequest(backward bool, count uint64) *streams.ReadReq_Options {
	o := &streams.ReadReq_Options{
		ReadDirection: streams.ReadReq_Options_Forwards,
		CountOption:   &streams.ReadReq_Options_Count{Count: count},
		FilterOption:  &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:    &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
	}
	if backward {
		o.ReadDirection = streams.ReadReq_Options_Backwards
	}
	return o
}

// place is where a read of $all begins; 0: at its start, or going backwards at its end.
func place(at eventstore.Position, backward bool) *streams.ReadReq_Options_All {
	o := &streams.ReadReq_Options_AllOptions{}
	switch {
	case at > 0:
		p := uint64(at)
		o.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: p, PreparePosition: p}}
	case backward:
		o.AllOption = &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}}
	default:
		o.AllOption = &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}
	}
	return &streams.ReadReq_Options_All{All: o}
}

// streamPlace is where a read of one stream begins; -1: at its start, or going backwards at its end.
func streamPlace(stream eventstore.Stream, from eventstore.Revision, backward bool) *streams.ReadReq_Options_Stream {
	o := &streams.ReadReq_Options_StreamOptions{StreamIdentifier: identifier(stream)}
	switch {
	case from >= 0:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: uint64(from)}
	case backward:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}
	default:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}
	}
	return &streams.ReadReq_Options_Stream{Stream: o}
}
