package streamapi

import (
	"testing"

	"google.golang.org/grpc/metadata"
)

func TestOnlyOperatorsSayUnderWhichNameAServerIsFound(t *testing.T) {
	t.Parallel()
	p := &persistents{server: &Server{}, door: "vault:2113"}
	calls := func(who Principal, authority string) {
		ctx := &called{Context: t.Context(), caller: caller{principal: who}}
		p.meet(metadata.NewIncomingContext(ctx, metadata.Pairs(":authority", authority)))
	}
	calls(Principal{ID: "shop", Categories: []string{Everything}, WriteFree: true}, "elsewhere.example.org:2113")
	if got := p.endpoint(); got != "vault:2113" {
		t.Errorf("clients are sent to %s, as somebody said", got)
	}
	calls(Principal{ID: "boss", Roles: []string{"$ops"}}, "stream.example.org:2113")
	if got := p.endpoint(); got != "stream.example.org:2113" {
		t.Errorf("clients are sent to %s, not as an operator reaches it", got)
	}
}
