package streamapi

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Bounds of one BatchAppend call: appends that wait for their end, and appends of which only a part has come.
const (
	batchesUnderWay = 256
	batchesOpen     = 1024
)

// serveBatchAppend answers streams.Streams/BatchAppend: many appends over one call, each told in one or more parts and answered under
// its correlation id as soon as it is done. Appends to the same stream are done in the order in which they were completed.
func (s *Server) serveBatchAppend(call grpc.ServerStream) error {
	return s.whileAllowed(call.Context(), func(ctx context.Context, _ context.CancelCauseFunc) error {
		b := &batches{
			server: s, call: call, ctx: ctx, principal: principalOf(ctx),
			open: map[uuid.UUID]*batch{}, room: make(chan struct{}, batchesUnderWay), last: map[eventstore.Stream]chan struct{}{},
		}
		defer b.finish()
		return b.receive()
	})
}

// hearing counts calls that are served beside what ends them.
type hearing struct {
	mu   sync.Mutex // guards over, and that nobody begins once it is set
	over bool
	work sync.WaitGroup
}

// begin reports whether one more may begin; who may calls end.
func (h *hearing) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.work.Add(1)
	}
	return !h.over
}

func (h *hearing) end() { h.work.Done() }

// close lets nobody begin, and waits for those who did.
func (h *hearing) close() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.work.Wait()
}

type batches struct {
	server    *Server
	call      grpc.ServerStream
	ctx       context.Context //nolint:containedctx // the call's, which ends early when the caller's key is revoked
	principal Principal

	open map[uuid.UUID]*batch // owned by receive
	room chan struct{}        // one for each append under way
	work sync.WaitGroup       // the appends under way

	sending sync.Mutex // call.SendMsg is not safe for concurrent use

	mu   sync.Mutex                          // guards what follows
	over bool                                // nothing is started any more
	last map[eventstore.Stream]chan struct{} // closed when the append to the stream that was completed last is done
}

type batch struct {
	appending
	correlation []byte
	options     batchOptions
	deadline    time.Time // the zero Time: none
	err         error     // found while it was received
}

func (b *batches) receive() error {
	for {
		var m batchReq
		err := b.call.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
		var correlation identity
		if err := correlation.decode(m.correlation); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		id, err := correlation.uuid()
		if err != nil {
			return err
		}
		one := b.open[id]
		if one == nil {
			if len(b.open) >= batchesOpen {
				return status.Errorf(codes.ResourceExhausted, "more than %d appends have been begun and not completed", batchesOpen)
			}
			one = b.begin(&m)
			b.open[id] = one
		}
		if err := m.proposals(func(p *proposal) {
			if one.err == nil {
				one.err = one.add(p)
			}
		}); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		if one.err != nil {
			one.entries = nil // it will be refused: nothing needs to be kept
		}
		if m.final {
			delete(b.open, id)
			select {
			case b.room <- struct{}{}:
			case <-b.ctx.Done():
				return b.ctx.Err()
			}
			b.start(one)
		}
	}
}

func (b *batches) begin(m *batchReq) *batch {
	one := &batch{correlation: m.correlation, options: m.options}
	one.principal, one.most = b.principal, b.server.MaxAppend
	if !m.hasOptions {
		one.err = invalidArgument("'options' is required with the first part of an append")
		return one
	}
	if one.stream, one.err = streamNamed(m.options.stream); one.err != nil {
		return one
	}
	one.deadline = m.options.deadline(time.Now())
	if m.options.wants == 0 {
		one.expected = expectation(eventstore.Any)
	} else {
		one.expected, one.err = m.options.expectation()
	}
	return one
}

// start does an append behind the one before it to the same stream.
func (b *batches) start(one *batch) {
	done := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	before := b.last[one.stream]
	b.last[one.stream] = done
	b.work.Go(func() {
		defer func() {
			b.mu.Lock()
			if b.last[one.stream] == done {
				delete(b.last, one.stream)
			}
			b.mu.Unlock()
			close(done)
			<-b.room
		}()
		if before != nil {
			<-before
		}
		answer := b.do(one)
		b.sending.Lock()
		defer b.sending.Unlock()
		_ = b.call.SendMsg(answer) // whoever is gone cannot be answered; receive ends, too
	})
}

// finish starts nothing more, and waits for what was started.
func (b *batches) finish() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
	b.work.Wait()
}

// do does an append, and answers what is to be sent.
func (b *batches) do(one *batch) any {
	ctx := b.call.Context()
	if !one.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, one.deadline)
		defer cancel()
	}
	done, wrong, err := appended{}, (*wrongVersion)(nil), one.err
	if err == nil {
		done, wrong, err = b.server.append(ctx, &one.appending)
	}
	switch {
	case err != nil:
		return one.refused(batchError(one, b.server.fault(ctx, err), b.server.MaxAppend))
	case wrong != nil:
		return one.refused(batchStatus(codes.AlreadyExists, "WrongExpectedVersion", wrongDetails(*wrong)))
	default:
		return encodedBatched(one.correlation, &one.options, done)
	}
}

// refused is the answer to an append that was not done.
func (one *batch) refused(why *statuspb.Status) *streams.BatchAppendResp {
	answer := &streams.BatchAppendResp{CorrelationId: &shared.UUID{}, Result: &streams.BatchAppendResp_Error{Error: why}}
	_ = proto.Unmarshal(one.correlation, answer.GetCorrelationId()) // it was read before
	if one.options.stream != nil {
		answer.StreamIdentifier = &shared.StreamIdentifier{StreamName: one.options.stream}
	}
	switch one.options.wants {
	case wantsRevision:
		answer.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: one.options.revision}
	case wantsNoStream:
		answer.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case wantsExisting:
		answer.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	default:
		answer.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	}
	return answer
}

// batchError says an exception in the form that answers within a batch have.
func batchError(one *batch, err error, most int) *statuspb.Status {
	var e *exception
	if errors.As(err, &e) && len(e.trailers) > 1 {
		switch e.trailers[1] {
		case "stream-deleted":
			return batchStatus(codes.FailedPrecondition, e.message, &shared.StreamDeleted{StreamIdentifier: identifierOf(one.stream)})
		case "access-denied":
			return batchStatus(codes.PermissionDenied, e.message, &shared.AccessDenied{})
		case "maximum-append-size-exceeded":
			return batchStatus(codes.InvalidArgument, e.message, &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(most)}) //nolint:gosec // at most 64 MiB
		}
	}
	switch st := status.Convert(err); st.Code() {
	case codes.DeadlineExceeded:
		return batchStatus(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	case codes.InvalidArgument:
		return batchStatus(codes.InvalidArgument, st.Message(), &shared.BadRequest{Message: st.Message()})
	default:
		return batchStatus(st.Code(), st.Message(), &shared.Unknown{})
	}
}

func batchStatus(c codes.Code, message string, details proto.Message) *statuspb.Status {
	st := &statuspb.Status{Code: int32(c), Message: message} //nolint:gosec // below 20
	if packed, err := anypb.New(details); err == nil {       // the code and the message say it, too
		st.Details = append(st.Details, packed)
	}
	return st
}

func wrongDetails(w wrongVersion) *shared.WrongExpectedVersion {
	m := &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
	}
	if w.actual >= 0 {
		m.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(w.actual)}
	}
	switch w.expected {
	case expectation(eventstore.Any):
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case mustExist:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	case expectation(eventstore.NoStream):
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	default:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(w.expected)} //nolint:gosec // not negative
	}
	return m
}
