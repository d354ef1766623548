package streamapi

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// readSource reads what the subscription is to until it ends, as far ahead as there is room.
func (g *group) readSource() {
	for g.ctx.Err() == nil {
		read := g.readStream
		if g.view != nil {
			read = g.readView
		}
		if err := read(g.ctx); err != nil && g.ctx.Err() == nil {
			g.server.Logger.Warn("stream API: a persistent subscription cannot read", "source", g.key.source, "name", g.key.name, "error", err)
			pause(g.ctx, time.Second)
		}
	}
}

// where is up to where the source was read.
func (g *group) where() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.read
}

func (g *group) readStream(ctx context.Context) error {
	stream := eventstore.Stream(g.key.source)
	about, err := g.server.metas.of(ctx, stream)
	if err != nil {
		return err
	}
	from, _, err := g.server.shownFrom(ctx, stream, about)
	if err != nil {
		return err
	}
	if about.deleted() { // it goes on when it is written again
		if from, err = g.server.lastRevision(ctx, stream); err != nil {
			return err
		}
		from++
	}
	after := max(eventstore.Revision(g.where()), from-1)
	for batch, err := range g.server.followStream(ctx, nil, stream, after) {
		if err != nil {
			return err
		}
		for i := range batch.events {
			raw := &batch.events[i]
			about, err := g.server.metas.of(ctx, stream)
			if err != nil {
				return err
			}
			hidden := raw.Type == typeDeleted || int64(raw.Revision) < about.before ||
				(about.maxAge > 0 && g.server.Now().Sub(raw.At) > about.maxAge)
			if err := g.take(ctx, raw, int64(raw.Revision), hidden); err != nil {
				return err
			}
		}
		g.reached(batch.state, -1)
	}
	return ctx.Err()
}

func (g *group) readView(ctx context.Context) error {
	after := eventstore.Position(g.where())
	if g.view.correlation != "" && g.server.Correlations != nil {
		// History is found by the index; what is newer than now is followed.
		head, err := g.server.Log.Head(ctx)
		if err != nil {
			return err
		}
		for raw, err := range g.server.events(ctx, nil, *g.view, eventstore.Read{After: after, Before: head + 1, Filter: g.view.filter}) {
			if err != nil {
				return err
			}
			if err := g.takeOfView(ctx, &raw); err != nil {
				return err
			}
		}
		after = max(after, head)
		g.reached(catchingUp, int64(after))
	}
	for batch, err := range g.server.follow(ctx, nil, after, g.view.filter) {
		if err != nil {
			return err
		}
		for i := range batch.events {
			if err := g.takeOfView(ctx, &batch.events[i]); err != nil {
				return err
			}
		}
		g.reached(batch.state, int64(batch.through))
	}
	return ctx.Err()
}

func (g *group) takeOfView(ctx context.Context, raw *eventstore.Raw) error {
	// What subscriptions themselves write would come back to them, to be parked again for ever.
	hidden := strings.HasPrefix(string(subject(raw.Stream)), parkedPrefix) || !inFilter(&g.view.filter, raw)
	if !hidden {
		passes, err := g.server.passes(ctx, &g.reading, g.view, raw)
		if err != nil {
			return err
		}
		hidden = !passes
	}
	return g.take(ctx, raw, int64(raw.Position), hidden)
}

// take puts an event into the queue when there is room. Its bytes are copied: what it was read with may be much more, and
// must not be kept alive by it.
func (g *group) take(ctx context.Context, raw *eventstore.Raw, place int64, hidden bool) error {
	if hidden {
		return nil
	}
	m := &pending{raw: *raw, place: place, id: raw.ID}
	m.raw.Data, m.raw.Metadata = bytes.Clone(raw.Data), bytes.Clone(raw.Metadata)
	if g.view != nil && g.view.name != "" {
		m.id = linkTo(*raw, g.view.name, nil).raw.ID
	}
	m.key = g.pin(&m.raw)
	for {
		g.mu.Lock()
		if room := g.queue.room(); room {
			g.queue.add(m)
			g.settle()
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-g.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reached says that the source was read up to a position; -1: it is not known.
func (g *group) reached(state feedState, through int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue.read = max(g.queue.read, through)
	switch state {
	case caughtUp:
		g.queue.live = true
	case fellBehind:
		g.queue.live = false
	case catchingUp:
	}
}

// pin is what binds an event to a consumer, or to its order.
func (g *group) pin(raw *eventstore.Raw) string {
	if g.definition.Settings.Strategy == PinnedByCorrelation {
		if c := CorrelationOf(raw.Metadata); c != "" {
			return c
		}
	}
	if raw.Type == typeLink {
		if _, stream, ok := strings.Cut(string(raw.Data), "@"); ok {
			return stream
		}
	}
	return string(raw.Stream)
}

// system is who writes what persistent subscriptions write for themselves.
func system() Principal {
	return Principal{
		ID: "$system", Roles: []string{"$admins"}, Categories: []string{Everything}, Organisations: []string{Everything}, WriteFree: true, WriteOwn: true,
	}
}

// parking is what is said of a message that is parked. The id makes asking twice say it once.
type parking struct {
	id     uuid.UUID
	reason string
}
