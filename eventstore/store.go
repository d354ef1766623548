package eventstore

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// Metadata is what is known of an event besides the fact itself: who, from where, why, and because of what.
type Metadata struct {
	// Command identifies the intention; the ids of its events are derived from it, which makes appending it again harmless.
	Command uuid.UUID `json:"command"`
	// Fingerprint is a digest of what was asked, so that an idempotency key used for something else is noticed.
	Fingerprint string          `json:"fingerprint,omitempty"`
	Actor       domain.Actor    `json:"actor"`
	Address     domain.Personal `json:"address,omitzero"`    // of the client, sealed under the actor's key
	UserAgent   domain.Personal `json:"user_agent,omitzero"` // likewise
	Reason      domain.Personal `json:"reason,omitzero"`     // why, as the actor said it; likewise
	// Correlation is the same for everything that follows from one request; Causation is the event or command before.
	Correlation uuid.UUID `json:"correlation"`
	Causation   uuid.UUID `json:"causation,omitzero"`
	// Took is how long the command had been running when it was appended.
	Took time.Duration `json:"took,omitempty"` // nanoseconds
}

// EventID is the id of the i-th event of a command.
func (m Metadata) EventID(i int) uuid.UUID {
	return uuid.NewSHA1(m.Command, []byte{byte(i >> 8), byte(i)})
}

// Recorded is an event as it was stored, with its envelope, decoded and opened.
type Recorded struct {
	Position Position
	Stream   Stream
	Revision Revision
	ID       uuid.UUID
	Type     string
	At       time.Time
	Metadata Metadata
	Event    domain.Event
	// Undecodable says why Event is nil. Only a follower is given such an event, so that it can set it aside and go on;
	// every other reader gets the error.
	Undecodable error
	// Size is the number of stored bytes, data and metadata together.
	Size int
}

// Store appends and reads the domain's events: a Log and a Codec.
type Store struct {
	log        Log
	codec      *Codec
	categories []string
}

// New makes a store of a log and a codec. Where categories are named, the domain's events are those of their streams alone: what
// other programs write into streams of other categories is none of its business, whatever types they call it, and neither
// ReadAll nor Follow shows it.
func New(log Log, codec *Codec, categories ...string) *Store {
	return &Store{log: log, codec: codec, categories: categories}
}

// Own is what a filter lets through of the domain's own events.
func (s *Store) Own(f Filter) Filter {
	if len(s.categories) > 0 && len(f.Categories) == 0 {
		f.Categories = s.categories
	}
	return f
}

// Log is the log below the store.
func (s *Store) Log() Log { return s.log }

// Append seals, encodes and appends the events; see Log.Append for its promises. No events, no append: it answers
// the zero Receipt.
func (s *Store) Append(ctx context.Context, stream Stream, expected Expected, meta Metadata, events ...domain.Event) (Receipt, error) {
	if len(events) == 0 {
		return Receipt{}, nil
	}
	entries, err := s.codec.Encode(ctx, meta, events...)
	if err != nil {
		return Receipt{}, err
	}
	return s.log.Append(ctx, stream, expected, entries...)
}

// Stream yields the events of one stream from a revision.
func (s *Store) Stream(ctx context.Context, stream Stream, from Revision) iter.Seq2[Recorded, error] {
	return s.ReadStream(ctx, stream, StreamRead{From: from})
}

// ReadStream yields the events of one stream.
func (s *Store) ReadStream(ctx context.Context, stream Stream, r StreamRead) iter.Seq2[Recorded, error] {
	return s.decoded(ctx, s.log.ReadStream(ctx, stream, r))
}

// ReadAll yields the events of the whole log. A long read is decoded ahead of its reader, on as many cores as help.
func (s *Store) ReadAll(ctx context.Context, r Read) iter.Seq2[Recorded, error] {
	r.Filter = s.Own(r.Filter)
	if r.Limit > 0 && r.Limit <= aheadAfter {
		return s.decoded(ctx, s.log.ReadAll(ctx, r))
	}
	return s.decodedAhead(ctx, s.log.ReadAll(ctx, r))
}

// Follow yields what is after a position, from history and then as it is appended; see Log.Follow.
func (s *Store) Follow(ctx context.Context, after Position, filter Filter) iter.Seq2[Batch[Recorded], error] {
	return func(yield func(Batch[Recorded], error) bool) {
		for raw, err := range s.log.Follow(ctx, after, s.Own(filter)) {
			if err != nil {
				yield(Batch[Recorded]{}, err)
				return
			}
			events, err := s.codec.DecodeAll(ctx, raw.Events)
			if err != nil {
				yield(Batch[Recorded]{}, err)
				return
			}
			if !yield(Batch[Recorded]{Events: events, Through: raw.Through, Live: raw.Live}, nil) {
				return
			}
		}
	}
}

// Head is the position of the last event.
func (s *Store) Head(ctx context.Context) (Position, error) { return s.log.Head(ctx) }

// PositionAt is the position of the last event recorded at or before t.
func (s *Store) PositionAt(ctx context.Context, t time.Time) (Position, error) {
	return s.log.PositionAt(ctx, t)
}

func (s *Store) decoded(ctx context.Context, raws iter.Seq2[Raw, error]) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for raw, err := range raws {
			if err != nil {
				yield(Recorded{}, err)
				return
			}
			rec, err := s.codec.Decode(ctx, raw)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}
