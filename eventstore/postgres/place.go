package postgres

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// placing decides, for a batch whose head row is taken, which requests are appended where, and which are not. It is the
// whole of the log's rules, and does no I/O.
type placing struct {
	requests []*request
	names    []string // of the streams, as entry i of streams
	streams  []*streamState
	byName   map[eventstore.Stream]*streamState
	known    map[idKey]place // ids that were looked up and are there

	base   eventstore.Position // the head before the batch
	baseAt time.Time

	// What place decided.
	outcomes []outcome
	rows     []row
	unsure   []*request // they fail, unless their ids are there already: look them up and place again
	head     eventstore.Position
	at       time.Time
}

type streamState struct {
	written  written             // before the batch
	now      eventstore.Revision // after what was placed
	origin   eventstore.Position // after what was placed
	requests int
	placed   map[uuid.UUID]place // by this batch; only kept where several requests share the stream
}

// written is what is known of a stream: where it begins, which is what the indexes name it by, and how far it reaches.
type written struct {
	origin   eventstore.Position // of revision 0; 0: there is no such stream
	revision eventstore.Revision // the last one; -1: there is no such stream
}

type idKey struct {
	stream eventstore.Stream
	id     uuid.UUID
}

type place struct {
	revision eventstore.Revision
	position eventstore.Position
	at       time.Time
}

type outcome struct {
	request  *request
	receipt  eventstore.Receipt
	err      error
	appended bool
}

type row struct {
	entry    *eventstore.Entry
	stream   eventstore.Stream
	origin   eventstore.Position
	revision eventstore.Revision
}

func newPlacing(batch []*request) *placing {
	p := &placing{requests: batch, byName: make(map[eventstore.Stream]*streamState, len(batch))}
	states := make([]streamState, len(batch))
	for i, r := range batch {
		s := p.byName[r.stream]
		if s == nil {
			s = &states[i]
			p.byName[r.stream] = s
			p.names = append(p.names, string(r.stream))
			p.streams = append(p.streams, s)
		}
		s.requests++
	}
	return p
}

// toCheck answers the ids that must be looked up, and have not been.
func (p *placing) toCheck() (streams []string, ids [][16]byte) {
	for _, r := range p.requests {
		if !r.check {
			continue
		}
		for _, e := range r.entries {
			streams, ids = append(streams, string(r.stream)), append(ids, e.ID)
		}
	}
	return streams, ids
}

// found takes the answer of looking up ids.
func (p *placing) found(rows pgx.Rows) error {
	defer rows.Close()
	if p.known == nil {
		p.known = map[idKey]place{}
	}
	for rows.Next() {
		var (
			k  idKey
			pl place
			id [16]byte
		)
		if err := rows.Scan(&k.stream, &id, &pl.revision, &pl.position, &pl.at); err != nil {
			return err
		}
		k.id, pl.at = id, pl.at.UTC()
		p.known[k] = pl
	}
	return rows.Err()
}

// place decides about all requests, in the order in which they came.
func (p *placing) place(now time.Time) {
	p.outcomes, p.rows, p.unsure = make([]outcome, 0, len(p.requests)), p.rows[:0], nil
	p.head = p.base
	if p.at = now.UTC().Truncate(time.Microsecond); p.at.Before(p.baseAt) {
		p.at = p.baseAt.UTC()
	}
	for _, s := range p.streams {
		s.now, s.origin, s.placed = s.written.revision, s.written.origin, nil
	}
	for _, r := range p.requests {
		p.outcomes = append(p.outcomes, p.placeOne(r, p.byName[r.stream]))
	}
}

func (p *placing) placeOne(r *request, s *streamState) outcome {
	o := outcome{request: r}
	if receipt, there, err := p.repeated(r, s); there || err != nil {
		o.receipt, o.err = receipt, err
		return o
	}
	if r.expected != eventstore.Any && r.expected != eventstore.Expected(s.now) {
		if !r.check {
			r.check = true
			p.unsure = append(p.unsure, r)
		}
		o.err = &eventstore.ConflictError{Stream: r.stream, Expected: r.expected, Actual: s.now}
		return o
	}
	o.appended = true
	o.receipt = eventstore.Receipt{Stream: r.stream, First: s.now + 1, At: p.at}
	if s.requests > 1 && s.placed == nil {
		s.placed = map[uuid.UUID]place{}
	}
	if s.now < 0 {
		s.origin = p.head + 1
	}
	for i := range r.entries {
		s.now++
		p.head++
		p.rows = append(p.rows, row{entry: &r.entries[i], stream: r.stream, origin: s.origin, revision: s.now})
		if s.placed != nil {
			s.placed[r.entries[i].ID] = place{revision: s.now, position: p.head, at: p.at}
		}
	}
	o.receipt.Revision, o.receipt.Position = s.now, p.head
	return o
}

// repeated answers the receipt of the append that used the same ids, of this batch or of an earlier one.
func (p *placing) repeated(r *request, s *streamState) (eventstore.Receipt, bool, error) {
	if len(s.placed) == 0 && len(p.known) == 0 {
		return eventstore.Receipt{}, false, nil
	}
	var first, last place
	for i, e := range r.entries {
		pl, there := s.placed[e.ID]
		if !there {
			pl, there = p.known[idKey{r.stream, e.ID}]
		}
		if i == 0 {
			first = pl
		}
		if there != (first.position > 0) || (there && pl.revision != first.revision+eventstore.Revision(i)) {
			return eventstore.Receipt{}, false, fmt.Errorf("%w: %s in %s", eventstore.ErrIDReused, e.ID, r.stream)
		}
		last = pl
	}
	if first.position == 0 {
		return eventstore.Receipt{}, false, nil
	}
	receipt := eventstore.Receipt{Stream: r.stream, First: first.revision, Revision: last.revision, Position: last.position, At: last.at}
	receipt.Repeated = true
	for _, t := range r.tried {
		// What is there is what we wrote ourselves, on a connection that was lost before it could say so.
		if t.Position == receipt.Position && t.At.Equal(receipt.At) {
			receipt.Repeated = false
		}
	}
	return receipt, true, nil
}
