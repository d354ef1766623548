package streamapi

import (
	"cmp"
	"context"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// DefaultLead is how long a lead lasts that is not renewed: so long do consumers wait when a leader was killed.
const DefaultLead = 5 * time.Second

// renewals is how often a lead is renewed while it lasts.
const renewals = 5

// lead is who leads, as far as this server knows.
type lead struct {
	fence    int64     // above 0: this server
	until    time.Time // of this server's lead, by its own clock, which began before the database's
	endpoint string    // of the other server that leads
	renewal  int64     // of the other's lead
	missed   int       // looks since the other was seen to go on; it is believed to live while they are few
	alive    bool      // the other was seen to go on
	changed  chan struct{}
}

// run leads when no other does, until ctx ends.
func (p *persistents) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.look(ctx)
		pause(ctx, p.lasts/renewals)
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	p.unlead(notReady())
	// What was led is written and let go before this server ends, so that another goes on at once.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.lasts)
	defer cancel()
	if err := p.store.Resign(last, p.id); err != nil {
		p.server.Logger.Warn("stream API: the lead of the persistent subscriptions was not let go", "error", err)
	}
	p.receivers.Wait()
}

// look takes or renews the lead, or sees who has it.
func (p *persistents) look(ctx context.Context) {
	begun := time.Now()
	fence, endpoint, renewal, err := p.store.Lead(ctx, p.id, p.endpoint(), p.lasts)
	p.mu.Lock()
	was := p.lead.fence
	p.mu.Unlock()
	switch {
	case err != nil:
		if ctx.Err() == nil {
			p.server.Logger.Warn("stream API: who leads the persistent subscriptions is not known", "error", err)
		}
		p.mu.Lock()
		over := was > 0 && time.Now().After(p.lead.until)
		p.mu.Unlock()
		if over {
			p.changing.Lock()
			p.unlead(notReady())
			p.changing.Unlock()
		}
	case fence == 0:
		if was > 0 {
			p.changing.Lock()
			p.unlead(notReady())
			p.changing.Unlock()
		}
		p.follow(endpoint, renewal)
	case fence == was:
		p.mu.Lock()
		p.lead.until = begun.Add(p.lasts)
		p.mu.Unlock()
	default:
		p.takeLead(ctx, fence, begun.Add(p.lasts))
	}
}

func (p *persistents) takeLead(ctx context.Context, fence int64, until time.Time) {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.unlead(notReady())
	p.mu.Lock()
	p.lead.fence, p.lead.until = fence, until
	p.mu.Unlock()
	if err := p.load(ctx); err != nil {
		if ctx.Err() == nil {
			p.server.Logger.Error("stream API: the persistent subscriptions cannot be read", "error", err)
		}
		p.unlead(notReady())
		return
	}
	p.server.Logger.Info("stream API: this server leads the persistent subscriptions", "fence", fence)
}

// follow sees another server lead. Until it was seen to go on it may be dead, and a client sent there would find nobody.
func (p *persistents) follow(endpoint string, renewal int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lead.renewal > 0 && renewal != p.lead.renewal {
		p.lead.missed, p.lead.alive = 0, true
		close(p.lead.changed)
		p.lead.changed = make(chan struct{})
	} else if p.lead.missed++; p.lead.missed > 2 {
		p.lead.alive = false
	}
	p.lead.renewal, p.lead.endpoint = renewal, endpoint
}

// load reads the subscriptions of which this server has the lead. changing is held.
func (p *persistents) load(ctx context.Context) error {
	p.mu.Lock()
	fence := p.lead.fence
	p.mu.Unlock()
	loaded := map[groupKey]*group{}
	err := p.store.Each(ctx, func(data []byte, done int64) error {
		d, err := decodeDefinition(data)
		var g *group
		if err == nil {
			g, err = newGroup(p, fence, d, done)
		}
		if err != nil { // one that a newer server made, perhaps: it must not stop the others
			p.server.Logger.Error("stream API: a persistent subscription cannot be served", "source", d.Source, "name", d.Name, "error", err)
			return nil
		}
		loaded[g.key] = g
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = loaded
	close(p.lead.changed)
	p.lead.changed = make(chan struct{})
	return nil
}

// unlead ends this server's lead: consumers are dropped, and what they did is written while it may be. changing is held.
func (p *persistents) unlead(why error) {
	p.stopAll(func(*group) error { return why })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lead.fence, p.lead.alive, p.lead.missed, p.lead.renewal = 0, false, 0, 0
}

// stopAll stops all subscriptions at once, and waits until they are.
func (p *persistents) stopAll(why func(*group) error) {
	p.mu.Lock()
	groups := p.groups
	p.groups = nil
	p.mu.Unlock()
	for _, g := range groups {
		g.ending(why(g))
	}
	for _, g := range groups {
		g.stop(why(g))
	}
}

// leading answers nil when this server leads. It waits while nobody leads, as after a crash. Errors: not-leader, with where
// the leader is, or not ready.
func (p *persistents) leading(ctx context.Context) error {
	p.meet(ctx)
	ctx, cancel := context.WithTimeout(ctx, 2*p.lasts)
	defer cancel()
	for {
		p.mu.Lock()
		l, led := p.lead, p.groups != nil
		p.mu.Unlock()
		switch {
		case l.fence > 0 && led:
			return nil
		case l.alive:
			return notLeader(l.endpoint)
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return notReady()
		}
	}
}

// meet remembers under which name operators reach this server, for when clients have to be told. Others are not believed: with a made-up
// name one of them would have every client of the other servers sent to a server of his, credentials and all.
func (p *persistents) meet(ctx context.Context) {
	if !operator(principalOf(ctx)) {
		return
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if authority := md.Get(":authority"); len(authority) > 0 {
		p.mu.Lock()
		p.seen = authority[0]
		p.mu.Unlock()
	}
}

// endpoint is where this server is found.
func (p *persistents) endpoint() string {
	if p.server.Endpoint != "" {
		return p.server.Endpoint
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.seen, p.door)
}

func notReady() error { return raise(codes.Unavailable, "Server Is Not Ready", "server-not-ready") }

// notLeader sends a client to the leader: official clients connect there, and their next call goes through.
func notLeader(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return notReady() // it is not known where
	}
	return raise(codes.NotFound, "Leader info available", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port)
}
