package streamapi

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/mediavault-io/mediavault/eventstore"
)

// metas knows what was said about streams. It follows the log; what this process appends it is told at once. It remembers of which
// streams anything was ever said, in as much memory however many they are, and what was said of those asked for lately; of the others
// it reads from the log.
type metas struct {
	log  eventstore.Log
	most int // bytes of what is remembered of streams

	mu    sync.RWMutex // guards what follows
	whole bool         // marks have everything that was said before
	marks marks
	// What was said of streams: young fills up, then becomes old, and what of that is asked for becomes young again.
	young, old map[eventstore.Stream]*meta
	size       int           // of young, bytes
	changes    [gates]uint64 // by stream: counted when something is said, so that nothing is remembered that was read before
}

const knownMetas = 32 << 20 // bytes, some 100,000 streams

func newMetas(log eventstore.Log, most int) *metas {
	return &metas{log: log, most: most, marks: newMarks(), young: map[eventstore.Stream]*meta{}}
}

var (
	noMeta      = &meta{revision: -1}
	metaOfMetas = &meta{revision: -1, maxCount: 1} // only what was said last counts
)

// unsaid is the meta of a stream about which nothing was said.
func unsaid(stream eventstore.Stream) *meta {
	if strings.HasPrefix(string(stream), "$$") && len(stream) > 2 {
		return metaOfMetas
	}
	return noMeta
}

// of answers the meta of a stream, which must not be changed. Errors: the log's.
func (m *metas) of(ctx context.Context, stream eventstore.Stream) (*meta, error) {
	m.mu.RLock()
	whole, found := m.whole, m.young[stream]
	silent := whole && found == nil && m.old[stream] == nil && !m.marks.has(said, stream)
	m.mu.RUnlock()
	switch {
	case !whole: // what is remembered may have been said over since
		return m.read(ctx, stream, false)
	case found != nil:
		return found, nil
	case silent:
		return unsaid(stream), nil
	default:
		return m.load(ctx, stream)
	}
}

// load answers what is remembered, or else reads it.
func (m *metas) load(ctx context.Context, stream eventstore.Stream) (*meta, error) {
	at := gateOf(stream)
	for {
		m.mu.Lock()
		found := m.remembered(stream)
		before, wasClosed := m.changes[at], m.marks.has(closed, stream)
		m.mu.Unlock()
		if found != nil {
			return found, nil
		}
		read, err := m.read(ctx, stream, wasClosed)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		same := m.changes[at] == before
		if same {
			m.remember(stream, read)
		}
		m.mu.Unlock()
		if same {
			return read, nil
		}
	}
}

// read asks the log what was said about a stream. wasClosed: it may have been closed by an event that is not its last, because the
// vault itself, or a process that had not heard of it yet, went on.
func (m *metas) read(ctx context.Context, stream eventstore.Stream, wasClosed bool) (*meta, error) {
	found := *noMeta
	raw, err := m.last(ctx, "$$"+stream, typeMetadata, true)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		found = metaOf(raw.Data)
		found.revision = raw.Revision
	}
	end, err := m.last(ctx, stream, typeDeleted, wasClosed)
	switch {
	case err != nil:
		return nil, err
	case end != nil:
		found.closed = end.Position
	case raw == nil:
		return unsaid(stream), nil
	}
	return &found, nil
}

// last is the last event of a type in a stream, or nil; further: it may be another than the last of all.
func (m *metas) last(ctx context.Context, stream eventstore.Stream, typ string, further bool) (*eventstore.Raw, error) {
	r := eventstore.StreamRead{From: -1, Backward: true, Limit: 1}
	for {
		seen := eventstore.Revision(0)
		for raw, err := range m.log.ReadStream(ctx, stream, r) {
			if err != nil {
				return nil, err
			}
			if raw.Type == typ {
				return &raw, nil
			}
			seen = raw.Revision
		}
		if seen == 0 || !further {
			return nil, nil //nolint:nilnil // there is none
		}
		r.From, r.Limit = seen-1, 0
	}
}

