package projections

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Difference is one way in which a table is not what the log says. Want and Got may hold personal text.
type Difference struct {
	Key    string
	From   eventstore.Position // of the version
	Kind   DifferenceKind
	Column string // when Kind is Differs
	Want   string
	Got    string
}

// DifferenceKind says what is wrong.
type DifferenceKind string

// The kinds.
const (
	Missing DifferenceKind = "missing" // the table lacks the version
	Surplus DifferenceKind = "surplus" // the table has a version that follows from no event
	Differs DifferenceKind = "differs" // a column has another value
)

// String implements fmt.Stringer.
func (d Difference) String() string {
	s := fmt.Sprintf("%s at %d: %s", d.Key, d.From, d.Kind)
	if d.Kind == Differs {
		s += fmt.Sprintf(" in %s: want %q, got %q", d.Column, d.Want, d.Got)
	}
	return s
}

// versions are all versions of a model from somewhere. It can be asked several times and then yields the same, in any order.
// The payload is valid during the call only.
type versions func(ctx context.Context, chosen func(key string) bool, yield func(key string, from eventstore.Position, payload []byte) error) error

const (
	buckets  = 4096
	fineRows = 200_000 // that are compared one by one in memory at once
)

// sums are digests of sets of versions, by bucket of their keys: equal sets have equal sums whatever their order.
type sums struct {
	seed maphash.Seed
	by   [buckets]sum
}

type sum struct {
	digest uint64
	again  uint64
	rows   int
}

func (s *sums) bucket(key string) int { return int(maphash.String(s.seed, key) % buckets) }

func (s *sums) add(key string, payload []byte) {
	b := &s.by[s.bucket(key)]
	d := maphash.Bytes(s.seed, payload)
	b.digest += d
	// A second digest of a kind that does not follow from the first: two wrong rows that cancel out would have to do so twice.
	b.again += (d ^ d>>29) * (d | 1)
	b.rows++
}

func (s *sums) rows() (n int) {
	for i := range s.by {
		n += s.by[i].rows
	}
	return n
}

// compared is what a comparison found.
type compared struct {
	rows    int // that were compared, on the side of want
	count   int // differences
	details []Difference
}

// compare tells how got differs from want, in bounded memory: first digests of all, then, of the buckets that differ, the rows.
func compare(ctx context.Context, s *shape, want, got versions, limit int) (compared, error) {
	a, b := &sums{seed: maphash.MakeSeed()}, &sums{}
	b.seed = a.seed
	if err := want(ctx, nil, func(key string, _ eventstore.Position, p []byte) error { a.add(key, p); return nil }); err != nil {
		return compared{}, err
	}
	if err := got(ctx, nil, func(key string, _ eventstore.Position, p []byte) error { b.add(key, p); return nil }); err != nil {
		return compared{}, err
	}
	found := compared{rows: a.rows()}
	var chosen [buckets]bool
	rows := 0
	for i := range buckets {
		if a.by[i] != b.by[i] {
			chosen[i] = true
			rows += a.by[i].rows + b.by[i].rows
		}
		if rows > fineRows || i == buckets-1 && rows > 0 {
			if err := found.closely(ctx, s, want, got, limit, func(key string) bool { return chosen[a.bucket(key)] }); err != nil {
				return compared{}, err
			}
			chosen, rows = [buckets]bool{}, 0
		}
	}
	return found, nil
}

type versionID struct {
	key  string
	from eventstore.Position
}

// closely compares the versions of some keys one by one.
func (c *compared) closely(ctx context.Context, s *shape, want, got versions, limit int, chosen func(string) bool) error {
	wanted, had := map[versionID][]byte{}, map[versionID][]byte{}
	gather := func(into map[versionID][]byte) func(string, eventstore.Position, []byte) error {
		return func(key string, from eventstore.Position, p []byte) error {
			if chosen(key) {
				into[versionID{key, from}] = bytes.Clone(p)
			}
			return nil
		}
	}
	if err := want(ctx, chosen, gather(wanted)); err != nil {
		return err
	}
	if err := got(ctx, chosen, gather(had)); err != nil {
		return err
	}
	ids := slices.Collect(maps.Keys(wanted))
	for id := range had {
		if _, ok := wanted[id]; !ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b versionID) int {
		return cmpOr(strings.Compare(a.key, b.key), int(max(-1, min(1, a.from-b.from))))
	})
	for _, id := range ids {
		w, isWanted := wanted[id]
		g, isThere := had[id]
		switch {
		case !isThere:
			c.note(limit, Difference{Key: id.key, From: id.from, Kind: Missing})
		case !isWanted:
			c.note(limit, Difference{Key: id.key, From: id.from, Kind: Surplus})
		case !bytes.Equal(w, g):
			for _, d := range s.differences(w, g) {
				d.Key, d.From, d.Kind = id.key, id.from, Differs
				c.note(limit, d)
			}
		}
	}
	return nil
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

func (c *compared) note(limit int, d Difference) {
	c.count++
	if len(c.details) < limit {
		c.details = append(c.details, d)
	}
}

