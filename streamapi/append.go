package streamapi

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"

	"github.com/mediavault-io/mediavault/eventstore"
)

// serveAppend answers streams.Streams/Append: one append, told in several messages.
func (s *Server) serveAppend(call grpc.ServerStream) error {
	ctx, began := call.Context(), time.Now()
	var m appendReq
	if err := call.RecvMsg(&m); err != nil {
		return err
	}
	if m.has != hasOptions {
		return invalidArgument("'options' has to come first")
	}
	a := appending{principal: principalOf(ctx), most: s.MaxAppend}
	var err error
	if a.stream, err = streamNamed(m.options.stream); err != nil {
		return err
	}
	if a.expected, err = m.options.expectation(); err != nil {
		return err
	}
	for {
		err := call.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m.has != hasProposed {
			return invalidArgument("'options' came twice")
		}
		if err := a.add(&m.proposed); err != nil {
			return err
		}
	}
	if err := s.stillAllowed(ctx, began); err != nil {
		return err
	}
	done, wrong, err := s.append(ctx, &a)
	if err != nil {
		return err
	}
	if wrong != nil {
		return call.SendMsg(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: wrongOf(*wrong)}})
	}
	return call.SendMsg(encodedAppended(done))
}

// wrongOf says it twice, as EventStoreDB does: clients older than 20.6.1 look elsewhere.
func wrongOf(w wrongVersion) *streams.AppendResp_WrongExpectedVersion {
	m := &streams.AppendResp_WrongExpectedVersion{}
	nothing := &shared.Empty{}
	if w.actual < 0 {
		m.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: nothing}
		m.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: nothing}
	} else {
		at := uint64(w.actual)
		m.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: at}
		m.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: at}
	}
	switch w.expected {
	case expectation(eventstore.Any):
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: nothing}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: nothing}
	case mustExist:
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: nothing}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: nothing}
	case expectation(eventstore.NoStream):
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: nothing}
	default:
		at := uint64(w.expected) //nolint:gosec // not negative: the cases before
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: at}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: at}
	}
	return m
}

// appending is an append on its way.
type appending struct {
	principal Principal
	stream    eventstore.Stream
	expected  expectation
	entries   []eventstore.Entry
	size      int
	most      int
}

// add takes one more event. Errors: what is missing in it, or maximum-append-size-exceeded, as soon as it is.
func (a *appending) add(p *proposal) error {
	a.size += len(p.data) + len(p.custom)
	if a.size > a.most || len(a.entries) >= eventstore.MaxEntries {
		return appendTooLarge(a.most)
	}
	e, err := p.entry()
	if err != nil {
		return err
	}
	if e.Type == typeDeleted {
		return invalidArgument("events of type %s are written by Tombstone alone", typeDeleted)
	}
	a.entries = append(a.entries, e)
	return nil
}

// appended is where an append left its mark. revision -1: the stream has no events; position 0: nothing was written.
type appended struct {
	revision eventstore.Revision
	position eventstore.Position
}

// append appends, or says which revision the stream has instead of the expected one. Errors: exceptions, or those of the log.
func (s *Server) append(ctx context.Context, a *appending) (appended, *wrongVersion, error) {
	if err := s.mayWrite(ctx, a.principal, a.stream, false); err != nil {
		return appended{}, nil, err
	}
	gate := s.gate(a.stream)
	gate.RLock()
	defer gate.RUnlock()
	about, err := s.metas.of(ctx, a.stream)
	if err != nil {
		return appended{}, nil, err
	}
	if about.closed > 0 {
		return appended{}, nil, streamDeleted(a.stream)
	}
	if about.deleted() && a.expected == mustExist {
		return appended{}, nil, streamDeleted(a.stream)
	}
	if a.expected == mustExist || len(a.entries) == 0 || (about.deleted() && a.expected == expectation(eventstore.NoStream)) {
		return s.appendLooking(ctx, a, about)
	}
	return s.appendExpecting(ctx, a, about, eventstore.Expected(a.expected))
}

// appendLooking is an append whose expectation the log does not know: it looks where the stream is before.
func (s *Server) appendLooking(ctx context.Context, a *appending, about *meta) (appended, *wrongVersion, error) {
	last, err := s.lastRevision(ctx, a.stream)
	if err != nil {
		return appended{}, nil, err
	}
	wrong := &wrongVersion{expected: a.expected, actual: last}
	switch {
	case a.expected == mustExist && last < 0:
		return appended{}, wrong, nil
	case len(a.entries) > 0 && a.expected == mustExist:
		return s.appendExpecting(ctx, a, about, eventstore.Any) // what is there does not go away again
	case len(a.entries) > 0: // NoStream, and it was deleted: it goes on where it ended
		return s.appendExpecting(ctx, a, about, eventstore.Expected(last))
	case a.expected >= 0 && a.expected != expectation(last), a.expected == expectation(eventstore.NoStream) && last >= 0 && !about.deleted():
		return appended{}, wrong, nil
	default:
		return appended{revision: last}, nil, nil
	}
}

func (s *Server) appendExpecting(ctx context.Context, a *appending, about *meta, expected eventstore.Expected) (appended, *wrongVersion, error) {
	receipt, err := s.Log.Append(ctx, a.stream, expected, a.entries...)
	if err != nil {
		wrong, err := s.wrongVersion(ctx, a, err)
		return appended{}, wrong, err
	}
	if about.deleted() {
		if err := s.undelete(ctx, a.stream, receipt.First); err != nil {
			return appended{}, nil, err
		}
	}
	if a.stream != subject(a.stream) {
		s.takeMetadata(a, receipt)
	}
	return appended{revision: receipt.Revision, position: receipt.Position}, nil, nil
}

// wrongVersion says which revision a stream has that the log did not append to, or the log's error when that is not why.
func (s *Server) wrongVersion(ctx context.Context, a *appending, err error) (*wrongVersion, error) {
	var conflict *eventstore.ConflictError
	switch {
	case errors.As(err, &conflict):
		return &wrongVersion{expected: a.expected, actual: conflict.Actual}, nil
	case errors.Is(err, eventstore.ErrIDReused):
		// EventStoreDB calls it so, too: some of the ids are there already, and others are not.
		last, err := s.lastRevision(ctx, a.stream)
		return &wrongVersion{expected: a.expected, actual: last}, err
	default:
		return nil, err
	}
}

// takeMetadata lets what was said about a stream count at once.
func (s *Server) takeMetadata(a *appending, receipt eventstore.Receipt) {
	for i, e := range a.entries {
		revision := receipt.First + eventstore.Revision(i)
		s.metas.take(eventstore.Raw{Stream: a.stream, Revision: revision, Type: e.Type, Data: e.Data, Position: receipt.Position})
	}
}

// lastRevision is where a stream ends; -1 when it has no events.
func (s *Server) lastRevision(ctx context.Context, stream eventstore.Stream) (eventstore.Revision, error) {
	for raw, err := range s.Log.ReadStream(ctx, stream, eventstore.StreamRead{From: -1, Backward: true, Limit: 1}) {
		return raw.Revision, err
	}
	return -1, nil
}
