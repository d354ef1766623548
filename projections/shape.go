package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// shape is a row type as columns: how its values become the bytes that Postgres' binary COPY takes, and back. One encoding
// serves live writing, rebuilding and comparing, so that equal rows are equal bytes.
type shape struct {
	columns []column // of the table, the row's own
	packed  []column // that stand in the column packed
}

type column struct {
	name  string
	sql   string // type
	field []int
	kind  columnKind
}

type columnKind uint8

const (
	kindText columnKind = iota
	kindInt
	kindFloat
	kindBool
	kindTime
	kindTexts
	kindJSON
	kindBinary // only packed
	kindPacked // all packed columns
)

// Text is compared by its bytes, whatever the database's locale: faster, and an index does not break with the next version of
// a locale. JSON is kept as text, which spares Postgres parsing each of them; cast it to look inside.
var sqlTypes = map[columnKind]string{
	kindText: `text collate "C" not null`, kindInt: "bigint not null", kindFloat: "double precision not null", kindBool: "boolean not null",
	kindTime: "timestamptz", kindTexts: `text[] collate "C" not null`, kindJSON: `text collate "C" not null`,
	kindPacked: "bytea not null",
}

var sqlOIDs = map[columnKind]uint32{
	kindText: textOID, kindInt: 20, kindFloat: 701, kindBool: 16, kindTime: 1184, kindTexts: 1009, kindJSON: textOID, kindPacked: 17,
}

// oids are the types of the columns of a table.
func (s *shape) oids() []uint32 {
	all := make([]uint32, 0, s.width())
	for _, c := range s.columns {
		all = append(all, sqlOIDs[c.kind])
	}
	return append(all, textOID, sqlOIDs[kindInt], sqlOIDs[kindInt], sqlOIDs[kindTime])
}

// owned are the engine's columns; they follow the row's in every table.
var owned = []string{"key", "from_position", "until_position", "from_time"}

func shapeOf(t reflect.Type) (*shape, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("row %s is not a struct", t)
	}
	s := &shape{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue // its fields come by themselves
		}
		// A field that is not stored would differ between a row that was kept in memory and one that was read again.
		tag, ok := f.Tag.Lookup("db")
		if !ok {
			return nil, fmt.Errorf("row %s, field %s has no db tag", t, f.Name)
		}
		name, option, _ := strings.Cut(tag, ",")
		option, packed := strings.CutSuffix(","+option, ",packed")
		kind, err := kindOf(f.Type, strings.TrimPrefix(option, ","))
		switch {
		case err != nil:
			return nil, fmt.Errorf("row %s, field %s: %w", t, f.Name, err)
		case !f.IsExported():
			return nil, fmt.Errorf("row %s, field %s is not exported", t, f.Name)
		case name == "" || slices.Contains(owned, name) || name == packedName:
			return nil, fmt.Errorf("row %s, field %s: column %q is not free", t, f.Name, name)
		case slices.ContainsFunc(slices.Concat(s.columns, s.packed), func(c column) bool { return c.name == name }):
			return nil, fmt.Errorf("row %s has column %q twice", t, name)
		case kind == kindBinary && !packed:
			return nil, fmt.Errorf("row %s, field %s: only packed columns are binary", t, f.Name)
		}
		c := column{name: name, sql: sqlTypes[kind], field: f.Index, kind: kind}
		if packed {
			s.packed = append(s.packed, c)
		} else {
			s.columns = append(s.columns, c)
		}
	}
	if len(s.packed) > 0 {
		s.columns = append(s.columns, column{name: packedName, sql: sqlTypes[kindPacked], kind: kindPacked})
	}
	return s, nil
}

func kindOf(t reflect.Type, option string) (columnKind, error) {
	switch option {
	case "json":
		return kindJSON, nil
	case "binary":
		if !reflect.PointerTo(t).Implements(reflect.TypeFor[unpackable]()) {
			return 0, fmt.Errorf("type %s does not pack itself", t)
		}
		return kindBinary, nil
	}
	if option != "" {
		return 0, fmt.Errorf("unknown option %q", option)
	}
	if t == reflect.TypeFor[time.Time]() {
		return kindTime, nil
	}
	switch t.Kind() {
	case reflect.String:
		return kindText, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt, nil
	case reflect.Float32, reflect.Float64:
		return kindFloat, nil
	case reflect.Bool:
		return kindBool, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return kindTexts, nil
		}
	}
	return 0, fmt.Errorf("type %s has no column type; say json", t)
}

