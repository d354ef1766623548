package esdb

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// times remembers when some positions were recorded. The server has no index of times, and can be asked only for positions that it
// gave out itself: what was met before is where the next search begins.
type times struct {
	mu      sync.Mutex
	samples []moment // guarded by mu; by position
	window  []moment // guarded by mu; neighbours without a gap: what was searched last
}

type moment struct {
	position eventstore.Position
	at       time.Time
}

const (
	sampleEvery = 256 // events between samples
	maxSamples  = 1 << 16
	windowSize  = 512
)

// met takes a position into account.
func (t *times) met(m moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, there := slices.BinarySearchFunc(t.samples, m.position, byPosition)
	if there {
		return
	}
	if len(t.samples) >= maxSamples {
		for k := range maxSamples / 2 {
			t.samples[k] = t.samples[2*k]
		}
		t.samples = t.samples[:maxSamples/2]
		i = sort.Search(len(t.samples), func(k int) bool { return t.samples[k].position > m.position })
	}
	t.samples = slices.Insert(t.samples, i, m)
}

func byPosition(m moment, p eventstore.Position) int {
	switch {
	case m.position < p:
		return -1
	case m.position > p:
		return 1
	}
	return 0
}

// until is the last known position that is not behind p; 0 when there is none.
func (t *times) until(p eventstore.Position) eventstore.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := sort.Search(len(t.samples), func(i int) bool { return t.samples[i].position > p }); i > 0 {
		return t.samples[i-1].position
	}
	return 0
}

// from is the first known position that is behind p; 0 when there is none.
func (t *times) from(p eventstore.Position) eventstore.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := sort.Search(len(t.samples), func(i int) bool { return t.samples[i].position > p }); i < len(t.samples) {
		return t.samples[i].position
	}
	return 0
}

// around is the last known moment that is not after at, and whether a later one is known.
func (t *times) around(at time.Time) (moment, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.samples), func(i int) bool { return t.samples[i].at.After(at) })
	if i == 0 {
		return moment{}, len(t.samples) > 0
	}
	return t.samples[i-1], i < len(t.samples)
}

// inWindow answers from what was searched last.
func (t *times) inWindow(at time.Time) (eventstore.Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.window), func(i int) bool { return t.window[i].at.After(at) })
	if i == 0 || i == len(t.window) {
		return 0, false
	}
	return t.window[i-1].position, true
}

func (t *times) keep(window []moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.window = window
}

// PositionAt implements eventstore.Log. Recent times are found from the end. For others the log is read from the last known
// moment before; the first time that may be the whole log up to there, later at most sampleEvery events.
func (l *Log) PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error) {
	ctx, cancel := l.bounded(ctx, 0)
	defer cancel()
	if ctx.Err() != nil {
		return 0, faultOf(ctx, ctx.Err()).err
	}
	if p, ok := l.times.inWindow(t); ok {
		return p, nil
	}
	before, later := l.times.around(t)
	if !later {
		n := 0
		for raw, err := range l.readAll(ctx, reading{after: before.position, backward: true, choice: chosen(eventstore.Filter{}), limit: windowSize}) {
			if err != nil {
				return 0, err
			}
			if n++; n == 1 {
				l.times.met(moment{raw.Position, raw.At})
			}
			if !raw.At.After(t) {
				return raw.Position, nil
			}
		}
		if n < windowSize {
			return before.position, nil
		}
	}
	return l.searchFrom(ctx, before, t)
}

// searchFrom reads on from a moment until after t, and a little more, so that what is asked next need not be read again.
func (l *Log) searchFrom(ctx context.Context, before moment, t time.Time) (eventstore.Position, error) {
	found, past, n := before.position, 0, 0
	var window []moment
	if before.position > 0 {
		window = append(window, before)
	}
	for raw, err := range l.readAll(ctx, reading{after: before.position, choice: chosen(eventstore.Filter{})}) {
		if err != nil {
			return 0, err
		}
		m := moment{raw.Position, raw.At}
		if n++; n%sampleEvery == 0 {
			l.times.met(m)
		}
		if len(window) == windowSize {
			window = slices.Delete(window, 0, windowSize/2)
		}
		window = append(window, m)
		if past == 0 && !raw.At.After(t) {
			found = raw.Position
		} else if past++; past == windowSize/4 {
			l.times.met(m)
			break
		}
	}
	l.times.keep(window)
	return found, nil
}
