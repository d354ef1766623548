package streamapi

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of everything but events
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Reading a log is mostly encoding events. They are written as bytes at once, without a message in between, which costs a
// fraction; everything else goes through the messages of protos/streams. A test holds both against each other.

// encoded is a message that was written already.
type encoded []byte

// codec passes encoded messages through, and leaves all others to grpc's own.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(e)}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

// decoder is a message that reads itself. It may keep the bytes.
type decoder interface{ decode([]byte) error }

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if d, ok := v.(decoder); ok {
		if len(data) == 1 {
			if whole, ok := data[0].(mem.SliceBuffer); ok { // no pool takes it back, so that it need not be copied to be kept
				return d.decode(whole)
			}
		}
		return d.decode(data.Materialize())
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// shown is an event as a consumer sees it.
type shown struct {
	raw      eventstore.Raw // its data as it is shown; its metadata as it is stored
	revision eventstore.Revision
	custom   []byte
	isJSON   bool
}

// encoder writes events into blocks, so that many share an allocation. One goroutine uses it.
type encoder struct {
	text  bool // ids as text
	exact bool // no blocks: few events come, and one of them would keep a whole block alive
	block []byte

	at      int64 // what created was made of
	created []byte
}

const encoderBlock = 128 << 10

// live lets go of the block when what comes now is new, and rare, and takes one again when it is history.
func (e *encoder) live(now bool) { e.exact, e.block = now, nil }

// room answers an empty slice with room for n bytes.
func (e *encoder) room(n int) []byte {
	if e.exact || n > encoderBlock/4 {
		return make([]byte, 0, n)
	}
	if n > cap(e.block)-len(e.block) {
		e.block = make([]byte, 0, encoderBlock)
	}
	from := len(e.block)
	e.block = e.block[:from+n]
	return e.block[from:from:len(e.block)]
}

// read is a streams.ReadResp with an event, the link that led to it, or both; event nil: the link's target is not there.
func (e *encoder) read(event, link *shown, position eventstore.Position) encoded {
	sizes := [2]int{-1, -1}
	n := 1 + protowire.SizeVarint(uint64(position)) //nolint:gosec // positive
	for i, r := range [2]*shown{event, link} {
		if r != nil {
			sizes[i] = e.sizeRecorded(r)
			n += 1 + protowire.SizeBytes(sizes[i])
		}
	}
	b := e.room(n + 1 + protowire.SizeVarint(uint64(n)))
	b = append(b, 1<<3|byte(protowire.BytesType)) // ReadResp.event
	b = protowire.AppendVarint(b, uint64(n))
	for i, r := range [2]*shown{event, link} {
		if r != nil {
			b = append(b, byte(i+1)<<3|byte(protowire.BytesType))
			b = protowire.AppendVarint(b, uint64(sizes[i])) //nolint:gosec // a length
			b = e.appendRecorded(b, r)
		}
	}
	b = append(b, 3<<3|byte(protowire.VarintType))
	return protowire.AppendVarint(b, uint64(position)) //nolint:gosec // positive
}

func (e *encoder) sizeID(id *uuid.UUID) int {
	if e.text {
		return 1 + protowire.SizeBytes(36)
	}
	return 1 + protowire.SizeBytes(2+protowire.SizeVarint(binary.BigEndian.Uint64(id[:8]))+protowire.SizeVarint(binary.BigEndian.Uint64(id[8:])))
}

func sizeString(n int) int { return 1 + protowire.SizeBytes(n) }

// ticks is a time as system metadata have it. Events that were appended together have the same.
func (e *encoder) ticks(at time.Time) []byte {
	if n := at.UnixNano() / 100; n != e.at || len(e.created) == 0 {
		e.at, e.created = n, strconv.AppendInt(e.created[:0], n, 10)
	}
	return e.created
}

// Entries of the map of system metadata: one as it is on the wire, tag and length included, and the beginnings of others.
const (
	entryJSON    = "\x32\x20\x0a\x0c" + keyContentType + "\x12\x10" + contentJSON
	entryBinary  = "\x32\x28\x0a\x0c" + keyContentType + "\x12\x18" + contentBinary
	entryType    = "\x0a\x04" + keyType + "\x12"
	entryCreated = "\x0a\x07" + keyCreated + "\x12"
)

func contentType(isJSON bool) string {
	if isJSON {
		return contentJSON
	}
	return contentBinary
}

func contentEntry(isJSON bool) string {
	if isJSON {
		return entryJSON
	}
	return entryBinary
}

func sizeEntry(begins string, value int) int { return len(begins) + protowire.SizeBytes(value) }

func appendEntry[T string | []byte](b []byte, begins string, value T) []byte {
	b = append(b, 6<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(sizeEntry(begins, len(value)))) //nolint:gosec // a length
	b = append(b, begins...)
	b = protowire.AppendVarint(b, uint64(len(value)))
	return append(b, value...)
}

func (e *encoder) sizeRecorded(r *shown) int {
	position := protowire.SizeVarint(uint64(r.raw.Position)) //nolint:gosec // positive
	n := 1 + protowire.SizeBytes(e.sizeID(&r.raw.ID))
	n += 1 + protowire.SizeBytes(sizeString(len(r.raw.Stream)))
	n += 1 + protowire.SizeVarint(uint64(r.revision)) //nolint:gosec // not negative
	n += 2 * (1 + position)
	n += sizeString(sizeEntry(entryType, len(r.raw.Type)))
	n += sizeString(sizeEntry(entryCreated, len(e.ticks(r.raw.At))))
	n += len(contentEntry(r.isJSON))
	n += sizeString(len(r.custom))
	n += sizeString(len(r.raw.Data))
	return n
}

func (e *encoder) appendRecorded(b []byte, r *shown) []byte {
	b = append(b, 1<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(e.sizeID(&r.raw.ID))) //nolint:gosec // a length
	b = e.appendID(b, &r.raw.ID)
	b = append(b, 2<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(sizeString(len(r.raw.Stream)))) //nolint:gosec // a length
	b = append(b, 3<<3|byte(protowire.BytesType))
	b = protowire.AppendString(b, string(r.raw.Stream))
	position := uint64(r.raw.Position) //nolint:gosec // positive
	b = append(b, 3<<3|byte(protowire.VarintType))
	b = protowire.AppendVarint(b, uint64(r.revision)) //nolint:gosec // not negative
	b = append(b, 4<<3|byte(protowire.VarintType))
	b = protowire.AppendVarint(b, position)
	b = append(b, 5<<3|byte(protowire.VarintType))
	b = protowire.AppendVarint(b, position)
	b = appendEntry(b, entryType, r.raw.Type)
	b = appendEntry(b, entryCreated, e.ticks(r.raw.At))
	b = append(b, contentEntry(r.isJSON)...)
	b = append(b, 7<<3|byte(protowire.BytesType))
	b = protowire.AppendBytes(b, r.custom)
	b = append(b, 8<<3|byte(protowire.BytesType))
	return protowire.AppendBytes(b, r.raw.Data)
}

func (e *encoder) appendID(b []byte, id *uuid.UUID) []byte {
	if e.text {
		b = append(b, 2<<3|byte(protowire.BytesType))
		return protowire.AppendString(b, id.String())
	}
	most, least := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	b = append(b, 1<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(2+protowire.SizeVarint(most)+protowire.SizeVarint(least))) //nolint:gosec // a length
	b = append(b, 1<<3|byte(protowire.VarintType))
	b = protowire.AppendVarint(b, most)
	b = append(b, 2<<3|byte(protowire.VarintType))
	return protowire.AppendVarint(b, least)
}

// encodedState is a streams.ReadResp that says that a subscription caught up or fell behind. Newer servers say when and where,
// in fields that protos/streams does not have yet; older clients pass over them.
func encodedState(s feedState, now time.Time, revision eventstore.Revision, position eventstore.Position) encoded {
	var at []byte
	at = protowire.AppendTag(at, 1, protowire.VarintType)
	at = protowire.AppendVarint(at, uint64(now.Unix())) //nolint:gosec // positive
	at = protowire.AppendTag(at, 2, protowire.VarintType)
	at = protowire.AppendVarint(at, uint64(now.Nanosecond())) //nolint:gosec // positive
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.BytesType)
	m = protowire.AppendBytes(m, at)
	switch {
	case revision >= 0:
		m = protowire.AppendTag(m, 2, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(revision))
	case position > 0:
		var place []byte
		for _, n := range []protowire.Number{1, 2} {
			place = protowire.AppendTag(place, n, protowire.VarintType)
			place = protowire.AppendVarint(place, uint64(position))
		}
		m = protowire.AppendTag(m, 3, protowire.BytesType)
		m = protowire.AppendBytes(m, place)
	}
	field := protowire.Number(8) // ReadResp.caught_up
	if s == fellBehind {
		field = 9 // ReadResp.fell_behind
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), m)
}

