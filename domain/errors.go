package domain

import (
	"errors"
	"strings"
)

// Kind says what sort of no a refusal is; internal/web turns it into an HTTP status by one table.
type Kind int

// The kinds of refusal. The zero Kind is no kind: an error that is not a Refusal is a fault.
const (
	Invalid         Kind = iota + 1 // the request cannot be understood or breaks a rule about its form
	Unauthenticated                 // who asks is not known
	Forbidden                       // who asks is known, and may not
	NotFound                        // there is no such thing, or the asker may not know of it
	Conflict                        // the thing is in a state in which this cannot be done
	Stale                           // the thing is at another revision than was expected
	Gone                            // it was there and is no longer: expired, exhausted, purged
	TooLarge                        // more bytes than are accepted
	Unsupported                     // a type of content that is not accepted
	Unprocessable                   // understood, but what it says does not hold: a checksum that differs
	TooMany                         // too often
	Unavailable                     // a neighbour does not answer; asking again later may help
	Full                            // a neighbour has no room left; asking again helps once somebody has made some
	OutOfRange                      // a part of something that has no such part
)

// Refusal is the rules saying no. It is a value declared once beside the state that causes it; its code never changes.
type Refusal struct {
	Kind   Kind
	Code   string // stable, snake_case, for programs
	Detail string // one sentence for people; never contains personal text
	Field  string // the field of the request that caused it, where there is one
}

// Refuse makes a refusal.
func Refuse(kind Kind, code, detail string) *Refusal {
	return &Refusal{Kind: kind, Code: code, Detail: detail}
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Field != "" {
		return r.Field + ": " + r.Detail
	}
	return r.Detail
}

// Is reports whether target is a refusal with the same code, so that a refusal with a field or another detail still
// matches the variable that it came from.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal) //nolint:errorlint // errors.Is unwraps for us
	return ok && t.Code == r.Code
}

// On is the same refusal, naming the field that caused it.
func (r *Refusal) On(field string) *Refusal {
	c := *r
	c.Field = field
	return &c
}

// Because is the same refusal with a more telling detail.
func (r *Refusal) Because(detail string) *Refusal {
	c := *r
	c.Detail = detail
	return &c
}

// NotOneOf is ErrInvalid of a field that takes one of a few words, and names them.
func NotOneOf[T ~string](field string, accepted []T) *Refusal {
	words := make([]string, len(accepted))
	for i, word := range accepted {
		words[i] = string(word)
	}
	return ErrInvalid.On(field).Because("accepted is one of " + strings.Join(words, ", "))
}

// AsRefusal finds the refusal in err; false means that err is a fault.
func AsRefusal(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}

// ErrInvalid is a value that is not of the form that is accepted; use On and Because to say which and why.
var ErrInvalid = Refuse(Invalid, "invalid", "the value is not accepted")
