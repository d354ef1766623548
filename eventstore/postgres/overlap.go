package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// While a batch is being committed, one backend of Postgres works and everybody else waits. So where enough waits, the rows of the
// next batch are written meanwhile, on the other lane, at the positions that they will have if the batch before them is committed, and
// nobody else's comes between. Their transaction does not hold the head row; it takes it when the batch before is known to be
// committed, sees that the head is where it was left, and commits. So batches are committed one after the other, as without that, and
// no position is ever seen before the one in front of it. If the head is elsewhere, or taken, the rows are rolled back and the batch
// takes its turn like any other.
const (
	// overlapEntries are worth a transaction of their own.
	overlapEntries = 256

	// overlapAlone is how many batches in a row must have found that no other process writes: those who do would be in each other's way.
	overlapAlone = 16

	// overlapShy is for how many batches the other lane is left alone once it hung: those in its batch had to wait, and it may hang again.
	overlapShy = 1024

	// A batch that is ahead of its turn waits this long for another process's rows, at most: the other may be waiting for its.
	aheadSQL = `SET LOCAL lock_timeout = '20ms'`
)

var errNotAhead = errors.New("the batch has to wait for its turn")

// flight is a batch on its way into the log.
type flight struct {
	batch
	ctx    context.Context //nolint:containedctx // it is the batch's
	cancel context.CancelFunc
	began  time.Time
	lane   *lane
	p      *placing
	blocks string // statements that write the blocks which it completes

	written chan error // of the rows, when they are written ahead
	done    chan error // of the commit
}

func newFlight(ctx context.Context, b batch, l *lane) *flight {
	return &flight{batch: b, ctx: ctx, cancel: func() {}, began: time.Now(), lane: l, written: make(chan error, 1), done: make(chan error, 1)}
}

const copySQL = `COPY events (position, origin, revision, recorded_at, event_id, stream, type, data, metadata) FROM STDIN (FORMAT binary)`

// write brings a batch whose transaction holds the head row to its end, in one round trip: Postgres goes on with the statements behind the COPY
// when that is through, and with none of them when it fails.
func (f *flight) write() {
	f.done <- f.copy(f.ctx, copySQL+";\n"+f.commitSQL())
}

func (f *flight) copy(ctx context.Context, sql string) error {
	rows := f.lane.copy.start(f.p)
	defer f.lane.copy.stop()
	_, err := f.lane.conn.PgConn().CopyFrom(ctx, rows, sql)
	return err
}

// finish brings a batch whose rows were written ahead to its end, in one round trip. When the head is not where it should be, it divides
// by zero, and Postgres goes on with none of the statements behind.
func (f *flight) finish() {
	sql := fmt.Sprintf(`SET LOCAL lock_timeout = DEFAULT;
		SELECT 1 / count(*) FROM (SELECT FROM events_head WHERE position = %d AND recorded_at = '%s' FOR UPDATE NOWAIT) AS head;
		`, f.p.base, f.p.baseAt.Format(time.RFC3339Nano))
	_, err := f.lane.conn.PgConn().Exec(f.ctx, sql+f.commitSQL()).ReadAll()
	f.done <- err
}

func (f *flight) commitSQL() string {
	return fmt.Sprintf("%sUPDATE events_head SET position = %d, recorded_at = '%s';\nNOTIFY %s, '%d';\nCOMMIT",
		f.blocks, f.p.head, f.p.at.Format(time.RFC3339Nano), channel, f.p.head)
}

// share is how many entries the next batch takes of those that wait: half of them, when each half is worth a transaction.
func (c *committer) share() int {
	if c.waiting.entries >= 2*c.log.overlap && c.overlaps() {
		return min((c.waiting.entries+1)/2, batchEntries)
	}
	return batchEntries
}

// overlaps reports whether it may be done now: nobody else writes, and nothing is left to be tried again, which would come first.
func (c *committer) overlaps() bool {
	return c.alone >= c.log.alone && c.shy == 0 && len(c.again) == 0
}

