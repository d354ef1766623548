// Package streamapi gives events to other programs: EventStoreDB's gRPC protocol over any eventstore.Log, for the official
// clients as they are. It decodes no event and knows no rule of the domain; docs/streamapi.md says what it promises, and
// docs/adr/0070-streamapi.md why it is as it is.
package streamapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Version is what clients are told: that of the EventStoreDB whose protocol is spoken. From 23.10 on clients expect CaughtUp.
const Version = "24.10.0"

// DefaultMaxAppend is EventStoreDB's own bound, bytes.
const DefaultMaxAppend = 1 << 20

// Garbage is what a process that does little but serve streams should give its collector as Options.Garbage, bytes. An append
// leaves some 9 kB behind and what lives is small, so that at thousands a second the collector would mark a dozen times a second:
// a tenth of the CPU time.
const Garbage = 32 << 20

// Options of a server. Log and Authenticate are needed.
type Options struct {
	Log          eventstore.Log
	Authenticate Authenticator
	// Own are the categories of the vault's domain: written only by keys that may, and with personal texts in them.
	Own []string
	// Open opens personal texts for those who may see them; nil leaves them sealed for everybody.
	Open Opener
	// Correlations finds events by correlation, for $bc-; nil has none.
	Correlations Correlations
	// Subscriptions keeps persistent subscriptions; nil has none.
	Subscriptions Subscriptions
	// Endpoint is where clients find this server, host:port, when another sends them here; "" means as they call it.
	Endpoint string
	// Lead is how long this server's lead of the persistent subscriptions lasts when it cannot renew it; 0: DefaultLead.
	Lead time.Duration
	// MaxAppend bounds the data and metadata of one append, bytes; 0 means DefaultMaxAppend.
	MaxAppend int
	// Recheck is how often it is asked whether who subscribes still may; 0: DefaultRecheck. Fresh is how old what Authenticate answers
	// may be. Together they leave room for EndsWithin to hold.
	Recheck, Fresh time.Duration
	// Histories is how many calls may read what is in the log at once, which bounds the pages of it in memory; 0: DefaultHistories.
	Histories int
	// Garbage is how much more garbage than it would the process lets lie before it collects, while the server runs, bytes.
	Garbage int
	Logger  *slog.Logger // nil: slog.Default()
	Now     func() time.Time
}

// Opener opens the sealed personal text of a subject; false when the subject was forgotten. adapters/keys implements it.
type Opener interface {
	Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error)
}

// Correlations is an index of events by what they were caused for.
type Correlations interface {
	// Through is the position up to which events are in the index.
	Through(ctx context.Context) (int64, error)
	// Positions answers up to limit positions of the events of a correlation behind (or, backward, before) from, in order.
	Positions(ctx context.Context, correlation string, from int64, backward bool, limit int) ([]int64, error)
	// Add adds the events behind after up to through: entry i of positions belongs to entry i of correlations. It fails when
	// the index does not end at after.
	Add(ctx context.Context, after, through int64, correlations []string, positions []int64) error
}

// Server answers EventStoreDB's protocol. Its methods are safe for concurrent use.
type Server struct {
	streams.UnimplementedStreamsServer
	Options

	own   map[string]bool
	metas *metas // what $$ streams say, and which streams are closed
	live  *live  // the newest events, shared by all subscribers
	orgs  *organisations

	histories *histories

	persistents *persistents // nil: there are no persistent subscriptions
	hearing     hearing      // calls that go on for long

	gates [gates]sync.RWMutex // by stream: appends share one, what closes a stream has it alone

	ready   chan struct{} // closed once metas is loaded
	started sync.Once
}

const gates = 256

// streamWorkers are goroutines that take calls one after the other, so that the stack of each need not grow anew. Calls that find
// none idle get one of their own.
const streamWorkers = 64

