package streamapi

import (
	"regexp"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/mediavault-io/mediavault/eventstore"
)

// filter chooses events of $all by the name of their stream or their type.
type filter struct {
	onStream bool
	match    func(string) bool
	prefixes []string
	interval eventstore.Position // a subscriber is told where it stands at least each so many positions
}

// Bounds of a filter, which is asked of every event. Regular expressions are RE2: none takes more than time linear in the name.
const (
	MaxPattern     = 1024     // bytes of a regular expression
	MaxPrefixes    = 1000     // prefixes of a filter
	MaxPrefixBytes = 64 << 10 // bytes of all of them
)

// lets reports whether an event passes; a nil filter lets all pass.
func (f *filter) lets(raw *eventstore.Raw) bool {
	switch {
	case f == nil:
		return true
	case f.onStream:
		return f.match(string(raw.Stream))
	default:
		return f.match(raw.Type)
	}
}

// expression is a filter's expression in any of the protocol's messages.
type expression interface {
	GetRegex() string
	GetPrefix() []string
}

// newFilter makes a filter; window 0 is none, and multiplier 0 counts as 1.
func newFilter(onStream bool, e expression, window, multiplier uint32) (*filter, error) {
	f := &filter{onStream: onStream, interval: 32}
	if window > 0 {
		f.interval = eventstore.Position(window)
	}
	f.interval *= eventstore.Position(max(multiplier, 1))
	switch {
	case e.GetRegex() != "":
		var err error
		if f.match, err = patternOf(e.GetRegex()); err != nil {
			return nil, err
		}
	case len(e.GetPrefix()) > 0:
		f.prefixes = e.GetPrefix()
		size := 0
		for _, p := range f.prefixes {
			size += len(p)
		}
		if len(f.prefixes) > MaxPrefixes || size > MaxPrefixBytes {
			return nil, invalidArgument("a filter has at most %d prefixes, of %d bytes together", MaxPrefixes, MaxPrefixBytes)
		}
		f.match = func(name string) bool {
			for _, p := range f.prefixes {
				if strings.HasPrefix(name, p) {
					return true
				}
			}
			return false
		}
	default:
		return nil, invalidArgument("a filter needs a regular expression or prefixes")
	}
	return f, nil
}

// patternOf compiles a regular expression. Of what .NET knows and RE2 does not, it knows the one thing that filters use: a
// negative lookahead at the start.
func patternOf(pattern string) (func(string) bool, error) {
	if len(pattern) > MaxPattern {
		return nil, invalidArgument("a regular expression has at most %d bytes", MaxPattern)
	}
	if rest, ok := strings.CutPrefix(pattern, "^(?!"); ok {
		if not, rest, ok := cutGroup(rest); ok {
			unwanted, err := regexp.Compile("^(?:" + not + ")")
			if err != nil {
				return nil, invalidArgument("the regular expression is not RE2: %v", err)
			}
			wanted, err := regexp.Compile("^" + rest)
			if err != nil {
				return nil, invalidArgument("the regular expression is not RE2: %v", err)
			}
			return func(name string) bool { return !unwanted.MatchString(name) && wanted.MatchString(name) }, nil
		}
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, invalidArgument("the regular expression is not RE2: %v", err)
	}
	return re.MatchString, nil
}

// cutGroup cuts behind the parenthesis that closes a group whose opening was cut off.
func cutGroup(s string) (inside, rest string, ok bool) {
	depth, class := 1, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return s[:i], s[i+1:], true
			}
		}
	}
	return "", "", false
}

// filterOptions is a filter in any of the protocol's messages.
type filterOptions[E expression] interface {
	GetStreamIdentifier() E
	GetEventType() E
	GetMax() uint32
	GetCount() *shared.Empty
	GetCheckpointIntervalMultiplier() uint32
}

// filterOf reads a filter of a request. onStream says which of the two it is.
func filterOf[E expression](o filterOptions[E], onStream bool) (*filter, error) {
	e := o.GetEventType()
	if onStream {
		e = o.GetStreamIdentifier()
	}
	return newFilter(onStream, e, o.GetMax(), o.GetCheckpointIntervalMultiplier())
}

// categories are those in which alone a filter finds something; nil: it may in all.
func (f *filter) categories() []string {
	if f == nil || !f.onStream || len(f.prefixes) == 0 {
		return nil
	}
	var list []string
	for _, p := range f.prefixes {
		category, _, ok := strings.Cut(p, "-")
		if !ok {
			return nil
		}
		list = append(list, category)
	}
	return list
}
