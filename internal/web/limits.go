package web

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mediavault-io/mediavault/domain"
)

// Limit is how many requests are accepted in a time; the zero Limit is no limit.
type Limit struct {
	Requests int
	Per      time.Duration
}

// Limits are the policy for requests. Who is identified counts as a principal, whatever the address; everybody else by address.
type Limits struct {
	PerIP        Limit
	PerPrincipal []Limit // all of them hold
}

var errTooMany = domain.Refuse(domain.TooMany, "too_many_requests", "too many requests; Retry-After says when to ask again")

// maxBuckets bounds the memory of one limiter, about 200 bytes each. Who has not asked for the longest time is forgotten first.
const maxBuckets = 50_000

// limiters hold one bucket per address and one or more per principal.
type limiters struct {
	now         func() time.Time
	byAddr      *buckets
	byPrincipal *buckets
}

func newLimiters(l Limits, now func() time.Time) *limiters {
	return &limiters{now: now, byAddr: newBuckets([]Limit{l.PerIP}, maxBuckets), byPrincipal: newBuckets(l.PerPrincipal, maxBuckets)}
}

// take counts one request; when it is too many it says how long to wait.
func (l *limiters) take(addr netip.Addr, who domain.UserID) (wait time.Duration, ok bool) {
	if who != "" {
		return l.byPrincipal.take(string(who), l.now())
	}
	return l.byAddr.take(network(addr), l.now())
}

// network is whom an address counts as: whoever holds an IPv6 address holds its /64.
func network(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

type buckets struct {
	limits []Limit
	max    int

	mu     sync.Mutex               // guards what follows
	byKey  map[string]*list.Element // of *bucket
	recent *list.List               // the most recently used first
}

type bucket struct {
	key      string
	limiters []*rate.Limiter
}

func newBuckets(limits []Limit, maxKeys int) *buckets {
	b := &buckets{max: maxKeys, byKey: map[string]*list.Element{}, recent: list.New()}
	for _, l := range limits {
		if l.Requests > 0 && l.Per > 0 {
			b.limits = append(b.limits, l)
		}
	}
	return b
}

func (b *buckets) take(key string, now time.Time) (wait time.Duration, ok bool) {
	if len(b.limits) == 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.of(key)
	taken := make([]*rate.Reservation, 0, len(found.limiters))
	for _, l := range found.limiters {
		r := l.ReserveN(now, 1)
		taken = append(taken, r)
		wait = max(wait, r.DelayFrom(now))
	}
	if wait == 0 {
		return 0, true
	}
	for _, r := range taken {
		r.CancelAt(now)
	}
	return wait, false
}

func (b *buckets) of(key string) *bucket {
	if at, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(at)
		return at.Value.(*bucket)
	}
	if b.recent.Len() >= b.max {
		last := b.recent.Back()
		delete(b.byKey, last.Value.(*bucket).key)
		b.recent.Remove(last)
	}
	made := &bucket{key: key}
	for _, l := range b.limits {
		made.limiters = append(made.limiters, rate.NewLimiter(rate.Limit(float64(l.Requests)/l.Per.Seconds()), l.Requests))
	}
	b.byKey[key] = b.recent.PushFront(made)
	return made
}
