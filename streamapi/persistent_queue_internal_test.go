package streamapi

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Whatever consumers do, in whatever order: no event is lost, none is held by two, none is sent beyond what a consumer has room
// for, nothing is done before it was acknowledged, skipped or parked, and memory is given back.
func TestAQueueLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(groupSetting{
			Retries: rapid.Int32Range(0, 2).Draw(t, "retries"), Timeout: 1000, HistoryBuffer: 8, LiveBuffer: 8, ReadBatch: 2,
			Strategy: rapid.SampledFrom([]string{RoundRobin, DispatchToSingle, Pinned, OrderedByStream}).Draw(t, "strategy"),
		}, -1)
		h := &held{q: q, now: time.Unix(0, 0), gone: map[int64]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"":       h.check,
			"read":   h.read,
			"join":   h.join,
			"leave":  h.leave,
			"take":   h.take,
			"ack":    h.ack,
			"fail":   h.fail,
			"park":   h.park,
			"parked": h.parked,
			"wait":   func(*rapid.T) { h.now = h.now.Add(600 * time.Millisecond); q.expire(h.now); q.push(h.now) },
		})
		h.drain(t)
	})
}

// held is a queue under test, and what is known of it.
type held struct {
	q         *queue
	now       time.Time
	consumers []*consumer
	last      int64
	gone      map[int64]bool // places that are done
}

func (h *held) read(*rapid.T) {
	if !h.q.room() {
		return
	}
	stream := fmt.Sprintf("app-%d", h.last%3)
	h.q.add(&pending{raw: eventstore.Raw{Stream: eventstore.Stream(stream), Data: []byte("data")}, id: uuid.New(), key: stream, place: h.last})
	h.last++
	h.q.push(h.now)
}

func (h *held) join(t *rapid.T) {
	c := &consumer{slots: rapid.IntRange(1, 4).Draw(t, "slots"), ready: make(chan struct{}, 1), dropped: make(chan struct{})}
	h.q.join(c)
	h.consumers = append(h.consumers, c)
	h.q.push(h.now)
}

// some is one of the consumers; nil when there is none.
func (h *held) some(t *rapid.T) *consumer {
	if len(h.consumers) == 0 {
		return nil
	}
	return rapid.SampledFrom(h.consumers).Draw(t, "consumer")
}

func (h *held) leave(t *rapid.T) {
	c := h.some(t)
	if c == nil {
		return
	}
	h.consumers = slices.DeleteFunc(h.consumers, func(other *consumer) bool { return other == c })
	h.q.leave(c)
	h.q.push(h.now)
}

func (h *held) take(t *rapid.T) {
	if c := h.some(t); c != nil {
		h.q.take(c, h.now)
	}
}

// one is a message that a consumer has taken; nil when it has none.
func (h *held) one(t *rapid.T) *pending {
	c := h.some(t)
	for e := h.q.sent.Front(); e != nil; e = e.Next() {
		if m, _ := e.Value.(*pending); m.to == c && m.taken {
			return m
		}
	}
	return nil
}

func (h *held) ack(t *rapid.T) {
	if m := h.one(t); m != nil {
		h.gone[m.place] = true
		h.q.ack(m.to, m.id, h.now)
		h.q.push(h.now)
	}
}

func (h *held) fail(t *rapid.T) {
	if m := h.one(t); m != nil {
		h.q.fail(m)
		h.q.push(h.now)
	}
}

func (h *held) park(t *rapid.T) {
	if m := h.one(t); m != nil {
		h.q.park(m, "")
		h.q.push(h.now)
	}
}

func (h *held) parked(*rapid.T) {
	for _, m := range h.q.parks {
		h.gone[m.place] = true
		h.q.finish(m)
	}
	h.q.parks = nil
	h.q.push(h.now)
}

