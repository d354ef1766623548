package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mediavault-io/mediavault/eventstore"
)

// answered is an error as the server told it: a status, and facts in trailers.
type answered struct {
	status   *status.Status
	trailers metadata.MD
}

// Error implements error.
func (a *answered) Error() string { return a.status.Code().String() + ": " + a.status.Message() }

// answer keeps what the server told with an error; nil stays nil, and the end of a stream the end.
func answer(err error, trailers func() metadata.MD) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	return &answered{status: s, trailers: trailers()}
}

func (a *answered) exception() string { return first(a.trailers, "exception") }

func first(md metadata.MD, key string) string {
	if list := md.Get(key); len(list) > 0 {
		return list[0]
	}
	return ""
}

// fault is an error as the log's callers get it.
type fault struct {
	err     error
	passing bool   // the same call may succeed later, or elsewhere
	leader  string // host:port of whom to ask instead; "" when not told
}

var (
	errDeleted     = errors.New("the stream was deleted for ever")
	errBadPosition = errors.New("the log has no such position")
	errMalformed   = errors.New("the event store's answer is malformed")
)

// faultOf says what an error means to the caller whose context (one of Log.bounded) is given.
func faultOf(ctx context.Context, err error) fault {
	if ctx.Err() != nil {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, eventstore.ErrClosed):
			return fault{err: eventstore.ErrClosed}
		case errors.Is(cause, errTimeout):
			return fault{err: fmt.Errorf("%w: %w", eventstore.ErrUnavailable, lastOr(err, errTimeout))}
		default:
			return fault{err: ctx.Err()}
		}
	}
	var a *answered
	if !errors.As(err, &a) {
		passing := errors.Is(err, errSilent) || errors.Is(err, errNoNode)
		if passing && !errors.Is(err, eventstore.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
		}
		return fault{err: err, passing: passing}
	}
	switch a.exception() {
	case "not-leader":
		leader := ""
		if host, port := first(a.trailers, "leader-endpoint-host"), first(a.trailers, "leader-endpoint-port"); host != "" && port != "" {
			leader = net.JoinHostPort(host, port)
		}
		return fault{err: fmt.Errorf("%w: %w", eventstore.ErrUnavailable, a), passing: true, leader: leader}
	case "stream-deleted":
		return fault{err: fmt.Errorf("%w: %w", eventstore.ErrInvalid, errDeleted)}
	case "maximum-append-size-exceeded":
		return fault{err: fmt.Errorf("%w: the event store takes %s bytes", eventstore.ErrTooLarge, first(a.trailers, "maximum-append-size"))}
	}
	switch a.status.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		return fault{err: fmt.Errorf("%w: %w", eventstore.ErrUnavailable, a), passing: true}
	case codes.Internal, codes.Unknown:
		// A connection that is cut in the middle of an answer is told so, and so is a server that is still starting or stopping.
		return fault{err: fmt.Errorf("%w: %w", eventstore.ErrUnavailable, a), passing: true}
	case codes.Unauthenticated:
		return fault{err: fmt.Errorf("the event store does not accept the credentials: %w", a)}
	case codes.PermissionDenied:
		return fault{err: fmt.Errorf("the event store does not allow it: %w", a)}
	case codes.InvalidArgument, codes.OutOfRange:
		if strings.Contains(strings.ToLower(a.status.Message()), "position") {
			return fault{err: fmt.Errorf("%w: %w", errBadPosition, a)}
		}
		return fault{err: a}
	default:
		return fault{err: a}
	}
}

func lastOr(err, otherwise error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		return otherwise
	}
	return err
}
