package projections

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// read fills the row from column values as append wrote them, without their lengths.
func (s *shape) read(row reflect.Value, values [][]byte) error {
	if len(values) < len(s.columns) {
		return fmt.Errorf("row has %d values, not %d", len(values), len(s.columns))
	}
	for i := range s.columns {
		c := &s.columns[i]
		if c.kind == kindPacked {
			if err := s.readPacked(row, values[i]); err != nil {
				return err
			}
			continue
		}
		if err := readColumn(row.FieldByIndex(c.field), c.kind, values[i]); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

func readColumn(f reflect.Value, kind columnKind, v []byte) error {
	switch kind {
	case kindText:
		f.SetString(string(v))
	case kindInt:
		n, err := readInt(v)
		if err != nil {
			return err
		}
		f.SetInt(n)
	case kindFloat:
		n, err := readInt(v)
		if err != nil {
			return err
		}
		f.SetFloat(math.Float64frombits(uint64(n)))
	case kindBool:
		f.SetBool(len(v) == 1 && v[0] == 1)
	case kindTime:
		if v == nil {
			f.SetZero()
			return nil
		}
		n, err := readInt(v)
		if err != nil {
			return err
		}
		f.Set(reflect.ValueOf(timeOf(n)))
	case kindTexts:
		return readTexts(f, v)
	case kindJSON:
		if err := json.Unmarshal(v, f.Addr().Interface()); err != nil {
			return fmt.Errorf("stored json: %w", err)
		}
	case kindBinary:
		return f.Addr().Interface().(unpackable).readPacked(v) //nolint:forcetypeassert,errcheck // kindOf looked
	}
	return nil
}

var errShort = errors.New("stored value is too short")

func readInt(v []byte) (int64, error) {
	if len(v) != 8 {
		return 0, errShort
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

func timeOf(micros int64) time.Time {
	return time.UnixMicro(micros + epoch.Unix()*1_000_000).UTC()
}

func readTexts(f reflect.Value, v []byte) error {
	all := texts(v)
	if all == nil && len(v) != 12 {
		return errShort
	}
	if len(all) == 0 {
		f.SetZero()
		return nil
	}
	list := reflect.MakeSlice(f.Type(), len(all), len(all))
	for i, text := range all {
		list.Index(i).SetString(text)
	}
	f.Set(list)
	return nil
}

// texts are the elements of a text[] in binary; nil when there are none, or when the value is not understood.
func texts(v []byte) []string {
	if len(v) < 20 {
		return nil
	}
	n := int(binary.BigEndian.Uint32(v[12:]))
	if v = v[20:]; n < 0 || n > len(v)/4 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		if len(v) < 4 {
			return nil
		}
		size := int(int32(binary.BigEndian.Uint32(v)))
		if size < 0 || len(v) < 4+size {
			return nil
		}
		all[i] = string(v[4 : 4+size])
		v = v[4+size:]
	}
	return all
}