// follow waits for the commit of a batch, while the one behind it is begun if there is enough for one; then for that one's, and so on. The
// error is that of the first batch. What became of the others is answered, or they are left to be tried again.
func (c *committer) follow(f *flight) error {
	for first := true; ; first = false {
		c.remember(f.p)
		c.log.head.committing(f.p.head)
		next := c.behind(f)
		err := <-f.done
		if err != nil {
			c.at, c.alone = 0, 0
			c.log.head.committing(0)
			f.tried()
			if next != nil {
				if f.lane.conn.IsClosed() {
					next.cancel() // the database may be away: nobody waits for it twice
				}
				stop := context.AfterFunc(f.ctx, next.cancel) // nor longer than there is time
				c.drop(next)
				stop()
			}
			err = f.lane.rolledBack(f.ctx, err)
			f.cancel()
			if first {
				return err
			}
			f.unsure()
			c.again = append([]batch{f.batch}, c.again...)
			return nil
		}
		f.cancel()
		c.answer(f)
		if next == nil {
			return nil
		}
		if err := <-next.written; err != nil {
			next.written <- err
			c.drop(next)
			return nil
		}
		c.lane, c.alone = next.lane, c.alone+1
		c.log.stats.overlaps.Add(1)
		go next.finish()
		f = next
	}
}

// behind begins the batch behind one that is being committed, as soon as enough waits for it; it answers nil when the commit was sooner.
func (c *committer) behind(f *flight) *flight {
	for c.overlaps() && !c.log.isClosing() {
		for c.drain(); c.waiting.entries < c.log.overlap && !c.waiting.full(); c.drain() {
			select {
			case r := <-c.log.queue:
				c.waiting.add(r)
			case err := <-f.done:
				f.done <- err
				return nil
			}
		}
		requests := c.waiting.take(c.share())
		if len(requests) == 0 {
			continue
		}
		other := &c.lanes[0]
		if f.lane == other {
			other = &c.lanes[1]
		}
		b := c.batchOf(requests)
		ctx, cancel := context.WithDeadline(context.Background(), b.until)
		next := newFlight(ctx, b, other)
		next.cancel = cancel
		p := newPlacing(requests)
		if f.p.shares(p) { // not asked later: once they are answered, the entries are their callers' again
			next.written <- errNotAhead
			return next
		}
		go func() { next.written <- c.ahead(next, p, f.p) }()
		return next
	}
	return nil
}

// ahead writes the rows of a batch behind those of the one before it, which is being committed. The committer leaves what it remembers to it,
// until it is told that the rows are written. It has half of the batch's time: when this lane hangs, the other has the rest.
func (c *committer) ahead(f *flight, p, before *placing) error {
	ctx, cancel := context.WithTimeout(f.ctx, c.log.timeout/2)
	defer cancel()
	if _, err := f.lane.connected(ctx, c.log); err != nil {
		return err
	}
	p.base, p.baseAt = before.head, before.at
	names, states := c.recall(p)
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue(aheadSQL)
	if len(names) > 0 {
		b.Queue(streamsSQL, names).Query(func(rows pgx.Rows) error { return scanStreams(rows, states) })
	}
	if err := f.lane.conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if p.place(c.log.now()); len(p.unsure) > 0 || len(p.rows) == 0 {
		return errNotAhead // what is refused is refused for what is committed
	}
	f.p, f.blocks = p, c.block.completed(p)
	return f.copy(ctx, copySQL)
}

// shares reports whether both have an event of the same stream and id. Who wrote it first would be waited for by the other, and the
// one behind waits for the one before.
func (p *placing) shares(behind *placing) bool {
	ids := map[idKey]bool{}
	for _, r := range behind.requests {
		if p.byName[r.stream] == nil {
			continue
		}
		for _, e := range r.entries {
			ids[idKey{r.stream, e.ID}] = true
		}
	}
	if len(ids) == 0 {
		return false
	}
	for _, r := range p.rows {
		if ids[idKey{r.stream, r.entry.ID}] {
			return true
		}
	}
	return false
}

// drop rolls a batch back that was begun behind another, and leaves it to be tried again in its turn.
func (c *committer) drop(f *flight) {
	err := <-f.written
	if violatesUnique(err) {
		f.unsure()
	}
	if !errors.Is(err, errNotAhead) {
		c.at, c.alone = 0, 0 // what was remembered is of a log in which it is
	}
	if errors.Is(err, context.DeadlineExceeded) {
		c.shy = overlapShy
	}
	_ = f.lane.rolledBack(f.ctx, err) // it is tried again
	f.cancel()
	c.again = append(c.again, f.batch)
}

// tried keeps where the batch was placed: its commit was not answered, and may have come to pass.
func (f *flight) tried() {
	f.sent = true
	for _, o := range f.p.outcomes {
		if o.appended {
			o.request.tried = append(o.request.tried, o.receipt)
		}
	}
}
