// Package eventstore is what happened: an append-only, totally ordered log of events, and the codec between the domain's
// events and the stored bytes. It knows no rule of the domain. The logs stand in postgres/ (and esdb/); storetest/ is the
// specification that each of them passes.
package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Stream names the events of one thing, `<category>-<id>`.
type Stream string

// StreamOf names the stream of one thing.
func StreamOf[ID ~string](category string, id ID) Stream { return Stream(category + "-" + string(id)) }

// Category is the part before the first `-`.
func (s Stream) Category() string { c, _, _ := strings.Cut(string(s), "-"); return c }

// ID is the part after the first `-`.
func (s Stream) ID() string { _, id, _ := strings.Cut(string(s), "-"); return id }

// Revision is a place in a stream, from 0.
type Revision int64

// Position is a place in the whole log. To readers it is opaque and increasing; in the Postgres log it counts every event
// from 1 without a gap. 0 is before the first event.
type Position int64

// Expected is the revision that a caller believes a stream to be at. Values from 0 name that very revision.
type Expected int64

// The expectations that are not a revision.
const (
	Any      Expected = -2 // append whatever is there
	NoStream Expected = -1 // the stream must not exist
)

// Exactly expects the stream's last event to be r.
func Exactly(r Revision) Expected { return Expected(r) }

var (
	// ErrConflict is a stream at another revision than was expected. ConflictError says at which.
	ErrConflict = errors.New("stream is at another revision")
	// ErrIDReused is a set of event ids of which some, but not all, are in the stream already, or in another order.
	ErrIDReused = errors.New("event id was used for another append")
	// ErrTooLarge is an append over a log's limits (Limits).
	ErrTooLarge = errors.New("append is too large")
	// ErrInvalid is an append that no log can hold: a name that is empty, too long or not text, or no entries.
	ErrInvalid = errors.New("append is not well formed")
	// ErrClosed is a log that was closed.
	ErrClosed = errors.New("event store is closed")
	// ErrUnavailable is a log, or a neighbour that it needs, which did not answer in time. Asking again later may help.
	ErrUnavailable = errors.New("event store is unavailable")
	// ErrFull is an ErrUnavailable of a log that has no room left: nothing was appended, and asking again helps once somebody has
	// made room.
	ErrFull = fmt.Errorf("%w: there is no room left", ErrUnavailable)
)

// ConflictError is an ErrConflict with its facts.
type ConflictError struct {
	Stream   Stream
	Expected Expected
	Actual   Revision // -1: there is no such stream
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s is at revision %d, not at the expected %d", e.Stream, e.Actual, e.Expected)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Receipt says where an append left its mark. It is answered once the events are durable, and again, the same, for the
// same event ids.
type Receipt struct {
	Stream   Stream
	First    Revision // of the first event of the append
	Revision Revision // of the last event of the append
	Position Position // of the last event of the append
	At       time.Time
	Repeated bool // true when the ids were there already, and nothing was appended
}

// Entry is an event on its way into a log: bytes that are stored as they are.
type Entry struct {
	ID       uuid.UUID
	Type     string
	Data     []byte
	Metadata []byte
}

// Raw is an event as a log holds it.
type Raw struct {
	Position Position
	Stream   Stream
	Revision Revision
	ID       uuid.UUID
	Type     string
	Data     []byte
	Metadata []byte
	At       time.Time // UTC, microseconds; never before that of an earlier position
}

// Filter chooses events on the server's side. The zero Filter lets everything through; where both lists are given an event
// has to be in both.
type Filter struct {
	Categories []string
	Types      []string
}

// Read says which part of a log or stream to read, and which way.
type Read struct {
	// After and Before bound what is read, both exclusive, whichever way it is read; 0 in Before means up to the end.
	After    Position
	Before   Position
	Backward bool
	Filter   Filter
	Limit    int // 0: no limit
}

// StreamRead says which part of one stream to read.
type StreamRead struct {
	From     Revision // inclusive; going backwards, -1 means from the end
	Backward bool
	Limit    int // 0: no limit
}

// Batch is what a follower gets: events in order, none missing, and how far they reach. It may be empty of events when
// only events that the filter holds back came by.
type Batch[E any] struct {
	Events  []E
	Through Position // everything up to here that the filter lets through has been handed over
	Live    bool     // Through was the end of the log when the batch was read
}

// Log is an append-only, totally ordered log of bytes: what the Postgres store and the EventStoreDB store are. Package
// storetest is its specification. Methods are safe for concurrent use. Iterators stop at the first error, which they yield.
type Log interface {
	// Append adds entries to the end of a stream, all or none, and answers when they are durable. At least one entry is
	// needed. The same ids in the same order answer the original receipt, for ever, whatever is expected. The entries'
	// bytes must not change before Append returns.
	// Errors: ErrConflict (as *ConflictError), ErrIDReused, ErrTooLarge, ErrInvalid, ErrClosed: nothing was appended. With
	// any other error (ErrUnavailable), and with a context that ended, the entries are wholly there or not at all: append
	// again with the same ids to find out.
	Append(ctx context.Context, stream Stream, expected Expected, entries ...Entry) (Receipt, error)
	// ReadStream yields the events of one stream; nothing when there is no such stream.
	ReadStream(ctx context.Context, stream Stream, r StreamRead) iter.Seq2[Raw, error]
	// ReadAll yields the events of the whole log, as of the call's moment.
	ReadAll(ctx context.Context, r Read) iter.Seq2[Raw, error]
	// Follow yields what is after a position, first from history, then as it is appended, until ctx ends or the caller
	// stops. It does not read ahead without bound: a slow caller only delays itself. Events of a yielded batch are the
	// caller's to keep.
	Follow(ctx context.Context, after Position, filter Filter) iter.Seq2[Batch[Raw], error]
	// Head is the position of the last event; 0 when there is none.
	Head(ctx context.Context) (Position, error)
	// PositionAt is the position of the last event recorded at or before t; 0 when there is none.
	PositionAt(ctx context.Context, t time.Time) (Position, error)
}
