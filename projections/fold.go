package projections

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// model is a projection without its row type.
type model struct {
	name  string
	types []string
	table Table
	shape *shape
	print string // fingerprint of the shape
	err   error  // why it cannot be used
	keys  func(rec eventstore.Recorded) []string
	fold  func() folder
	// forgets is how open text of a person leaves the rows; nil: they hold none.
	forgets *forgets
}

// Define makes a model of a projection, for New. A row type that cannot be stored is reported by New.
func Define[R any](p Projection[R]) Model {
	m := &model{name: p.Name(), types: p.Types(), table: p.Table(), keys: p.Keys}
	m.shape, m.err = shapeOf(reflect.TypeFor[R]())
	if m.err != nil {
		return m
	}
	m.print = m.shape.fingerprint(m.table)
	if f, ok := p.(Forgetter[R]); ok {
		m.forgets = forgetsOf(f, m.shape)
		m.types = append(slices.Clone(m.types), erasures()...)
	}
	m.fold = func() folder {
		return &fold[R]{projection: p, shape: m.shape, appendOnly: m.table.AppendOnly, entries: map[string]*entry[R]{}}
	}
	return m
}

// Name is the name of the read model and of its table.
func (m *model) Name() string { return m.name }

func (m *model) model() *model { return m }

func (m *model) filter() eventstore.Filter { return eventstore.Filter{Types: m.types} }

// keysOf are the rows that an event touches, each once. An event whose keys cannot be told has the key "".
func (m *model) keysOf(rec eventstore.Recorded) (keys []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			keys, err = []string{""}, fmt.Errorf("keys: panic: %v", p)
		}
	}()
	if _, ok := erasureOf(rec); ok && m.forgets != nil {
		return nil, nil // it is no row's: see change.forget
	}
	keys = m.keys(rec)
	if rec.Undecodable != nil && len(keys) == 0 {
		return []string{""}, nil
	}
	for i := len(keys) - 1; i > 0; i-- {
		if slices.Contains(keys[:i], keys[i]) {
			keys = slices.Delete(slices.Clone(keys), i, i+1)
		}
	}
	return keys, nil
}

// version is one version of a row as it is stored: the row's columns as shape.append made them, and the engine's.
type version struct {
	key     string
	columns []byte
	from    eventstore.Position
	until   eventstore.Position
	time    time.Time
}

// tuple adds the version as binary COPY takes it.
func (v version) tuple(buf []byte, width int) []byte {
	buf = append(buf, byte(width>>8), byte(width))
	return v.payload(buf)
}

// payload adds the version's columns, which are all that two versions can differ in.
func (v version) payload(buf []byte) []byte {
	buf = append(buf, v.columns...)
	buf = appendText(buf, v.key)
	buf = appendInt(buf, int64(v.from))
	buf = appendInt(buf, int64(v.until))
	return appendTime(buf, v.time)
}

// folder keeps the current rows of some keys and folds events into them. It is used by one goroutine at a time.
type folder interface {
	// knows reports whether the key's current row is known, be it that there is none.
	knows(key string) bool
	// load tells the current row of a key, from its columns in the order of shape.names.
	load(key string, values [][]byte) error
	// absent tells that the key has no current row.
	absent(key string)
	// apply folds an event into the key's row. It emits the version that ended by it, if one did. After an
	// error the current version is what it was, but the key must be loaded again before another event is applied to it.
	apply(key string, rec eventstore.Recorded, emit func(version)) error
	// current is the key's current version, and whether there is one.
	current(key string) (version, bool)
	// each emits the current version of every key that it knows.
	each(emit func(version))
	// drop forgets the keys that which says.
	drop(which func(key string) bool)
	// size is how many keys it knows.
	size() int
}

type fold[R any] struct {
	projection Projection[R]
	shape      *shape
	appendOnly bool
	entries    map[string]*entry[R]
	spare      []byte   // for encoding
	scratch    entry[R] // of append-only models, which keep none
}

type entry[R any] struct {
	row     R
	there   bool
	columns []byte // of row, as stored: row itself may share memory with what Evolve changes next
	from    eventstore.Position
	time    time.Time
}

func (f *fold[R]) knows(key string) bool { return f.appendOnly || f.entries[key] != nil }

func (f *fold[R]) size() int { return len(f.entries) }

func (f *fold[R]) absent(key string) { f.entries[key] = &entry[R]{} }

func (f *fold[R]) load(key string, values [][]byte) error {
	if len(values) != f.shape.width() {
		return fmt.Errorf("stored row has %d columns, not %d", len(values), f.shape.width())
	}
	e := &entry[R]{there: true}
	if err := f.shape.read(reflect.ValueOf(&e.row).Elem(), values); err != nil {
		return err
	}
	from, err := readInt(values[len(f.shape.columns)+1])
	if err != nil {
		return err
	}
	at, err := readInt(values[len(f.shape.columns)+3])
	if err != nil {
		return err
	}
	e.from, e.time = eventstore.Position(from), timeOf(at)
	for _, v := range values[:len(f.shape.columns)] {
		if v == nil {
			e.columns = append(e.columns, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		e.columns = appendBytes(e.columns, v)
	}
	f.entries[key] = e
	return nil
}

func (f *fold[R]) apply(key string, rec eventstore.Recorded, emit func(version)) error {
	if rec.Undecodable != nil {
		return fmt.Errorf("undecodable: %w", rec.Undecodable)
	}
	e := &f.scratch
	if f.appendOnly {
		*e = entry[R]{}
	} else if e = f.entries[key]; e == nil {
		e = &entry[R]{}
		f.entries[key] = e
	}
	row, there, err := f.evolve(key, e.row, rec)
	if err != nil {
		return err
	}
	if !there {
		if e.there {
			emit(version{key: key, columns: e.columns, from: e.from, until: rec.Position, time: e.time})
		}
		var none R
		e.row, e.there = none, false
		return nil
	}
	e.row = row
	columns, err := f.shape.append(f.spare[:0], reflect.ValueOf(&e.row).Elem())
	f.spare = columns
	if err != nil {
		return err
	}
	if f.appendOnly {
		emit(version{key: key, columns: columns, from: rec.Position, until: Forever, time: rec.At})
		return nil
	}
	if e.there && bytes.Equal(columns, e.columns) {
		return nil // the event changed nothing that can be seen: the version stands
	}
	if e.there {
		emit(version{key: key, columns: e.columns, from: e.from, until: rec.Position, time: e.time})
	}
	e.there, e.from, e.time = true, rec.Position, rec.At
	e.columns = append(e.columns[:0], columns...)
	return nil
}

// errPanic is a projection that panicked over an event.
var errPanic = errors.New("panic")

func (f *fold[R]) evolve(key string, row R, rec eventstore.Recorded) (next R, there bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("evolve: %w: %v\n%s", errPanic, p, debug.Stack())
		}
	}()
	next, there = f.projection.Evolve(key, row, rec)
	return next, there, nil
}

func (f *fold[R]) current(key string) (version, bool) {
	e := f.entries[key]
	if e == nil || !e.there {
		return version{}, false
	}
	return version{key: key, columns: e.columns, from: e.from, until: Forever, time: e.time}, true
}

func (f *fold[R]) each(emit func(version)) {
	for key := range f.entries {
		if v, ok := f.current(key); ok {
			emit(v)
		}
	}
}

func (f *fold[R]) drop(which func(key string) bool) {
	for key := range f.entries {
		if which(key) {
			delete(f.entries, key)
		}
	}
}
