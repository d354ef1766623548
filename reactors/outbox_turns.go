package reactors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// abreast is how many lanes have their turn at once: those from which nothing bad is known, and, in places of their own, those whose
// first letter was not taken before, or whose last turn took long. However many of these there are, the others find their places free.
type abreast struct{ well, ill int }

const (
	// beginFor is how long each begins what becomes due, before it waits for what it began.
	beginFor = time.Minute
	// lookEvery is how often each looks for what became due while it is busy.
	lookEvery = 500 * time.Millisecond
	// laneAgain is how soon a lane whose turn ended with a fault is due again, behind the others.
	laneAgain = 5 * time.Second
	// A turn that takes slowTurn makes its lane a slow one: until a turn of it takes less, or for slowFor.
	slowTurn = 3 * time.Second
	slowFor  = 10 * time.Minute
)

// dueLane is a lane whose first letter is due.
type dueLane struct {
	name  string
	tried bool // its first letter was not taken before
}

// lanesSQL jumps from one lane to the next, however many letters each holds. Of the tried ones and of the others those are answered that
// wait the longest.
const lanesSQL = `
	WITH RECURSIVE first AS (
		(SELECT lane, due_at, attempts FROM reactor_outbox WHERE reactor = $1 ORDER BY lane, position LIMIT 1)
		UNION ALL
		SELECT next.lane, next.due_at, next.attempts FROM first, LATERAL (
			SELECT o.lane, o.due_at, o.attempts FROM reactor_outbox o WHERE o.reactor = $1 AND o.lane > first.lane ORDER BY o.lane, o.position LIMIT 1) next
	), due AS (
		SELECT lane, attempts > 0 AS tried, row_number() OVER (PARTITION BY attempts > 0 ORDER BY due_at, lane) AS place
		FROM first WHERE due_at <= $2 AND lane <> ALL(coalesce($3::text[], '{}'))
	) SELECT lane, tried FROM due WHERE place <= $4 ORDER BY place`

// lanes are those whose first letter is due, what waits the longest first, without those in besides.
func (o outbox) lanes(ctx context.Context, now time.Time, besides []string, limit int) ([]dueLane, error) {
	ctx, cancel := context.WithTimeout(ctx, timerTimeout)
	defer cancel()
	rows, err := o.pool.Query(ctx, lanesSQL, o.reactor, now.UTC(), besides, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.reactor, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l dueLane, err error) {
		err = row.Scan(&l.name, &l.tried)
		return l, err
	})
}

// turns is one call of each.
type turns struct {
	outbox
	now      func() time.Time
	at       abreast
	do       func(ctx context.Context, lane string) error
	began    time.Time
	busy     map[string]bool // by lane: it is in a place for the ill
	ill      int             // how many of busy are
	waiting  []dueLane       // due, and not begun
	looked   time.Time       // when waiting was read
	over     map[string]bool // lanes that ended with a fault, and have no other turn in this call
	done     chan turn
	problems []error
}

// turn is one that ended.
type turn struct {
	lane string
	took time.Duration
	err  error
}

// each has do act on the lanes that are due, so many at once, until nothing more is. One that takes long keeps no other waiting: what
// becomes due meanwhile is begun, and the slow and the failing have places of their own. The fault of one lane is not the others',
// and puts that lane behind them.
func (o outbox) each(ctx context.Context, now func() time.Time, at abreast, do func(ctx context.Context, lane string) error) error {
	t := &turns{outbox: o, now: now, at: at, do: do, began: time.Now(), busy: map[string]bool{}, over: map[string]bool{}, done: make(chan turn)}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if ctx.Err() == nil && time.Since(t.began) < beginFor {
			t.begin(ctx)
		}
		if len(t.busy) == 0 {
			return errors.Join(t.problems...)
		}
		select {
		case ended := <-t.done:
			t.end(ctx, ended)
		case <-tick.C:
		}
	}
}

// begin gives turns to lanes for which there are places, and looks for others when it knows of none, or has not looked for a while.
func (t *turns) begin(ctx context.Context) {
	if t.fill(ctx); len(t.waiting) > 0 && time.Since(t.looked) < lookEvery {
		return
	}
	besides := make([]string, 0, len(t.busy)+len(t.over))
	for lane := range t.busy {
		besides = append(besides, lane)
	}
	for lane := range t.over {
		besides = append(besides, lane)
	}
	// Slow lanes may be before all others: with so many more, one that is not slow is among those that are read.
	lanes, err := t.lanes(ctx, t.now(), besides, t.at.well+t.at.ill+len(t.slow))
	if err != nil {
		t.problems = append(t.problems, err)
		t.began = t.began.Add(-beginFor)
		return
	}
	t.waiting, t.looked = lanes, time.Now()
	t.fill(ctx)
}

func (t *turns) fill(ctx context.Context) {
	var waiting []dueLane
	for _, lane := range t.waiting {
		ill := lane.tried || time.Now().Before(t.slow[lane.name])
		if ill && t.ill >= t.at.ill || !ill && len(t.busy)-t.ill >= t.at.well {
			waiting = append(waiting, lane)
			continue
		}
		if t.busy[lane.name] = ill; ill {
			t.ill++
		}
		go func() { // each waits for it
			began := time.Now()
			err := recovered(func() error { return t.do(ctx, lane.name) })
			t.done <- turn{lane: lane.name, took: time.Since(began), err: err}
		}()
	}
	t.waiting = waiting
}

func (t *turns) end(ctx context.Context, ended turn) {
	if t.busy[ended.lane] {
		t.ill--
	}
	delete(t.busy, ended.lane)
	delete(t.slow, ended.lane)
	if ended.took >= slowTurn {
		for lane, until := range t.slow {
			if time.Now().After(until) {
				delete(t.slow, lane)
			}
		}
		t.slow[ended.lane] = time.Now().Add(slowFor)
	}
	if ended.err == nil {
		return
	}
	t.over[ended.lane] = true
	t.problems = append(t.problems, fmt.Errorf("lane %s: %w", ended.lane, ended.err))
	if ctx.Err() == nil {
		t.problems = append(t.problems, t.later(ctx, ended.lane, t.now().Add(laneAgain)))
	}
}

// later lets a lane wait, without counting that as an attempt.
func (o outbox) later(ctx context.Context, lane string, until time.Time) error {
	return o.exec(ctx, `UPDATE reactor_outbox SET due_at = $3, leaving_until = NULL WHERE reactor = $1 AND lane = $2
		AND position = (SELECT min(position) FROM reactor_outbox WHERE reactor = $1 AND lane = $2)`, o.reactor, lane, until.UTC())
}
