package esdb_test

import (
	"context"
	"iter"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore"
)

// sparse is a log whose positions have gaps, as those of EventStoreDB do, which count bytes: one in each gap is an event's.
type sparse struct{ log eventstore.Log }

const gap = 100

func (s sparse) Append(ctx context.Context, stream eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	r, err := s.log.Append(ctx, stream, expected, entries...)
	r.Position *= gap
	return r, err
}

func spread(raws iter.Seq2[eventstore.Raw, error]) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		for raw, err := range raws {
			raw.Position *= gap
			if !yield(raw, err) {
				return
			}
		}
	}
}

func (s sparse) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	return spread(s.log.ReadStream(ctx, stream, r))
}

func (s sparse) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	if r.After < 0 {
		r.After = 0
	}
	r.After /= gap
	if r.Before > 0 {
		r.Before = (r.Before-1)/gap + 1
	}
	return spread(s.log.ReadAll(ctx, r))
}

func (s sparse) Follow(ctx context.Context, after eventstore.Position, f eventstore.Filter) iter.Seq2[eventstore.Batch[eventstore.Raw], error] {
	return func(yield func(eventstore.Batch[eventstore.Raw], error) bool) {
		for b, err := range s.log.Follow(ctx, after/gap, f) {
			b.Through *= gap
			for i := range b.Events {
				b.Events[i].Position *= gap
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func (s sparse) Head(ctx context.Context) (eventstore.Position, error) {
	p, err := s.log.Head(ctx)
	return p * gap, err
}

// strict refuses, as EventStoreDB does, positions at which there is no record.
func strict(srv any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, strictCall{call})
}

type strictCall struct{ grpc.ServerStream }

func (s strictCall) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if r, ok := m.(*streams.ReadReq); ok && err == nil && r.GetOptions().GetAll().GetPosition().GetCommitPosition()%gap != 0 {
		return status.Error(codes.InvalidArgument, "Invalid position")
	}
	return err
}

func (s sparse) PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error) {
	p, err := s.log.PositionAt(ctx, t)
	return p * gap, err
}
