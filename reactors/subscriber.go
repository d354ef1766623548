package reactors

import (
	"context"
	"hash/maphash"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/mediavault-io/mediavault/eventstore"
)

type recordedKey struct{}

// recordedOf is the event that a message of our subscriber carries. Messages never leave the process, so it travels as it
// is and has no payload.
func recordedOf(msg *message.Message) eventstore.Recorded {
	rec, _ := msg.Context().Value(recordedKey{}).(eventstore.Recorded)
	return rec
}

// subscriber is watermill's Subscriber over the event store. It hands out events of different keys at once and those of one
// key one after the other, and moves the checkpoint over what is contiguously done.
type subscriber struct {
	store   *eventstore.Store
	marks   *marks
	reactor Reactor
	opts    Options
	from    eventstore.Position
	seed    maphash.Seed

	done chan struct{} // closed when everything that Subscribe started has ended
}

func newSubscriber(ctx context.Context, store *eventstore.Store, m *marks, r Reactor, opts Options) (*subscriber, error) {
	from, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	return &subscriber{store: store, marks: m, reactor: r, opts: opts, from: from, seed: maphash.MakeSeed()}, nil
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
		select {
		case <-ctx.Done():
		case <-time.After(s.opts.Backoff):
		}
	}
}

func (s *subscriber) followOnce(ctx context.Context, p *progress, out chan<- *message.Message) {
	var wg sync.WaitGroup
	lanes := make([]chan eventstore.Recorded, s.opts.Lanes)
	for i := range lanes {
		lanes[i] = make(chan eventstore.Recorded, max(1, s.opts.InFlight/s.opts.Lanes))
		wg.Go(func() {
			for rec := range lanes[i] {
				if s.deliver(ctx, rec, out) {
					p.finish(rec.Position)
				}
			}
		})
	}
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	var saver sync.WaitGroup
	saver.Go(func() { s.save(saving, p) })

	for batch, err := range s.store.Follow(ctx, s.from, eventstore.Filter{Types: s.reactor.Types()}) {
		if err != nil {
			if ctx.Err() == nil {
				s.opts.Logger.Warn("reactor lost the event store; it tries again", "reactor", s.reactor.Name(), "error", err)
			}
			break
		}
		for _, rec := range batch.Events {
			p.start(rec.Position)
			select {
			case lanes[s.lane(rec)] <- rec:
			case <-ctx.Done():
			}
		}
		p.reach(batch.Through)
		if ctx.Err() != nil {
			break
		}
	}
	for _, lane := range lanes {
		close(lane)
	}
	wg.Wait()
	stopSaving()
	saver.Wait()
}

func (s *subscriber) lane(rec eventstore.Recorded) int {
	return int(maphash.String(s.seed, string(rec.Stream)) % uint64(s.opts.Lanes)) //nolint:gosec // smaller than Lanes
}

// deliver hands an event out until it is acknowledged; false when ctx ended before.
func (s *subscriber) deliver(ctx context.Context, rec eventstore.Recorded, out chan<- *message.Message) bool {
	for pause := s.opts.Backoff; ; pause = min(2*pause, 10*time.Second) {
		msg := message.NewMessage(rec.ID.String(), nil)
		msg.Metadata.Set("type", rec.Type)
		msg.Metadata.Set("stream", string(rec.Stream))
		msg.Metadata.Set("position", strconv.FormatInt(int64(rec.Position), 10))
		middleware.SetCorrelationID(rec.Metadata.Correlation.String(), msg)
		msgCtx, cancel := context.WithCancel(context.WithValue(ctx, recordedKey{}, rec))
		msg.SetContext(msgCtx)
		select {
		case out <- msg:
		case <-ctx.Done():
			cancel()
			return false
		}
		select {
		case <-msg.Acked():
			cancel()
			return true
		case <-msg.Nacked():
			cancel()
		case <-ctx.Done():
			cancel()
			return false
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// save moves the stored checkpoint along while it changes, and a last time at the end.
func (s *subscriber) save(ctx context.Context, p *progress) {
	saved := s.from
	store := func() {
		to := p.through()
		if to == saved {
			return
		}
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.marks.save(write, to); err != nil {
			s.opts.Logger.Warn("checkpoint not saved; it will be", "reactor", s.reactor.Name(), "error", err)
			return
		}
		saved = to
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			store()
			return
		case <-tick.C:
			store()
		}
	}
}

// progress knows what was handed out and what is done.
type progress struct {
	mu      sync.Mutex // guards all below
	order   []eventstore.Position
	done    map[eventstore.Position]bool
	reached eventstore.Position // the store has handed over everything up to here
	upTo    eventstore.Position // everything up to here is done
}

func newProgress(from eventstore.Position) *progress {
	return &progress{done: map[eventstore.Position]bool{}, reached: from, upTo: from}
}

func (p *progress) start(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order = append(p.order, pos)
}

func (p *progress) finish(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[pos] = true
	for len(p.order) > 0 && p.done[p.order[0]] {
		p.upTo = p.order[0]
		delete(p.done, p.order[0])
		p.order = p.order[1:]
	}
}

func (p *progress) reach(pos eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = pos
}

// through is the position up to which nothing remains to be done.
func (p *progress) through() eventstore.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.order) == 0 {
		return max(p.upTo, p.reached)
	}
	return p.upTo
}
