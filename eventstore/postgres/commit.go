package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// committer takes what waits in the queue, as much as there is, and commits it in one transaction, again and again. It is the
// only writer; while a batch is being committed it may write the rows of the next on a second connection (overlap.go).
type committer struct {
	log     *Log
	lanes   [2]lane
	lane    *lane // the one that commits
	waiting waiting
	again   []batch // what was begun and did not come to its end

	streams map[eventstore.Stream]written // that were written lately, as long as the head is at
	at      eventstore.Position           // this: then nobody else has written since; 0: not known
	block   block                         // the last one, likewise

	expected int           // appends that the next batch will have if those answered come again
	linger   time.Duration // how long to wait for them
	alone    int           // batches in a row that found the head where this process had left it
	shy      int           // batches to come before the other lane is tried again
}

// lane is a connection to write on.
type lane struct {
	conn *pgx.Conn // nil: not connected
	copy copyRows
}

// batch is appends that are committed together, or not at all.
type batch struct {
	requests []*request
	until    time.Time // when its outcome has to be told
	sent     bool      // its commit was, and no answer came: it may be in the log
}

func (b batch) fail(err error) {
	for _, r := range b.requests {
		r.err = err
		close(r.done)
	}
}

// unsure makes the ids of all its appends be looked up before they are placed again.
func (b batch) unsure() {
	for _, r := range b.requests {
		r.check = true
	}
}

func (c *committer) run() {
	defer close(c.log.stopped)
	defer c.disconnect()
	for {
		b := c.next()
		if len(b.requests) == 0 {
			return
		}
		if err := c.commit(b); err != nil {
			c.refuse(err) // first: who comes once these are answered has a try of their own
			b.fail(err)
		}
	}
}

// next answers the batch to be committed; an empty one when the log is closed.
func (c *committer) next() batch {
	if len(c.again) > 0 {
		b := c.again[0]
		c.again = c.again[1:]
		return b
	}
	return c.batchOf(c.gather())
}

func (c *committer) batchOf(requests []*request) batch {
	return batch{requests: requests, until: time.Now().Add(c.log.timeout)}
}

// refuse answers err to all that wait: the database was given its time, and does not get it again from each of them.
func (c *committer) refuse(err error) {
	if !errors.Is(err, eventstore.ErrUnavailable) {
		return
	}
	c.drain()
	for _, b := range c.again {
		b.fail(err)
	}
	c.again = nil
	for len(c.waiting.requests) > 0 {
		batch{requests: c.waiting.take(batchEntries)}.fail(err)
	}
}

// commit brings a batch to its end in time. What was lost on the way is tried again: the ids tell what is there
// already. On success every request of the batch has been answered; with an error, none.
func (c *committer) commit(b batch) error {
	ctx, cancel := context.WithDeadline(context.Background(), b.until)
	defer cancel()
	pause := 10 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, b)
		switch {
		case err == nil:
			return nil
		case violatesUnique(err) && attempt <= 2:
			// Some ids are there already: the next attempt looks before it writes.
		case isFull(err) && attempt == 1 && !b.sent:
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
		b.unsure()
	}
}

// attempt commits a batch in one transaction of two round trips: take the head and look up what the batch is about; write,
// move the head, notify and commit. Batches that come behind it meanwhile may be committed, too.
func (c *committer) attempt(ctx context.Context, b batch) error {
	if err := c.connected(ctx); err != nil {
		return err
	}
	if c.at == 0 {
		c.block.forget()
		clear(c.streams)
	}
	p := newPlacing(b.requests)
	err := c.lookUp(ctx, p)
	c.at = 0 // until it is known how this ends
	if err != nil {
		return c.lane.rolledBack(ctx, err)
	}
	for p.place(c.log.now()); len(p.unsure) > 0; p.place(c.log.now()) {
		if err := c.lookUpIDs(ctx, p); err != nil {
			return c.lane.rolledBack(ctx, err)
		}
	}
	f := newFlight(ctx, b, c.lane)
	f.p = p
	if len(p.rows) == 0 {
		if _, err := c.lane.conn.Exec(ctx, "rollback"); err != nil {
			return err
		}
		c.remember(p)
		c.answer(f)
		return nil
	}
	f.blocks = c.block.completed(p)
	go f.write()
	return c.follow(f)
}

// keptStreams is how many streams are remembered.
const keptStreams = 16_384

// remember keeps what is known of the streams after a batch, as if it were committed. When it turns out not to be, at is set to 0.
func (c *committer) remember(p *placing) {
	if c.streams == nil || len(c.streams) > keptStreams {
		c.streams = make(map[eventstore.Stream]written, keptStreams)
	}
	for i, name := range p.names {
		c.streams[eventstore.Stream(name)] = written{origin: p.streams[i].origin, revision: p.streams[i].now}
	}
	c.at = p.head
}

// answer tells the callers what became of a batch that is committed.
func (c *committer) answer(f *flight) {
	p, s := f.p, &c.log.stats
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
	c.expected = len(f.batch.requests) + len(c.waiting.requests) + len(c.log.queue)
	c.linger = min(time.Since(f.began)/lingerPart, lingerMost)
	c.shy = max(c.shy-1, 0)
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
		names, states = c.recall(p)
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
	err := c.lane.conn.SendBatch(ctx, b).Close()
	if p.base == c.at {
		c.alone++
	} else {
		c.alone = 0
	}
	if err != nil || c.at == 0 || p.base == c.at {
		return err
	}
	clear(c.streams)
	rows, err := c.lane.conn.Query(ctx, streamsSQL, p.names)
	if err != nil {
		return err
	}
	return scanStreams(rows, p.streams)
}

// recall fills in the streams that are remembered, and answers the others.
func (c *committer) recall(p *placing) (names []string, states []*streamState) {
	for i, name := range p.names {
		if w, ok := c.streams[eventstore.Stream(name)]; ok {
			p.streams[i].written = w
		} else {
			names, states = append(names, name), append(states, p.streams[i])
		}
	}
	return names, states
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
	rows, err := c.lane.conn.Query(ctx, idsSQL, streams, ids)
	if err != nil {
		return err
	}
	return p.found(rows)
}

// rolledBack leaves the connection ready for another attempt, or gives it up.
func (l *lane) rolledBack(ctx context.Context, err error) error {
	if l.conn == nil || l.conn.IsClosed() {
		return err
	}
	if _, rollback := l.conn.Exec(ctx, "rollback"); rollback != nil {
		l.disconnect()
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
	if c.lane == nil {
		c.lane = &c.lanes[0]
	}
	anew, err := c.lane.connected(ctx, c.log)
	if anew {
		c.at = 0 // who knows what it is connected to now
	}
	return err
}

// connected connects the lane unless it is, and answers whether it had to.
func (l *lane) connected(ctx context.Context, log *Log) (bool, error) {
	if l.conn != nil && !l.conn.IsClosed() {
		return false, nil
	}
	conn, err := log.connect(ctx, writerSettings)
	if err != nil {
		return true, err
	}
	// An answered append is on disk, whatever the server's default says; stricter settings stay as they are.
	if _, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') IN ('off', 'local')`); err != nil {
		return true, errors.Join(err, conn.Close(ctx))
	}
	l.conn = conn
	return true, nil
}

func (c *committer) disconnect() {
	for i := range c.lanes {
		c.lanes[i].disconnect()
	}
}

func (l *lane) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // it is given up: there is nobody to tell
	l.conn = nil
}
