package projections

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Paging is which part of a list is asked for: from an offset, or, at the same cost on every page, behind a cursor.
type Paging struct {
	Size   int    // items; 0: 50, at most 1,000
	Offset int    // items before it; ignored with a cursor
	Cursor string // List.Next of the page before
}

// List is one part of what was found.
type List[T any] struct {
	Items []T
	Total int64  // of all that matches; at most TotalLimit is counted
	More  bool   // there is more than Total
	Next  string // cursor of what follows; "" at the end
}

// The bounds of Paging.
const (
	defaultPage = 50
	maxPage     = 1_000
	maxOffset   = 100_000
)

var (
	// ErrHidden is a thing that there is not, or that the viewer may not know of.
	ErrHidden = domain.Refuse(domain.NotFound, "not_found", "there is no such thing, or it is not yours to see")
	// ErrMayNotSee is a question that the viewer's role does not allow.
	ErrMayNotSee = domain.Refuse(domain.Forbidden, "may_not_see", "your role does not allow to see this")
)

func (p Paging) checked() (Paging, error) {
	if p.Size == 0 {
		p.Size = defaultPage
	}
	if p.Size < 1 || p.Size > maxPage {
		return p, domain.ErrInvalid.On("page_size").Because(fmt.Sprintf("a page has 1 to %d items", maxPage))
	}
	if p.Offset < 0 || p.Offset > maxOffset {
		return p, domain.ErrInvalid.On("page").Because(fmt.Sprintf("past %d items a cursor is needed", maxOffset))
	}
	return p, nil
}

// sorted is one column that a list is sorted by. The last one of a list is unique.
type sorted struct {
	column string // none of its values is null
	sql    string // type
	down   bool
}

// listing is one question for a page of rows: select ... from `from` where `where` order by `order`. The table whose rows are
// read has the alias s.
type listing[R any] struct {
	view   View[R]
	from   string
	where  []string
	args   Args
	order  []sorted
	place  func(Version[R]) []string // the values of the order's columns, as Postgres reads them from text
	paging Paging
	bound  string // what a cursor is bound to: the list with its filter and order
}

func (l *listing[R]) and(condition string) { l.where = append(l.where, condition) }

func (l *listing[R]) condition() string {
	if len(l.where) == 0 {
		return "true"
	}
	return strings.Join(l.where, " and ")
}

