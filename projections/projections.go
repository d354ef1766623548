// Package projections is what people see: tables that are folded from the log, that can be dropped and built again, and the
// questions that can be asked of them, as of any moment. It decides nothing and appends nothing.
//
// A read model is three things in one file: a row, a Projection that folds events into rows, and its queries. The engine does
// the rest: batches, checkpoints, row versions, parking, rebuilding and verifying. See docs/adr/0050-projections.md.
package projections

import (
	"context"
	"iter"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Projection folds events into rows of type R. It is pure: no clock, no I/O, nothing remembered between calls; the same
// events always make the same rows. It is called from several goroutines at once.
//
// R is a struct; each field carries a tag `db:"column"`. A field is a string, an integer, a float, a bool, a
// time.Time (zero: null; kept to the microsecond), a []string, all of these under names of their own, too, or, with the tag
// `db:"column,json"`, anything that encoding/json writes and reads back the same. What no query looks at is tagged
// `db:"column,packed"`, and costs less. Text that
// Postgres cannot hold (NUL, broken UTF-8) is stored with U+FFFD in its place.
type Projection[R any] interface {
	// Name is the name of the read model and of its table.
	Name() string
	// Types are the event types it takes; the log hands over no others.
	Types() []string
	// Keys are the rows that the event touches; none when it touches no row. They must follow from the event and its envelope
	// alone. The event is nil when it could not be decoded: whoever can tell the key from the envelope (rec.Stream) does, so
	// that this key, and no other, is parked.
	Keys(rec eventstore.Recorded) []string
	// Evolve is the row of that key after the event. The zero row means that there was none. It may change the row's slices
	// and maps in place. False ends the row: from this position on there is none.
	Evolve(key string, row R, rec eventstore.Recorded) (R, bool)
	// Table says how rows are looked for.
	Table() Table
}

// Table says how the rows of a read model are kept and looked for.
//
// The engine makes the table from the row's tags and owns four more columns: key text, from_position bigint, from_time
// timestamptz (when that event was recorded), and until_position bigint, which is Forever for the current version of a row.
// It is partitioned: the current versions stand in <name>_current, the ended ones in <name>_closed, so that asking what is
// now costs the same however long the history is. Queries go to <name>, and say which moment with At.Where.
type Table struct {
	// Indexes besides the one on (key) of the current and (key, from_position) of the closed versions.
	Indexes []Index
	// AppendOnly tables hold rows that never change: every event makes a row of its own (its key need not be known before, and
	// Evolve always gets the zero row). They are one plain table, without partitions.
	AppendOnly bool
	// Revision is part of the table's shape: raise it when Evolve changed so that the rows must be built again.
	Revision int
}

// Index is one index of a read model's table.
type Index struct {
	// On is what is indexed, as in `create index ... (On)`: `owner, created_at desc, key`.
	On string
	// Using is the access method; btree when empty.
	Using string
	// Where makes it partial.
	Where string
	// Scope says which versions it covers.
	Scope Scope
}

// Scope says which versions of rows an index covers.
type Scope int

// The scopes. An index that serves as-of questions, too, is AllVersions: on closed versions the engine adds from_position and
// until_position to a btree, so that versions of another moment are passed over within the index.
const (
	AllVersions Scope = iota
	CurrentOnly
	ClosedOnly
)

// Forever is the until_position of a row's current version.
const Forever = eventstore.Position(1<<63 - 1)

// Version is one version of a row, with what the engine knows of it.
type Version[R any] struct {
	Key   string
	From  eventstore.Position // the event that made it
	Until eventstore.Position // the event that ended it; Forever when it is current
	Time  time.Time           // when From was recorded
	Row   R
}

// Source is the part of eventstore.Store that projections read.
type Source interface {
	Follow(ctx context.Context, after eventstore.Position, filter eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Recorded], error]
	Head(ctx context.Context) (eventstore.Position, error)
	PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error)
}

// Model is a projection whose row type is known to the engine only: what Define makes.
type Model interface {
	// Name is the name of the read model and of its table.
	Name() string
	model() *model
}
