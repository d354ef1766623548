package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/adapters/keys"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/streamapi"
)

// StreamOptions say how much to measure. The zero StreamOptions measure what docs/benchmarks.md shows.
type StreamOptions struct {
	Options
	Subscribers int // at once; 1,000
}

// Stream measures the stream API through the official Go client, on the migrated database at url, beside the native store in
// the same run, and prints what it found to w. Server, clients and Postgres share the machine.
func Stream(ctx context.Context, url string, w io.Writer, o StreamOptions) (err error) {
	o.Options = o.orDefault()
	if o.Subscribers == 0 {
		o.Subscribers = 1000
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer pool.Close()
	masters, err := keys.ParseMasters(keys.NewMaster())
	if err != nil {
		return err
	}
	ring, err := keys.Open(ctx, pool, masters)
	if err != nil {
		return err
	}
	defer ring.Close()
	log, err := postgres.Open(ctx, pool)
	if err != nil {
		return err
	}
	defer log.Close()
	codec, err := eventstore.NewCodec(ring, media.Types)
	if err != nil {
		return err
	}
	server, err := streamapi.New(streamapi.Options{Log: log, Authenticate: everybody{}, Own: catalog.Categories()})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	g := server.GRPC()
	var work sync.WaitGroup
	work.Go(func() { _ = server.Run(running) })
	work.Go(func() { _ = g.Serve(listener) }) // ends with Stop
	defer func() {
		g.Stop()
		stop()
		work.Wait()
	}()
	b := streamBench{
		storeBench: storeBench{
			Options: o.Options, ctx: ctx, w: w, pool: pool, url: url, log: log, store: eventstore.New(log, codec), codec: codec, cpu: newCPUMeter(ctx, pool),
		},
		subscribers: o.Subscribers, addr: listener.Addr().String(),
	}
	return b.run()
}

// everybody is an admin who may write everything.
type everybody struct{}

func (everybody) Basic(context.Context, string, string) (streamapi.Principal, error) {
	return allRights(), nil
}
func (everybody) Bearer(context.Context, string) (streamapi.Principal, error) {
	return allRights(), nil
}
func (everybody) Nobody(context.Context) (streamapi.Principal, error) { return allRights(), nil }

func allRights() streamapi.Principal {
	all := []string{streamapi.Everything}
	return streamapi.Principal{ID: "bench", Roles: []string{"$admins"}, Categories: all, Organisations: all, WriteFree: true, WriteOwn: true}
}

type streamBench struct {
	storeBench
	subscribers int
	addr        string
}

func (b *streamBench) client() (*esdb.Client, error) {
	config, err := esdb.ParseConnectionString("esdb://" + b.addr + "?tls=false")
	if err != nil {
		return nil, err
	}
	config.Logger = esdb.NoopLogging()
	return esdb.NewClient(config)
}

func (b *streamBench) run() error {
	prepared, err := b.prepare(20_000)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.w, "an event is %d bytes of data and %d of metadata; server, client and Postgres are on this machine\n\n", len(prepared[0].Data), len(prepared[0].Metadata))
	for _, each := range []int{1, 10} {
		fmt.Fprint(b.w, "native      ")
		if _, err := b.appends(prepared, each); err != nil {
			return err
		}
		if err := b.streamAppends(prepared, each); err != nil {
			return err
		}
	}
	if err := b.storeBench.reads(prepared); err != nil {
		return err
	}
	if err := b.streamReads(); err != nil {
		return err
	}
	if err := b.delivery(prepared); err != nil {
		return err
	}
	return b.many(prepared)
}

const connections = 4

// streamAppends is what appends does, through the client.
func (b *streamBench) streamAppends(prepared []eventstore.Entry, each int) error {
	clients := make([]*esdb.Client, connections)
	for i := range clients {
		c, err := b.client()
		if err != nil {
			return err
		}
		defer c.Close()
		clients[i] = c
	}
	f, err := b.measure(each, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		events := make([]esdb.EventData, each)
		for i := range events {
			p := prepared[rnd.IntN(len(prepared))]
			events[i] = esdb.EventData{EventID: newID(rnd), EventType: p.Type, ContentType: esdb.ContentTypeJson, Data: p.Data, Metadata: p.Metadata}
		}
		o := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
		if expected >= 0 {
			o.ExpectedRevision = esdb.Revision(uint64(expected))
		}
		_, err := clients[rnd.IntN(connections)].AppendToStream(b.ctx, string(stream), o, events...)
		return err
	})
	if err == nil {
		fmt.Fprintf(b.w, "stream API  append, %d callers x %2d: %s\n", b.Callers, each, f)
	}
	return err
}

