package postgres

import (
	"sync/atomic"
	"time"
)

// Bounds of one batch. They keep the time of one commit, and with it the wait of the next batch, short.
const (
	batchAppends = 1024
	batchEntries = 8192
	batchBytes   = 16 << 20
)

// waiting is what the committer has taken from the queue and put into no batch yet, in the order in which it came.
type waiting struct {
	requests []*request
	entries  int
	bytes    int
	shown    *atomic.Int64 // how many requests there are, for Stats
}

func (w *waiting) add(r *request) {
	w.requests, w.entries, w.bytes = append(w.requests, r), w.entries+len(r.entries), w.bytes+r.size
	w.shown.Store(int64(len(w.requests)))
}

// full reports whether there is enough for two batches.
func (w *waiting) full() bool {
	return len(w.requests) >= 2*batchAppends || w.entries >= 2*batchEntries || w.bytes >= 2*batchBytes
}

// take answers the first requests, as many as have so many entries together and at least one, without those that were withdrawn.
func (w *waiting) take(most int) []*request {
	batch := make([]*request, 0, min(len(w.requests), batchAppends))
	entries, bytes, n := 0, 0, 0
	for _, r := range w.requests {
		tooMuch := entries+len(r.entries) > most || bytes+r.size > batchBytes
		if (tooMuch && entries > 0) || len(batch) == batchAppends {
			break
		}
		n++
		w.entries, w.bytes = w.entries-len(r.entries), w.bytes-r.size
		if r.state.CompareAndSwap(queued, taken) {
			batch, entries, bytes = append(batch, r), entries+len(r.entries), bytes+r.size
		}
	}
	rest := copy(w.requests, w.requests[n:])
	clear(w.requests[rest:])
	w.requests = w.requests[:rest]
	w.shown.Store(int64(rest))
	return batch
}

// Callers that append one thing after the other would otherwise fall into two halves, one waiting while the other is being
// committed, and each commit would serve only half of them. So the next batch is held open for those who were just answered,
// for a part of the time that a commit takes.
const (
	lingerPart = 4
	lingerMost = time.Millisecond
)

// gather waits for an append and takes what came with it. It answers nothing when the log is closed.
func (c *committer) gather() []*request {
	for !c.log.isClosing() {
		if len(c.waiting.requests) == 0 {
			select {
			case r := <-c.log.queue:
				c.waiting.add(r)
			case <-c.log.closing:
				return nil
			}
		}
		c.drain()
		if len(c.waiting.requests) < c.expected {
			c.await()
		}
		if batch := c.waiting.take(c.share()); len(batch) > 0 {
			return batch
		}
	}
	return nil
}

// drain takes what is in the queue, and does not wait.
func (c *committer) drain() {
	for !c.waiting.full() {
		select {
		case r := <-c.log.queue:
			c.waiting.add(r)
		default:
			return
		}
	}
}

// await waits for those who were just answered.
func (c *committer) await() {
	patience := time.NewTimer(c.linger)
	defer patience.Stop()
	for !c.waiting.full() && len(c.waiting.requests) < c.expected {
		select {
		case r := <-c.log.queue:
			c.waiting.add(r)
		case <-patience.C:
			return
		case <-c.log.closing:
			return
		}
	}
}
