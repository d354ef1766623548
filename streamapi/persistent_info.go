package streamapi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
)

// counted is how much a group had sent when it was asked last.
type counted struct {
	when  time.Time
	total int64
}

// GetInfo implements persistent.PersistentSubscriptionsServer.
func (p *persistents) GetInfo(ctx context.Context, r *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	o := r.GetOptions()
	key, err := keyOf(o.GetStreamIdentifier(), o.GetAll() != nil, o.GetGroupName())
	if err != nil {
		return nil, err
	}
	g, err := p.find(ctx, key)
	if err != nil {
		return nil, err
	}
	if !g.mayKnow(ctx, principalOf(ctx)) {
		return nil, accessDenied()
	}
	info, err := g.info(ctx)
	if err != nil {
		return nil, err
	}
	return &persistent.GetInfoResp{SubscriptionInfo: info}, nil
}

// List implements persistent.PersistentSubscriptionsServer: the subscriptions that the caller may know of.
func (p *persistents) List(ctx context.Context, r *persistent.ListReq) (*persistent.ListResp, error) {
	if err := p.leading(ctx); err != nil {
		return nil, err
	}
	of := r.GetOptions().GetListForStream()
	key := groupKey{source: allStream}
	if of != nil && of.GetAll() == nil {
		stream, err := streamOf(of.GetStream())
		if err != nil {
			return nil, err
		}
		key.source = string(stream)
	}
	var groups []*group
	p.mu.Lock()
	for _, g := range p.groups {
		if of == nil || g.key.source == key.source {
			groups = append(groups, g)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.key.source, b.key.source), cmp.Compare(a.key.name, b.key.name))
	})
	answer := &persistent.ListResp{}
	for _, g := range groups {
		if !g.mayKnow(ctx, principalOf(ctx)) {
			continue
		}
		info, err := g.info(ctx)
		if err != nil {
			return nil, err
		}
		answer.Subscriptions = append(answer.Subscriptions, info)
	}
	if of != nil && len(answer.Subscriptions) == 0 {
		return nil, subscriptionMissing(key)
	}
	return answer, nil
}

func (g *group) mayKnow(ctx context.Context, who Principal) bool {
	return g.mayManage(who) == nil || g.mayJoin(ctx, who) == nil
}

// info is the group's settings and what it does, as EventStoreDB tells it.
func (g *group) info(ctx context.Context) (*persistent.SubscriptionInfo, error) {
	parked, err := g.countParked(ctx)
	if err != nil {
		return nil, err
	}
	s := g.definition.Settings
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	seconds := now.Sub(g.counted.when).Seconds()
	since := g.queue.total - g.counted.total
	g.counted = counted{when: now, total: g.queue.total}
	info := &persistent.SubscriptionInfo{
		EventSource: g.key.source, GroupName: g.key.name, Status: g.status(),
		AveragePerSecond: rate(since, seconds), TotalItems: g.queue.total, CountSinceLastMeasurement: since,
		LastCheckpointedEventPosition: g.placed(g.at.place), LastKnownEventPosition: g.placed(g.queue.known),
		ResolveLinkTos: s.Resolve, StartFrom: g.startFrom(), MessageTimeoutMilliseconds: s.Timeout, ExtraStatistics: s.Statistics,
		MaxRetryCount: s.Retries, LiveBufferSize: s.LiveBuffer, BufferSize: s.HistoryBuffer, ReadBatchSize: s.ReadBatch,
		CheckPointAfterMilliseconds: s.CheckpointAfter, MinCheckPointCount: s.CheckpointMin, MaxCheckPointCount: s.CheckpointMax,
		ReadBufferCount: small(len(g.queue.fresh)), RetryBufferCount: small(len(g.queue.retry)),
		OutstandingMessagesCount: small(g.queue.sent.Len()), NamedConsumerStrategy: s.Strategy, MaxSubscriberCount: s.Consumers,
		ParkedMessageCount: parked,
	}
	if g.queue.live {
		info.ReadBufferCount, info.LiveBufferCount = 0, int64(len(g.queue.fresh))
	}
	for _, c := range g.queue.consumers {
		info.TotalInFlightMessages += small(c.inFlight)
		info.Connections = append(info.Connections, &persistent.SubscriptionInfo_ConnectionInfo{
			From: c.from, Username: c.principal.ID, ConnectionName: c.name, TotalItems: c.total,
			CountSinceLastMeasurement: c.total - c.counted, AverageItemsPerSecond: rate(c.total-c.counted, seconds),
			AvailableSlots: small(c.free()), InFlightMessages: small(c.inFlight), ObservedMeasurements: c.measurements(),
		})
		c.counted = c.total
	}
	return info, nil
}

// status is the group's state in EventStoreDB's words. mu is held.
func (g *group) status() string {
	state := "Behind"
	if g.queue.live && g.queue.filling {
		state = "Live"
	}
	if g.parked.next < g.parked.until || len(g.queue.replays) > 0 {
		state = "ReplayingParkedMessages, " + state
	}
	return state
}

// placed writes a place as clients read it; "" for none.
func (g *group) placed(place int64) string {
	switch {
	case place < 0:
		return ""
	case g.key.source == allStream:
		return fmt.Sprintf("C:%d/P:%d", place, place)
	default:
		return strconv.FormatInt(place, 10)
	}
}

func (g *group) startFrom() string {
	if start := g.definition.Start; g.key.source == allStream {
		return fmt.Sprintf("C:%d/P:%d", start, start)
	}
	return strconv.FormatInt(g.definition.Start, 10)
}

// measurements are how long a consumer took for its last messages, milliseconds, under EventStoreDB's names.
func (c *consumer) measurements() []*persistent.SubscriptionInfo_Measurement {
	if len(c.took) == 0 {
		return nil
	}
	took := slices.Clone(c.took)
	slices.Sort(took)
	sum := time.Duration(0)
	for _, t := range took {
		sum += t
	}
	at := func(part float64) time.Duration { return took[min(int(part*float64(len(took))), len(took)-1)] }
	var list []*persistent.SubscriptionInfo_Measurement
	add := func(key string, value time.Duration) {
		list = append(list, &persistent.SubscriptionInfo_Measurement{Key: key, Value: value.Milliseconds()})
	}
	add("Mean", sum/time.Duration(len(took)))
	add("Median", at(0.5))
	add("Fastest", took[0])
	for i := range 5 {
		add(fmt.Sprintf("Quintile %d", i+1), at(float64(i)*0.2))
	}
	add("90%", at(0.9))
	add("95%", at(0.95))
	add("99%", at(0.99))
	add("99.5%", at(0.995))
	add("99.9%", at(0.999))
	add("Highest", took[len(took)-1])
	return list
}

func rate(n int64, seconds float64) int32 {
	if seconds <= 0 {
		return 0
	}
	return int32(min(float64(n)/seconds, math.MaxInt32))
}

func small(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded
