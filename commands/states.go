package commands

import (
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// How much of what was folded is kept, and for how long: a state holds opened personal text, and must not outlive its
// subject's erasure by more than this.
const (
	statesMax = 10_000
	statesFor = 30 * time.Second
)

// states keeps what streams folded to. What was appended never changes, so that a kept state is right for its revision for ever,
// and only what came after it has to be read.
type states struct {
	mu   sync.Mutex // guards kept
	kept map[eventstore.Stream]keptState
}

type keptState struct {
	state    any
	revision eventstore.Revision
	position eventstore.Position
	at       time.Time // recorded
	until    time.Time // kept
}

func newStates() *states { return &states{kept: map[eventstore.Stream]keptState{}} }

func (s *states) get(stream eventstore.Stream, now time.Time) (keptState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[stream]
	if ok && !now.Before(k.until) {
		delete(s.kept, stream)
		return keptState{}, false
	}
	return k, ok
}

// drop forgets all of them: of a person who was forgotten nothing is to be remembered here either.
func (s *states) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.kept)
}

// put keeps a state, unless a later one of the stream is kept. The time that it is kept counts from when the stream was first
// read whole.
func (s *states) put(stream eventstore.Stream, k keptState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.kept[stream]; ok && before.revision >= k.revision {
		return
	}
	if len(s.kept) >= statesMax {
		n := statesMax / 10
		for stream := range s.kept { // in no order: any tenth goes
			delete(s.kept, stream)
			if n--; n <= 0 {
				break
			}
		}
	}
	s.kept[stream] = k
}
