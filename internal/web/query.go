package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// ErrNoSuchParameter is a query parameter that the route does not know.
var ErrNoSuchParameter = domain.Refuse(domain.Invalid, "unknown_parameter", "there is no such query parameter")

// Query reads a request's query parameters. Each method names one that the route accepts; Done says whether all was well,
// and refuses what no method named. A reader looks like this:
//
//	q := web.NewQuery(r)
//	kind, at := q.Enum("kind", "", "image", "video"), q.AsOf()
//	if err := q.Done(); err != nil { return err }
type Query struct {
	values url.Values
	known  []string
	err    error // the first complaint
}

// NewQuery reads the query of r.
func NewQuery(r *http.Request) *Query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &Query{values: values}
	if err != nil {
		q.err = domain.ErrInvalid.On("query").Because("the query is not well-formed: pairs name=value, percent-encoded, joined by &")
	}
	return q
}

// Done is the first complaint about the parameters.
func (q *Query) Done() error {
	if q.err != nil {
		return q.err
	}
	names := make([]string, 0, len(q.values))
	for name := range q.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(q.known, name) {
			accepted := "none"
			if len(q.known) > 0 {
				accepted = strings.Join(q.known, ", ")
			}
			return ErrNoSuchParameter.On(printable(name, 64)).Because("there is no such query parameter; accepted here: " + accepted)
		}
	}
	return nil
}

// Refuse notes a complaint about a parameter.
func (q *Query) Refuse(name, detail string) {
	if q.err == nil {
		q.err = domain.ErrInvalid.On(name).Because(detail)
	}
}

// one is the single value of a parameter; false when it is not given or empty.
func (q *Query) one(name string) (string, bool) {
	q.accept(name)
	values := q.values[name]
	if len(values) > 1 {
		q.Refuse(name, "the parameter is given twice")
		return "", false
	}
	if len(values) == 0 || values[0] == "" {
		return "", false
	}
	if !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0) {
		q.Refuse(name, "accepted is text in UTF-8 without NUL")
		return "", false
	}
	return values[0], true
}

func (q *Query) accept(name string) {
	if !slices.Contains(q.known, name) {
		q.known = append(q.known, name)
	}
}

// String is text of at most limit characters; "" when not given.
func (q *Query) String(name string, limit int) string {
	s, _ := q.one(name)
	if utf8.RuneCountInString(s) > limit {
		q.Refuse(name, fmt.Sprintf("accepted are at most %d characters", limit))
		return ""
	}
	return s
}

// Int is a whole number within bounds; otherwise when not given.
func (q *Query) Int(name string, otherwise, least, most int64) int64 {
	s, ok := q.one(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		q.Refuse(name, fmt.Sprintf("accepted is a whole number from %d to %d", least, most))
		return otherwise
	}
	return n
}

// Bool is true or false; otherwise when not given.
func (q *Query) Bool(name string, otherwise bool) bool {
	switch s, ok := q.one(name); {
	case !ok:
		return otherwise
	case s == "true":
		return true
	case s == "false":
		return false
	default:
		q.Refuse(name, "accepted is true or false")
		return otherwise
	}
}

// Enum is one of the accepted words; otherwise when not given.
func (q *Query) Enum(name, otherwise string, accepted ...string) string {
	s, ok := q.one(name)
	if !ok {
		return otherwise
	}
	if !slices.Contains(accepted, s) {
		q.Refuse(name, "accepted is one of "+strings.Join(accepted, ", "))
		return otherwise
	}
	return s
}

// maxListed bounds the values of a parameter that takes many.
const maxListed = 100

// Strings are values joined by commas, or given several times, each of at most limit characters. When words are given, only
// these are accepted.
func (q *Query) Strings(name string, limit int, accepted ...string) []string {
	q.accept(name)
	var all []string
	for s := range strings.SplitSeq(strings.Join(q.values[name], ","), ",") {
		if s = strings.TrimSpace(s); s == "" || slices.Contains(all, s) {
			continue
		}
		switch {
		case !utf8.ValidString(s) || strings.ContainsRune(s, 0) || utf8.RuneCountInString(s) > limit:
			q.Refuse(name, fmt.Sprintf("accepted are values in UTF-8 of at most %d characters each", limit))
		case len(accepted) > 0 && !slices.Contains(accepted, s):
			q.Refuse(name, "accepted are "+strings.Join(accepted, ", "))
		}
		all = append(all, s)
	}
	if len(all) > maxListed {
		q.Refuse(name, fmt.Sprintf("accepted are at most %d values", maxListed))
	}
	return all
}

// Time is a moment in UTC; the zero time when not given.
func (q *Query) Time(name string) time.Time {
	s, ok := q.one(name)
	if !ok {
		return time.Time{}
	}
	t, err := parseTime(s)
	if err != nil {
		q.Refuse(name, "accepted is a time such as 2026-01-02T15:04:05Z (RFC 3339)")
	}
	return t
}

func parseTime(s string) (time.Time, error) {
	// A plus that nobody percent-encoded arrives as a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1))
	return t.UTC(), err
}

// AsOf is the moment that a question is about: a position, or a time, or, when both are zero, now.
type AsOf struct {
	Position int64
	Time     time.Time
	Given    bool // position 0, before the first event, can be asked for
}

// AsOf reads as_of: a position or a time.
func (q *Query) AsOf() AsOf {
	s, ok := q.one("as_of")
	if !ok {
		return AsOf{}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return AsOf{Position: n, Given: true}
	}
	t, err := parseTime(s)
	if err != nil || t.IsZero() {
		q.Refuse("as_of", "accepted is a position such as 1042, or a time such as 2026-01-02T15:04:05Z (RFC 3339)")
		return AsOf{}
	}
	return AsOf{Time: t, Given: true}
}

// Parameter reads a parameter by a parser of the caller's, such as domain.ParseMediaID; the zero T when not given.
func Parameter[T any](q *Query, name string, parse func(string) (T, error)) T {
	var zero T
	s, ok := q.one(name)
	if !ok {
		return zero
	}
	v, err := parse(s)
	if err == nil {
		return v
	}
	if refusal, ok := domain.AsRefusal(err); ok {
		q.Refuse(name, refusal.Detail)
	} else {
		q.Refuse(name, domain.ErrInvalid.Detail)
	}
	return zero
}
