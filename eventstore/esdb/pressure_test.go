package esdb_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Whoever reads slowly makes the server wait; what it has not read is not gathered here.
func TestAReaderThatPausesMakesTheServerWait(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	data := make([]byte, size)
	var sent atomic.Int64
	event := func(n uint64, data []byte) *streams.ReadResp {
		return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}, StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("test-1")},
			StreamRevision: n - 1, CommitPosition: n, PreparePosition: n, Metadata: map[string]string{"type": "a", "created": fmt.Sprint(17000000000000000 + n)}, Data: data,
		}}}}
	}
	s := &scripted{read: func(call streams.Streams_ReadServer, r *streams.ReadReq) error {
		if r.GetOptions().GetReadDirection() == streams.ReadReq_Options_Backwards {
			return call.Send(event(1<<40, nil)) // where the log ends
		}
		for n := uint64(1); ; n++ {
			if err := call.Send(event(n, data)); err != nil {
				return err
			}
			sent.Add(1)
		}
	}}
	log, err := logAt(t, "esdb://"+s.serve(t)+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	taken := 0
	for _, err := range log.ReadAll(t.Context(), eventstore.Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		if taken++; taken%10 != 1 {
			continue
		}
		for before, same := int64(-1), 0; same < 3; <-tick.C { // until the server has stopped
			if now := sent.Load(); now == before {
				same++
			} else {
				before, same = now, 0
			}
		}
		if ahead := (sent.Load() - int64(taken)) * size; ahead > 16<<20 {
			t.Fatalf("%d bytes were sent ahead of the reader", ahead)
		}
		if taken > 30 {
			break
		}
	}
	if taken <= 30 {
		t.Errorf("the read ended after %d events", taken)
	}
}
