package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// The refusals for neighbours that do not answer: 503, and asking again helps.
var (
	errDatabase = domain.Refuse(domain.Unavailable, "database_unavailable", "the database does not answer; nothing was lost, ask again")
	errStorage  = domain.Refuse(domain.Unavailable, "storage_unavailable", "the storage of bytes does not answer; ask again")
	errTooSlow  = domain.Refuse(domain.Unavailable, "timeout", "the answer took too long; ask again")
)

// The refusals for neighbours that have no room left: 507, and asking again helps once somebody has made some.
var (
	errDatabaseFull = domain.Refuse(domain.Full, "database_full", "the database has no room left; ask again once there is room")
	errStorageFull  = domain.Refuse(domain.Full, "storage_full", "the storage of bytes has no room left; nothing was kept, ask again once there is room")
)

// neighbourFault turns the fault of a neighbour into a refusal; false for a fault of our own.
func neighbourFault(err error) (*domain.Refusal, bool) {
	switch {
	case errors.Is(err, blobs.ErrFull):
		return errStorageFull, true
	case errors.Is(err, eventstore.ErrFull), fullDatabase(err):
		return errDatabaseFull, true
	case errors.Is(err, blobs.ErrUnavailable):
		return errStorage, true
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrClosed), lostDatabase(err):
		return errDatabase, true
	case errors.Is(err, context.DeadlineExceeded):
		return errTooSlow, true
	default:
		return nil, false
	}
}

// fullDatabase says whether err is a database that had no room for what a statement had to write.
func fullDatabase(err error) bool {
	const diskFull = "53100" // https://www.postgresql.org/docs/current/errcodes-appendix.html
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == diskFull
}

// lostDatabase says whether err is a database that is not there, does not answer in time, is going away, or is too busy: not a statement that is wrong.
func lostDatabase(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		for _, class := range []string{"08", "53", "57", "40"} { // connection, resources, operator intervention, rollback
			if strings.HasPrefix(pg.Code, class) {
				return true
			}
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}
