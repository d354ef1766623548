package esdb_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// leaderless is a node that knows members, and none that leads.
type leaderless struct {
	gossip.UnimplementedGossipServer
}

func (leaderless) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{
		{State: gossip.MemberInfo_Follower, IsAlive: true, HttpEndPoint: &gossip.EndPoint{Address: "127.0.0.1", Port: 1}},
		{State: gossip.MemberInfo_Unknown, IsAlive: true, HttpEndPoint: &gossip.EndPoint{Address: "127.0.0.1", Port: 2}},
	}}, nil
}

func (l leaderless) serve(t *testing.T) string {
	t.Helper()
	return serveGRPC(t, func(server *grpc.Server) { gossip.RegisterGossipServer(server, l) })
}

func TestOfSeveralSeedsOneThatKnowsTheLeaderIsEnough(t *testing.T) {
	t.Parallel()
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0")
	t.Cleanup(func() { v.stop(t) })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	hung, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hung.Close() })
	knows := &scripted{leader: func() string { return v.address }}
	for _, scheme := range []string{"esdb", "esdb+discover"} {
		seeds := fmt.Sprintf("%s,%s,%s,%s", dead, hung.Addr(), leaderless{}.serve(t), knows.serve(t))
		for n := range 6 { // seeds are asked in an order that is drawn anew
			t.Run(fmt.Sprintf("%s, time %d", scheme, n), func(t *testing.T) {
				t.Parallel()
				log, err := logAt(t, scheme+"://"+seeds+"?tls=false&gossipTimeout=1")
				if err != nil {
					t.Fatal(err)
				}
				if r, err := log.Append(t.Context(), eventstore.Stream(fmt.Sprintf("test-%s-%d", scheme, n)), eventstore.NoStream, happened()); err != nil || r.Position == 0 {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
	}
}
