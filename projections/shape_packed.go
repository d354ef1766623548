package projections

import (
	"encoding/binary"
	"fmt"
	"reflect"
)

// packedName is the column that holds all packed fields of a row, one after the other, each behind its length as in COPY. What no
// query asks for costs Postgres then a copy of some bytes, and not, for every version of every row, a value to be checked, aligned
// and counted.
const packedName = "packed"

// packable is a value that writes itself in bytes, and reads them back the same.
type packable interface {
	appendPacked(buf []byte) []byte
}

type unpackable interface {
	packable
	readPacked(v []byte) error
}

func (s *shape) appendPacked(buf []byte, row reflect.Value) ([]byte, error) {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	for i := range s.packed {
		var err error
		if buf, err = s.packed[i].append(buf, row.FieldByIndex(s.packed[i].field)); err != nil {
			return buf, err
		}
	}
	binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
	return buf, nil
}

func (s *shape) readPacked(row reflect.Value, v []byte) error {
	for i := range s.packed {
		c := &s.packed[i]
		value, rest, ok := cutField(v)
		if !ok {
			return errShort
		}
		if err := readColumn(row.FieldByIndex(c.field), c.kind, value); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		v = rest
	}
	return nil
}

// cutField takes the first value with its length off; nil is null.
func cutField(v []byte) (value, rest []byte, ok bool) {
	if len(v) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(v))
	if v = v[4:]; n < 0 {
		return nil, v, true
	}
	if len(v) < int(n) {
		return nil, nil, false
	}
	return v[:n:n], v[n:], true
}

// packedDifferences are the packed columns in which two rows differ.
func (s *shape) packedDifferences(want, got []byte) []Difference {
	return differencesOf(s.packed, fields(want, len(s.packed)), fields(got, len(s.packed)), want, got)
}
