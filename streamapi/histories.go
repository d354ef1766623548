package streamapi

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Whoever reads history holds pages of the log: the one that is being sent, and those read ahead of it, of at most 8 MiB each. histories
// bounds how many do at once, for the whole server. When others wait, each gives up its place with its pages after some events, and goes
// on where it was when its turn comes; who takes nothing of what is sent is ended, because nothing else lets go of its pages. Who hears
// what is new needs no place: that is held once for all.
type histories struct {
	most    int
	stalled time.Duration // taking nothing for so long is to stand still

	wanted atomic.Int32 // how many wait

	mu      sync.Mutex // guards what follows, and what is said to be so of each history
	held    map[*history]bool
	waiting []*history // first come, first served
}

const (
	// DefaultHistories is how many may read history at once.
	DefaultHistories = 64

	historyStalled = 5 * time.Second
	historyTurn    = 1000 // events after which a place is given up when somebody waits for it
)

func newHistories(most int) *histories {
	return &histories{most: most, stalled: historyStalled, held: map[*history]bool{}}
}

// reader is for one call, which end ends.
func (h *histories) reader(end context.CancelCauseFunc) *history { return &history{of: h, end: end} }

// history is a call that reads what was before it came. One goroutine uses it. A nil history needs no place.
type history struct {
	of    *histories
	end   context.CancelCauseFunc
	sends atomic.Uint64 // odd while it is sending

	turn chan struct{} // guarded by of.mu; closed when it is its turn
	seen uint64        // guarded by of.mu; of sends, and
	at   time.Time     // guarded by of.mu; since when it has been so
}

// begin waits for a place. Errors: those of ctx.
func (r *history) begin(ctx context.Context) error {
	if r == nil {
		return nil
	}
	h := r.of
	h.mu.Lock()
	if len(h.held) < h.most && len(h.waiting) == 0 {
		h.hold(r)
		h.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	r.turn = turn
	h.waiting = append(h.waiting, r)
	h.mu.Unlock()
	h.wanted.Add(1)
	defer h.wanted.Add(-1)
	look := time.NewTicker(h.stalled / 4)
	defer look.Stop()
	for {
		select {
		case <-turn:
			return nil
		case <-look.C:
			h.endStalled(time.Now())
		case <-ctx.Done():
			h.mu.Lock()
			if i := slices.Index(h.waiting, r); i >= 0 {
				h.waiting = slices.Delete(h.waiting, i, i+1)
				h.mu.Unlock()
			} else {
				h.mu.Unlock()
				r.over() // it had just become its turn
			}
			return context.Cause(ctx)
		}
	}
}

// hold is called with the lock held.
func (h *histories) hold(r *history) {
	h.held[r] = true
	r.seen, r.at = r.sends.Load(), time.Now()
}

// over gives the place to who waits longest.
func (r *history) over() {
	if r == nil {
		return
	}
	h := r.of
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, r)
	if len(h.waiting) > 0 {
		next := h.waiting[0]
		h.waiting = slices.Delete(h.waiting, 0, 1)
		h.hold(next)
		close(next.turn)
	}
}

// wanted reports whether somebody waits for the place.
func (r *history) wanted() bool { return r != nil && r.of.wanted.Load() > 0 }

// sending is called before and after something is sent.
func (r *history) sending() {
	if r != nil {
		r.sends.Add(1)
	}
}

// endStalled ends those who stand still, as many as there are others who wait.
func (h *histories) endStalled(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := len(h.waiting)
	for r := range h.held {
		n := r.sends.Load()
		if n != r.seen || n%2 == 0 {
			r.seen, r.at = n, now
			continue
		}
		if left > 0 && now.Sub(r.at) >= h.stalled {
			left--
			r.end(raise(codes.ResourceExhausted, "Nothing was taken for a while, and others wait to read: go on from where you are.", "reader-stalled"))
		}
	}
}

// all is ReadAll, with a place held while it goes on. Having waited in between, it ends where the log ended then.
func (r *history) all(ctx context.Context, log eventstore.Log, read eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	limited := read.Limit > 0
	return r.turns(ctx, func() iter.Seq2[eventstore.Raw, error] { return log.ReadAll(ctx, read) }, func(raw *eventstore.Raw) bool {
		if read.Limit--; read.Backward {
			read.Before = raw.Position
		} else {
			read.After = raw.Position
		}
		return !limited || read.Limit > 0
	}, func() error {
		if read.Before > 0 {
			return nil
		}
		head, err := log.Head(ctx)
		read.Before = head + 1
		return err
	})
}

// stream is ReadStream, likewise.
func (r *history) stream(ctx context.Context, log eventstore.Log, stream eventstore.Stream, read eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	limited := read.Limit > 0
	return r.turns(ctx, func() iter.Seq2[eventstore.Raw, error] { return log.ReadStream(ctx, stream, read) }, func(raw *eventstore.Raw) bool {
		if read.Limit--; read.Backward {
			read.From = raw.Revision - 1
		} else {
			read.From = raw.Revision + 1
		}
		return (!limited || read.Limit > 0) && read.From >= 0
	}, func() error { return nil })
}

// turns yields what read reads, in turns. passed says what was yielded, and answers whether there may be more; again prepares for what
// is behind that to be read.
func (r *history) turns(
	ctx context.Context, read func() iter.Seq2[eventstore.Raw, error], passed func(*eventstore.Raw) bool, again func() error,
) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		for goOn := true; goOn; {
			err := r.begin(ctx)
			if err == nil {
				goOn, err = r.one(read(), passed, yield)
			}
			if err == nil && goOn {
				err = again()
			}
			if err != nil {
				yield(eventstore.Raw{}, err)
				return
			}
		}
	}
}

// one is a turn; goOn: there may be more.
func (r *history) one(events iter.Seq2[eventstore.Raw, error], passed func(*eventstore.Raw) bool, yield func(eventstore.Raw, error) bool) (goOn bool, err error) {
	defer r.over()
	n := 0
	for raw, err := range events {
		if err != nil {
			return false, err
		}
		if !yield(raw, nil) || !passed(&raw) {
			return false, nil
		}
		if n++; n%historyTurn == 0 && r.wanted() {
			return true, nil
		}
	}
	return false, nil
}
