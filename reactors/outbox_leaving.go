package reactors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
)

// errTakenBack is a letter that is not to be sent any more: its person is forgotten, or its lane was closed.
var errTakenBack = errors.New("the letter was taken back")

// leave has send bring a letter out, for at most so long, unless it was taken back (errTakenBack). The mark comes before the
// question whether its person is to be forgotten, and recording that he is before the look for marks (Letters): one of the two sees the
// other. failed is what the receiver had to say against it.
func (o outbox) leave(ctx context.Context, l letter, n *commands.Notifications, atMost time.Duration, send func(context.Context) error) (failed, err error) {
	within, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	tag, err := o.pool.Exec(within, `UPDATE reactor_outbox SET leaving_until = now() + $4 WHERE reactor = $1 AND lane = $2 AND position = $3`,
		o.reactor, l.lane, l.position, atMost)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	forgotten, err := n.Forgotten(within, l.person)
	if err != nil {
		return nil, err
	}
	if forgotten || tag.RowsAffected() == 0 {
		return nil, errTakenBack
	}
	if failed = send(within); failed != nil {
		return failed, ctx.Err()
	}
	return nil, nil
}

// Letters are all that is on its way to people.
type Letters struct{ Pool *pgxpool.Pool }

// TakeBack removes what is on its way to a person who is to be forgotten, which is recorded already, and waits for what is just being sent:
// when it returns nothing leaves any more. It waits no longer than one attempt of a sender may take.
func (l Letters) TakeBack(ctx context.Context, person domain.UserID) error {
	for {
		left, err := l.takeBack(ctx, person)
		if err != nil {
			return fmt.Errorf("take back what is on its way to a person: %w", err)
		}
		if left == 0 {
			return nil
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("wait for what is being sent to a person: %w", ctx.Err())
		}
	}
}

func (l Letters) takeBack(ctx context.Context, person domain.UserID) (left int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	if _, err := l.Pool.Exec(ctx, `DELETE FROM reactor_outbox WHERE person = $1 AND (leaving_until IS NULL OR leaving_until < now())`, string(person)); err != nil {
		return 0, err
	}
	err = l.Pool.QueryRow(ctx, `SELECT count(*) FROM reactor_outbox WHERE person = $1`, string(person)).Scan(&left)
	return left, err
}
