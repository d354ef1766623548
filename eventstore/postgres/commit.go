package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Bounds of one batch. They keep the time of one commit, and with it the wait of the next batch, short.
const (
	batchAppends = 1024
	batchEntries = 8192
	batchBytes   = 16 << 20
)

// committer takes what waits in the queue, as much as there is, and commits it in one transaction, again and again. It owns
// its connection and is the only goroutine that writes.
type committer struct {
	log  *Log
	conn *pgx.Conn // nil: not connected
	next *request  // taken from the queue, but too large for the batch before
	copy copyRows

	streams map[eventstore.Stream]written // that were written lately, as long as the head is at
	at      eventstore.Position           // this: then nobody else has written since
	block   block                         // the last one, likewise

	expected int           // appends that the next batch will have if those answered come again
	linger   time.Duration // how long to wait for them
}

// Callers that append one thing after the other would otherwise fall into two halves, one waiting while the other is being
// committed, and each commit would serve only half of them. So the next batch is held open for those who were just answered,
// for a part of the time that a commit takes.
const (
	lingerPart = 4
	lingerMost = time.Millisecond
)

func (c *committer) run() {
	defer close(c.log.stopped)
	defer c.disconnect()
	batch := make([]*request, 0, batchAppends)
	for {
		batch = c.gather(batch[:0])
		if len(batch) == 0 {
			return
		}
		start := time.Now()
		err := c.commit(batch)
		c.expected = len(batch) + len(c.log.queue)
		c.linger = min(time.Since(start)/lingerPart, lingerMost)
		if err != nil {
			c.refuse(err) // first: who comes once these are answered has a try of their own
			for _, r := range batch {
				r.err = err
				close(r.done)
			}
		}
		clear(batch)
	}
}

// gather waits for an append and takes what came with it. It answers nothing when the log is closed.
func (c *committer) gather(batch []*request) []*request {
	entries, bytes := 0, 0
	take := func(r *request) bool {
		if entries > 0 && (entries+len(r.entries) > batchEntries || bytes+r.size > batchBytes) {
			c.next = r
			return false
		}
		if r.state.CompareAndSwap(queued, taken) {
			entries, bytes = entries+len(r.entries), bytes+r.size
			batch = append(batch, r)
		}
		return len(batch) < batchAppends
	}
	if c.next != nil {
		r := c.next
		c.next = nil
		take(r)
	}
	for len(batch) == 0 {
		select {
		case <-c.log.closing:
			return nil
		default:
		}
		select {
		case r := <-c.log.queue:
			take(r)
		case <-c.log.closing:
			return nil
		}
	}
	full := false
	for !full && len(c.log.queue) > 0 {
		full = !take(<-c.log.queue)
	}
	if full || len(batch) >= c.expected {
		return batch
	}
	patience := time.NewTimer(c.linger)
	defer patience.Stop()
	for !full && len(batch) < c.expected {
		select {
		case r := <-c.log.queue:
			full = !take(r)
		case <-patience.C:
			return batch
		case <-c.log.closing:
			return batch
		}
	}
	return batch
}

// refuse answers err to all that wait: the database was given its time, and does not get it again from each of them.
func (c *committer) refuse(err error) {
	if !errors.Is(err, eventstore.ErrUnavailable) {
		return
	}
	for range len(c.log.queue) {
		r := <-c.log.queue
		if r.state.CompareAndSwap(queued, taken) {
			r.err = err
			close(r.done)
		}
	}
}

// commit brings a batch to its end within the timeout. What was lost on the way is tried again: the ids tell what is there
// already. On success every request of the batch has been answered; with an error, none.
func (c *committer) commit(batch []*request) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.log.timeout)
	defer cancel()
	pause := 10 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, batch)
		switch {
		case err == nil:
			return nil
		case violatesUnique(err) && attempt <= 2:
			// Some ids are there already: the next attempt looks before it writes.
		case isFull(err) && attempt == 1:
			// It was rolled back, and room is made by people: those who wait are told at once. After a lost connection it is not known
			// what became of the first attempt, and the last says no more than that.
			return fmt.Errorf("append: %w: %w", eventstore.ErrFull, err)
		case !transient(err) || errors.Is(err, eventstore.ErrClosed):
			c.disconnect()
			return fmt.Errorf("append: %w", err)
		default:
			c.disconnect()
			select {
			case <-ctx.Done():
				return fmt.Errorf("append: %w: %w", eventstore.ErrUnavailable, err)
			case <-c.log.closing:
				return fmt.Errorf("append: %w: %w", eventstore.ErrUnavailable, err)
			case <-time.After(pause):
				pause = min(2*pause, 500*time.Millisecond)
			}
		}
		c.log.stats.retries.Add(1)
		for _, r := range batch {
			r.check = true
		}
	}
}

