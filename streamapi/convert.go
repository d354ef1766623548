package streamapi

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
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

// The types that mean something to EventStoreDB.
const (
	typeMetadata = "$metadata"
	typeDeleted  = "$streamDeleted"
	typeLink     = "$>"
)

// A log holds data and metadata, and EventStoreDB beside them whether the data is JSON. So that nothing is guessed, the
// metadata of what is not the vault's own begins with one of these marks where it would be misread without. No JSON text
// begins so.
const (
	markBinary = 0x01 // the data is not JSON; custom metadata follows
	markJSON   = 0x02 // the data is JSON; custom metadata follows, which begins like a mark itself
)

// pack makes the metadata that a log holds, of custom metadata and of whether the data is JSON.
func pack(custom []byte, isJSON bool) []byte {
	switch {
	case !isJSON:
		return append([]byte{markBinary}, custom...)
	case len(custom) > 0 && (custom[0] == markBinary || custom[0] == markJSON):
		return append([]byte{markJSON}, custom...)
	default:
		return custom
	}
}

// unpack is the reverse of pack.
func unpack(stored []byte) (custom []byte, isJSON bool) {
	switch {
	case len(stored) > 0 && stored[0] == markBinary:
		return stored[1:], false
	case len(stored) > 0 && stored[0] == markJSON:
		return stored[1:], true
	default:
		return stored, true
	}
}

// expectation is what a writer believes a stream to be at: an eventstore.Expected, or mustExist.
type expectation int64

const mustExist expectation = -4 // EventStoreDB's number for it

func (e expectation) number() int64 { return int64(e) }

// wrongVersion is an expectation that was not met.
type wrongVersion struct {
	expected expectation
	actual   eventstore.Revision // -1: there is no such stream
}

// expected is what all requests have that expect a revision.
type expected interface {
	GetRevision() uint64
	GetNoStream() *shared.Empty
	GetAny() *shared.Empty
	GetStreamExists() *shared.Empty
}

func expectationOf(r expected) (expectation, error) {
	switch {
	case r.GetNoStream() != nil:
		return expectation(eventstore.NoStream), nil
	case r.GetAny() != nil:
		return expectation(eventstore.Any), nil
	case r.GetStreamExists() != nil:
		return mustExist, nil
	default:
		return exactly(r.GetRevision())
	}
}

func exactly(revision uint64) (expectation, error) {
	if revision > math.MaxInt64 {
		return 0, invalidArgument("revision %d is beyond any stream", revision)
	}
	return expectation(revision), nil //nolint:gosec // bounded above
}

// streamOf checks and answers a stream's name.
func streamOf(id *shared.StreamIdentifier) (eventstore.Stream, error) {
	return streamNamed(id.GetStreamName())
}

func streamNamed(name []byte) (eventstore.Stream, error) {
	if len(name) == 0 {
		return "", invalidArgument("'streamIdentifier' is required")
	}
	if !utf8.Valid(name) || bytes.IndexByte(name, 0) >= 0 {
		return "", invalidArgument("a stream's name is text")
	}
	return eventstore.Stream(name), nil
}

func identifierOf(stream eventstore.Stream) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// uuidOf reads an id in either of its forms.
func uuidOf(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(v.Structured.GetMostSignificantBits()))  //nolint:gosec // the same bits
		binary.BigEndian.PutUint64(u[8:], uint64(v.Structured.GetLeastSignificantBits())) //nolint:gosec // the same bits
		return u, nil
	case *shared.UUID_String_:
		u, err := uuid.Parse(v.String_)
		if err != nil {
			return u, invalidArgument("'%s' is not a UUID", v.String_)
		}
		return u, nil
	default:
		return uuid.Nil, invalidArgument("an id is required")
	}
}

// uuidTo writes an id in the form that was asked for.
func uuidTo(u uuid.UUID, text bool) *shared.UUID {
	if text {
		return &shared.UUID{Value: &shared.UUID_String_{String_: u.String()}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(u[:8])), //nolint:gosec // the same bits
		LeastSignificantBits: int64(binary.BigEndian.Uint64(u[8:])), //nolint:gosec // the same bits
	}}}
}

// positionOf is a place in the log, of a place in $all as clients name it.
func positionOf(commit uint64) eventstore.Position {
	if commit > math.MaxInt64-1 {
		return math.MaxInt64 - 1
	}
	return eventstore.Position(commit) //nolint:gosec // bounded above
}