// page asks for the rows and for how many there are.
func (l *listing[R]) page(ctx context.Context) (List[Version[R]], error) {
	var out List[Version[R]]
	var err error
	if l.paging, err = l.paging.checked(); err != nil {
		return out, err
	}
	var behind []string
	if l.paging.Cursor != "" {
		if behind, err = decodeCursor(l.bound, l.paging.Cursor, len(l.order)); err != nil {
			return out, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	counting := "select count(*) from (select from " + l.from + " where " + l.condition() + " limit " + strconv.Itoa(TotalLimit+1) + ") t"
	if out.Total, err = Value[int64](ctx, l.view, counting, &l.args); err != nil {
		return out, understood(err)
	}
	out.Total, out.More = min(out.Total, TotalLimit), out.Total > TotalLimit
	tail := ""
	if behind != nil {
		l.and(l.behind(behind))
	} else if l.paging.Offset > 0 {
		tail = " offset " + l.args.Add(l.paging.Offset)
	}
	sql := "select " + l.view.Columns("s") + " from " + l.from + " where " + l.condition() + " order by " + l.by() +
		" limit " + l.args.Add(l.paging.Size+1) + tail
	if out.Items, err = l.view.Query(ctx, sql, &l.args); err != nil {
		if behind != nil && errors.Is(understood(err), domain.ErrInvalid) {
			err = errCursor() // its values are not such as this list gives out
		}
		return out, err
	}
	if len(out.Items) > l.paging.Size {
		out.Items = out.Items[:l.paging.Size]
		out.Next = encodeCursor(l.bound, l.place(out.Items[l.paging.Size-1]))
	}
	return out, nil
}

// shownAll renders the rows that a listing found.
func shownAll[R, T any](rows List[Version[R]], show func(Version[R]) (T, error)) (List[T], error) {
	all := List[T]{Items: make([]T, len(rows.Items)), Total: rows.Total, More: rows.More, Next: rows.Next}
	for i, v := range rows.Items {
		var err error
		if all.Items[i], err = show(v); err != nil {
			return List[T]{}, err
		}
	}
	return all, nil
}

// direction takes apart what a list is to be sorted by: a name, and a leading minus that turns the order round. "" is the usual.
func direction(sort, usual string) (name string, down bool) {
	if sort == "" {
		sort = usual
	}
	return strings.CutPrefix(sort, "-")
}

func (l *listing[R]) by() string {
	by := make([]string, len(l.order))
	for i, o := range l.order {
		by[i] = o.column
		if o.down {
			by[i] += " desc"
		}
	}
	return strings.Join(by, ", ")
}

// behind is the condition that a row comes after the place, in a form that an index can begin at: one row comparison when all
// columns go the same way, otherwise a bound on the first column before the exact condition.
func (l *listing[R]) behind(place []string) string {
	columns, values := make([]string, len(l.order)), make([]string, len(l.order))
	mixed := false
	for i, o := range l.order {
		columns[i], values[i] = o.column, l.args.Add(place[i])+"::text::"+o.sql
		mixed = mixed || o.down != l.order[0].down
	}
	if !mixed {
		return "(" + strings.Join(columns, ", ") + ")" + l.order[0].sign() + "(" + strings.Join(values, ", ") + ")"
	}
	either := make([]string, len(l.order))
	for i, o := range l.order {
		all := make([]string, 0, len(l.order))
		for j := range i {
			all = append(all, columns[j]+" = "+values[j])
		}
		either[i] = "(" + strings.Join(append(all, columns[i]+o.sign()+values[i]), " and ") + ")"
	}
	return columns[0] + strings.TrimSpace(l.order[0].sign()) + "= " + values[0] + " and (" + strings.Join(either, " or ") + ")"
}

func (o sorted) sign() string {
	if o.down {
		return " < "
	}
	return " > "
}

// encodeCursor makes an opaque cursor, bound to the list that it was given out for. It carries nothing but what its holder saw.
func encodeCursor(bound string, place []string) string {
	data, err := json.Marshal(place)
	if err != nil {
		return "" // cannot be: strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(append(cursorSum(bound, data), data...))
}

// errCursor is a cursor that this list did not give out.
func errCursor() error {
	return domain.ErrInvalid.On("cursor").Because("a cursor is a next_cursor of the same list, filtered and sorted the same way")
}

func decodeCursor(bound, cursor string, n int) ([]string, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(data) < cursorSumSize || string(cursorSum(bound, data[cursorSumSize:])) != string(data[:cursorSumSize]) {
		return nil, errCursor()
	}
	var place []string
	if err := json.Unmarshal(data[cursorSumSize:], &place); err != nil || len(place) != n {
		return nil, errCursor()
	}
	return place, nil
}

const cursorSumSize = 9

// cursorSum guards against cursors of other lists and against damage, not against forging: there is nothing to gain.
func cursorSum(bound string, data []byte) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(bound), bound, data))
	return sum[:cursorSumSize:cursorSumSize]
}

// understood turns the database's "no text, number or time is like that" into a refusal: such a value came with the question.
func understood(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22") {
		return domain.ErrInvalid.Because("a value holds what no text can hold, such as a NUL character")
	}
	return err
}

// placeTime is a time as Postgres reads it from a cursor.
func placeTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// queryTimeout bounds one question to the database.
const queryTimeout = 15 * time.Second

// Times is the part of a log that tells when something was recorded: eventstore.Log.
type Times interface {
	ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error]
}

// Opener opens personal texts that read models keep sealed. adapters/keys implements it.
type Opener interface {
	Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error)
}

// timeOfMoment is what the clock said at a moment: expiry is asked of it. Right after an event it was that event's time.
func timeOfMoment(ctx context.Context, e *Engine, log Times, m Moment) (time.Time, error) {
	switch m.kind {
	case momentTime:
		return m.time, nil
	case momentPosition:
		for raw, err := range log.ReadAll(ctx, eventstore.Read{Before: m.position + 1, Backward: true, Limit: 1}) {
			if err != nil {
				return time.Time{}, fmt.Errorf("time of position %d: %w", m.position, err)
			}
			return raw.At, nil
		}
		return time.Time{}, nil // before the first event nothing was
	default:
		return e.now().UTC(), nil
	}
}

// optional is a time as JSON shows it: absent when there is none.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
