package streamapi

import (
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Appending is mostly taking in what is proposed. It is read from the wire into what the log takes, without a message, a map
// and their strings in between. A test and a fuzzer hold it against the messages of protos/streams.

// errMalformed is a message that is not protobuf.
var errMalformed = errors.New("malformed message")

// eachField calls f with the fields of a message: with the bytes of those that have some, else with the number of varints.
func eachField(b []byte, f func(n protowire.Number, t protowire.Type, value []byte, number uint64) error) error {
	for len(b) > 0 {
		n, t, length := protowire.ConsumeTag(b)
		if length < 0 || n > protowire.MaxValidNumber {
			return errMalformed
		}
		b = b[length:]
		var value []byte
		var number uint64
		switch t {
		case protowire.BytesType:
			value, length = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, length = protowire.ConsumeVarint(b)
		default:
			length = protowire.ConsumeFieldValue(n, t, b)
		}
		if length < 0 {
			return errMalformed
		}
		b = b[length:]
		if err := f(n, t, value, number); err != nil {
			return err
		}
	}
	return nil
}

// appendReq is a streams.AppendReq: options or proposed, or neither.
type appendReq struct {
	has      appendReqHas
	options  appendOptions
	proposed proposal
}

type appendReqHas int8

const (
	hasNothing appendReqHas = iota
	hasOptions
	hasProposed
)

// decode reads the message. What it holds shares b.
func (m *appendReq) decode(b []byte) error {
	*m = appendReq{}
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		switch {
		case n == 1 && t == protowire.BytesType:
			if m.has != hasOptions {
				m.has, m.options = hasOptions, appendOptions{}
			}
			return m.options.decode(value)
		case n == 2 && t == protowire.BytesType:
			if m.has != hasProposed {
				m.has, m.proposed = hasProposed, proposal{}
			}
			return m.proposed.decode(value)
		}
		return nil
	})
}

// appendOptions is a streams.AppendReq.Options, and what a streams.BatchAppendReq.Options has of it.
type appendOptions struct {
	stream   []byte
	wants    protowire.Number // the field that says what is expected; 0: none does
	revision uint64
}

// The fields of appendOptions.wants.
const (
	wantsRevision protowire.Number = 2
	wantsNoStream protowire.Number = 3
	wantsAny      protowire.Number = 4
	wantsExisting protowire.Number = 5
)

func (o *appendOptions) decode(b []byte) error { return eachField(b, o.field) }

func (o *appendOptions) field(n protowire.Number, t protowire.Type, value []byte, number uint64) error {
	switch {
	case n == 1 && t == protowire.BytesType:
		return decodeIdentifier(value, &o.stream)
	case n == wantsRevision && t == protowire.VarintType:
		o.wants, o.revision = n, number
	case n >= wantsNoStream && n <= wantsExisting && t == protowire.BytesType:
		o.wants = n
		return checkMessage(value)
	}
	return nil
}

// batchOptions is a streams.BatchAppendReq.Options.
type batchOptions struct {
	appendOptions
	until   protowire.Number // the field that says so: 6 a point in time, 7 a time from now on; 0: none
	seconds int64
	nanos   int32
}

func (o *batchOptions) decode(b []byte) error {
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, number uint64) error {
		if (n != 6 && n != 7) || t != protowire.BytesType {
			return o.field(n, t, value, number)
		}
		if o.until != n {
			o.until, o.seconds, o.nanos = n, 0, 0
		}
		return eachField(value, func(n protowire.Number, t protowire.Type, _ []byte, number uint64) error {
			if n == 1 && t == protowire.VarintType {
				o.seconds = int64(number) //nolint:gosec // the same bits
			} else if n == 2 && t == protowire.VarintType {
				o.nanos = int32(number) //nolint:gosec // the same bits
			}
			return nil
		})
	})
}

// deadline is until when the append has to be done; the zero Time: there is no end to it.
func (o *batchOptions) deadline(now time.Time) time.Time {
	switch o.until {
	case 6:
		at := (&timestamppb.Timestamp{Seconds: o.seconds, Nanos: o.nanos}).AsTime()
		if at.Year() < 9000 { // DateTime.MaxValue is how clients say none
			return at
		}
	case 7:
		if d := (&durationpb.Duration{Seconds: o.seconds, Nanos: o.nanos}).AsDuration(); d > 0 && d < 365*24*time.Hour {
			return now.Add(d)
		}
	}
	return time.Time{}
}

// batchReq is a streams.BatchAppendReq.
type batchReq struct {
	correlation []byte // as it came: it is answered so
	hasOptions  bool
	options     batchOptions
	final       bool
	message     []byte
}