// fingerprint changes when the table has to be built again.
func (s *shape) fingerprint(t Table) string {
	h := sha256.New()
	for _, c := range s.columns {
		fmt.Fprintf(h, "%s %s\n", c.name, c.sql)
	}
	for _, c := range s.packed {
		fmt.Fprintf(h, "packed %s %d\n", c.name, c.kind)
	}
	fmt.Fprintf(h, "%v %d\n", t.AppendOnly, t.Revision)
	for _, i := range t.Indexes {
		fmt.Fprintf(h, "%s %s %s %d\n", i.On, i.Using, i.Where, i.Scope)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// names lists the columns of a table in the order of their bytes: the row's, then the engine's.
func (s *shape) names(alias string) string {
	var b strings.Builder
	for _, c := range s.columns {
		b.WriteString(alias + `"` + c.name + `", `)
	}
	for i, name := range owned {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(alias + name)
	}
	return b.String()
}

// width is how many columns a stored row has.
func (s *shape) width() int { return len(s.columns) + len(owned) }

// epoch is where Postgres counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// latest is the last time that Postgres can hold with room to spare.
var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// errTime is a time that is no time of this world.
var errTime = errors.New("time is out of range")

// append adds the row's columns, each with its length before it.
func (s *shape) append(buf []byte, row reflect.Value) (_ []byte, err error) {
	for i := range s.columns {
		c := &s.columns[i]
		if c.kind == kindPacked {
			buf, err = s.appendPacked(buf, row)
		} else {
			buf, err = c.append(buf, row.FieldByIndex(c.field))
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

func (c *column) append(buf []byte, f reflect.Value) ([]byte, error) {
	switch c.kind {
	case kindText:
		return appendText(buf, f.String()), nil
	case kindInt:
		return appendInt(buf, f.Int()), nil
	case kindFloat:
		return appendInt(buf, int64(math.Float64bits(f.Float()))), nil
	case kindBool:
		b := byte(0)
		if f.Bool() {
			b = 1
		}
		return append(buf, 0, 0, 0, 1, b), nil
	case kindTime:
		t := *f.Addr().Interface().(*time.Time) //nolint:forcetypeassert,errcheck // kindOf looked
		if t.IsZero() {
			return append(buf, 0xff, 0xff, 0xff, 0xff), nil
		}
		if t.Before(time.Time{}) || t.After(latest) {
			return buf, fmt.Errorf("column %s: %w", c.name, errTime)
		}
		return appendTime(buf, t), nil
	case kindTexts:
		return appendTexts(buf, f), nil
	case kindJSON:
		buf, err := appendJSON(buf, f.Addr().Interface())
		if err != nil {
			return buf, fmt.Errorf("column %s: %w", c.name, err)
		}
		return buf, nil
	case kindBinary:
		start := len(buf)
		buf = f.Addr().Interface().(packable).appendPacked(append(buf, 0, 0, 0, 0)) //nolint:forcetypeassert,errcheck // kindOf looked
		binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
	}
	return buf, nil
}

func appendJSON(buf []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return buf, err
	}
	return appendBytes(buf, text), nil
}

func appendBytes(buf, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(v))), v...)
}

// appendText replaces what Postgres cannot hold (NUL, broken UTF-8) by U+FFFD, so that no text ever stops a projection.
func appendText(buf []byte, v string) []byte {
	if strings.IndexByte(v, 0) >= 0 || !utf8.ValidString(v) {
		v = strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "\x00", "\uFFFD")
	}
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(v))), v...)
}

func appendInt(buf []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(buf, 0, 0, 0, 8), uint64(v))
}

func appendTime(buf []byte, t time.Time) []byte {
	// Seconds and microseconds apart: a Duration would overflow after 292 years.
	return appendInt(buf, (t.Unix()-epoch.Unix())*1_000_000+int64(t.Nanosecond()/1000))
}

const textOID = 25

func appendTexts(buf []byte, f reflect.Value) []byte {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	n := f.Len()
	if n == 0 {
		buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0)
		buf = binary.BigEndian.AppendUint32(buf, textOID)
	} else {
		buf = append(buf, 0, 0, 0, 1, 0, 0, 0, 0)
		buf = binary.BigEndian.AppendUint32(buf, textOID)
		buf = binary.BigEndian.AppendUint32(buf, uint32(n))
		buf = append(buf, 0, 0, 0, 1)
		for i := range n {
			buf = appendText(buf, f.Index(i).String())
		}
	}
	binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
	return buf
}