// encodedAppended is a streams.AppendResp of an append that was done.
func encodedAppended(d appended) encoded {
	success := appendWhere(make([]byte, 0, 64), d)
	b := protowire.AppendTag(make([]byte, 0, 4+len(success)), 1, protowire.BytesType)
	return protowire.AppendBytes(b, success)
}

// appendWhere writes a Success of a streams.AppendResp or a streams.BatchAppendResp, which have the same fields.
func appendWhere(b []byte, d appended) []byte {
	if d.revision >= 0 {
		b = protowire.AppendTag(b, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(d.revision))
	} else {
		b = append(protowire.AppendTag(b, 2, protowire.BytesType), 0)
	}
	if d.position <= 0 {
		return append(protowire.AppendTag(b, 4, protowire.BytesType), 0)
	}
	at := uint64(d.position)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(2*(1+protowire.SizeVarint(at)))) //nolint:gosec // a length
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), at)
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), at)
}

// encodedBatched is a streams.BatchAppendResp of an append that was done.
func encodedBatched(correlation []byte, o *batchOptions, d appended) encoded {
	b := make([]byte, 0, 128+len(correlation)+len(o.stream))
	b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), correlation)
	var success [64]byte
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), appendWhere(success[:0], d))
	b = protowire.AppendTag(b, 4, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeString(len(o.stream)))) //nolint:gosec // a length
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), o.stream)
	switch o.wants {
	case wantsRevision:
		b = protowire.AppendVarint(protowire.AppendTag(b, 5, protowire.VarintType), o.revision)
	case wantsNoStream:
		b = append(protowire.AppendTag(b, 6, protowire.BytesType), 0)
	case wantsExisting:
		b = append(protowire.AppendTag(b, 8, protowire.BytesType), 0)
	default:
		b = append(protowire.AppendTag(b, 7, protowire.BytesType), 0)
	}
	return b
}
