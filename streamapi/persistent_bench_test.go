package streamapi_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// What one consumer takes and acknowledges, one event after the other.
func BenchmarkPersistentSubscription(b *testing.B) {
	c := newVault(b).serve(b, "").client(b, "")
	stream := name("app")
	created(b, c, stream, "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	for left := b.N; left > 0; left -= min(left, 1000) {
		appended(b, c, stream, esdb.AppendToStreamOptions{}, events(min(left, 1000), "a")...)
	}
	sub := subscribed(b, c, stream, "g", 200)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N { // not b.Loop: there are as many events as b.N says
		acked(b, sub, received(b, sub, 1)...)
	}
}
