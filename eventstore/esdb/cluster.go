package esdb

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/mediavault-io/mediavault/eventstore"
)

// cluster finds the node to speak to, and keeps the connection to it. All calls share one.
type cluster struct {
	settings Settings
	options
	secure credentials.TransportCredentials
	header metadata.MD
	links  atomic.Int64

	turn chan struct{} // has one token: who holds it looks for a node

	mu      sync.Mutex
	current *link  // guarded by mu; nil: a node has to be found
	hint    string // guarded by mu; the leader, as a follower told it
	closed  bool   // guarded by mu
}

// link is a connection to one node.
type link struct {
	address string
	conn    *grpc.ClientConn
	streams streams.StreamsClient
}

// errNoNode is a cluster of which no member answers as a leader.
var errNoNode = errors.New("no node of the event store answers")

// Bounds of what a connection holds.
const (
	maxReceive = 32 << 20 // bytes of one message
	window     = 1 << 20  // bytes that a server may send ahead of a reader
)

func newCluster(s Settings, o options) (*cluster, error) {
	c := &cluster{settings: s, options: o, secure: insecure.NewCredentials(), turn: make(chan struct{}, 1), header: metadata.Pairs("requires-leader", "true")}
	if s.config.Username != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(s.config.Username + ":" + s.config.Password))
		c.header.Set("authorization", "Basic "+basic)
	}
	if s.config.DisableTLS {
		return c, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.config.RootCAs, InsecureSkipVerify: s.config.SkipCertificateVerification} //nolint:gosec // only when asked for
	if s.config.UserCertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.config.UserCertFile, s.config.UserKeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	c.secure = credentials.NewTLS(t)
	return c, nil
}

// calling is the context of a call, with what the server asks of each.
func (c *cluster) calling(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, c.header)
}

func (c *cluster) dial(address string) (*link, error) {
	dialing := []grpc.DialOption{
		grpc.WithTransportCredentials(c.secure),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
		// A server that is back is found at once, and not after gRPC's own two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(4 * window),
	}
	if every := c.settings.config.KeepAliveInterval; every > 0 {
		dialing = append(dialing, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: every, Timeout: c.settings.config.KeepAliveTimeout, PermitWithoutStream: true}))
	}
	conn, err := grpc.NewClient(address, dialing...)
	if err != nil {
		return nil, fmt.Errorf("connect to the event store at %s: %w", address, err)
	}
	return &link{address: address, conn: conn, streams: streams.NewStreamsClient(conn)}, nil
}

// get answers the connection, and looks for a node when there is none. One looks for all.
func (c *cluster) get(ctx context.Context) (*link, error) {
	if l, err := c.there(); l != nil || err != nil {
		return l, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l, err := c.there(); l != nil || err != nil {
		return l, err
	}
	l, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = l.conn.Close() // nothing was sent on it
		return nil, eventstore.ErrClosed
	}
	c.links.Add(1)
	c.current = l
	return l, nil
}

func (c *cluster) there() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, eventstore.ErrClosed
	}
	return c.current, nil
}

// failed takes a fault of a connection into account. To a single server gRPC connects again by itself; of a cluster the leader
// is looked for.
func (c *cluster) failed(l *link, f fault) {
	if !c.settings.discover && f.leader == "" && l.address == c.settings.seeds[0] {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l {
		return // somebody saw it before
	}
	c.logger.Warn("event store: looking for the leader", "left", l.address, "told", f.leader, "error", f.err)
	c.current, c.hint = nil, f.leader
	_ = l.conn.Close() // its calls end, and are made again
}

func (c *cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.current != nil {
		_ = c.current.conn.Close() // its calls have ended with the log
		c.current = nil
	}
}

// find connects to the server, or to the leader of the cluster.
func (c *cluster) find(ctx context.Context) (*link, error) {
	c.mu.Lock()
	hint := c.hint
	c.hint = ""
	c.mu.Unlock()
	if hint != "" {
		return c.dial(hint)
	}
	if !c.settings.discover {
		return c.dial(c.settings.seeds[0])
	}
	err := errNoNode
	for _, i := range rand.Perm(len(c.settings.seeds)) { //nolint:gosec // which is asked first
		leader, wrong := c.ask(ctx, c.settings.seeds[i])
		if wrong == nil {
			c.logger.Info("event store: connecting to the leader", "node", leader)
			return c.dial(leader)
		}
		err = errors.Join(err, wrong)
	}
	return nil, err
}

// ask asks a node who leads.
func (c *cluster) ask(ctx context.Context, seed string) (string, error) {
	l, err := c.dial(seed)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.conn.Close() }() // it was only asked
	ctx, cancel := context.WithTimeout(ctx, min(time.Duration(c.settings.config.GossipTimeout)*time.Second, c.timeout))
	defer cancel()
	info, err := gossip.NewGossipClient(l.conn).Read(c.calling(ctx), &shared.Empty{})
	if err != nil {
		return "", fmt.Errorf("ask %s for its cluster: %w", seed, err)
	}
	for _, m := range info.GetMembers() {
		if m.GetIsAlive() && m.GetState() == gossip.MemberInfo_Leader {
			return net.JoinHostPort(m.GetHttpEndPoint().GetAddress(), strconv.FormatUint(uint64(m.GetHttpEndPoint().GetPort()), 10)), nil
		}
	}
	return "", fmt.Errorf("%s knows no leader among %d members", seed, len(info.GetMembers()))
}
