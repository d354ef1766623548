package streamapi

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// features says what this server answers; clients ask when they connect.
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
	methods func() map[string]grpc.ServiceInfo
}

// unanswered are the services that are registered to say clearly that they are not there.
const unanswered = "event_store.client.projections.Projections"

// GetSupportedMethods implements serverfeatures.ServerFeaturesServer.
func (f features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	answer := &serverfeatures.SupportedMethods{EventStoreServerVersion: Version}
	for service, info := range f.methods() {
		if service == unanswered {
			continue
		}
		for _, m := range info.Methods {
			supported := &serverfeatures.SupportedMethod{ServiceName: strings.ToLower(service), MethodName: strings.ToLower(m.Name)}
			switch {
			case strings.HasSuffix(service, ".PersistentSubscriptions") && m.Name != "RestartSubsystem":
				supported.Features = []string{"stream", "all"}
			case strings.HasSuffix(service, ".Streams") && m.Name == "BatchAppend":
				supported.Features = []string{"deadline_duration"}
			case strings.HasSuffix(service, ".Streams") && m.Name == "Read":
				supported.Features = []string{"position", "events"}
			}
			answer.Methods = append(answer.Methods, supported)
		}
	}
	slices.SortFunc(answer.Methods, func(a, b *serverfeatures.SupportedMethod) int {
		return strings.Compare(a.ServiceName+"/"+a.MethodName, b.ServiceName+"/"+b.MethodName)
	})
	return answer, nil
}

// gossiper says which servers there are: the one that is asked, under the name under which it is asked. Every server of a
// vault may write, so that each is a leader.
type gossiper struct {
	gossip.UnimplementedGossipServer
	now func() time.Time
}

// Read implements gossip.GossipServer.
func (g gossiper) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	host, port := "localhost", uint32(2113)
	if authority := md.Get(":authority"); len(authority) > 0 {
		if h, p, err := net.SplitHostPort(authority[0]); err == nil {
			if n, err := strconv.ParseUint(p, 10, 16); err == nil {
				host, port = h, uint32(n)
			}
		}
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId: uuidTo(uuid.NewSHA1(uuid.NameSpaceDNS, []byte(net.JoinHostPort(host, strconv.Itoa(int(port))))), false),
		TimeStamp:  g.now().UTC().UnixNano() / 100, State: gossip.MemberInfo_Leader, IsAlive: true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}}}, nil
}
