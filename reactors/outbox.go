package reactors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
)

// outbox is what a reactor has to send, lane by lane. It is kept in the database: a stop loses nothing, and a kill between
// sending and recording sends again, under the same id. What was recorded as told is never queued again: the log says so, whatever
// the reactor's checkpoint says.
type outbox struct {
	pool    *pgxpool.Pool
	reactor string
	slow    map[string]time.Time // lanes whose last turn took long, and until when that counts; owned by each
}

func newOutbox(pool *pgxpool.Pool, reactor string) outbox {
	return outbox{pool: pool, reactor: reactor, slow: map[string]time.Time{}}
}

// letter is one notification on its way.
type letter struct {
	lane         string
	position     eventstore.Position
	person       domain.UserID
	notification notification.ID
	attempts     int
	raised       time.Time
	digest       string // of the e-mail that it goes in; empty: it was not tried yet
	replay       int64  // position of the request whose replay it is; 0: it is told for the first time
}

const letterColumns = `lane, position, person, notification, attempts, raised_at, digest, replay`

// put adds a letter, unless it is there.
func (o outbox) put(ctx context.Context, l letter, due time.Time) error {
	return o.exec(ctx, `INSERT INTO reactor_outbox (reactor, lane, position, person, notification, raised_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (reactor, lane, position) DO NOTHING`, o.reactor, l.lane, l.position, l.person, l.notification, l.raised.UTC(), due.UTC())
}

// putAgain adds letters of one lane that are a replay, all at once, so that none goes before an earlier one is there. What waits
// already begins from its first attempt.
func (o outbox) putAgain(ctx context.Context, letters []letter, due time.Time) error {
	if len(letters) == 0 {
		return nil
	}
	var positions, replays []int64
	var notifications []string
	var raised []time.Time
	for _, l := range letters {
		positions, replays = append(positions, int64(l.position)), append(replays, l.replay)
		notifications, raised = append(notifications, string(l.notification)), append(raised, l.raised.UTC())
	}
	return o.exec(ctx, `INSERT INTO reactor_outbox (reactor, lane, person, due_at, position, notification, raised_at, replay)
		SELECT $1, $2, $3, $4, unnest($5::bigint[]), unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::bigint[])
		ON CONFLICT (reactor, lane, position) DO UPDATE SET attempts = 0, due_at = excluded.due_at, replay = excluded.replay
		WHERE reactor_outbox.replay < excluded.replay`,
		o.reactor, letters[0].lane, letters[0].person, due.UTC(), positions, notifications, raised, replays)
}

// of are the first letters of a lane, in order.
func (o outbox) of(ctx context.Context, lane string, limit int) ([]letter, error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	rows, err := o.pool.Query(ctx, `SELECT `+letterColumns+` FROM reactor_outbox WHERE reactor = $1 AND lane = $2 ORDER BY position LIMIT $3`, o.reactor, lane, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l letter, err error) {
		err = row.Scan(&l.lane, &l.position, &l.person, &l.notification, &l.attempts, &l.raised, &l.digest, &l.replay)
		return l, err
	})
}

// together are the first letters of a lane that go in one mail, and its id. From then on they stay together: what comes later goes in the
// next mail, so that a mail that is sent again is the same.
func (o outbox) together(ctx context.Context, lane string, limit int) (letters []letter, digest string, err error) {
	all, err := o.of(ctx, lane, limit)
	if err != nil || len(all) == 0 {
		return nil, "", err
	}
	first := all[0]
	var positions []int64
	for _, l := range all {
		if l.digest == first.digest {
			letters, positions = append(letters, l), append(positions, int64(l.position))
		}
	}
	if digest = first.digest; digest != "" {
		return letters, digest, nil
	}
	last := positions[len(positions)-1]
	digest = domain.Derive("digest", string(first.person), strconv.FormatInt(positions[0], 10), strconv.FormatInt(last, 10)).String()
	// These and no others: letters are not put in their order, and one that came in between was not read.
	return letters, digest, o.exec(ctx, `UPDATE reactor_outbox SET digest = $4 WHERE reactor = $1 AND lane = $2 AND position = ANY($3)`,
		o.reactor, lane, positions, digest)
}

// gone forgets letters, sent or given up.
func (o outbox) gone(ctx context.Context, letters ...letter) error {
	for _, l := range letters {
		if err := o.exec(ctx, `DELETE FROM reactor_outbox WHERE reactor = $1 AND lane = $2 AND position = $3 AND replay = $4`,
			o.reactor, l.lane, l.position, l.replay); err != nil {
			return err
		}
	}
	return nil
}

// close forgets a lane.
func (o outbox) close(ctx context.Context, lane string) error {
	return o.exec(ctx, `DELETE FROM reactor_outbox WHERE reactor = $1 AND lane = $2`, o.reactor, lane)
}

// failed counts a failed attempt of a lane's first letter, and lets the lane wait.
func (o outbox) failed(ctx context.Context, first letter, until time.Time) error {
	return o.exec(ctx, `UPDATE reactor_outbox SET attempts = attempts + 1, due_at = $4, leaving_until = NULL WHERE reactor = $1 AND lane = $2 AND position = $3 AND replay = $5`,
		o.reactor, first.lane, first.position, until.UTC(), first.replay)
}

func (o outbox) exec(ctx context.Context, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	if _, err := o.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return nil
}

// failure is what a sender says when a message was not taken; adapters/notify implements it.
type failure interface {
	error
	Code() string
	Permanent() bool
}

// verdict is what became of one attempt. waits are how long to wait after each failure; after the last it is given up.
func verdict(err error, attempts int, waits []time.Duration) (outcome notification.Outcome, code string, final bool) {
	if err == nil {
		return notification.Delivered, "", false
	}
	code = "failed"
	var f failure
	if errors.As(err, &f) {
		code, final = f.Code(), f.Permanent()
	}
	return notification.Failed, code, final || attempts >= len(waits)
}

// recording is for saying what became of something that was sent: also when the reactor has to stop, so that the next one need
// not send it again.
func recording(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), recordingTimeout)
}

// recordingTimeout is less than the margin before a lease ends, so that nobody else sends meanwhile.
const recordingTimeout = 500 * time.Millisecond

// after is when to try again, with jitter: receivers that came back are not asked by all at once.
func after(now time.Time, attempts int, waits []time.Duration) time.Time {
	wait := waits[min(attempts, len(waits)-1)]
	return now.Add(wait + rand.N(wait/10+1)) //nolint:gosec // spreads load, keeps no secret
}
