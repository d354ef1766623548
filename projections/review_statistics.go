package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// ReviewStatistics says how moderation is doing: the queue as it stands at the moment, and what was done in a span of days.
type ReviewStatistics struct {
	At   time.Time `json:"at"` // the moment
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Queue     QueueStatistics `json:"queue"`
	Decisions map[string]int  `json:"decisions"` // by action
	Appeals   AppealFigures   `json:"appeals"`
	Days      []ReviewDay     `json:"days"` // days on which something was done, in UTC, oldest first
}

// QueueStatistics is what waits.
type QueueStatistics struct {
	Waiting   int            `json:"waiting"`
	Claimed   int            `json:"claimed"` // of these, in a moderator's hands
	Escalated int            `json:"escalated"`
	ByStatus  map[string]int `json:"by_status"`
	AgeP50    float64        `json:"age_p50_seconds"` // since it waits
	AgeP95    float64        `json:"age_p95_seconds"`
	Oldest    float64        `json:"oldest_seconds"`
}

// AppealFigures is how decisions fared on appeal.
type AppealFigures struct {
	Filed        int     `json:"filed"`
	Upheld       int     `json:"upheld"`
	Overturned   int     `json:"overturned"`
	OverturnRate float64 `json:"overturn_rate"` // of those that ended, 0..1
}

// ReviewDay is one day's work.
type ReviewDay struct {
	Day        string         `json:"day"` // 2026-11-22
	Opened     int            `json:"opened"`
	Reopened   int            `json:"reopened"` // decided cases that waited again
	Closed     int            `json:"closed"`
	Decisions  map[string]int `json:"decisions"`
	Upheld     int            `json:"upheld"`
	Overturned int            `json:"overturned"`
}

// The span of statistics.
const (
	usualSpan   = 30 * 24 * time.Hour
	longestSpan = 366 * 24 * time.Hour
)

var errSpan = domain.ErrInvalid.On("from").Because("the span is from before to, and at most 366 days long")

// Statistics answers it for moderators, auditors, analysts and admins. The zero to is the moment, the zero from 30 days before.
func (r *Review) Statistics(ctx context.Context, viewer domain.Actor, from, to time.Time, m Moment) (ReviewStatistics, error) {
	if !isStaff(viewer) && !viewer.Is(domain.RoleAnalyst) {
		return ReviewStatistics{}, ErrMayNotSee
	}
	at, now, err := r.moment(ctx, m)
	if err != nil {
		return ReviewStatistics{}, err
	}
	if to.IsZero() {
		to = now
	}
	if from.IsZero() {
		from = to.Add(-usualSpan)
	}
	if from.After(to) || to.Sub(from) > longestSpan {
		return ReviewStatistics{}, errSpan
	}
	s := ReviewStatistics{At: now, From: from.UTC(), To: to.UTC(), Decisions: map[string]int{}, Days: []ReviewDay{}}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if s.Queue, err = r.queueFigures(ctx, at, now); err != nil {
		return ReviewStatistics{}, understood(err)
	}
	if err := r.dayFigures(ctx, &s, at); err != nil {
		return ReviewStatistics{}, understood(err)
	}
	if ended := s.Appeals.Upheld + s.Appeals.Overturned; ended > 0 {
		s.Appeals.OverturnRate = float64(s.Appeals.Overturned) / float64(ended)
	}
	return s, nil
}

