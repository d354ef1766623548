package streamapi

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/mediavault-io/mediavault/eventstore"
)

// consumer is one call of Read. Its fields but the first are guarded by the mu of its group.
type consumer struct {
	principal Principal
	name      string // of its connection, as it calls it
	from      string // its address
	slots     int    // how many messages it holds at most
	text      bool   // ids as text
	ready     chan struct{}
	dropped   chan struct{} // closed when it is

	why      error // it was dropped
	queue    []*pending
	inFlight int
	total    int64
	counted  int64
	took     []time.Duration // by the last messages, when statistics are wanted; a ring
	next     int             // in took
}

const measured = 1000 // messages of which it is known how long they took

func (c *consumer) free() int { return c.slots - c.inFlight }

func (c *consumer) drop(why error) {
	if c.why == nil {
		c.why = why
		close(c.dropped)
	}
}

func (c *consumer) measure(took time.Duration) {
	if len(c.took) < measured {
		c.took = append(c.took, took)
		return
	}
	c.took[c.next] = took
	c.next = (c.next + 1) % measured
}

// Read implements persistent.PersistentSubscriptionsServer: a consumer takes part in a subscription until it leaves or is dropped.
func (p *persistents) Read(call persistent.PersistentSubscriptions_ReadServer) error {
	return p.server.whileAllowed(call.Context(), func(ctx context.Context, _ context.CancelCauseFunc) error { return p.read(ctx, call) })
}

func (p *persistents) read(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer) error {
	first, err := call.Recv()
	if err != nil {
		return err
	}
	o := first.GetOptions()
	if o == nil {
		return invalidArgument("'options' has to come first")
	}
	key, err := keyOf(o.GetStreamIdentifier(), o.GetAll() != nil, o.GetGroupName())
	if err != nil {
		return err
	}
	if o.GetBufferSize() <= 0 {
		return invalidArgument("'bufferSize' must be positive")
	}
	g, err := p.find(ctx, key)
	if err != nil {
		return err
	}
	c := &consumer{
		principal: principalOf(ctx), name: "<unknown>", slots: int(min(o.GetBufferSize(), mostSlots)),
		ready: make(chan struct{}, 1), dropped: make(chan struct{}),
	}
	_, c.text = o.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("connection-name")) > 0 {
		c.name = md.Get("connection-name")[0]
	}
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		c.from = from.Addr.String()
	}
	if err := g.mayJoin(ctx, c.principal); err != nil {
		return err
	}
	if err := g.join(c); err != nil {
		return err
	}
	defer g.leave(c)
	left := make(chan error, 1)
	go func() { // it ends with the call, which ends when this function does; join counted it
		defer p.receivers.Done()
		left <- g.receive(call, c)
	}()
	if err := call.Send(confirmation(key)); err != nil {
		return err
	}
	return g.send(ctx, call, c, left)
}

func confirmation(key groupKey) *persistent.ReadResp {
	return &persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: key.source + "::" + key.name},
	}}
}

// receive hears what a consumer says of its messages until it says no more.
func (g *group) receive(call persistent.PersistentSubscriptions_ReadServer, c *consumer) error {
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch said := m.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			ids, err := idsOf(said.Ack.GetIds())
			if err != nil {
				return err
			}
			g.ack(c, ids)
		case *persistent.ReadReq_Nack_:
			ids, err := idsOf(said.Nack.GetIds())
			if err != nil {
				return err
			}
			g.nack(c, ids, said.Nack.GetAction(), said.Nack.GetReason())
		default:
			return invalidArgument("'ack' or 'nack' is expected")
		}
	}
}

func idsOf(list []*shared.UUID) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(list))
	for _, one := range list {
		id, err := uuidOf(one)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// nack does with messages what their consumer asks for.
func (g *group) nack(c *consumer, ids []uuid.UUID, action persistent.ReadReq_Nack_Action, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		m := g.queue.of(c, id)
		if m == nil {
			continue // somebody else has it by now, or it is done
		}
		switch action {
		case persistent.ReadReq_Nack_Park:
			g.queue.park(m, "Client explicitly NAK'ed message.\n"+strings.ToValidUTF8(reason[:min(len(reason), mostReason)], ""))
		case persistent.ReadReq_Nack_Skip:
			g.queue.finish(m)
		default:
			g.queue.fail(m)
		}
	}
	if action == persistent.ReadReq_Nack_Stop { // the consumer goes; the subscription goes on with the others
		c.drop(subscriptionDropped(g.key))
	}
	g.settle()
}

// delivery is a message as it goes out.
type delivery struct {
	*pending
	retries int32
}

// next takes what a consumer is sent next.
func (g *group) next(c *consumer) (delivery, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.queue.take(c, time.Now())
	if m == nil {
		return delivery{}, false
	}
	return delivery{pending: m, retries: m.retries}, true
}

// untake takes back a message that did not go out: that is not held against it.
func (g *group) untake(c *consumer, m *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.state == sent && m.to == c {
		m.taken = false
	}
}

