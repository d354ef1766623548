package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

var (
	// ErrFuture is a question as of a moment that has not come.
	ErrFuture = domain.Refuse(domain.Invalid, "as_of_in_future", "as_of lies after the last event")
	// ErrNotYet is a question as of a moment that the read model did not reach in time.
	ErrNotYet = domain.Refuse(domain.Unavailable, "not_yet", "the read model has not come that far yet; ask again")
	// ErrMoment is an as_of that is neither a position nor a time.
	ErrMoment = domain.Refuse(domain.Invalid, "as_of_not_understood", "as_of is an RFC 3339 time or a position")
)

// Moment is as of when something is asked. The zero Moment is now.
type Moment struct {
	position eventstore.Position
	time     time.Time
	kind     momentKind
}

type momentKind uint8

const (
	momentNow momentKind = iota
	momentPosition
	momentTime
)

// AsOf is the moment right after the event at the position. Position 0 is before everything.
func AsOf(p eventstore.Position) Moment { return Moment{position: p, kind: momentPosition} }

// AsOfTime is the moment after the last event that was recorded at or before t.
func AsOfTime(t time.Time) Moment { return Moment{time: t.UTC(), kind: momentTime} }

// ParseMoment reads an as_of as clients send it: a position, an RFC 3339 time, or nothing for now. Errors: ErrMoment.
func ParseMoment(s string) (Moment, error) {
	if s == "" {
		return Moment{}, nil
	}
	if p, err := strconv.ParseInt(s, 10, 64); err == nil && p >= 0 {
		return AsOf(eventstore.Position(p)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return Moment{}, ErrMoment.On("as_of")
	}
	return AsOfTime(t), nil
}

// IsNow reports whether the moment is the zero one.
func (m Moment) IsNow() bool { return m.kind == momentNow }

// At is a moment that a read model has reached: what queries are asked with. The zero At is now.
type At struct {
	Position eventstore.Position // meaningless when Now
	Past     bool                // false: the current versions
}

// Where is the SQL condition that chooses the versions of the table (under that alias) that held at the moment.
func (a At) Where(alias string, args *Args) string {
	if !a.Past {
		// A literal, so that the planner leaves the closed versions out.
		return alias + ".until_position = 9223372036854775807"
	}
	p := args.Add(int64(a.Position))
	return "(" + alias + ".from_position <= " + p + " and " + alias + ".until_position > " + p + ")"
}

// Args collects the arguments of a query while its text is put together.
type Args struct{ values []any }

// Add appends an argument and answers its placeholder.
func (a *Args) Add(v any) string {
	a.values = append(a.values, v)
	return "$" + strconv.Itoa(len(a.values))
}

// Values are the arguments in the order of their placeholders.
func (a *Args) Values() []any { return a.values }

// patience is how long a question as of a position waits for a read model that has not reached it.
const patience = 3 * time.Second

// Resolve finds the place in the log that a moment means, and waits (at most 3 seconds) until the named read models have
// come that far. Now never waits. Errors: ErrFuture, ErrNotYet.
func (e *Engine) Resolve(ctx context.Context, m Moment, names ...string) (At, error) {
	if m.kind == momentNow {
		return At{}, nil
	}
	// What the read models have taken in lies before the head: mostly one question is enough.
	if m.kind == momentPosition {
		marks, err := readMarks(ctx, e.pool)
		if err != nil {
			return At{}, err
		}
		if !slices.ContainsFunc(names, func(name string) bool { at, there := marks[name]; return !there || at < m.position }) && len(names) > 0 {
			return At{Position: m.position, Past: true}, nil
		}
	}
	p, err := e.place(ctx, m)
	if err != nil {
		return At{}, err
	}
	for _, name := range names {
		if err := e.WaitFor(ctx, name, p); err != nil {
			return At{}, err
		}
	}
	return At{Position: p, Past: true}, nil
}

func (e *Engine) place(ctx context.Context, m Moment) (eventstore.Position, error) {
	if m.kind == momentTime {
		// A time that has not come would have another answer later, and an answer as of a moment never changes.
		if m.time.After(e.now()) {
			return 0, ErrFuture.On("as_of")
		}
		p, err := e.source.PositionAt(ctx, m.time)
		if err != nil {
			return 0, fmt.Errorf("position at %s: %w", m.time.Format(time.RFC3339Nano), err)
		}
		return p, nil
	}
	head, err := e.source.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("head of the log: %w", err)
	}
	if m.position > head {
		return 0, ErrFuture.On("as_of")
	}
	return m.position, nil
}

// WaitFor waits until the read model has taken in everything up to the position, at most 3 seconds or as long as ctx lasts,
// in whatever process its projection runs. Errors: ErrNotYet, ErrUnknown, a fault of the database.
func (e *Engine) WaitFor(ctx context.Context, name string, p eventstore.Position) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := e.marks.wait(wait, name, p)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return ErrNotYet
	}
	return err
}
