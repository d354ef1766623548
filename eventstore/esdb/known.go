package esdb

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// known remembers where streams end and which ids are in them, so that an append is looked up by reading only what came since.
// It is the server's memory made longer: that forgets ids where no revision, or a later one, is expected.
type known struct {
	mu      sync.Mutex
	streams map[eventstore.Stream]*tail // guarded by mu
	total   int                         // ids in all of them; guarded by mu
}

// Bounds of what is remembered.
const (
	longMemory = 10_000    // the latest ids of one stream
	allMemory  = 1_000_000 // ids of all streams
)

// tail is what is known of one stream. Who holds its turn owns the rest of it.
type tail struct {
	turn  chan struct{} // has one token
	users int           // who holds or wants the turn; guarded by known.mu

	read   bool                // its end was read, and ids are all, or the latest longMemory, up to last
	others bool                // when it was read last, others had written to it: it is worth a look before an append
	last   eventstore.Revision // -1: there is no such stream
	ids    map[uuid.UUID]eventstore.Revision
	size   int // of ids, as known counts it
}

func newKnown() *known { return &known{streams: map[eventstore.Stream]*tail{}} }

// take answers a stream's tail once nobody else has it. The caller gives it back.
func (k *known) take(ctx context.Context, stream eventstore.Stream) (*tail, error) {
	k.mu.Lock()
	t := k.streams[stream]
	if t == nil {
		t = &tail{turn: make(chan struct{}, 1), last: -1, ids: map[uuid.UUID]eventstore.Revision{}}
		k.streams[stream] = t
	}
	t.users++
	k.mu.Unlock()
	select {
	case t.turn <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		k.mu.Lock()
		defer k.mu.Unlock()
		t.users--
		return nil, ctx.Err()
	}
}

// learn takes a stream into account that was read from its beginning to its end, so that who appends to it next need not read it
// again. What is known of it already is left.
func (k *known) learn(stream eventstore.Stream, ids []uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams[stream] != nil || k.total+len(ids) >= allMemory {
		return
	}
	t := &tail{turn: make(chan struct{}, 1), last: -1, ids: make(map[uuid.UUID]eventstore.Revision, len(ids)), read: true, size: len(ids) + 1}
	for i, id := range ids {
		t.met(id, eventstore.Revision(i))
	}
	k.streams[stream] = t
	k.total += t.size
}

// has reports whether a stream is known.
func (k *known) has(stream eventstore.Stream) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.streams[stream] != nil
}

// give gives a tail back, and forgets others when there are too many ids.
func (k *known) give(t *tail) {
	if len(t.ids) > 2*longMemory {
		t.forget(t.last - longMemory)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total += len(t.ids) + 1 - t.size
	t.size = len(t.ids) + 1 // an empty one takes room, too
	<-t.turn
	t.users--
	if k.total <= allMemory {
		return
	}
	for name, other := range k.streams { // any
		if other.users == 0 {
			delete(k.streams, name)
			k.total -= other.size
		}
		if k.total <= allMemory*3/4 {
			return
		}
	}
}

func (t *tail) forget(until eventstore.Revision) {
	for id, at := range t.ids {
		if at <= until {
			delete(t.ids, id)
		}
	}
}

// met takes an event of the stream into account.
func (t *tail) met(id uuid.UUID, at eventstore.Revision) {
	t.ids[id] = at
	t.last = max(t.last, at)
}

// find says where entries are in the stream already: -1 when none of them is.
func (t *tail) find(entries []eventstore.Entry) (eventstore.Revision, error) {
	at, known := t.ids[entries[0].ID]
	for i, e := range entries {
		r, ok := t.ids[e.ID]
		if ok != known || (ok && r != at+eventstore.Revision(i)) {
			return -1, eventstore.ErrIDReused
		}
	}
	if !known {
		return -1, nil
	}
	return at, nil
}
