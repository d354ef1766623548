package streamapi

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Subscriptions keeps what must outlive a server of persistent subscriptions. adapters/subscriptions implements it.
type Subscriptions interface {
	// Lead makes a server the leader for a while, or goes on with its lead; it does neither while another leads. fence is
	// above 0 when the server leads; otherwise endpoint is where the leader is found, and renewal another number each time
	// that it went on.
	Lead(ctx context.Context, server, at string, lasts time.Duration) (fence int64, endpoint string, renewal int64, err error)
	// Resign ends a server's lead at once.
	Resign(ctx context.Context, server string) error
	// Each calls found with every subscription, and with how far it got; -1: there is no checkpoint.
	Each(ctx context.Context, found func(definition []byte, done int64) error) error
	// Put, Remove and Checkpoint change a subscription. They answer false, having done nothing, when fence is not the leader's.
	Put(ctx context.Context, fence int64, source, name, incarnation string, definition []byte) (bool, error)
	Remove(ctx context.Context, fence int64, source, name string) (bool, error)
	Checkpoint(ctx context.Context, fence int64, source, name, incarnation string, done int64) (bool, error)
}

// persistents answers for persistent subscriptions. One server of a vault leads all of them, as in an EventStoreDB cluster; the
// others send clients there. If each subscription had a leader of its own, a client, which has one connection, would be
// sent to and fro between two of its subscriptions.
type persistents struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	server *Server
	store  Subscriptions
	id     string        // of this server, for the lead
	lasts  time.Duration // of the lead, when it is not renewed

	receivers sync.WaitGroup // of consumers' calls; run waits for them
	working   atomic.Int64   // groups that have begun, and share what may be held

	changing sync.Mutex // held while subscriptions are made, changed, removed or restarted, one after the other

	mu     sync.Mutex // guards what follows
	lead   lead
	groups map[groupKey]*group // while this server leads
	seen   string              // the name under which clients reach this server
	door   string              // where it listens, for as long as none did
}

// ListensAt says where the server listens, host:port. There clients are sent when no endpoint is configured and none came yet, from
// whose call the name would be known under which they reach it.
func (s *Server) ListensAt(address string) {
	if s.persistents == nil {
		return
	}
	s.persistents.mu.Lock()
	defer s.persistents.mu.Unlock()
	s.persistents.door = address
}

type groupKey struct{ source, name string }

func newPersistents(s *Server, store Subscriptions, lasts time.Duration) *persistents {
	if lasts <= 0 {
		lasts = DefaultLead
	}
	return &persistents{server: s, store: store, id: uuid.NewString(), lasts: lasts, lead: lead{changed: make(chan struct{})}}
}

func subscriptionFailed(key groupKey, reason string) error {
	return raise(codes.Internal, fmt.Sprintf("Subscription group %s on stream %s failed: '%s'", key.name, key.source, reason),
		"persistent-subscription-failed", "stream-name", key.source, "group-name", key.name, "reason", reason)
}

func subscriptionMissing(key groupKey) error {
	return raise(codes.NotFound, fmt.Sprintf("Subscription group %s on stream %s does not exist.", key.name, key.source),
		"persistent-subscription-does-not-exist", "stream-name", key.source, "group-name", key.name)
}

func subscriptionExists(key groupKey) error {
	return raise(codes.AlreadyExists, fmt.Sprintf("Subscription group %s on stream %s exists.", key.name, key.source),
		"persistent-subscription-exists", "stream-name", key.source, "group-name", key.name)
}

func subscriptionFull(key groupKey) error {
	return raise(codes.FailedPrecondition, fmt.Sprintf("Maximum subscriptions reached for subscription group %s on stream %s.", key.name, key.source),
		"maximum-subscribers-reached", "stream-name", key.source, "group-name", key.name)
}

func subscriptionDropped(key groupKey) error {
	return raise(codes.Canceled, fmt.Sprintf("Subscription group %s on stream %s was dropped.", key.name, key.source),
		"persistent-subscription-dropped", "stream-name", key.source, "group-name", key.name)
}

// Create implements persistent.PersistentSubscriptionsServer. Who may read a stream may share the reading of it: the subscription
// sees what its maker sees.
func (p *persistents) Create(ctx context.Context, r *persistent.CreateReq) (*persistent.CreateResp, error) {
	d, err := definitionOf(r.GetOptions())
	if err != nil {
		return nil, err
	}
	return &persistent.CreateResp{}, p.change(ctx, d.key(), func(fence int64, found *group) error {
		maker := principalOf(ctx)
		if err := p.mayReadSource(ctx, maker, d.Source); err != nil { // operators, too
			return err
		}
		if found != nil {
			return subscriptionExists(d.key())
		}
		if err := d.check(); err != nil {
			return err
		}
		d.Incarnation = uuid.NewString()
		d.Maker = makerOf(maker)
		if err := p.begin(ctx, d); err != nil {
			return err
		}
		if err := p.put(ctx, fence, d); err != nil {
			return err
		}
		return p.serve(fence, d, -1)
	})
}