// remembered is what is remembered of a stream; nil: nothing. The caller holds the lock.
func (m *metas) remembered(stream eventstore.Stream) *meta {
	if found := m.young[stream]; found != nil {
		return found
	}
	found := m.old[stream]
	if found != nil {
		m.remember(stream, found)
	}
	return found
}

// remember is called with the lock held.
func (m *metas) remember(stream eventstore.Stream, said *meta) {
	if before := m.young[stream]; before != nil {
		m.size -= before.size(stream)
	}
	delete(m.old, stream)
	m.young[stream] = said
	if m.size += said.size(stream); m.size > m.most/2 {
		m.old, m.young, m.size = m.young, map[eventstore.Stream]*meta{}, 0
	}
}

// gathered says that everything was taken that had been said.
func (m *metas) gathered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.whole = true
}

// take learns from an event, once or again.
func (m *metas) take(raw eventstore.Raw) {
	switch raw.Type {
	case typeDeleted:
		m.change(raw.Stream, func(known *meta) { known.closed = raw.Position })
	case typeMetadata:
		about := subject(raw.Stream)
		if about == raw.Stream {
			return
		}
		m.change(about, func(known *meta) {
			if raw.Revision <= known.revision {
				return
			}
			said := metaOf(raw.Data)
			said.revision, said.closed = raw.Revision, known.closed
			*known = said
		})
	}
}

// change changes what is remembered of a stream. Of a stream about which nothing was said before, this is all.
func (m *metas) change(stream eventstore.Stream, f func(*meta)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !m.marks.has(said, stream)
	known := m.remembered(stream)
	m.changes[gateOf(stream)]++
	if known == nil && first {
		known = noMeta
	}
	changed := meta{revision: -1}
	if known != nil {
		changed = *known
	}
	f(&changed)
	m.marks.add(said, stream)
	if changed.closed > 0 {
		m.marks.add(closed, stream)
	}
	if known != nil {
		m.remember(stream, &changed)
	}
}

// size is what remembering it costs, bytes, about.
func (m *meta) size(stream eventstore.Stream) int {
	n := 256 + len(stream)
	for _, list := range [][]string{m.acl.Read, m.acl.Write, m.acl.Delete, m.acl.MetaRead, m.acl.MetaWrite} {
		for _, name := range list {
			n += 16 + len(name)
		}
	}
	return n
}

// marks say of which streams something is not so: a Bloom filter. That it is so they only guess, more often wrongly the more there are:
// of 1 in 5,000 others with a million streams in them, of 1 in 25 with five million.
type marks struct {
	seed maphash.Seed
	bits []uint64
}

type mark byte

const (
	said   mark = 's' // anything about the stream
	closed mark = 'c' // that it is closed
)

const (
	markBits  = 1 << 25 // 4 MiB
	markTries = 4
)

func newMarks() marks { return marks{seed: maphash.MakeSeed(), bits: make([]uint64, markBits/64)} }

func (m *marks) has(what mark, stream eventstore.Stream) bool {
	for at, step, i := m.begin(what, stream); i > 0; i-- {
		if m.bits[at/64]&(1<<(at%64)) == 0 {
			return false
		}
		at = (at + step) % markBits
	}
	return true
}

func (m *marks) add(what mark, stream eventstore.Stream) {
	for at, step, i := m.begin(what, stream); i > 0; i-- {
		m.bits[at/64] |= 1 << (at % 64)
		at = (at + step) % markBits
	}
}

// begin is where the bits of a mark begin, how far each is from the one before, and how many they are.
func (m *marks) begin(what mark, stream eventstore.Stream) (at, step uint64, n int) {
	h := maphash.String(m.seed, string(stream)) ^ uint64(what)*0x9e3779b97f4a7c15
	return h % markBits, h>>32 | 1, markTries
}
