package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// A loadTask is what the process that measures asks of the one that makes the load, one line of JSON each; so is its answer,
// a loadResult. They are two processes so that what the server costs can be told from what its clients cost.
type loadTask struct {
	Do          string // append, batch, read, listen, go or stop
	Addr        string
	Connections int
	Callers     int
	Each        int           // events of an append
	For         time.Duration // of append, batch and go
	Samples     []eventstore.Entry
	Stream      string // read: "" for $all
	Resolve     bool
	Most        uint64
	Subscribers int
	Stalled     int // beside Subscribers: they never take what they are sent
	Prefix      string
	PerSecond   int // go: appends, through one more connection, each of an event
}

type loadResult struct {
	Error     string `json:",omitempty"`
	N         int    // events
	Took      time.Duration
	P50, P99  time.Duration
	Max       time.Duration
	PerSecond float64
}

// StreamLoad makes the load of Stream: it does the tasks that come from in, and answers each on out, until in ends.
func StreamLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	tasks, answers := json.NewDecoder(in), json.NewEncoder(out)
	l := &streamLoad{ctx: ctx}
	defer l.stop()
	for {
		var task loadTask
		if err := tasks.Decode(&task); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("bench: load: %w", err)
		}
		result, err := l.do(&task)
		if err != nil {
			result.Error = err.Error()
		}
		if err := answers.Encode(result); err != nil {
			return fmt.Errorf("bench: load: %w", err)
		}
	}
}

type streamLoad struct {
	ctx       context.Context //nolint:containedctx // it lives for one run
	listening *listeners
}

func (l *streamLoad) do(t *loadTask) (loadResult, error) {
	switch t.Do {
	case "append":
		return l.append(t)
	case "batch":
		return l.batch(t)
	case "read":
		return l.read(t)
	case "listen":
		return l.listen(t)
	case "go":
		return l.heard(t)
	case "stop":
		return loadResult{}, l.stop()
	default:
		return loadResult{}, fmt.Errorf("no such task: %q", t.Do)
	}
}

// stop ends the subscriptions, if there are any.
func (l *streamLoad) stop() error {
	if l.listening == nil {
		return nil
	}
	err := l.listening.stop()
	l.listening = nil
	return err
}

func streamClient(addr string) (*esdb.Client, error) {
	config, err := esdb.ParseConnectionString("esdb://" + addr + "?tls=false")
	if err != nil {
		return nil, err
	}
	config.Logger = esdb.NoopLogging()
	return esdb.NewClient(config)
}

// streamClients answers clients with a connection each, and how to close them.
func streamClients(addr string, n int) (clients []*esdb.Client, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range clients {
			_ = c.Close() // nothing is lost
		}
	}
	for range n {
		c, err := streamClient(addr)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, c)
	}
	return clients, closeAll, nil
}

// measured lets callers append as storeBench.measure does.
func (l *streamLoad) measured(t *loadTask, appendOne func(*rand.Rand, eventstore.Stream, eventstore.Expected) error) (loadResult, error) {
	var n atomic.Int64
	b := storeBench{Options: Options{Callers: t.Callers, For: t.For}, ctx: l.ctx, cpu: &cpuMeter{}}
	f, err := b.measure(t.Each, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		n.Add(int64(t.Each))
		return appendOne(rnd, stream, expected)
	})
	return loadResult{N: int(n.Load()), PerSecond: f.perSecond, P50: f.p50, P99: f.p99, Max: f.max}, err
}

func (l *streamLoad) append(t *loadTask) (loadResult, error) {
	clients, closeAll, err := streamClients(t.Addr, t.Connections)
	if err != nil {
		return loadResult{}, err
	}
	defer closeAll()
	return l.measured(t, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		events := make([]esdb.EventData, t.Each)
		for i := range events {
			events[i] = eventData(t.Samples[rnd.IntN(len(t.Samples))], newID(rnd))
		}
		o := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
		if expected >= 0 {
			o.ExpectedRevision = esdb.Revision(uint64(expected))
		}
		_, err := clients[rnd.IntN(len(clients))].AppendToStream(l.ctx, string(stream), o, events...)
		return err
	})
}

func eventData(e eventstore.Entry, id uuid.UUID) esdb.EventData {
	return esdb.EventData{EventID: id, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Metadata}
}

// read reads $all or a stream to its end, by one reader.
func (l *streamLoad) read(t *loadTask) (loadResult, error) {
	c, err := streamClient(t.Addr)
	if err != nil {
		return loadResult{}, err
	}
	defer c.Close()
	start, n := time.Now(), 0
	var r *esdb.ReadStream
	if t.Stream == "" {
		r, err = c.ReadAll(l.ctx, esdb.ReadAllOptions{From: esdb.Start{}}, t.Most)
	} else {
		r, err = c.ReadStream(l.ctx, t.Stream, esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: t.Resolve}, t.Most)
	}
	if err != nil {
		return loadResult{}, err
	}
	defer r.Close()
	for {
		if _, err = r.Recv(); err != nil {
			break
		}
		n++
	}
	if !errors.Is(err, io.EOF) || n == 0 {
		return loadResult{}, fmt.Errorf("read %q: %d events, then %w", t.Stream, n, err)
	}
	took := time.Since(start)
	return loadResult{N: n, Took: took, PerSecond: float64(n) / took.Seconds()}, nil
}

