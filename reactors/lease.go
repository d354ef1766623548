package reactors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
)

// errLost is a lease that somebody else has now.
var errLost = errors.New("another process runs the reactor now")

// lease is the right to run one reactor until a moment. It is kept in the row of the reactor's checkpoint, by the database's
// clock; this process counts from before it asked, so that its own idea of the end is the earlier one.
type lease struct {
	pool    *pgxpool.Pool
	reactor string
	process uuid.UUID
	epoch   int64 // fences what is written under this lease
	from    eventstore.Position
	long    time.Duration
	end     time.Time   // by this process' clock
	over    *time.Timer // ends what runs under the lease
}

// acquire answers nil when another process holds the reactor.
func acquire(ctx context.Context, pool *pgxpool.Pool, reactor string, process uuid.UUID, long time.Duration) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	l := &lease{pool: pool, reactor: reactor, process: process, long: long, end: time.Now().Add(long)}
	err := pool.QueryRow(ctx, `
		INSERT INTO reactor_checkpoints AS c (reactor, position, moved_at, holder, held_until, epoch) VALUES ($1, 0, now(), $2, now() + $3, 1)
		ON CONFLICT (reactor) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until, epoch = c.epoch + 1
		WHERE c.holder IS NULL OR c.held_until < now()
		RETURNING position, epoch`, reactor, process, long).Scan(&l.from, &l.epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing went wrong, and there is none
	}
	if err != nil {
		return nil, fmt.Errorf("take reactor %s: %w", reactor, err)
	}
	return l, nil
}

// margin is how long before the end of the lease the work ends: what was begun has to stop in time.
func (l *lease) margin() time.Duration { return l.long / 5 }

// endAfter calls end a little before the lease ends, as it was last renewed.
func (l *lease) endAfter(end func()) {
	l.over = time.AfterFunc(time.Until(l.end)-l.margin(), end)
}

// keep renews the lease until ctx ends or stepDown says so. It answers errLost when the lease is another's.
func (l *lease) keep(ctx context.Context, stepDown func() bool) error {
	tick := time.NewTicker(l.long / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if stepDown() {
			return nil
		}
		if err := l.renew(ctx); errors.Is(err, errLost) {
			return fmt.Errorf("run %s: %w", l.reactor, err)
		}
		// Another fault is a database that does not answer: until the lease ends it may come back.
	}
}

func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, l.end)
	defer cancel()
	asked := time.Now()
	tag, err := l.pool.Exec(ctx, `UPDATE reactor_checkpoints SET held_until = now() + $3 WHERE reactor = $1 AND epoch = $2 AND holder = $4`,
		l.reactor, l.epoch, l.long, l.process)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return errLost
	}
	l.end = asked.Add(l.long)
	l.over.Reset(time.Until(l.end) - l.margin())
	return nil
}

// release lets another process take over at once.
func (l *lease) release() {
	if l.over != nil {
		l.over.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// When this fails the lease runs out by itself.
	_, _ = l.pool.Exec(ctx, `UPDATE reactor_checkpoints SET holder = NULL, held_until = NULL WHERE reactor = $1 AND epoch = $2 AND holder = $3`,
		l.reactor, l.epoch, l.process)
}

// take counts one more reactor of this process, if that is within its share.
func (e *Engine) take() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held >= e.share() {
		return false
	}
	e.held++
	return true
}

func (e *Engine) give() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held--
}

// surplus reports whether this process runs more than its share; then one reactor, whose caller has to stop it, is no longer
// counted.
func (e *Engine) surplus() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held <= e.share() {
		return false
	}
	e.held--
	return true
}

// share is how many reactors a process runs at most. The shares of all together are never fewer than the reactors.
func (e *Engine) share() int { return (len(e.reactors) + e.peers - 1) / max(1, e.peers) }

// join counts this process among those that react, and learns how many there are.
func (e *Engine) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := e.pool.Exec(ctx, `
		INSERT INTO reactor_processes (process, seen_until) VALUES ($1, now() + $2)
		ON CONFLICT (process) DO UPDATE SET seen_until = excluded.seen_until`, e.process, e.opts.Lease)
	if err != nil {
		return fmt.Errorf("join those that react: %w", err)
	}
	if _, err := e.pool.Exec(ctx, `DELETE FROM reactor_processes WHERE seen_until < now() - interval '1 minute'`); err != nil {
		return fmt.Errorf("forget those that reacted: %w", err)
	}
	var n int
	if err := e.pool.QueryRow(ctx, `SELECT count(*) FROM reactor_processes WHERE seen_until > now()`).Scan(&n); err != nil {
		return fmt.Errorf("count those that react: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.peers = max(1, n)
	return nil
}

// stay keeps this process counted until ctx ends, and takes it off the count then.
func (e *Engine) stay(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, e.opts.Lease/5)
		if ctx.Err() == nil {
			_ = e.join(ctx) // a database that does not answer stops the reactors themselves
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = e.pool.Exec(ctx, `DELETE FROM reactor_processes WHERE process = $1`, e.process) // otherwise it is forgotten by itself
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// jitter is d, or up to a half more, so that what failed together does not come back together.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/2+1) //nolint:gosec // spreads load, keeps no secret
}