// streamReads reads $all and a category, by one reader.
func (b *streamBench) streamReads() error {
	c, err := b.client()
	if err != nil {
		return err
	}
	defer c.Close()
	most := uint64(b.Events)
	for range 2 {
		var perEvent [2]time.Duration
		for i, what := range []string{"$all", "$ce-media, links resolved"} {
			b.cpu.start()
			start, n := time.Now(), 0
			var r *esdb.ReadStream
			if i == 0 {
				r, err = c.ReadAll(b.ctx, esdb.ReadAllOptions{From: esdb.Start{}}, most)
			} else {
				r, err = c.ReadStream(b.ctx, "$ce-media", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, most)
			}
			if err != nil {
				return err
			}
			for {
				if _, err = r.Recv(); err != nil {
					break
				}
				n++
			}
			r.Close()
			if !errors.Is(err, io.EOF) || n == 0 {
				return fmt.Errorf("read %s: %d events, then %w", what, n, err)
			}
			took := time.Since(start)
			perEvent[i] = took / time.Duration(n)
			fmt.Fprintf(b.w, "stream API  read %s, one reader, %d events: %9.0f ev/s   %s\n", what, n, float64(n)/took.Seconds(), b.cpu.per(n))
		}
		fmt.Fprintf(b.w, "            an event of $ce- takes %.2f times one of $all\n", float64(perEvent[1])/float64(perEvent[0]))
	}
	return nil
}

// pace appends natively, at a rate, events whose type says when.
func (b *streamBench) pace(ctx context.Context, prepared []eventstore.Entry, perSecond int, stream eventstore.Stream) error {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	var group sync.WaitGroup
	defer group.Wait()
	var failed atomic.Pointer[error]
	for n := 0; ctx.Err() == nil && failed.Load() == nil; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		e := prepared[n%len(prepared)]
		e.ID, e.Type = uuid.New(), "at."+strconv.FormatInt(time.Now().UnixNano(), 10)
		group.Go(func() {
			if _, err := b.log.Append(b.ctx, stream, eventstore.Any, e); err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func sentAt(typ string) time.Duration {
	text, ok := strings.CutPrefix(typ, "at.")
	n, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - n)
}

// listen subscribes to $all's new events and notes how long each took since it was handed to Append.
func (b *streamBench) listen(ctx context.Context, c *esdb.Client, note func(time.Duration)) error {
	sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		e := sub.Recv()
		switch {
		case e.SubscriptionDropped != nil && ctx.Err() != nil:
			return nil
		case e.SubscriptionDropped != nil:
			return e.SubscriptionDropped.Error
		case e.CaughtUp != nil:
			note(-1)
		case e.EventAppeared != nil:
			if d := sentAt(e.EventAppeared.OriginalEvent().EventType); d > 0 {
				note(d)
			}
		}
	}
}

// delivery measures how long an event takes from Append to one subscriber, at 1,000 a second.
func (b *streamBench) delivery(prepared []eventstore.Entry) error {
	c, err := b.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return b.heard("one subscriber, 1,000 ev/s", prepared, 1000, []*esdb.Client{c}, 1)
}

// heard lets some subscribers hear what is appended, and prints how long that took.
func (b *streamBench) heard(what string, prepared []eventstore.Entry, perSecond int, clients []*esdb.Client, subscribers int) error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var (
		group  sync.WaitGroup
		ready  sync.WaitGroup
		mu     sync.Mutex
		took   []time.Duration // guarded by mu
		failed error           // guarded by mu
	)
	for i := range subscribers {
		ready.Add(1)
		group.Go(func() {
			var once sync.Once
			var mine []time.Duration
			err := b.listen(ctx, clients[i%len(clients)], func(d time.Duration) {
				if d < 0 {
					once.Do(ready.Done)
					return
				}
				mine = append(mine, d)
			})
			once.Do(ready.Done)
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), errors.Join(failed, err)
		})
	}
	ready.Wait()
	before := heap()
	pacing, stop := context.WithTimeout(ctx, b.For)
	defer stop()
	err := b.pace(pacing, prepared, perSecond, newStream())
	after := heap()
	cancel()
	group.Wait()
	if err = errors.Join(err, failed); err != nil || len(took) == 0 {
		return fmt.Errorf("%s: %d heard: %w", what, len(took), err)
	}
	slices.Sort(took)
	fmt.Fprintf(b.w, "stream API  from append to subscriber, %s: p50 %s   p99 %s   max %s   heap %d MB before, %d MB after\n",
		what, short(took[len(took)/2]), short(took[len(took)*99/100]), short(took[len(took)-1]), before>>20, after>>20)
	return nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// many measures a thousand subscribers on one server, a tenth of which never take what they are sent.
func (b *streamBench) many(prepared []eventstore.Entry) error {
	clients := make([]*esdb.Client, 10)
	for i := range clients {
		c, err := b.client()
		if err != nil {
			return err
		}
		defer c.Close()
		clients[i] = c
	}
	slow, err := b.client() // a connection of their own: flow control of a connection is shared by all on it
	if err != nil {
		return err
	}
	defer slow.Close()
	stalled := b.subscribers / 10
	for range stalled {
		sub, err := slow.SubscribeToAll(b.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if err != nil {
			return err
		}
		defer sub.Close()
	}
	what := fmt.Sprintf("%d subscribers, %d of which stand still, 20 ev/s", b.subscribers, stalled)
	return b.heard(what, prepared, 20, clients, b.subscribers-stalled)
}