// send sends to a consumer what it gets until it leaves or is dropped. When it reads slowly it waits here: the group gives it no
// more than it has slots for.
func (g *group) send(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer, c *consumer, left <-chan error) error {
	for {
		select {
		case err := <-left:
			return err
		case <-c.dropped:
			return c.why
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		d, ok := g.next(c)
		if !ok {
			select {
			case err := <-left:
				return err
			case <-c.dropped:
				return c.why
			case <-ctx.Done():
				return ctx.Err()
			case <-c.ready:
			}
			continue
		}
		resp, err := g.response(ctx, c, d)
		if err != nil {
			g.untake(c, d.pending)
			return err
		}
		if resp == nil {
			continue
		}
		if err := call.Send(resp); err != nil {
			return err
		}
	}
}

// response is a message as its consumer sees it; nil when there is nothing to be sent.
func (g *group) response(ctx context.Context, c *consumer, d delivery) (*persistent.ReadResp, error) {
	s := g.server
	v, resolve := g.view, g.definition.Settings.Resolve
	switch {
	case d.parked:
		v, resolve = nil, true
		whole := system()
		target, err := s.target(ctx, &whole, d.raw)
		if err != nil {
			return nil, err
		}
		if target == nil { // what was parked is not there any more
			g.done(d.pending)
			return nil, nil //nolint:nilnil // see above
		}
		if ok, err := s.visible(ctx, &c.principal, &target.raw); err != nil || !ok {
			return nil, g.unless(err, d.pending)
		}
	case v != nil:
		if ok, err := s.visible(ctx, &c.principal, &d.raw); err != nil || !ok {
			return nil, g.unless(err, d.pending)
		}
	default:
		if err := s.mayRead(ctx, c.principal, d.raw.Stream); err != nil {
			return nil, err
		}
	}
	event, link, err := s.resolved(ctx, &c.principal, d.raw, v, resolve, &room{})
	if err != nil {
		return nil, err
	}
	answer := &persistent.ReadResp_ReadEvent{
		Event: c.recorded(event), Link: c.recorded(link),
		Position: &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(d.raw.Position)}, //nolint:gosec // positive
		Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: d.retries},
	}
	return &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: answer}}, nil
}

// unless parks a message that its consumer may not read, unless that is not known.
func (g *group) unless(err error, m *pending) error {
	if err == nil {
		g.refuse(m, "A consumer was not allowed to read the event.")
	}
	return err
}

func (c *consumer) recorded(e *shown) *persistent.ReadResp_ReadEvent_RecordedEvent {
	if e == nil {
		return nil
	}
	position := uint64(e.raw.Position) //nolint:gosec // positive
	return &persistent.ReadResp_ReadEvent_RecordedEvent{
		Id: uuidTo(e.raw.ID, c.text), StreamIdentifier: identifierOf(e.raw.Stream), StreamRevision: uint64(e.revision), //nolint:gosec // not negative
		PreparePosition: position, CommitPosition: position,
		Metadata: map[string]string{
			keyType: e.raw.Type, keyCreated: strconv.FormatInt(e.raw.At.UnixNano()/100, 10), keyContentType: contentType(e.isJSON),
		},
		CustomMetadata: e.custom, Data: e.raw.Data,
	}
}

// operator reports whether a principal may do with all subscriptions what is done with them.
func operator(p Principal) bool { return p.Admin() || slices.Contains(p.Roles, "$ops") }

// mayReadSource says no to who may not read what a subscription is to. Of $all and of virtual streams everybody sees what it is
// granted.
func (p *persistents) mayReadSource(ctx context.Context, who Principal, source string) error {
	stream := eventstore.Stream(source)
	v, virtual := viewOf(stream)
	switch {
	case virtual && len(v.filter.Categories) > 0:
		return denied(p.server.sees(who, eventstore.Stream(v.filter.Categories[0]+"-")))
	case virtual || source == allStream:
		return nil
	default:
		return p.server.mayRead(ctx, who, stream)
	}
}

// mayAsk says no to who may not know what the source has, so that the answer does not tell whether there is such a subscription.
func (p *persistents) mayAsk(ctx context.Context, key groupKey) error {
	who := principalOf(ctx)
	if operator(who) {
		return nil
	}
	return p.mayReadSource(ctx, who, key.source)
}

// mayJoin says no to who may not see all that the subscription's maker does: a message goes to one consumer alone, and must
// not be lost because it went to one who may not have it.
func (g *group) mayJoin(ctx context.Context, who Principal) error {
	if err := g.owner.mayReadSource(ctx, who, g.key.source); err != nil || g.view == nil {
		return err
	}
	m := g.definition.Maker
	if !strings.HasPrefix(g.key.source, "$ce-") && !covers(who.Categories, m.Categories) {
		return accessDenied()
	}
	return denied(covers(who.Organisations, m.Organisations))
}

// covers reports whether who is granted some may see what others are granted.
func covers(some, others []string) bool {
	return slices.Contains(some, Everything) || !slices.ContainsFunc(others, func(one string) bool { return !slices.Contains(some, one) })
}

// mayManage says no to who neither made the subscription nor operates the server.
func (g *group) mayManage(who Principal) error {
	return denied(operator(who) || (who.ID != "" && who.ID == g.definition.Maker.ID))
}
