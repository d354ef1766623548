package reactors

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/mediavault-io/mediavault/eventstore"
)

type deliveryKey struct{}

// delivery is what a message of our subscriber carries. Messages never leave the process, so it travels as it is and they
// have no payload.
type delivery struct {
	rec    eventstore.Recorded
	key    string
	again  bool // it was parked, and an admin asked to react to it again
	parked bool // told back, before the message is acknowledged: it kept failing
}

func deliveryOf(msg *message.Message) *delivery {
	if d, ok := msg.Context().Value(deliveryKey{}).(*delivery); ok {
		return d
	}
	return &delivery{}
}

// subscriber is watermill's Subscriber over the event store. It hands out events of different keys at once and those of one
// key one after the other, and moves the checkpoint over what is contiguously done.
type subscriber struct {
	engine  *Engine
	marks   *marks
	reactor Reactor
	opts    Options
	from    eventstore.Position

	done chan struct{} // closed when everything that Subscribe started has ended
}

// Subscribe implements message.Subscriber; the topic is the reactor's name. It is called once.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	s.done = make(chan struct{})
	go func() { // owned by Close, which waits for done
		defer close(s.done)
		defer close(out)
		s.follow(ctx, out)
	}()
	return out, nil
}

// Close implements message.Subscriber: it waits until nothing is being handed out any more. The context of Subscribe ends it.
func (s *subscriber) Close() error {
	if s.done != nil {
		<-s.done
	}
	return nil
}

// follow hands out events until ctx ends, starting again after a fault of the store from what is done.
func (s *subscriber) follow(ctx context.Context, out chan<- *message.Message) {
	for ctx.Err() == nil {
		p := newProgress(s.from)
		s.followOnce(ctx, p, out)
		s.from = p.through()
		pause(ctx, jitter(s.opts.Backoff))
	}
}

func (s *subscriber) followOnce(ctx context.Context, p *progress, out chan<- *message.Message) {
	q := &queues{slots: make(chan struct{}, s.opts.InFlight), busy: map[string]*queue{}}
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keep(keeping, ctx, p, q, out) })

	types := eventstore.Filter{Types: s.reactor.Types()}
	delay := s.engine.metrics.delay.WithLabelValues(s.reactor.Name())
	for batch, err := range s.engine.store.Follow(ctx, s.from, types) {
		if err != nil {
			if ctx.Err() == nil {
				s.opts.Logger.Warn("reactor lost the event store; it tries again", "reactor", s.reactor.Name(), "error", err)
			}
			break
		}
		for _, rec := range batch.Events {
			p.start(rec.Position)
			d := delivery{rec: rec, key: keyOf(s.reactor, rec)}
			if !q.add(ctx, d.key, func() {
				if batch.Live {
					delay.Observe(time.Since(rec.At).Seconds())
				}
				if s.deliver(ctx, d, out) != unfinished {
					p.finish(rec.Position)
				}
			}) {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		p.reach(batch.Through)
	}
	stopKeeping()
	keeper.Wait() // before the queues: it, too, adds to them
	q.wait()
	s.save(p, s.from)
}

// queues are what is to be done, by key: each key one after the other, different keys at once.
type queues struct {
	slots chan struct{} // one for each job that is not done
	wg    sync.WaitGroup

	mu   sync.Mutex // guards busy
	busy map[string]*queue
}

type queue struct{ jobs []func() }

// add waits for room, and queues the job; false when ctx ended before.
func (q *queues) add(ctx context.Context, key string, job func()) bool {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, ok := q.busy[key]; ok {
		at.jobs = append(at.jobs, job)
		return true
	}
	at := &queue{}
	q.busy[key] = at
	q.wg.Go(func() { q.work(key, at, job) })
	return true
}

func (q *queues) work(key string, at *queue, job func()) {
	for {
		job()
		<-q.slots
		q.mu.Lock()
		if len(at.jobs) == 0 {
			delete(q.busy, key)
			q.mu.Unlock()
			return
		}
		job = at.jobs[0]
		at.jobs = at.jobs[1:]
		q.mu.Unlock()
	}
}

// wait waits until all that was queued has ended.
func (q *queues) wait() { q.wg.Wait() }

// handed is what became of a delivery.
type handed int

const (
	unfinished handed = iota // ctx ended before
	reacted
	parkedNow
)

// deliver hands an event out until it is acknowledged.
func (s *subscriber) deliver(ctx context.Context, d delivery, out chan<- *message.Message) handed {
	for wait := s.opts.Backoff; ctx.Err() == nil; wait = min(2*wait, max(s.opts.BreakFor, s.opts.Backoff)) {
		msg := message.NewMessage(d.rec.ID.String(), nil)
		msg.Metadata.Set("type", d.rec.Type)
		msg.Metadata.Set("stream", string(d.rec.Stream))
		msg.Metadata.Set("position", strconv.FormatInt(int64(d.rec.Position), 10))
		middleware.SetCorrelationID(d.rec.Metadata.Correlation.String(), msg)
		now := d
		msg.SetContext(context.WithValue(ctx, deliveryKey{}, &now))
		select {
		case out <- msg:
		case <-ctx.Done():
			return unfinished
		}
		// The handler ends with ctx, and answers: what was begun is waited for, so that nothing acts once this has returned.
		select {
		case <-msg.Acked():
			if now.parked {
				return parkedNow
			}
			return reacted
		case <-msg.Nacked():
		}
		pause(ctx, jitter(wait))
	}
	return unfinished
}

// keep moves the stored checkpoint along while it changes, tells the metrics, and hands out again what an admin asked for.
func (s *subscriber) keep(ctx, work context.Context, p *progress, q *queues, out chan<- *message.Message) {
	saved, name := s.from, s.reactor.Name()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	again := &again{busy: map[string]bool{}}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		saved = s.save(p, saved)
		s.engine.metrics.inFlight.WithLabelValues(name).Set(float64(p.inFlight()))
		if n%4 != 0 {
			continue
		}
		if head, err := s.engine.store.Head(ctx); err == nil {
			s.engine.metrics.lag.WithLabelValues(name).Set(float64(max(0, head-p.through())))
		}
		if s.marks.count() > 0 {
			s.again(work, again, q, out)
		}
	}
}

// save stores how far it came, when that is further than what is stored, and answers what is.
func (s *subscriber) save(p *progress, saved eventstore.Position) eventstore.Position {
	to := p.through()
	if to == saved {
		return saved
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.marks.save(ctx, to); err != nil {
		s.opts.Logger.Warn("checkpoint not saved; it will be", "reactor", s.reactor.Name(), "error", err)
		return saved
	}
	return to
}

// again are the keys whose parked events are being handed out once more.
type again struct {
	mu   sync.Mutex // guards busy
	busy map[string]bool
}

func (a *again) begin(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[key] {
		return false
	}
	a.busy[key] = true
	return true
}

func (a *again) end(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, key)
}

// again queues what an admin asked to react to again, in the queue of its key: what comes meanwhile waits behind it.
func (s *subscriber) again(ctx context.Context, a *again, q *queues, out chan<- *message.Message) {
	keys, err := s.marks.asked(ctx)
	if err != nil {
		s.opts.Logger.Warn("parked events not looked for; they will be", "reactor", s.reactor.Name(), "error", err)
		return
	}
	for _, key := range keys {
		if !a.begin(key) {
			continue
		}
		soon, cancel := context.WithTimeout(ctx, time.Second) // otherwise the next time
		if !q.add(soon, key, func() {
			defer a.end(key)
			if err := s.replay(ctx, key, out); err != nil && ctx.Err() == nil {
				s.opts.Logger.Warn("parked events not handed out; they will be", "reactor", s.reactor.Name(), "key", key, "error", err)
			}
		}) {
			a.end(key)
		}
		cancel()
	}
}

// replay hands a key's parked events out in their order, but for those that were dropped, until none is left; then the key is
// free. One that fails again stays parked with those behind it.
func (s *subscriber) replay(ctx context.Context, key string, out chan<- *message.Message) error {
	defer func() { s.engine.metrics.parkedKeys.WithLabelValues(s.reactor.Name()).Set(float64(s.marks.count())) }()
	for {
		parked, err := s.marks.of(ctx, key)
		if err != nil {
			return err
		}
		if len(parked) == 0 {
			s.marks.free(key)
			return nil
		}
		for _, at := range parked {
			if at.dropped {
				if err := s.marks.unpark(ctx, at.position); err != nil {
					return err
				}
				continue
			}
			rec, err := s.recorded(ctx, at.position)
			if err != nil {
				return err
			}
			switch s.deliver(ctx, delivery{rec: rec, key: key, again: true}, out) {
			case unfinished:
				return ctx.Err()
			case parkedNow:
				return s.marks.settle(ctx, key)
			case reacted:
			}
		}
	}
}

func (s *subscriber) recorded(ctx context.Context, at eventstore.Position) (eventstore.Recorded, error) {
	for rec, err := range s.engine.store.ReadAll(ctx, eventstore.Read{After: at - 1, Limit: 1}) {
		return rec, err
	}
	return eventstore.Recorded{}, errNotInLog
}
