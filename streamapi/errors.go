package streamapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// An exception is an error in EventStoreDB's form: a status, and trailers from which clients make their own errors. The
// interceptors put its trailers on the wire.
type exception struct {
	code     codes.Code
	message  string
	trailers []string // key, value, key, value
}

// Error implements error.
func (e *exception) Error() string { return e.message }

// GRPCStatus lets grpc answer the code and the message.
func (e *exception) GRPCStatus() *status.Status { return status.New(e.code, e.message) }

// raise makes an exception of EventStoreDB's name for it, and its facts as pairs of key and value.
func raise(code codes.Code, message, name string, facts ...string) *exception {
	return &exception{code: code, message: message, trailers: append([]string{"exception", name}, facts...)}
}

func streamDeleted(stream eventstore.Stream) error {
	return raise(codes.FailedPrecondition, fmt.Sprintf("Event stream '%s' is deleted.", stream), "stream-deleted", "stream-name", string(stream))
}

func accessDenied() error {
	return raise(codes.PermissionDenied, "Access Denied", "access-denied")
}

func unauthenticated(why string) error {
	return raise(codes.Unauthenticated, why, "not-authenticated")
}

func wrongExpectedVersion(stream eventstore.Stream, w wrongVersion) error {
	e := raise(codes.FailedPrecondition,
		fmt.Sprintf("Append failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d", stream, w.expected.number(), w.actual),
		"wrong-expected-version", "stream-name", string(stream), "expected-version", strconv.FormatInt(w.expected.number(), 10))
	if w.actual >= 0 {
		e.trailers = append(e.trailers, "actual-version", strconv.FormatInt(int64(w.actual), 10))
	}
	return e
}

func appendTooLarge(most int) error {
	return raise(codes.InvalidArgument, fmt.Sprintf("Maximum Append Size of %d Exceeded.", most), "maximum-append-size-exceeded",
		"maximum-append-size", strconv.Itoa(most))
}

func missingMetadata(property string) error {
	return raise(codes.InvalidArgument, fmt.Sprintf("Required Metadata Property '%s' is missing", property),
		"missing-required-metadata-property", "required-metadata-properties", "type,content-type")
}

func invalidArgument(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// fault says to a client what went wrong: as it is when it has a status already, as a status of its kind, or as an internal
// error, with the facts in the log alone.
func (s *Server) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, eventstore.ErrTooLarge):
		return appendTooLarge(s.MaxAppend)
	case errors.Is(err, eventstore.ErrInvalid):
		return invalidArgument("%v", err)
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrClosed):
		s.Logger.Warn("stream API: the event store does not answer", "error", err)
		return raise(codes.Unavailable, "Server Is Not Ready", "server-not-ready")
	default:
		s.Logger.Error("stream API", "error", err)
		return status.Error(codes.Internal, "internal error")
	}
}

// trailersOf puts an exception's facts on the wire.
func trailersOf(err error) metadata.MD {
	if err == nil {
		return nil
	}
	var e *exception
	if !errors.As(err, &e) {
		return nil
	}
	return metadata.Pairs(e.trailers...)
}

// door is a gRPC server's interceptors: they say who calls, and what went wrong.
type door struct {
	server *Server
	who    Authenticator
}

func (d *door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	who, err := d.identify(ctx, info.FullMethod)
	var answer any
	if err == nil {
		answer, err = handler(&called{Context: ctx, caller: who}, req)
	}
	if err != nil {
		err = d.server.fault(ctx, err)
		if md := trailersOf(err); md != nil {
			_ = grpc.SetTrailer(ctx, md) // fails only where there is no call
		}
	}
	return answer, err
}

func (d *door) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := ss.Context()
	who, err := d.identify(ctx, info.FullMethod)
	if err == nil {
		err = handler(srv, &identifiedStream{ServerStream: ss, called: called{Context: ctx, caller: who}})
	}
	err = d.server.fault(ctx, err)
	if md := trailersOf(err); md != nil {
		ss.SetTrailer(md)
	}
	return err
}

type identifiedStream struct {
	grpc.ServerStream
	called called
}

// Context implements grpc.ServerStream.
func (s *identifiedStream) Context() context.Context { return &s.called }

// isBroken reports a sealed text that nobody can ever open.
func isBroken(err error) bool { return errors.Is(err, domain.ErrBroken) }