// attempt commits a batch in one transaction of two round trips: take the head and look up what the batch is about; write,
// move the head, notify and commit.
func (c *committer) attempt(ctx context.Context, batch []*request) error {
	if err := c.connected(ctx); err != nil {
		return err
	}
	if c.at == 0 {
		c.block.forget()
		clear(c.streams)
	}
	p := newPlacing(batch)
	err := c.lookUp(ctx, p)
	c.at = 0 // until it is known how this ends
	if err != nil {
		return c.rolledBack(ctx, err)
	}
	for p.place(c.log.now()); len(p.unsure) > 0; p.place(c.log.now()) {
		if err := c.lookUpIDs(ctx, p); err != nil {
			return c.rolledBack(ctx, err)
		}
	}
	if len(p.rows) == 0 {
		if _, err := c.conn.Exec(ctx, "rollback"); err != nil {
			return err
		}
	} else if err := c.write(ctx, p); err != nil {
		c.log.head.committing(0)
		for _, o := range p.outcomes {
			if o.appended {
				o.request.tried = append(o.request.tried, o.receipt)
			}
		}
		return c.rolledBack(ctx, err)
	}
	c.remember(p)
	c.answer(p)
	return nil
}

// keptStreams is how many streams are remembered.
const keptStreams = 16_384

// remember keeps what is known of the streams after a batch.
func (c *committer) remember(p *placing) {
	if c.streams == nil || len(c.streams) > keptStreams {
		c.streams = make(map[eventstore.Stream]written, keptStreams)
	}
	for i, name := range p.names {
		c.streams[eventstore.Stream(name)] = written{origin: p.streams[i].origin, revision: p.streams[i].now}
	}
	c.at = p.head
}

func (c *committer) answer(p *placing) {
	s := &c.log.stats
	var rows []eventstore.Raw
	if len(p.rows) > 0 {
		s.batches.Add(1)
		s.events.Add(int64(len(p.rows)))
		select {
		case <-c.log.followed:
			rows = rowsOf(p)
		default:
		}
	}
	c.log.head.publish(p.head, rows)
	for _, o := range p.outcomes {
		switch {
		case o.appended:
			s.appends.Add(1)
		case o.err == nil:
			s.repeats.Add(1)
		case errors.Is(o.err, eventstore.ErrConflict):
			s.conflicts.Add(1)
		}
		o.request.receipt, o.request.err = o.receipt, o.err
		close(o.request.done)
	}
}

const (
	takeHeadSQL = `SELECT position, recorded_at FROM events_head FOR UPDATE`

	// Each stream and id is a few probes of indexes, however long the log is. The limits keep the planner from turning that into a join
	// of its own, which is as good only as long as the log is as short as it is when the statement is planned.
	streamsSQL = `
		SELECT coalesce(o.position, 0), coalesce((SELECT e.revision FROM events e WHERE e.origin = o.position ORDER BY e.revision DESC LIMIT 1), -1)
		FROM unnest($1::text[]) WITH ORDINALITY AS s(name, n)
		LEFT JOIN LATERAL (SELECT o.position FROM events o WHERE o.stream = s.name AND o.revision = 0 LIMIT 1) AS o ON true ORDER BY s.n`

	idsSQL = `
		SELECT q.stream, e.event_id, e.revision, e.position, e.recorded_at FROM unnest($1::text[], $2::uuid[]) AS q(stream, event_id)
		CROSS JOIN LATERAL (SELECT o.position FROM events o WHERE o.stream = q.stream AND o.revision = 0 LIMIT 1) AS o
		CROSS JOIN LATERAL (SELECT e.event_id, e.revision, e.position, e.recorded_at FROM events e
			WHERE e.origin | 0 = o.position AND e.event_id = q.event_id LIMIT 1) AS e`
)