// Update implements persistent.PersistentSubscriptionsServer: everything but the filter is replaced, how far the subscription got
// stays, and its consumers are dropped to come again.
func (p *persistents) Update(ctx context.Context, r *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	d, err := updateOf(r.GetOptions())
	if err != nil {
		return nil, err
	}
	return &persistent.UpdateResp{}, p.change(ctx, d.key(), func(fence int64, found *group) error {
		if found == nil {
			return subscriptionMissing(d.key())
		}
		if err := found.mayManage(principalOf(ctx)); err != nil {
			return err
		}
		was := found.definition
		d.Incarnation, d.Maker, d.Filter = was.Incarnation, was.Maker, was.Filter
		if was.Settings.Strategy == PinnedByCorrelation || was.Settings.Strategy == OrderedByStream {
			d.Settings.Strategy = was.Settings.Strategy // Update has no word for these
		}
		if err := d.check(); err != nil {
			return err
		}
		if err := p.begin(ctx, d); err != nil {
			return err
		}
		if err := p.put(ctx, fence, d); err != nil {
			return err
		}
		found.stop(subscriptionDropped(d.key()))
		return p.serve(fence, d, found.checkpointed())
	})
}

// Delete implements persistent.PersistentSubscriptionsServer.
func (p *persistents) Delete(ctx context.Context, r *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	o := r.GetOptions()
	key, err := keyOf(o.GetStreamIdentifier(), o.GetAll() != nil, o.GetGroupName())
	if err != nil {
		return nil, err
	}
	return &persistent.DeleteResp{}, p.change(ctx, key, func(fence int64, found *group) error {
		if found == nil {
			return subscriptionMissing(key)
		}
		if err := found.mayManage(principalOf(ctx)); err != nil {
			return err
		}
		removed, err := p.store.Remove(ctx, fence, key.source, key.name)
		if err != nil {
			return err
		}
		if !removed {
			return p.unled(false)
		}
		p.mu.Lock()
		delete(p.groups, key)
		p.mu.Unlock()
		found.stop(subscriptionDropped(key))
		return found.forgetParked(ctx)
	})
}

// ReplayParked implements persistent.PersistentSubscriptionsServer: what was parked is given to consumers again. stop_at is the first
// event number of the parked stream that is not. What is being replayed stays parked until a consumer is done with it, so
// that a crash loses nothing.
func (p *persistents) ReplayParked(ctx context.Context, r *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := r.GetOptions()
	key, err := keyOf(o.GetStreamIdentifier(), o.GetAll() != nil, o.GetGroupName())
	if err != nil {
		return nil, err
	}
	stop := int64(-1)
	if at, limited := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); limited {
		if stop = at.StopAt; stop < 0 {
			return nil, subscriptionFailed(key, "Cannot stop replaying parked message at a negative version.")
		}
	}
	found, err := p.find(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := found.mayManage(principalOf(ctx)); err != nil {
		return nil, err
	}
	return &persistent.ReplayParkedResp{}, found.replay(ctx, stop)
}

// RestartSubsystem implements persistent.PersistentSubscriptionsServer: all subscriptions begin anew from their checkpoints.
func (p *persistents) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if !operator(principalOf(ctx)) {
		return nil, accessDenied()
	}
	if err := p.leading(ctx); err != nil {
		return nil, err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	led := p.lead.fence > 0
	p.mu.Unlock()
	if !led {
		return nil, notReady()
	}
	p.stopAll(func(g *group) error { return subscriptionDropped(g.key) })
	if err := p.load(ctx); err != nil {
		p.unlead(notReady()) // the next look takes the lead again, and reads them again
		return nil, err
	}
	return &shared.Empty{}, nil
}

// change does one change after the other, on the leader.
func (p *persistents) change(ctx context.Context, key groupKey, do func(fence int64, found *group) error) error {
	if err := p.leading(ctx); err != nil {
		return err
	}
	if err := p.mayAsk(ctx, key); err != nil {
		return err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	fence, found := p.lead.fence, p.groups[key]
	led := fence > 0 && p.groups != nil
	p.mu.Unlock()
	if !led {
		return notReady()
	}
	return do(fence, found)
}

// put writes what a subscription is.
func (p *persistents) put(ctx context.Context, fence int64, d *definition) error {
	data, err := d.encode()
	if err != nil {
		return err
	}
	led, err := p.store.Put(ctx, fence, d.Source, d.Name, d.Incarnation, data)
	if err != nil {
		return err
	}
	return p.unled(led)
}

// serve lets consumers come to a subscription. done: how far it got; -1: nowhere yet.
func (p *persistents) serve(fence int64, d *definition, done int64) error {
	g, err := newGroup(p, fence, *d, done)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups == nil || p.lead.fence != fence {
		return p.unled(false)
	}
	p.groups[g.key] = g
	return nil
}

// unled is the error of a change that was not made because this server leads no more.
func (p *persistents) unled(led bool) error {
	if led {
		return nil
	}
	return fmt.Errorf("%w: another server leads the persistent subscriptions by now", eventstore.ErrUnavailable)
}

// find answers a subscription, on the leader. Errors: access-denied, does-not-exist, not-leader.
func (p *persistents) find(ctx context.Context, key groupKey) (*group, error) {
	if err := p.leading(ctx); err != nil {
		return nil, err
	}
	if err := p.mayAsk(ctx, key); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.groups[key]; found != nil {
		return found, nil
	}
	return nil, subscriptionMissing(key)
}

// begin finds out where a subscription begins that begins at the end: at the end as it is now, for good.
func (p *persistents) begin(ctx context.Context, d *definition) error {
	switch {
	case d.Start >= 0 && d.ofView():
		d.After = max(d.Start-1, 0)
		return nil
	case d.Start >= 0:
		d.After = d.Start - 1
		return nil
	case d.ofView():
		head, err := p.server.Log.Head(ctx)
		d.After = int64(head)
		return err
	default:
		last, err := p.server.lastRevision(ctx, eventstore.Stream(d.Source))
		d.After = int64(last)
		return err
	}
}
