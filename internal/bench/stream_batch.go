package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mediavault-io/mediavault/eventstore"
)

// batch appends as append does, by BatchAppend: one call of each connection carries the appends of many callers. The official
// Go client does not speak it, those for Node and .NET do; so this is the protocol itself.
func (l *streamLoad) batch(t *loadTask) (loadResult, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	calls := make([]*batchCall, t.Connections)
	for i := range calls {
		conn, err := grpc.NewClient(t.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return loadResult{}, err
		}
		defer conn.Close()
		call, err := streams.NewStreamsClient(conn).BatchAppend(ctx)
		if err != nil {
			return loadResult{}, err
		}
		calls[i] = &batchCall{call: call, waiting: map[uuid.UUID]chan *streams.BatchAppendResp{}}
	}
	var receiving sync.WaitGroup
	for _, c := range calls {
		receiving.Go(c.receive)
	}
	defer receiving.Wait()
	defer cancel()
	return l.measured(t, func(rnd *rand.Rand, stream eventstore.Stream, expected eventstore.Expected) error {
		m := &streams.BatchAppendReq{
			Options:          &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}},
			ProposedMessages: make([]*streams.BatchAppendReq_ProposedMessage, t.Each), IsFinal: true,
		}
		m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		if expected >= 0 {
			m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(expected)}
		}
		for i := range m.ProposedMessages {
			e := t.Samples[rnd.IntN(len(t.Samples))]
			m.ProposedMessages[i] = &streams.BatchAppendReq_ProposedMessage{
				Id: protoID(newID(rnd)), Metadata: map[string]string{"type": e.Type, "content-type": "application/json"},
				Data: e.Data, CustomMetadata: e.Metadata,
			}
		}
		answer, err := calls[rnd.IntN(len(calls))].do(ctx, m, newID(rnd))
		if err == nil && answer.GetSuccess() == nil {
			err = fmt.Errorf("batch append: %v", answer.GetError())
		}
		return err
	})
}

func protoID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])), //nolint:gosec // the same bits
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])), //nolint:gosec // the same bits
	}}}
}

// batchCall is one BatchAppend call that many callers share.
type batchCall struct {
	call    streams.Streams_BatchAppendClient
	sending sync.Mutex // call.Send is not safe for concurrent use

	mu      sync.Mutex                                  // guards what follows
	waiting map[uuid.UUID]chan *streams.BatchAppendResp // by correlation
	failed  error
}

func (c *batchCall) do(ctx context.Context, m *streams.BatchAppendReq, id uuid.UUID) (*streams.BatchAppendResp, error) {
	answer := make(chan *streams.BatchAppendResp, 1)
	c.mu.Lock()
	if c.failed != nil {
		defer c.mu.Unlock()
		return nil, c.failed
	}
	c.waiting[id] = answer
	c.mu.Unlock()
	m.CorrelationId = protoID(id)
	c.sending.Lock()
	err := c.call.Send(m)
	c.sending.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a, ok := <-answer:
		if !ok {
			return nil, errors.New("batch append: the call ended")
		}
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// receive hands answers to those who wait for them, until the call ends.
func (c *batchCall) receive() {
	for {
		m, err := c.call.Recv()
		c.mu.Lock()
		if err != nil {
			c.failed = err
			for _, answer := range c.waiting {
				close(answer)
			}
			c.mu.Unlock()
			return
		}
		var id uuid.UUID
		s := m.GetCorrelationId().GetStructured()
		binary.BigEndian.PutUint64(id[:8], uint64(s.GetMostSignificantBits()))  //nolint:gosec // the same bits
		binary.BigEndian.PutUint64(id[8:], uint64(s.GetLeastSignificantBits())) //nolint:gosec // the same bits
		answer := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}
