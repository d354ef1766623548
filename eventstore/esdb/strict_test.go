package esdb_test

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// strict refuses, as EventStoreDB does, positions at which there is no record.
func strict(srv any, call grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, strictCall{call})
}

type strictCall struct{ grpc.ServerStream }

func (s strictCall) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if r, ok := m.(*streams.ReadReq); ok && err == nil && r.GetOptions().GetAll().GetPosition().GetCommitPosition()%storetest.Gap != 0 {
		return status.Error(codes.InvalidArgument, "Invalid position")
	}
	return err
}
