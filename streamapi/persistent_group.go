package streamapi

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// group is a persistent subscription as its leader runs it: one goroutine reads the source, one replays what was parked, and
// one does the chores, which are timeouts, parking and checkpoints. They begin with the first consumer.
type group struct {
	owner      *persistents
	server     *Server
	key        groupKey
	definition definition
	fence      int64
	reading    reading // what may be read: the maker's rights, and the filter
	view       *view   // nil: one stream

	ctx     context.Context //nolint:containedctx // it is the group's own life
	cancel  context.CancelFunc
	work    sync.WaitGroup
	room    chan struct{} // there may be room to read
	replays chan struct{} // there may be something to replay, or room for it
	chores  chan struct{} // there may be something to do

	mu      sync.Mutex // guards what follows
	queue   *queue
	begun   bool
	ended   error // why consumers were dropped; nil: it goes on
	at      checkpointed
	parked  parkedStream
	counted counted
}

// checkpointed is how far it is written that the group got.
type checkpointed struct {
	place  int64 // -1: not yet
	number int64
	when   time.Time
}

// newGroup makes a group that goes on where it got; -1: it did not get anywhere yet.
func newGroup(p *persistents, fence int64, d definition, done int64) (*group, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	f, err := d.filter()
	if err != nil {
		return nil, err
	}
	g := &group{
		owner: p, server: p.server, key: d.key(), definition: d, fence: fence,
		reading: reading{principal: d.Maker.principal(), filter: f},
		room:    make(chan struct{}, 1), replays: make(chan struct{}, 1), chores: make(chan struct{}, 1),
		at: checkpointed{place: done, when: time.Now()}, parked: parkedStream{name: d.parked()}, counted: counted{when: time.Now()},
	}
	if d.ofView() {
		v, _ := viewOf(eventstore.Stream(d.Source)) // of $all it is the zero view
		if d.Source == allStream {
			v = view{}
		}
		g.view = &v
		if v.filter.Categories == nil {
			g.view.filter.Categories = pushed(&g.reading)
		}
	}
	g.queue = newQueue(d.Settings, max(d.After, done))
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// begin starts the group's work, once. mu is held.
func (g *group) begin() {
	if g.begun || g.ended != nil {
		return
	}
	g.begun = true
	g.owner.working.Add(1)
	g.work.Go(g.readSource)
	g.work.Go(g.replayParked)
	g.work.Go(g.doChores)
}

// settle gives out what can be, and wakes whoever has something to do. mu is held.
func (g *group) settle() {
	g.queue.push(time.Now())
	g.queue.most = int(max(leastHeld, min(mostHeld, allHeld/max(1, g.owner.working.Load()))))
	signal(g.room)
	if len(g.queue.replays) > 0 || g.parked.next < g.parked.until {
		signal(g.replays)
	}
	if _, number := g.queue.progress(); len(g.queue.parks) > 0 || number-g.at.number >= int64(max(1, g.definition.Settings.CheckpointMax)) {
		signal(g.chores)
	}
}

// ending drops the consumers, and lets the group's work end.
func (g *group) ending(why error) {
	g.mu.Lock()
	if g.ended == nil {
		g.ended = why
		for _, c := range slices.Clone(g.queue.consumers) {
			c.drop(why)
		}
	}
	g.mu.Unlock()
	g.cancel()
}

// stop drops the consumers and waits until everything is written that they did.
func (g *group) stop(why error) {
	g.ending(why)
	g.work.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.begun {
		g.begun = false
		g.owner.working.Add(-1)
	}
}

// checkpointed answers how far it is written that the group got.
func (g *group) checkpointed() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at.place
}

// doChores does what time or consumers ask for, until the group ends.
func (g *group) doChores() {
	tick := time.NewTicker(g.tick())
	defer tick.Stop()
	for {
		select {
		case <-g.chores:
		case <-tick.C:
		case <-g.ctx.Done():
			g.endChores()
			return
		}
		g.mu.Lock()
		g.queue.expire(time.Now())
		g.settle()
		g.mu.Unlock()
		if err := errors.Join(g.writeParked(g.ctx), g.checkpoint(g.ctx, false), g.truncateParked(g.ctx, false)); err != nil && g.ctx.Err() == nil {
			g.server.Logger.Warn("stream API: a persistent subscription could not write", "source", g.key.source, "name", g.key.name, "error", err)
			pause(g.ctx, 200*time.Millisecond)
		}
	}
}

// endChores writes what consumers did before they were dropped.
func (g *group) endChores() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), 5*time.Second)
	defer cancel()
	err := errors.Join(g.writeParked(ctx), g.checkpoint(ctx, true), g.truncateParked(ctx, true))
	if err != nil {
		g.server.Logger.Warn("stream API: a persistent subscription could not write its end", "source", g.key.source, "name", g.key.name, "error", err)
	}
}

// tick is how often the group looks at the clock.
func (g *group) tick() time.Duration {
	tick := time.Second
	if t := g.definition.Settings.timeout(); t > 0 {
		tick = min(tick, t/4)
	}
	if t := g.definition.Settings.checkpointAfter(); t > 0 {
		tick = min(tick, t/2)
	}
	return max(tick, 10*time.Millisecond)
}

// idleDistance is how far a subscription gets without a message before that is written: what a filter passed over.
const idleDistance = 1000

// checkpoint writes how far the group got when that is due, or in any case when it ends.
func (g *group) checkpoint(ctx context.Context, ending bool) error {
	s := g.definition.Settings
	g.mu.Lock()
	place, number := g.queue.progress()
	last := g.at
	begins := place > max(last.place, g.definition.After)
	g.mu.Unlock()
	now := time.Now()
	read := number - last.number
	due := s.CheckpointAfter > 0 && now.Sub(last.when) >= s.checkpointAfter() &&
		(read >= int64(max(1, s.CheckpointMin)) || (read == 0 && place-last.place >= idleDistance))
	if !begins || !(ending || due || read >= int64(max(1, s.CheckpointMax))) {
		return nil
	}
	written, err := g.owner.store.Checkpoint(ctx, g.fence, g.key.source, g.key.name, g.definition.Incarnation, place)
	if err != nil || !written {
		return err // not written: another server leads, or the subscription was deleted; it will be stopped
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = checkpointed{place: place, number: number, when: now}
	return nil
}

// done ends a message that no consumer can have.
func (g *group) done(m *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue.finish(m)
	g.settle()
}

// refuse parks a message that its consumer may not have.
func (g *group) refuse(m *pending, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.state == sent {
		g.queue.park(m, reason)
	}
	g.settle()
}

// ack ends messages.
func (g *group) ack(by *consumer, ids []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, id := range ids {
		g.queue.ack(by, id, now)
	}
	g.settle()
}

// join lets a consumer take part, and counts its receiver. Errors: maximum-subscribers-reached, or why the group ended.
func (g *group) join(c *consumer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended != nil {
		return g.ended
	}
	if !g.queue.join(c) {
		return subscriptionFull(g.key)
	}
	g.owner.receivers.Add(1) // while the group has not ended: whoever waits for them waits for this one, too
	g.begin()
	g.settle()
	return nil
}

// leave takes a consumer out.
func (g *group) leave(c *consumer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue.leave(c)
	g.settle()
}
