package postgres

import (
	"context"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Pages are read one by one, each a query of its own that goes on where the last ended: no transaction is held open while a
// reader thinks, and no page costs more for being far from the start.
const (
	pageEvents = 1000
	pageBytes  = 8 << 20 // of data and metadata; a page ends early when it is reached
)

// What a reader selects, in the order of rawOf.
const columns = `e.position, e.revision, e.recorded_at, e.event_id, e.stream, e.type, e.data, e.metadata`

// The indexes name a stream by its origin. The row comparisons can only be answered in order from the index on (origin, revision):
// no statistics, however wrong, make the planner choose another way.
const (
	originSQL = `(SELECT o.position FROM events o WHERE o.stream = $1 AND o.revision = 0)`

	streamForwardSQL = `SELECT ` + columns + ` FROM events e
		WHERE (e.origin, e.revision) >= (` + originSQL + `, $2) AND (e.origin, e.revision) <= (` + originSQL + `, 9223372036854775807)
		ORDER BY e.origin, e.revision LIMIT $3`
	streamBackwardSQL = `SELECT ` + columns + ` FROM events e
		WHERE (e.origin, e.revision) <= (` + originSQL + `, $2) AND (e.origin, e.revision) >= (` + originSQL + `, 0)
		ORDER BY e.origin DESC, e.revision DESC LIMIT $3`

	headSQL = `SELECT position FROM events_head`

	atSQL = `SELECT coalesce(max(e.position), 0) FROM unnest($1::bigint[]) AS p(position)
		JOIN events e ON e.position = p.position WHERE e.recorded_at <= $2`
)

// ReadStream implements eventstore.Log.
func (l *Log) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	sql, from, step := streamForwardSQL, max(r.From, 0), eventstore.Revision(1)
	if r.Backward {
		sql, from, step = streamBackwardSQL, r.From, -1
		if from < 0 {
			from = math.MaxInt64
		}
	}
	return func(yield func(eventstore.Raw, error) bool) {
		if strings.ContainsRune(string(stream), 0) {
			return // Postgres has no such text, and the log no such stream
		}
		left, size, room := limitOf(r.Limit), pageEvents, 0
		for left > 0 && from >= 0 {
			limit := min(left, size)
			page, full, err := l.page(ctx, sql, room, string(stream), int64(from), limit)
			if err != nil {
				yield(eventstore.Raw{}, err)
				return
			}
			for _, raw := range page {
				if !yield(raw, nil) {
					return
				}
			}
			if !full {
				return
			}
			left, room = left-len(page), len(page)
			size = nextSize(limit, page, full)
			from = page[len(page)-1].Revision + step
		}
	}
}

// nextSize is how many events to ask for after a page: where events are so large that it ended early, no more than fit.
func nextSize(limit int, page []eventstore.Raw, full bool) int {
	if full && len(page) < limit {
		return len(page)
	}
	return min(2*limit, pageEvents)
}

func limitOf(n int) int {
	if n <= 0 {
		return math.MaxInt
	}
	return n
}

// page reads one page; the query's last argument is its limit. It makes room for as many events as the page before had. full is
// false when there is nothing behind it.
func (l *Log) page(ctx context.Context, sql string, room int, args ...any) (page []eventstore.Raw, full bool, err error) {
	select {
	case <-l.closing:
		return nil, false, eventstore.ErrClosed
	default:
	}
	bounded, cancel := context.WithTimeout(ctx, l.reading)
	defer cancel()
	rows, err := l.pool.Query(bounded, sql, append([]any{pgx.QueryExecModeCacheStatement, pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return nil, false, fault(ctx, err)
	}
	defer rows.Close()
	limit, _ := args[len(args)-1].(int)
	var a arena
	page = make([]eventstore.Raw, 0, min(limit, max(room, 64)))
	size := 0
	for rows.Next() {
		if size >= pageBytes {
			// What is behind is read by the next page. The rows that Postgres has sent already are dropped by Close.
			return page, true, nil
		}
		raw := rawOf(rows.RawValues(), &a)
		size += len(raw.Data) + len(raw.Metadata)
		page = append(page, raw)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fault(ctx, err)
	}
	return page, len(page) == limit, nil
}

// ReadAll implements eventstore.Log.
func (l *Log) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		head, err := l.Head(ctx)
		if err != nil {
			yield(eventstore.Raw{}, err)
			return
		}
		if r.Before <= 0 || r.Before > head {
			r.Before = head + 1
		}
		s := scan{log: l, filter: r.Filter, backward: r.Backward, after: max(r.After, 0), before: r.Before, left: limitOf(r.Limit)}
		for p, err := range s.pages(ctx) {
			if err != nil {
				yield(eventstore.Raw{}, err)
				return
			}
			for _, raw := range p.events {
				if !yield(raw, nil) {
					return
				}
			}
		}
	}
}

// Head implements eventstore.Log.
func (l *Log) Head(ctx context.Context) (eventstore.Position, error) {
	select {
	case <-l.closing:
		return 0, eventstore.ErrClosed
	default:
	}
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var head eventstore.Position
	if err := l.pool.QueryRow(bounded, headSQL).Scan(&head); err != nil {
		return 0, fault(ctx, err)
	}
	return head, nil
}

// PositionAt implements eventstore.Log. Positions have no gaps and their times do not go back, so that it is found by
// halving; each round trip looks at many places at once.
func (l *Log) PositionAt(ctx context.Context, t time.Time) (eventstore.Position, error) {
	const places = 64
	head, err := l.Head(ctx)
	if err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	// Postgres rounds to microseconds, and knows no time beyond its own years.
	t = t.UTC().Truncate(time.Microsecond)
	if t.Before(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) || head == 0 {
		return 0, nil
	}
	if t.Year() > 9999 {
		return head, nil
	}
	low, high := eventstore.Position(0), head // the answer is in [low, high]
	for low < high {
		step := max((high-low)/places, 1)
		var probes []int64
		for p := low + step; p < high; p += step {
			probes = append(probes, int64(p))
		}
		probes = append(probes, int64(high))
		var found eventstore.Position
		if err := l.pool.QueryRow(bounded, atSQL, probes, t).Scan(&found); err != nil {
			return 0, fault(ctx, err)
		}
		if found == high {
			return high, nil
		}
		low = max(low, found)
		high = min(high-1, low+step-1)
	}
	return low, nil
}