// listeners are subscribers to what is appended.
type listeners struct {
	cancel   context.CancelFunc
	closeAll []func()
	group    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	took   []time.Duration
	failed error
}

func (s *listeners) stop() error {
	s.cancel()
	s.group.Wait()
	for _, f := range s.closeAll {
		f()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// listen opens subscriptions to $all's new events, and answers when all of them stand at its end.
func (l *streamLoad) listen(t *loadTask) (loadResult, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	s := &listeners{cancel: cancel}
	l.listening = s
	clients, closeAll, err := streamClients(t.Addr, t.Connections)
	if err != nil {
		return loadResult{}, err
	}
	s.closeAll = append(s.closeAll, closeAll)
	o := esdb.SubscribeToAllOptions{From: esdb.End{}}
	if t.Prefix != "" {
		o.Filter = &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{t.Prefix}}
		o.MaxSearchWindow, o.CheckpointInterval = 32, 1000
	}
	var ready sync.WaitGroup
	for i := range t.Subscribers {
		ready.Add(1)
		s.group.Go(func() {
			var once sync.Once
			defer once.Do(ready.Done)
			err := s.one(ctx, clients[i%len(clients)], o, func() { once.Do(ready.Done) })
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failed = errors.Join(s.failed, err)
		})
	}
	ready.Wait()
	s.mu.Lock()
	err = s.failed
	s.mu.Unlock()
	return loadResult{N: t.Subscribers}, errors.Join(err, s.stall(ctx, t))
}

// stall opens subscriptions from the start of $all that nobody reads, on a connection of their own: what a connection may have
// under way is shared by all that is on it, by the client's own choice.
func (s *listeners) stall(ctx context.Context, t *loadTask) error {
	if t.Stalled == 0 {
		return nil
	}
	clients, closeAll, err := streamClients(t.Addr, 1)
	if err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, closeAll)
	for range t.Stalled {
		if _, err := clients[0].SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *listeners) one(ctx context.Context, c *esdb.Client, o esdb.SubscribeToAllOptions, ready func()) error {
	sub, err := c.SubscribeToAll(ctx, o)
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
			ready()
		case e.EventAppeared != nil:
			if d := sentAt(e.EventAppeared.OriginalEvent().Data); d > 0 {
				s.mu.Lock()
				s.took = append(s.took, d)
				s.mu.Unlock()
			}
		}
	}
}

const atKey = `{"at":`

// sentAt is how long ago an event was handed to its append, as its data say; 0 when they do not.
func sentAt(data []byte) time.Duration {
	rest, ok := bytes.CutPrefix(data, []byte(atKey))
	text, _, _ := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseInt(string(text), 10, 64)
	if !ok || err != nil {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - n)
}

// heard appends at a rate, and answers how long each event took from its append to each subscriber.
func (l *streamLoad) heard(t *loadTask) (loadResult, error) {
	s := l.listening
	if s == nil {
		return loadResult{}, errors.New("nobody listens")
	}
	s.mu.Lock()
	s.took = nil
	s.mu.Unlock()
	appended, err := l.pace(t)
	if err != nil {
		return loadResult{}, err
	}
	want := appended * t.Subscribers
	deadline := time.Now().Add(30 * time.Second)
	for {
		s.mu.Lock()
		took, failed := s.took, s.failed
		s.mu.Unlock()
		if failed != nil || len(took) >= want || time.Now().After(deadline) {
			if len(took) < want {
				return loadResult{}, fmt.Errorf("%d of %d heard: %w", len(took), want, failed)
			}
			slices.Sort(took)
			return loadResult{N: len(took), P50: took[len(took)/2], P99: took[len(took)*99/100], Max: took[len(took)-1]}, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// pace appends events, whose data say when, at a rate, and answers how many.
func (l *streamLoad) pace(t *loadTask) (int, error) {
	c, err := streamClient(t.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(l.ctx, t.For)
	defer cancel()
	tick := time.NewTicker(time.Second / time.Duration(t.PerSecond))
	defer tick.Stop()
	var (
		group  sync.WaitGroup
		n      atomic.Int64
		failed atomic.Pointer[error]
		stream = t.Prefix + string(newStream())
	)
	for i := 0; failed.Load() == nil; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			group.Wait()
			if err := failed.Load(); err != nil {
				return 0, *err
			}
			return int(n.Load()), l.ctx.Err()
		}
		group.Go(func() {
			e := t.Samples[i%len(t.Samples)]
			e.Data = append(strconv.AppendInt([]byte(atKey), time.Now().UnixNano(), 10), ",\"was\":"...)
			e.Data = append(append(e.Data, t.Samples[i%len(t.Samples)].Data...), '}')
			if _, err := c.AppendToStream(l.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, eventData(e, uuid.New())); err != nil {
				failed.Store(&err)
				return
			}
			n.Add(1)
		})
	}
	group.Wait()
	return 0, *failed.Load()
}
