package streamapi

import (
	"hash/fnv"
	"slices"
)

// The strategies by which messages find their consumers: EventStoreDB's, under its names, and one of our own.
const (
	RoundRobin          = "RoundRobin"          // to one after the other
	DispatchToSingle    = "DispatchToSingle"    // to one, and to the next when it is full
	Pinned              = "Pinned"              // those of a stream to the same consumer, as long as it stays
	PinnedByCorrelation = "PinnedByCorrelation" // those of a correlation to the same consumer
	// OrderedByStream gives out the events of a stream one after the other: the next when the one before was acknowledged,
	// skipped or parked, so that none overtakes one that is tried again. Streams do not wait for each other.
	OrderedByStream = "OrderedByStream"
)

func knownStrategy(name string) bool {
	return slices.Contains([]string{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation, OrderedByStream}, name)
}

// strategy chooses consumers. The owner of the queue serialises the calls.
type strategy interface {
	// choose answers who gets a message: nil for nobody now. full: there is no room for any message.
	choose(m *pending, consumers []*consumer) (to *consumer, full bool)
	// joined lets a consumer take part; busy are the keys of what is under way.
	joined(c *consumer, busy map[string]int)
	left(c *consumer)
}

func newStrategy(name string) strategy {
	switch name {
	case Pinned, PinnedByCorrelation:
		return &pinned{}
	case DispatchToSingle:
		return &inTurn{sticks: true}
	default:
		return &inTurn{}
	}
}

// inTurn gives to one consumer after the other, or sticks to one while it has room.
type inTurn struct {
	sticks bool
	next   int
}

func (s *inTurn) choose(_ *pending, consumers []*consumer) (*consumer, bool) {
	for range consumers {
		if s.next >= len(consumers) {
			s.next = 0
		}
		c := consumers[s.next]
		if !s.sticks || c.free() <= 0 {
			s.next++
		}
		if c.free() > 0 {
			return c, false
		}
	}
	return nil, true
}

func (s *inTurn) joined(*consumer, map[string]int) {}
func (s *inTurn) left(*consumer)                   {}

// pinned divides keys over buckets, and gives all of a bucket to the same consumer: a free bucket to the one who has fewest.
type pinned struct {
	buckets [pinnedBuckets]*consumer
	has     map[*consumer]int
}

const pinnedBuckets = 1024

func (s *pinned) choose(m *pending, consumers []*consumer) (*consumer, bool) {
	if !slices.ContainsFunc(consumers, func(c *consumer) bool { return c.free() > 0 }) {
		return nil, true
	}
	bucket := bucketOf(m.key)
	to := s.buckets[bucket]
	if to == nil {
		to = slices.MinFunc(consumers, func(a, b *consumer) int { return s.has[a] - s.has[b] })
		s.buckets[bucket] = to
		s.has[to]++
	}
	if to.free() <= 0 {
		return nil, false // others may have room for theirs
	}
	return to, false
}

func bucketOf(key string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return h.Sum32() % pinnedBuckets
}

// A newcomer takes its share of the buckets that were given out, of those of which nothing is under way.
func (s *pinned) joined(c *consumer, busy map[string]int) {
	if s.has == nil {
		s.has = map[*consumer]int{}
	}
	s.has[c] = 0
	given := 0
	for _, n := range s.has {
		given += n
	}
	share := given / len(s.has)
	if share == 0 {
		return
	}
	stay := [pinnedBuckets]bool{}
	for key := range busy {
		stay[bucketOf(key)] = true
	}
	for i, of := range s.buckets {
		if s.has[c] >= share {
			return
		}
		if of != nil && of != c && !stay[i] && s.has[of] > share {
			s.buckets[i] = c
			s.has[of]--
			s.has[c]++
		}
	}
}

func (s *pinned) left(c *consumer) {
	delete(s.has, c)
	for i, of := range s.buckets {
		if of == c {
			s.buckets[i] = nil
		}
	}
}