// lookUp begins the transaction, takes the head row (waiting for another process that has it), and then, seeing all that
// was committed before, reads how far the streams reach and the ids that must be checked. What is remembered of streams is
// not read, unless the head tells that somebody else has written.
func (c *committer) lookUp(ctx context.Context, p *placing) error {
	names, states := p.names, p.streams
	if c.at > 0 {
		names, states = nil, nil
		for i, name := range p.names {
			if w, ok := c.streams[eventstore.Stream(name)]; ok {
				p.streams[i].written = w
			} else {
				names, states = append(names, name), append(states, p.streams[i])
			}
		}
	}
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue(takeHeadSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&p.base, &p.baseAt) })
	if len(names) > 0 {
		b.Queue(streamsSQL, names).Query(func(rows pgx.Rows) error { return scanStreams(rows, states) })
	}
	if streams, ids := p.toCheck(); len(ids) > 0 {
		b.Queue(idsSQL, streams, ids).Query(p.found)
	}
	if err := c.conn.SendBatch(ctx, b).Close(); err != nil || c.at == 0 || p.base == c.at {
		return err
	}
	clear(c.streams)
	rows, err := c.conn.Query(ctx, streamsSQL, p.names)
	if err != nil {
		return err
	}
	return scanStreams(rows, p.streams)
}

func scanStreams(rows pgx.Rows, into []*streamState) error {
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		if err := rows.Scan(&into[i].written.origin, &into[i].written.revision); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c *committer) lookUpIDs(ctx context.Context, p *placing) error {
	streams, ids := p.toCheck()
	rows, err := c.conn.Query(ctx, idsSQL, streams, ids)
	if err != nil {
		return err
	}
	return p.found(rows)
}

// write is one round trip: Postgres goes on with the statements behind the COPY when that is through, and with none of them
// when it fails.
func (c *committer) write(ctx context.Context, p *placing) error {
	sql := fmt.Sprintf(
		`COPY events (position, origin, revision, recorded_at, event_id, stream, type, data, metadata) FROM STDIN (FORMAT binary);
		%sUPDATE events_head SET position = %d, recorded_at = '%s';
		NOTIFY %s, '%d';
		COMMIT`, c.block.completed(p), p.head, p.at.Format(time.RFC3339Nano), channel, p.head)
	c.log.head.committing(p.head)
	rows := c.copy.start(p)
	defer c.copy.stop()
	_, err := c.conn.PgConn().CopyFrom(ctx, rows, sql)
	return err
}

// rolledBack leaves the connection ready for another attempt, or gives it up.
func (c *committer) rolledBack(ctx context.Context, err error) error {
	if c.conn.IsClosed() {
		return err
	}
	if _, rollback := c.conn.Exec(ctx, "rollback"); rollback != nil {
		c.disconnect()
	}
	return err
}

// The writer's settings. A process that stops in mid-transaction must not hold the head row for ever. The planner must use
// the indexes even while the table is young and its statistics say that it is small.
var writerSettings = map[string]string{
	"application_name":                    "mediavault-append",
	"idle_in_transaction_session_timeout": "5s",
	"default_transaction_isolation":       "read committed", // who has waited for the head sees what was committed meanwhile
	"standard_conforming_strings":         "on",             // quote relies on it
	"plan_cache_mode":                     "force_generic_plan",
	"enable_seqscan":                      "off",
	"enable_bitmapscan":                   "off",
	"enable_hashjoin":                     "off",
	"enable_mergejoin":                    "off",
	"jit":                                 "off",
}

func (c *committer) connected(ctx context.Context) error {
	if c.conn != nil && !c.conn.IsClosed() {
		return nil
	}
	conn, err := c.log.connect(ctx, writerSettings)
	if err != nil {
		return err
	}
	// An answered append is on disk, whatever the server's default says; stricter settings stay as they are.
	if _, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') IN ('off', 'local')`); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	c.conn, c.at = conn, 0 // who knows what it is connected to now
	return nil
}

func (c *committer) disconnect() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx) // it is given up: there is nobody to tell
	c.conn = nil
}
