package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/mediavault-io/mediavault/eventstore"
)

// SQLSTATE codes (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	uniqueViolation = "23505"
	diskFull        = "53100"
)

// fault tells a database that does not answer, or not now, from one that says no. ctx is the caller's own: when that ended,
// the error says so and nothing else.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, puddle.ErrClosedPool):
		return fmt.Errorf("%w: %w", eventstore.ErrClosed, err)
	case errors.Is(err, eventstore.ErrUnavailable):
		return err
	}
	if isFull(err) {
		return fmt.Errorf("%w: %w", eventstore.ErrFull, err)
	}
	if transient(err) {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	return err
}

// isFull reports whether there was no room on the database's disk for what a statement had to write. Where there is none for its log
// of changes, it does not say so: it ends all sessions and starts again, which is like any other lost connection.
func isFull(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == diskFull
}

// transient reports whether the same statement may succeed later, on another connection.
func transient(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true // the connection, or a deadline
	}
	switch pg.Code {
	case "25006", // read-only: a standby after a fail-over
		"55P03", // lock not available in time
		"58030": // I/O error
		return true
	}
	for _, class := range []string{"08", "40", "53", "57"} { // connection, rollback, resources, intervention
		if strings.HasPrefix(pg.Code, class) {
			return true
		}
	}
	return false
}

func violatesUnique(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == uniqueViolation
}