func (h *held) check(t *rapid.T) {
	inFlight, keys, bytes := map[*consumer]int{}, map[string]int{}, 0
	where := map[*pending]int{}
	for e := h.q.sent.Front(); e != nil; e = e.Next() {
		m, _ := e.Value.(*pending)
		inFlight[m.to]++
		keys[m.key]++
		where[m]++
	}
	for _, list := range [][]*pending{h.q.fresh, h.q.retry, h.q.parks} {
		for _, m := range list {
			where[m]++
		}
	}
	for m, times := range where {
		bytes += m.size
		if times != 1 || h.gone[m.place] {
			t.Fatalf("event %d is held %d times, done: %v", m.place, times, h.gone[m.place])
		}
	}
	if len(where)+len(h.gone) != int(h.last) {
		t.Fatalf("%d events are held and %d done, of %d", len(where), len(h.gone), h.last)
	}
	if bytes != h.q.bytes || len(h.q.source) != len(where) {
		t.Fatalf("%d bytes of %d events are held, counted as %d of %d", bytes, len(where), h.q.bytes, len(h.q.source))
	}
	for _, c := range h.consumers {
		if c.inFlight != inFlight[c] || c.free() < 0 || len(c.queue) > c.inFlight {
			t.Fatalf("a consumer with %d slots has %d, counted as %d", c.slots, inFlight[c], c.inFlight)
		}
	}
	for key, n := range keys {
		if n > 1 && h.q.settings.Strategy == OrderedByStream {
			t.Fatalf("%d events of %s are out at once", n, key)
		}
	}
	place, _ := h.q.progress()
	for p := range place + 1 {
		if !h.gone[p] {
			t.Fatalf("event %d is not done, and the subscription is said to be at %d", p, place)
		}
	}
}

// drain lets one consumer do all that is left.
func (h *held) drain(t *rapid.T) {
	for _, c := range slices.Clone(h.consumers) {
		h.q.leave(c)
	}
	c := &consumer{slots: 3, ready: make(chan struct{}, 1), dropped: make(chan struct{})}
	h.q.join(c)
	last := map[string]int64{}
	for {
		h.parked(t)
		m := h.q.take(c, h.now)
		if m == nil {
			break
		}
		if before, ok := last[m.key]; ok && before > m.place {
			t.Fatalf("event %d came after %d", m.place, before)
		}
		last[m.key] = m.place
		h.gone[m.place] = true
		h.q.ack(c, m.id, h.now)
		h.q.push(h.now)
	}
	h.consumers = []*consumer{c}
	h.check(t)
	if len(h.gone) != int(h.last) || h.q.bytes != 0 || len(h.q.byID) != 0 || len(h.q.busy) != 0 {
		t.Fatalf("%d of %d events are done; left: %d bytes, %d ids, %d keys", len(h.gone), h.last, h.q.bytes, len(h.q.byID), len(h.q.busy))
	}
}

func TestAnAckThatComesTooLateCountsAllTheSame(t *testing.T) {
	t.Parallel()
	q := newQueue(groupSetting{Retries: 5, Timeout: 1000, HistoryBuffer: 8, LiveBuffer: 8, ReadBatch: 2, Strategy: RoundRobin}, -1)
	now := time.Unix(0, 0)
	slow := &consumer{slots: 1, ready: make(chan struct{}, 1), dropped: make(chan struct{})}
	q.join(slow)
	m := &pending{id: uuid.New(), key: "app-1"}
	q.add(m)
	q.push(now)
	q.take(slow, now)
	other := &consumer{slots: 1, ready: make(chan struct{}, 1), dropped: make(chan struct{})}
	q.join(other)
	now = now.Add(time.Second)
	q.expire(now)
	q.push(now)
	if m.to != other || m.retries != 1 {
		t.Fatalf("it was not given to the other, retries %d", m.retries)
	}
	q.ack(slow, m.id, now)
	if place, _ := q.progress(); place != 0 || other.inFlight != 0 {
		t.Fatalf("it is not done: %d, %d in flight", place, other.inFlight)
	}
}
