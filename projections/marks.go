package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
)

// marks knows how far the read models are, whoever projects them. Many waiters share one query.
type marks struct {
	pool   *pgxpool.Pool
	models []*model
	asking chan struct{} // held while asking

	mu    sync.Mutex
	at    map[string]eventstore.Position // as last asked; guarded by mu
	asked time.Time                      // when the question was sent; guarded by mu
	moved chan struct{}                  // closed when a runner of this process committed; guarded by mu
	own   map[string]eventstore.Position // where the runners of this process are; guarded by mu

	wanted map[string]chan struct{} // has something in it when somebody of this process waits for the model; never changes
}

// poll is how often waiters ask the database while another process projects.
const poll = 4 * time.Millisecond

// pollOwn is how often they ask while this process does: its runner tells them itself, unless it lost its lease and does not know.
const pollOwn = 50 * time.Millisecond

func newMarks(pool *pgxpool.Pool, models []*model) *marks {
	m := &marks{
		pool: pool, models: models, asking: make(chan struct{}, 1),
		at: map[string]eventstore.Position{}, moved: make(chan struct{}), own: map[string]eventstore.Position{},
		wanted: map[string]chan struct{}{},
	}
	for _, model := range models {
		m.wanted[model.name] = make(chan struct{}, 1)
	}
	return m
}

// want tells the runner of a model, if it is in this process, that somebody waits for it.
func (m *marks) want(name string) {
	select {
	case m.wanted[name] <- struct{}{}:
	default: // it was told, or there is no such model
	}
}

// wake tells the waiters that a runner of this process brought a read model to a position.
func (m *marks) wake(name string, p eventstore.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own[name] = p
	close(m.moved)
	m.moved = make(chan struct{})
	m.asked = time.Time{}
}

// away tells the waiters that no runner of this process knows any more where a read model is.
func (m *marks) away(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.own, name)
	close(m.moved)
	m.moved = make(chan struct{})
	m.asked = time.Time{}
}

func (m *marks) wait(ctx context.Context, name string, p eventstore.Position) error {
	since, asks := time.Now(), false
	for {
		m.mu.Lock()
		moved := m.moved
		here, own := m.own[name]
		m.mu.Unlock()
		// Where the runner of this process is not there yet, its next commit will tell: asking costs each writer a query.
		if !own || here >= p || asks {
			at, there, err := m.ask(ctx, name, since)
			if err != nil {
				return err
			}
			if !there {
				return ErrUnknown.Because("there is no read model " + name)
			}
			if at >= p {
				return nil
			}
		}
		m.want(name)
		pace := poll
		if own {
			pace = pollOwn
		}
		t := time.NewTimer(pace)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-moved:
			t.Stop()
			m.mu.Lock()
			reached := m.own[name] >= p
			m.mu.Unlock()
			if reached {
				return nil
			}
		case <-t.C:
			asks = true // it may have moved to another process
			since = time.Now()
			continue
		}
		asks = false
		since = time.Now()
	}
}

// ask answers where the read model was at some time after since.
func (m *marks) ask(ctx context.Context, name string, since time.Time) (at eventstore.Position, there bool, err error) {
	select {
	case m.asking <- struct{}{}:
		defer func() { <-m.asking }()
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	m.mu.Lock()
	fresh := m.asked.After(since)
	at, there = m.at[name]
	m.mu.Unlock()
	if fresh {
		return at, there, nil
	}
	asked := time.Now()
	all, err := readMarks(ctx, m.pool)
	if err != nil {
		return 0, false, err
	}
	m.mu.Lock()
	m.at, m.asked = all, asked
	m.mu.Unlock()
	at, there = all[name]
	return at, there, nil
}

func readMarks(ctx context.Context, x executor) (map[string]eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := x.Query(ctx, `select name, position from projections`)
	if err != nil {
		return nil, fmt.Errorf("positions of the read models: %w", err)
	}
	all := map[string]eventstore.Position{}
	var name string
	var p eventstore.Position
	if _, err := pgx.ForEachRow(rows, []any{&name, &p}, func() error { all[name] = p; return nil }); err != nil {
		return nil, fmt.Errorf("positions of the read models: %w", err)
	}
	return all, nil
}

// Position is how far a read model has come: it holds everything up to there. Errors: ErrUnknown.
func (e *Engine) Position(ctx context.Context, name string) (eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var p eventstore.Position
	err := e.pool.QueryRow(ctx, `select position from projections where name = $1`, name).Scan(&p)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrUnknown.Because("there is no read model " + name)
	}
	if err != nil {
		return 0, fmt.Errorf("position of %s: %w", name, err)
	}
	return p, nil
}

// Status is how one read model does.
type Status struct {
	Name      string
	Position  eventstore.Position // everything up to here is in it
	Head      eventstore.Position // of the log
	Parked    int                 // events set aside, those that wait behind another included
	Held      bool                // somebody is projecting it
	UpdatedAt time.Time           // when it last moved on
	Shape     bool                // the table is in the shape that this program needs
	CanUndo   bool                // the table before the last rebuild is still there
}

// Statuses are those of all read models of this engine, in their order.
func (e *Engine) Statuses(ctx context.Context) ([]Status, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	head, err := e.source.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("head of the log: %w", err)
	}
	rows, err := e.pool.Query(ctx, `
		select p.name, p.position, p.shape, p.updated_at, coalesce(p.held_until > now(), false), p.old_position is not null,
		       (select count(*) from projection_parked k where k.projection = p.name)
		from projections p`)
	if err != nil {
		return nil, fmt.Errorf("status of the read models: %w", err)
	}
	found := map[string]Status{}
	var s Status
	var print string
	_, err = pgx.ForEachRow(rows, []any{&s.Name, &s.Position, &print, &s.UpdatedAt, &s.Held, &s.CanUndo, &s.Parked}, func() error {
		s.Head = max(head, s.Position)
		m := e.find(s.Name)
		s.Shape = m != nil && m.print == print
		found[s.Name] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("status of the read models: %w", err)
	}
	all := make([]Status, 0, len(e.models))
	for _, m := range e.models {
		if s, ok := found[m.name]; ok {
			all = append(all, s)
		}
	}
	return all, nil
}
