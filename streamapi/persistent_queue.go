package streamapi

import (
	"container/heap"
	"container/list"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Bounds of one persistent subscription, whatever its settings and its consumers ask for.
const (
	mostBuffered = 10_000   // events read ahead
	mostSlots    = 4096     // events that one consumer holds
	mostHeld     = 32 << 20 // bytes of events that are held; then nothing more is read
	leastHeld    = 1 << 20  // of these each may hold so much, however many there are
	allHeld      = 1 << 30  // bytes of events that all are to hold together
	messageBytes = 512      // bytes that an event costs beside its own
)

// pending is an event on its way through a persistent subscription.
type pending struct {
	raw     eventstore.Raw // of a replayed one: the link in the parked stream
	id      uuid.UUID      // under which consumers speak of it
	key     string         // what pins it to a consumer: its stream, or its correlation
	place   int64          // in the source, or in the parked stream
	number  int64          // of those from the source, from 1
	parked  bool           // it comes from the parked stream
	size    int
	retries int32

	state   pendingState
	to      *consumer     // to whom it was sent
	taken   bool          // it went out to the consumer, and does not wait in its queue any more
	since   time.Time     // when it was sent
	element *list.Element // in queue.sent
	index   int           // in its places
	park    parking
}

type pendingState int

const (
	waiting  pendingState = iota
	retrying              // it waits, again
	sent                  // a consumer has it
	isParking
	done
)

// queue is what a persistent subscription holds in memory, and who gets what. It does no I/O, reads no clock, and whoever owns
// it serialises the calls.
type queue struct {
	settings  groupSetting
	strategy  strategy
	consumers []*consumer

	fresh []*pending // in order
	retry []*pending // those of the source first, in order; then those that were parked, in order
	sent  list.List  // *pending, those sent longest ago first
	byID  map[uuid.UUID][]*pending
	busy  map[string]int // by key: how many are sent or being parked
	parks []*pending     // to be parked

	source, replays places // what is not done

	read    int64 // everything up to here was read from the source
	known   int64 // the last event's place; -1: none yet
	numbers int64 // messages read from the source
	bytes   int
	most    int   // bytes that may be held
	total   int64 // messages that were sent, again included
	filling bool  // room has hysteresis: once full, a read batch must fit before more is read
	live    bool  // the source has been read to its end
}

func newQueue(settings groupSetting, after int64) *queue {
	return &queue{
		settings: settings, strategy: newStrategy(settings.Strategy), byID: map[uuid.UUID][]*pending{}, busy: map[string]int{},
		read: after, known: -1, filling: true, most: mostHeld,
	}
}

// room reports whether one more may be read from the source.
func (q *queue) room() bool {
	most := int(q.settings.HistoryBuffer)
	if q.live {
		most = int(q.settings.LiveBuffer)
	}
	most = max(1, min(most, mostBuffered))
	ahead := 1
	if !q.filling {
		ahead = min(int(q.settings.ReadBatch), most)
	}
	q.filling = len(q.fresh)+ahead <= most && q.bytes < q.most
	return q.filling
}

// roomToReplay reports whether one more may be read from the parked stream.
func (q *queue) roomToReplay() bool {
	return len(q.replays) < max(1, min(int(q.settings.HistoryBuffer), mostBuffered)) && q.bytes < q.most
}

// add takes a message from the source, or from the parked stream. push gives it to consumers.
func (q *queue) add(m *pending) {
	m.size = len(m.raw.Data) + len(m.raw.Metadata) + messageBytes
	q.bytes += m.size
	q.byID[m.id] = append(q.byID[m.id], m)
	if m.parked {
		heap.Push(&q.replays, m)
		q.again(m)
		return
	}
	q.numbers++
	m.number = q.numbers
	q.read, q.known = m.place, m.place
	heap.Push(&q.source, m)
	q.fresh = append(q.fresh, m)
}

// again puts a message among those that wait to be sent again.
func (q *queue) again(m *pending) {
	m.state = retrying
	i, _ := slices.BinarySearchFunc(q.retry, m, func(a, b *pending) int {
		switch {
		case a.parked != b.parked && a.parked:
			return 1
		case a.parked != b.parked:
			return -1
		default:
			return int(max(-1, min(1, a.place-b.place)))
		}
	})
	q.retry = slices.Insert(q.retry, i, m)
}

// push gives to consumers what they have room for.
func (q *queue) push(now time.Time) {
	full := false
	q.retry, full = q.pushFrom(q.retry, now)
	if !full {
		q.fresh, _ = q.pushFrom(q.fresh, now)
	}
}

func (q *queue) pushFrom(from []*pending, now time.Time) (rest []*pending, full bool) {
	rest = from[:0]
	for i, m := range from {
		var to *consumer
		if q.settings.Strategy != OrderedByStream || q.busy[m.key] == 0 {
			if to, full = q.strategy.choose(m, q.consumers); full {
				rest = append(rest, from[i:]...)
				break
			}
		}
		if to == nil {
			rest = append(rest, m)
			continue
		}
		q.send(m, to, now)
	}
	clear(from[len(rest):])
	return rest, full
}

func (q *queue) send(m *pending, to *consumer, now time.Time) {
	m.state, m.to, m.taken, m.since = sent, to, false, now
	m.element = q.sent.PushBack(m)
	q.busy[m.key]++
	q.total++
	to.inFlight++
	to.total++
	to.queue = append(to.queue, m)
	signal(to.ready)
}

// unsend takes a message back from its consumer.
func (q *queue) unsend(m *pending) {
	q.sent.Remove(m.element)
	m.to.inFlight--
	if !m.taken {
		m.to.queue = slices.DeleteFunc(m.to.queue, func(other *pending) bool { return other == m })
	}
	m.element, m.to = nil, nil
	q.unbusy(m.key)
}

func (q *queue) unbusy(key string) {
	if q.busy[key]--; q.busy[key] <= 0 {
		delete(q.busy, key)
	}
}

// finish is the end of a message.
func (q *queue) finish(m *pending) {
	switch m.state {
	case sent:
		q.unsend(m)
	case isParking:
		q.unbusy(m.key)
	case retrying:
		q.retry = slices.DeleteFunc(q.retry, func(other *pending) bool { return other == m })
	case waiting, done:
		return // it was not sent yet, or is done
	}
	m.state = done
	q.bytes -= m.size
	if same := slices.DeleteFunc(q.byID[m.id], func(other *pending) bool { return other == m }); len(same) > 0 {
		q.byID[m.id] = same
	} else {
		delete(q.byID, m.id)
	}
	if m.parked {
		heap.Remove(&q.replays, m.index)
	} else {
		heap.Remove(&q.source, m.index)
	}
}

// ack ends a message that a consumer has, or had: one that took too long and was given to another is done all the same.
func (q *queue) ack(by *consumer, id uuid.UUID, now time.Time) {
	m := q.of(by, id)
	if m == nil {
		for _, other := range q.byID[id] {
			if other.state == sent || (other.state == retrying && other.retries > 0) {
				m = other
				break
			}
		}
	}
	if m == nil {
		return
	}
	if m.to != nil && q.settings.Statistics {
		m.to.measure(now.Sub(m.since))
	}
	q.finish(m)
}

// of answers the message that a consumer has under an id. Ids are unique in a stream; in $all two may have the same.
func (q *queue) of(by *consumer, id uuid.UUID) *pending {
	for _, m := range q.byID[id] {
		if m.state == sent && m.to == by {
			return m
		}
	}
	return nil
}

// fail sends a message again, or parks it when that was done often enough.
func (q *queue) fail(m *pending) {
	if m.retries >= q.settings.Retries {
		q.park(m, fmt.Sprintf("Reached retry count of %d", q.settings.Retries))
		return
	}
	q.unsend(m)
	m.retries++
	q.again(m)
}

// park takes a message from its consumer to be parked. It is done when it is.
func (q *queue) park(m *pending, reason string) {
	key := m.key
	q.unsend(m)
	q.busy[key]++
	m.state = isParking
	m.park = parking{id: uuid.New(), reason: reason}
	q.parks = append(q.parks, m)
}

// expire fails what consumers had for too long.
func (q *queue) expire(now time.Time) {
	if q.settings.Timeout == 0 {
		return
	}
	for e := q.sent.Front(); e != nil; e = q.sent.Front() {
		m, _ := e.Value.(*pending)
		if now.Sub(m.since) < q.settings.timeout() {
			return
		}
		if m.taken {
			q.fail(m)
			continue
		}
		q.unsend(m) // its consumer is too slow to be sent it: that is not the event's fault
		q.again(m)
	}
}

// take is when a message goes out to its consumer: the consumer's time begins.
func (q *queue) take(c *consumer, now time.Time) *pending {
	if len(c.queue) == 0 {
		return nil
	}
	m := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	m.taken, m.since = true, now
	q.sent.MoveToBack(m.element)
	return m
}

// join lets a consumer take part; false: there are as many as there may be.
func (q *queue) join(c *consumer) bool {
	if q.settings.Consumers > 0 && len(q.consumers) >= int(q.settings.Consumers) {
		return false
	}
	q.consumers = append(q.consumers, c)
	q.strategy.joined(c, q.busy)
	return true
}

// leave takes a consumer out; what it had goes to others. Of what had gone out to it, the oldest is what it was busy with, and
// may be why it left: that one alone is parked when it was tried often enough. What had not gone out was not tried.
func (q *queue) leave(c *consumer) {
	i := slices.Index(q.consumers, c)
	if i < 0 {
		return
	}
	q.consumers = slices.Delete(q.consumers, i, i+1)
	q.strategy.left(c)
	suspect := true
	for e := q.sent.Front(); e != nil; {
		m, _ := e.Value.(*pending)
		e = e.Next()
		switch {
		case m.to != c:
		case m.taken && suspect:
			q.fail(m)
			suspect = false
		default:
			if m.taken {
				m.retries = min(m.retries+1, q.settings.Retries)
			}
			q.unsend(m)
			q.again(m)
		}
	}
}

// progress is up to where everything is done: a place in the source, and how many messages that were.
func (q *queue) progress() (place, number int64) {
	if len(q.source) > 0 {
		return q.source[0].place - 1, q.source[0].number - 1
	}
	return q.read, q.numbers
}

// replayed is up to where everything of the parked stream is done that was read from it, next being what is read next.
func (q *queue) replayed(next int64) int64 {
	if len(q.replays) > 0 {
		return q.replays[0].place
	}
	return next
}

// places are messages that are not done, the first one first: a heap, so that what is held for long costs nothing for others.
type places []*pending

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return p[i].place < p[j].place }
func (p places) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

// Push implements heap.Interface.
func (p *places) Push(x any) {
	m, _ := x.(*pending)
	m.index = len(*p)
	*p = append(*p, m)
}

// Pop implements heap.Interface.
func (p *places) Pop() any {
	last := len(*p) - 1
	m := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	return m
}

// signal wakes whoever waits, without waiting itself.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
