package esdb_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// counting counts the reads that a server is asked for: of one stream, and of $all.
type counting struct{ stream, all atomic.Int64 }

func (c *counting) intercept(srv any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, countedCall{call, c})
}

type countedCall struct {
	grpc.ServerStream
	counts *counting
}

func (c countedCall) RecvMsg(m any) error {
	err := c.ServerStream.RecvMsg(m)
	if r, ok := m.(*streams.ReadReq); ok && err == nil {
		if r.GetOptions().GetAll() != nil {
			c.counts.all.Add(1)
		} else {
			c.counts.stream.Add(1)
		}
	}
	return err
}

func TestAppendsShareTheirReads(t *testing.T) {
	t.Parallel()
	var reads counting
	v := startVault(t, storetest.Sparse(memory.New()), "127.0.0.1:0", grpc.ChainStreamInterceptor(reads.intercept))
	t.Cleanup(func() { v.stop(t) })
	log, err := logAt(t, "esdb://"+v.address+"?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 32, 20
	var group sync.WaitGroup
	receipts := make([][]eventstore.Receipt, writers)
	for w := range writers {
		group.Go(func() {
			stream := eventstore.Stream(fmt.Sprint("test-", w))
			for raw, err := range log.ReadStream(t.Context(), stream, eventstore.StreamRead{}) { // as a command does, which then knows enough
				t.Error(raw, err)
			}
			for range each {
				r, err := log.Append(t.Context(), stream, eventstore.Any, happened())
				if err != nil || r.Repeated {
					t.Errorf("%+v, %v", r, err)
					return
				}
				receipts[w] = append(receipts[w], r)
			}
		})
	}
	group.Wait()
	if n := reads.stream.Load(); n != writers {
		t.Errorf("streams were read %d times by %d appends to %d that were read before", n, writers*each, writers)
	}
	if n := reads.all.Load(); n > writers*each { // two for each append, had it been alone
		t.Errorf("$all was read %d times by %d appends", n, writers*each)
	}
	for w, list := range receipts {
		n := 0
		for raw, err := range log.ReadStream(t.Context(), eventstore.Stream(fmt.Sprint("test-", w)), eventstore.StreamRead{}) {
			if err != nil || n >= len(list) || raw.Position != list[n].Position || !raw.At.Equal(list[n].At) || raw.Revision != list[n].Revision {
				t.Fatalf("%+v, %v: receipts are %+v", raw, err, list)
			}
			n++
		}
		if n != each {
			t.Errorf("stream %d has %d events", w, n)
		}
	}
}

// An old server does not say where it put what it knows again, or says so as nobody would expect.
func TestAReceiptIsTrueWhateverTheServerSaysOfThePosition(t *testing.T) {
	t.Parallel()
	position := func(p uint64) *streams.AppendResp_Success {
		return &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 0},
			PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: p, PreparePosition: p}},
		}
	}
	for name, success := range map[string]*streams.AppendResp_Success{
		"nothing": {
			CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 0},
			PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}},
		},
		"where it is":          position(700),
		"one in between":       position(650),
		"that of another":      position(600),
		"one beyond all":       position(1<<64 - 1),
		"one behind the log's": position(900),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := uuid.New()
			event := func(p uint64, stream string) *streams.ReadResp {
				return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: &streams.ReadResp_ReadEvent_RecordedEvent{
					Id: &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}, StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
					CommitPosition: p, PreparePosition: p, Metadata: map[string]string{"type": "a", "created": fmt.Sprint(17000000000000000 + 10*p)},
				}}}}
			}
			s := &scripted{
				read: func(call streams.Streams_ReadServer, r *streams.ReadReq) error {
					o := r.GetOptions()
					from := o.GetAll().GetPosition().GetCommitPosition()
					switch {
					case o.GetStream() != nil && o.GetReadDirection() == streams.ReadReq_Options_Backwards:
						return nil
					case o.GetStream() != nil:
						return call.Send(event(700, "test-1"))
					case o.GetReadDirection() == streams.ReadReq_Options_Backwards:
						return call.Send(event(600, "test-0"))
					case from <= 600:
						if err := call.Send(event(600, "test-0")); err != nil {
							return err
						}
						fallthrough
					case from <= 700:
						return call.Send(event(700, "test-1"))
					}
					return nil
				},
				add: func(call streams.Streams_AppendServer) error {
					return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}})
				},
			}
			log, err := logAt(t, "esdb://"+s.serve(t)+"?tls=false")
			if err != nil {
				t.Fatal(err)
			}
			e := happened()
			e.ID = id
			r, err := log.Append(t.Context(), "test-1", eventstore.NoStream, e)
			if err != nil || r.Position != 700 || r.Revision != 0 || r.Repeated || r.At.UnixNano() != (17000000000000000+7000)*100 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
