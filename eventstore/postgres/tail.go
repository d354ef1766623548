package postgres

import (
	"slices"

	"github.com/mediavault-io/mediavault/eventstore"
)

// The tail is the last events that this process has appended, kept for those who follow: a vault has some twenty followers,
// and each would otherwise ask Postgres for each batch.
const (
	tailEvents = 4096
	tailBytes  = 4 << 20
)

// tail is events without a gap between them.
type tail struct {
	events []eventstore.Raw
	bytes  int
}

// add puts a batch behind; what does not follow on the events that are there takes their place.
func (t *tail) add(batch []eventstore.Raw) {
	if n := len(t.events); n > 0 && (len(batch) == 0 || t.events[n-1].Position+1 != batch[0].Position) {
		*t = tail{}
	}
	t.events = append(t.events, batch...)
	for _, raw := range batch {
		t.bytes += sizeOf(raw)
	}
	if len(t.events) <= tailEvents && t.bytes <= tailBytes {
		return
	}
	from := 0
	for len(t.events)-from > tailEvents/2 || t.bytes > tailBytes/2 {
		t.bytes -= sizeOf(t.events[from])
		from++
	}
	t.events = slices.Clone(t.events[from:])
}

// after answers a page of the events behind a position; false when the tail does not reach back to it.
func (t *tail) after(p eventstore.Position) ([]eventstore.Raw, bool) {
	if len(t.events) == 0 || t.events[0].Position > p+1 || t.events[len(t.events)-1].Position <= p {
		return nil, false
	}
	from := int(p + 1 - t.events[0].Position)
	return t.events[from:min(from+pageEvents, len(t.events))], true
}

func sizeOf(raw eventstore.Raw) int { return len(raw.Data) + len(raw.Metadata) }

// rowsOf copies what a batch wrote: the entries are their callers' again when they are answered.
func rowsOf(p *placing) []eventstore.Raw {
	size := 0
	for _, r := range p.rows {
		size += len(r.entry.Data) + len(r.entry.Metadata)
	}
	block := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		from := len(block)
		block = append(block, b...)
		return block[from:len(block):len(block)]
	}
	raws := make([]eventstore.Raw, len(p.rows))
	for i, r := range p.rows {
		raws[i] = eventstore.Raw{
			Position: p.base + eventstore.Position(i) + 1, Stream: r.stream, Revision: r.revision, ID: r.entry.ID, Type: r.entry.Type,
			Data: keep(r.entry.Data), Metadata: keep(r.entry.Metadata), At: p.at,
		}
	}
	return raws
}

// through answers the events that a filter lets through, in a slice of their own.
func through(f eventstore.Filter, events []eventstore.Raw) []eventstore.Raw {
	kept := make([]eventstore.Raw, 0, len(events))
	for _, raw := range events {
		if (len(f.Categories) == 0 || slices.Contains(f.Categories, raw.Stream.Category())) &&
			(len(f.Types) == 0 || slices.Contains(f.Types, raw.Type)) {
			kept = append(kept, raw)
		}
	}
	return kept
}