func (r *Review) queueFigures(ctx context.Context, at At, now time.Time) (QueueStatistics, error) {
	q := QueueStatistics{ByStatus: map[string]int{}}
	var args Args
	waits, t := at.Where("s", &args), args.Add(now)
	const age = "extract(epoch from least(%[1]s - s.waits_since, interval '100 years'))"
	sql := fmt.Sprintf(`select count(*), count(*) filter (where s.moderator <> '' and (s.lease is null or s.lease > %[1]s)),
		count(*) filter (where s.escalated),
		coalesce(percentile_cont(0.5) within group (order by `+age+`), 0)::float8,
		coalesce(percentile_cont(0.95) within group (order by `+age+`), 0)::float8, coalesce(max(`+age+`), 0)::float8
		from review s where s.waits and %[2]s`, t, waits)
	err := r.engine.pool.QueryRow(ctx, sql, args.Values()...).Scan(&q.Waiting, &q.Claimed, &q.Escalated, &q.AgeP50, &q.AgeP95, &q.Oldest)
	if err != nil {
		return q, fmt.Errorf("figures of the queue: %w", err)
	}
	rows, err := r.engine.pool.Query(ctx, fmt.Sprintf(`select case when s.status = 'assigned' and s.lease <= %s then 'open' else s.status end, count(*)
		from review s where s.waits and %s group by 1`, t, waits), args.Values()...)
	if err != nil {
		return q, fmt.Errorf("figures of the queue: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var status string
		var n int
		if err := rows.Scan(&status, &n); err != nil {
			return q, fmt.Errorf("figures of the queue: %w", err)
		}
		q.ByStatus[status] = n
	}
	return q, rows.Err()
}

// dayFigures counts what was done in the span. Decisions and appeals stand in their case's row.
func (r *Review) dayFigures(ctx context.Context, s *ReviewStatistics, at At) error {
	var args Args
	where, from, to := at.Where("s", &args), args.Add(s.From), args.Add(s.To)
	// A row changes with everything that is done in its case, so that none that changed last before the span has any of it.
	scope := where + " and s.updated_at >= " + from
	const list = "jsonb_array_elements(case when s.%[1]s like '[%%' then s.%[1]s::jsonb else '[]' end) e"
	part := func(what, value, time, rows, more string) string {
		return "select '" + what + "' as what, (" + value + ")::text as value, (" + time + ") as at from review s" + rows + " where " + scope + more
	}
	sql := "select what, value, to_char(at at time zone 'utc', 'YYYY-MM-DD'), count(*) from (" +
		part("opened", "''", "s.opened_at", "", "") + " union all " +
		part("reopened", "''", "(e->>'at')::timestamptz", ", "+fmt.Sprintf(list, "reopenings"), "") + " union all " +
		part("closed", "''", "s.closed_at", "", " and s.closed_at is not null") + " union all " +
		part("decision", "e->>'action'", "(e->>'at')::timestamptz", ", "+fmt.Sprintf(list, "decisions"), "") + " union all " +
		part("filed", "''", "(e->>'at')::timestamptz", ", "+fmt.Sprintf(list, "appeals"), "") + " union all " +
		part("outcome", "e->>'outcome'", "(e->>'decided_at')::timestamptz", ", "+fmt.Sprintf(list, "appeals"), " and e ? 'decided_at'") +
		") t where at >= " + from + " and at <= " + to + " group by 1, 2, 3"
	rows, err := r.engine.pool.Query(ctx, sql, args.Values()...)
	if err != nil {
		return fmt.Errorf("figures of days: %w", err)
	}
	defer rows.Close()
	days := map[string]*ReviewDay{}
	for rows.Next() {
		var what, value, name string
		var n int
		if err := rows.Scan(&what, &value, &name, &n); err != nil {
			return fmt.Errorf("figures of days: %w", err)
		}
		day := days[name]
		if day == nil {
			day = &ReviewDay{Day: name, Decisions: map[string]int{}}
			days[name] = day
		}
		s.count(day, what, value, n)
	}
	for _, d := range days {
		s.Days = append(s.Days, *d)
	}
	slices.SortFunc(s.Days, func(a, b ReviewDay) int { return strings.Compare(a.Day, b.Day) })
	return rows.Err()
}

func (s *ReviewStatistics) count(day *ReviewDay, what, value string, n int) {
	switch what {
	case "opened":
		day.Opened += n
	case "reopened":
		day.Reopened += n
	case "closed":
		day.Closed += n
	case "decision":
		day.Decisions[value] += n
		s.Decisions[value] += n
	case "filed":
		s.Appeals.Filed += n
	case "outcome":
		if value == "overturn" {
			day.Overturned += n
			s.Appeals.Overturned += n
		} else {
			day.Upheld += n
			s.Appeals.Upheld += n
		}
	}
}
