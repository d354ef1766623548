package streamapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Parked messages are links in a stream of the log, where EventStoreDB has them: clients read it, and truncate it, like any
// other. A message that is replayed stays in it until it is done; then the stream is truncated behind it.

const parkedPrefix = "$persistentsubscription-"

// parked is the stream of a subscription's parked messages.
func (d *definition) parked() eventstore.Stream {
	return eventstore.Stream(parkedPrefix + d.Source + "::" + d.Name + "-parked")
}

// parkedStream is what is known of it. The group's mu guards it.
type parkedStream struct {
	name  eventstore.Stream
	next  int64 // what is replayed next
	until int64 // what is not replayed any more
}

// mostReason bounds what a consumer says of a message that it parks, bytes.
const mostReason = 4096

// mostParked are the messages that are parked by one append.
const mostParked = 256

// parkedMetadata is what EventStoreDB writes beside a parked message.
type parkedMetadata struct {
	Added                   time.Time `json:"added"`
	Reason                  string    `json:"reason"`
	SubscriptionEventNumber int64     `json:"subscriptionEventNumber"`
}

// writeParked parks what is to be parked. Until it is written the messages are not done, so that nothing is lost when it cannot
// be; the same ids are used when it is tried again.
func (g *group) writeParked(ctx context.Context) error {
	for {
		g.mu.Lock()
		list := g.queue.parks[:min(len(g.queue.parks), mostParked)]
		g.mu.Unlock()
		if len(list) == 0 {
			return nil
		}
		a := &appending{principal: system(), stream: g.parked.name, expected: expectation(eventstore.Any), most: eventstore.MaxAppend}
		for _, m := range list {
			metadata, err := json.Marshal(parkedMetadata{Added: g.server.Now().UTC(), Reason: m.park.reason, SubscriptionEventNumber: m.place})
			if err != nil {
				return err
			}
			a.entries = append(a.entries, eventstore.Entry{ID: m.park.id, Type: typeLink, Data: g.linkData(m), Metadata: pack(metadata, false)})
		}
		if _, wrong, err := g.server.append(ctx, a); err != nil || wrong != nil {
			return errors.Join(err, conflicting(wrong))
		}
		g.mu.Lock()
		g.queue.parks = g.queue.parks[len(list):]
		for _, m := range list {
			g.queue.finish(m)
		}
		g.settle()
		g.mu.Unlock()
	}
}

func conflicting(wrong *wrongVersion) error {
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("%w: at revision %d", eventstore.ErrConflict, wrong.actual)
}

// linkData is the link to a message: to what it was resolved to, when it was.
func (g *group) linkData(m *pending) []byte {
	if m.raw.Type == typeLink && (m.parked || g.definition.Settings.Resolve) {
		return m.raw.Data
	}
	return fmt.Appendf(nil, "%d@%s", m.raw.Revision, m.raw.Stream)
}

// replay lets what is parked be replayed, up to stop; below 0: all of it.
func (g *group) replay(ctx context.Context, stop int64) error {
	first, end, err := g.parkedRange(ctx)
	if err != nil {
		return err
	}
	if stop >= 0 {
		end = min(end, stop)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended != nil {
		return g.ended
	}
	g.parked.next = max(g.parked.next, first)
	g.parked.until = max(g.parked.until, end)
	g.begin()
	signal(g.replays)
	return nil
}

// parkedRange is which events of the parked stream are there: from first, and before end.
func (g *group) parkedRange(ctx context.Context) (first, end int64, err error) {
	about, err := g.server.metas.of(ctx, g.parked.name)
	if err != nil || about.deleted() || about.closed > 0 {
		return 0, 0, err
	}
	last, err := g.server.lastRevision(ctx, g.parked.name)
	end = int64(last) + 1
	return min(about.before, end), end, err
}

// countParked is how many messages are parked, without those that are being replayed.
func (g *group) countParked(ctx context.Context) (int64, error) {
	first, end, err := g.parkedRange(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(0, end-max(first, g.parked.next)), err
}

// replayParked replays whenever somebody asks for it.
func (g *group) replayParked() {
	for {
		select {
		case <-g.replays:
		case <-g.ctx.Done():
			return
		}
		if err := g.replayRange(g.ctx); err != nil && g.ctx.Err() == nil {
			g.server.Logger.Warn("stream API: parked messages cannot be read", "source", g.key.source, "name", g.key.name, "error", err)
			pause(g.ctx, time.Second)
			signal(g.replays)
		}
	}
}

// replayRange reads what is to be replayed, a batch at a time, while there is room. Whoever makes room calls it again.
func (g *group) replayRange(ctx context.Context) error {
	for {
		g.mu.Lock()
		next, until, room := g.parked.next, g.parked.until, g.queue.roomToReplay()
		g.mu.Unlock()
		if next >= until || !room {
			signal(g.chores)
			return nil
		}
		limit := int(min(until-next, int64(min(g.definition.Settings.ReadBatch, mostBuffered))))
		read := next
		for raw, err := range g.server.Log.ReadStream(ctx, g.parked.name, eventstore.StreamRead{From: eventstore.Revision(next), Limit: limit}) {
			if err != nil {
				return err
			}
			if int64(raw.Revision) >= until {
				break
			}
			read = int64(raw.Revision) + 1
			g.mu.Lock()
			g.parked.next = read
			if _, name, ok := strings.Cut(string(raw.Data), "@"); ok && raw.Type == typeLink {
				g.queue.add(&pending{raw: raw, id: raw.ID, key: name, place: int64(raw.Revision), parked: true})
				g.settle()
			}
			g.mu.Unlock()
		}
		if read == next { // there is no more than that
			g.mu.Lock()
			g.parked.next = max(g.parked.next, until)
			g.mu.Unlock()
		}
	}
}

// truncateParked removes from the parked stream what was replayed and is done: when all is, and at the end.
func (g *group) truncateParked(ctx context.Context, ending bool) error {
	g.mu.Lock()
	before := g.queue.replayed(g.parked.next)
	under := len(g.queue.replays) > 0 || g.parked.next < g.parked.until
	g.mu.Unlock()
	about, err := g.server.metas.of(ctx, g.parked.name)
	if err != nil || about.deleted() || about.closed > 0 || before <= about.before {
		return err
	}
	if under && !ending && before-about.before < mostParked {
		return nil
	}
	for {
		_, err := g.server.truncate(ctx, g.parked.name, before)
		if !errors.Is(err, eventstore.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// forgetParked removes the parked messages of a subscription that was deleted.
func (g *group) forgetParked(ctx context.Context) error {
	gate := g.server.gate(g.parked.name)
	gate.Lock()
	defer gate.Unlock()
	last, err := g.server.lastRevision(ctx, g.parked.name)
	if err != nil || last < 0 {
		return err
	}
	if about, err := g.server.metas.of(ctx, g.parked.name); err != nil || about.deleted() {
		return err
	}
	for {
		_, err := g.server.forget(ctx, g.parked.name, last)
		if !errors.Is(err, eventstore.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}