// differences are the columns in which two payloads differ.
func (s *shape) differences(want, got []byte) []Difference {
	all := slices.Clone(s.columns)
	for _, name := range owned {
		c := column{name: name, kind: kindInt}
		switch name {
		case "key":
			c.kind = kindText
		case "from_time":
			c.kind = kindTime
		}
		all = append(all, c)
	}
	w, g := fields(want, len(all)), fields(got, len(all))
	found := differencesOf(all, w, g, want, got)
	for i, c := range all {
		if c.kind == kindPacked && w != nil && g != nil && !bytes.Equal(w[i], g[i]) {
			found = slices.DeleteFunc(found, func(d Difference) bool { return d.Column == packedName })
			found = append(found, s.packedDifferences(w[i], g[i])...)
		}
	}
	return found
}

// differencesOf are the columns whose values w and g differ; nil values are not understood, and told as a whole.
func differencesOf(columns []column, w, g [][]byte, want, got []byte) []Difference {
	if w == nil || g == nil {
		return []Difference{{Column: "(row)", Want: strconv.Quote(string(want)), Got: strconv.Quote(string(got))}}
	}
	var all []Difference
	for i, c := range columns {
		if bytes.Equal(w[i], g[i]) && (w[i] == nil) == (g[i] == nil) {
			continue
		}
		all = append(all, Difference{Column: c.name, Want: show(c.kind, w[i]), Got: show(c.kind, g[i])})
	}
	return all
}

// show is a stored value for people.
func show(kind columnKind, v []byte) string {
	switch {
	case v == nil:
		return "null"
	case kind == kindInt && len(v) == 8:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10)
	case kind == kindTime && len(v) == 8:
		return timeOf(int64(binary.BigEndian.Uint64(v))).Format(time.RFC3339Nano)
	case kind == kindBool && len(v) == 1:
		return strconv.FormatBool(v[0] == 1)
	case kind == kindText || kind == kindJSON:
		return string(v)
	case kind == kindTexts:
		return fmt.Sprintf("%q", texts(v))
	}
	return fmt.Sprintf("%x", v)
}

// fields cuts a payload into its columns; nil for a null. It answers nil when the payload is not of that many columns.
func fields(p []byte, width int) [][]byte {
	all := make([][]byte, 0, width)
	for range width {
		value, rest, ok := cutField(p)
		if !ok {
			return nil
		}
		all, p = append(all, value), rest
	}
	if len(p) > 0 {
		return nil
	}
	return all
}

// stored are the versions in a table as of a position: what came later is left out, what ended later is given as current.
func (m *model) stored(conn *pgx.Conn, suffix string, through eventstore.Position) versions {
	return func(ctx context.Context, _ func(string) bool, yield func(string, eventstore.Position, []byte) error) error {
		p := &tupleReader{width: m.shape.width(), through: through, yield: yield}
		sql := fmt.Sprintf("copy (select %s from %s where from_position <= %d) to stdout with (format binary)",
			m.shape.names(""), m.tables(suffix).parent, through)
		if _, err := conn.PgConn().CopyTo(ctx, p, sql); err != nil {
			return fmt.Errorf("read %s: %w", m.tables(suffix).parent, err)
		}
		return nil
	}
}

// tupleReader takes binary COPY output apart. It implements io.Writer.
type tupleReader struct {
	width   int
	through eventstore.Position
	yield   func(key string, from eventstore.Position, payload []byte) error
	begun   bool
	rest    []byte
}

var errTuple = errors.New("copy stream is not understood")

// Write implements io.Writer.
func (t *tupleReader) Write(p []byte) (int, error) {
	t.rest = append(t.rest, p...)
	b := t.rest
	if !t.begun {
		if len(b) < len(copyHeader) {
			return len(p), nil
		}
		b, t.begun = b[len(copyHeader):], true
	}
	for {
		n, err := t.tuple(b)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	t.rest = append(t.rest[:0], b...)
	return len(p), nil
}

// tuple takes one row; 0 when it is not complete.
func (t *tupleReader) tuple(b []byte) (int, error) {
	if len(b) < 2 || b[0] == 0xff && b[1] == 0xff {
		return 0, nil
	}
	if int(binary.BigEndian.Uint16(b)) != t.width {
		return 0, errTuple
	}
	at, key := 2, []byte(nil)
	for i := range t.width {
		if len(b) < at+4 {
			return 0, nil
		}
		n := max(0, int(int32(binary.BigEndian.Uint32(b[at:]))))
		if at += 4; len(b) < at+n {
			return 0, nil
		}
		if i == t.width-len(owned) {
			key = b[at : at+n]
		}
		at += n
	}
	// from, until and time close the row: three values of 8 bytes behind their lengths.
	from := eventstore.Position(binary.BigEndian.Uint64(b[at-32:]))
	until := b[at-20 : at-12]
	if eventstore.Position(binary.BigEndian.Uint64(until)) > t.through {
		binary.BigEndian.PutUint64(until, uint64(Forever))
	}
	return at, t.yield(string(key), from, b[2:at])
}