// decode reads the message but for what is proposed. What it holds shares b.
func (m *batchReq) decode(b []byte) error {
	*m = batchReq{message: b}
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, number uint64) error {
		switch {
		case n == 1 && t == protowire.BytesType:
			if len(m.correlation) > 0 { // told in parts, which are not the right form by being put together
				var first, next identity
				if err := errors.Join(first.decode(m.correlation), next.decode(value)); err != nil {
					return err
				}
			}
			m.correlation = append(m.correlation, value...)
		case n == 2 && t == protowire.BytesType:
			m.hasOptions = true
			return m.options.decode(value)
		case n == 4 && t == protowire.VarintType:
			m.final = protowire.DecodeBool(number)
		}
		return nil
	})
}

// proposals calls f with what is proposed, one after the other, in the same place.
func (m *batchReq) proposals(f func(*proposal)) error {
	var p proposal
	return eachField(m.message, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		if n != 3 || t != protowire.BytesType {
			return nil
		}
		p = proposal{}
		err := p.decode(value)
		if err == nil {
			f(&p)
		}
		return err
	})
}

func decodeIdentifier(b []byte, name *[]byte) error {
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		if n == 3 && t == protowire.BytesType {
			*name = value
		}
		return nil
	})
}

// checkMessage is the decoding of a message with nothing in it that is known.
func checkMessage(b []byte) error {
	return eachField(b, func(protowire.Number, protowire.Type, []byte, uint64) error { return nil })
}

// expectation is what the options say; without a word it is revision 0, as a field of a message that is not set is.
func (o *appendOptions) expectation() (expectation, error) {
	switch o.wants {
	case wantsNoStream:
		return expectation(eventstore.NoStream), nil
	case wantsAny:
		return expectation(eventstore.Any), nil
	case wantsExisting:
		return mustExist, nil
	default:
		return exactly(o.revision)
	}
}

// proposal is a streams.AppendReq.ProposedMessage or streams.BatchAppendReq.ProposedMessage: they are written alike.
type proposal struct {
	id           identity
	typ, content []byte // nil: not there
	custom, data []byte
}

func (p *proposal) decode(b []byte) error {
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		if t != protowire.BytesType {
			return nil
		}
		switch n {
		case 1:
			return p.id.decode(value)
		case 2:
			return p.metadata(value)
		case 3:
			p.custom = value
		case 4:
			p.data = value
		}
		return nil
	})
}

// metadata takes an entry of the map of system metadata.
func (p *proposal) metadata(b []byte) error {
	key, text := []byte{}, []byte{}
	err := eachField(b, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		if t != protowire.BytesType || n > 2 {
			return nil
		}
		if !utf8.Valid(value) {
			return errMalformed
		}
		if n == 1 {
			key = value
		} else {
			text = value
		}
		return nil
	})
	switch string(key) {
	case keyType:
		p.typ = text
	case keyContentType:
		p.content = text
	}
	return err
}

// identity is a shared.UUID.
type identity struct {
	form        protowire.Number // the field that it has: 1 two numbers, 2 text; 0: none
	most, least uint64
	text        []byte
}

func (i *identity) decode(b []byte) error {
	return eachField(b, func(n protowire.Number, t protowire.Type, value []byte, _ uint64) error {
		switch {
		case n == 1 && t == protowire.BytesType:
			if i.form != n {
				*i = identity{form: n}
			}
			return eachField(value, func(n protowire.Number, t protowire.Type, _ []byte, number uint64) error {
				if t == protowire.VarintType && n == 1 {
					i.most = number
				} else if t == protowire.VarintType && n == 2 {
					i.least = number
				}
				return nil
			})
		case n == 2 && t == protowire.BytesType:
			if !utf8.Valid(value) {
				return errMalformed
			}
			*i = identity{form: n, text: value}
		}
		return nil
	})
}

func (i *identity) uuid() (u uuid.UUID, err error) {
	switch i.form {
	case 1:
		binary.BigEndian.PutUint64(u[:8], i.most)
		binary.BigEndian.PutUint64(u[8:], i.least)
		return u, nil
	case 2:
		if u, err = uuid.ParseBytes(i.text); err != nil {
			return u, invalidArgument("'%s' is not a UUID", i.text)
		}
		return u, nil
	default:
		return u, invalidArgument("an id is required")
	}
}

// entry makes an entry for the log of what a client proposes.
func (p *proposal) entry() (eventstore.Entry, error) {
	id, err := p.id.uuid()
	if err != nil {
		return eventstore.Entry{}, err
	}
	if p.typ == nil {
		return eventstore.Entry{}, missingMetadata(keyType)
	}
	if p.content == nil {
		return eventstore.Entry{}, missingMetadata(keyContentType)
	}
	return eventstore.Entry{ID: id, Type: string(p.typ), Data: p.data, Metadata: pack(p.custom, string(p.content) == contentJSON)}, nil
}