// New makes a server. Run must run for it to answer.
func New(o Options) (*Server, error) {
	if o.Log == nil || o.Authenticate == nil {
		return nil, errors.New("stream API: a log and an authenticator are needed")
	}
	if o.MaxAppend <= 0 {
		o.MaxAppend = DefaultMaxAppend
	}
	if o.MaxAppend > eventstore.MaxAppend {
		return nil, errors.New("stream API: appends are bounded by the log's own limit")
	}
	if o.Histories <= 0 {
		o.Histories = DefaultHistories
	}
	if o.Recheck <= 0 {
		o.Recheck = DefaultRecheck
	}
	if o.Recheck+o.Fresh+answersWithin+lastWord > EndsWithin {
		return nil, fmt.Errorf("stream API: what is open has to end within %v of when its key is revoked", EndsWithin)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{Options: o, own: map[string]bool{}, metas: newMetas(o.Log, knownMetas), ready: make(chan struct{})}
	for _, c := range o.Own {
		s.own[c] = true
	}
	s.live = newLive(o.Log, o.Logger)
	s.orgs = newOrganisations(o.Log)
	s.histories = newHistories(o.Histories)
	if o.Subscriptions != nil {
		s.persistents = newPersistents(s, o.Subscriptions, o.Lead)
	}
	return s, nil
}

// Run keeps the server's knowledge of the log up to date until ctx ends, then answers nil. It goes on after faults.
func (s *Server) Run(ctx context.Context) error {
	counted := make([]byte, max(s.Garbage, 0)) // never touched: it costs no memory, and counts as living when it is said when to collect next
	defer runtime.KeepAlive(counted)
	var work sync.WaitGroup
	work.Go(func() { s.live.run(ctx) })
	work.Go(func() { s.followMetas(ctx) })
	work.Go(func() { s.correlate(ctx) })
	if s.persistents != nil {
		work.Go(func() { s.persistents.run(ctx) })
	}
	work.Wait()
	s.hearing.close()
	return nil
}

// Ready is closed once the server can answer.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// GRPC makes a gRPC server on which everything is registered; more options may say TLS. The caller serves and stops it.
func (s *Server) GRPC(more ...grpc.ServerOption) *grpc.Server {
	return s.GRPCFor(s.Authenticate, more...)
}

// GRPCFor is GRPC for a door at which somebody else says who comes.
func (s *Server) GRPCFor(who Authenticator, more ...grpc.ServerOption) *grpc.Server {
	d := &door{server: s, who: who}
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}),
		grpc.UnaryInterceptor(d.unary),
		grpc.StreamInterceptor(d.stream),
		grpc.MaxRecvMsgSize(s.MaxAppend + 16<<20), // so that what is too large is told so, and not cut off
		grpc.MaxSendMsgSize(eventstore.MaxEntrySize + 1<<20),
		grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(4 << 20),
		grpc.WriteBufferSize(256 << 10), grpc.ReadBufferSize(128 << 10),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	}, more...)...)
	g.RegisterService(streamsService(), s)
	persistent.RegisterPersistentSubscriptionsServer(g, s.persistentServer())
	serverfeatures.RegisterServerFeaturesServer(g, features{methods: func() map[string]grpc.ServiceInfo { return g.GetServiceInfo() }})
	gossip.RegisterGossipServer(g, gossiper{now: s.Now})
	projections.RegisterProjectionsServer(g, projections.UnimplementedProjectionsServer{})
	return g
}

// streamsService is the service with those of its calls served that read messages from the wire themselves.
func streamsService() *grpc.ServiceDesc {
	d := streams.Streams_ServiceDesc
	d.Streams = slices.Clone(d.Streams)
	for i := range d.Streams {
		switch d.Streams[i].StreamName {
		case "Append":
			d.Streams[i].Handler = func(srv any, call grpc.ServerStream) error { return srv.(*Server).serveAppend(call) } //nolint:forcetypeassert // registered so
		case "BatchAppend":
			d.Streams[i].Handler = func(srv any, call grpc.ServerStream) error { return srv.(*Server).serveBatchAppend(call) } //nolint:forcetypeassert // registered so
		}
	}
	return &d
}

// persistentServer is who answers for persistent subscriptions.
func (s *Server) persistentServer() persistent.PersistentSubscriptionsServer {
	if s.persistents != nil {
		return s.persistents
	}
	return persistent.UnimplementedPersistentSubscriptionsServer{}
}

// answering waits until the server knows the log, so that a closed stream is closed from the first moment on.
func (s *Server) answering(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return s.fault(ctx, ctx.Err())
	}
}

// gate is the lock of a stream's name.
func (s *Server) gate(stream eventstore.Stream) *sync.RWMutex { return &s.gates[gateOf(stream)] }

func gateOf(stream eventstore.Stream) int {
	h := uint32(2166136261)
	for i := range len(stream) {
		h = (h ^ uint32(stream[i])) * 16777619
	}
	return int(h % gates)
}
