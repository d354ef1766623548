package eventstore

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// The fast way of reading stored JSON. What was written by canonical has one form: members sorted, no blanks, few escapes. A
// reader for just that form, planned once per type, takes a fifth of the time of a general one. It decides nothing: whatever
// it does not expect, right or wrong, it leaves to the general decoder, and a fuzz test holds the two against each other
// (docs/adr/0020-json.md).
type fastDecoder func(in *fastInput, v reflect.Value) bool

// fastInput is what is left to read.
type fastInput struct {
	rest []byte
	*opener
}

// memory is what one goroutine keeps from event to event, to allocate less: the names that an event repeats, and a block for
// small pieces of bytes.
type memory struct {
	recent [4]string
	next   int
	roles  [4]knownRoles
	block  []byte
	size   int // of a block; 0 for none
}

func (m *memory) name(text []byte) string {
	for _, s := range m.recent {
		if s == string(text) {
			return s
		}
	}
	s := string(text)
	m.recent[m.next%len(m.recent)] = s
	m.next++
	return s
}

// bytes answers n bytes that are the caller's.
func (m *memory) bytes(n int) []byte {
	if n > cap(m.block)-len(m.block) {
		if n > m.size/8 {
			return make([]byte, n)
		}
		m.block = make([]byte, 0, m.size)
	}
	from := len(m.block)
	m.block = m.block[:from+n]
	return m.block[from : from+n : from+n]
}

func (in *fastInput) take(literal string) bool {
	if len(in.rest) < len(literal) || string(in.rest[:len(literal)]) != literal {
		return false
	}
	in.rest = in.rest[len(literal):]
	return true
}

// text takes a string that has no escapes; the bytes are only good until the input is.
func (in *fastInput) text() ([]byte, bool) {
	if len(in.rest) == 0 || in.rest[0] != '"' {
		return nil, false
	}
	for i := plainASCII(in.rest[1:]) + 1; i < len(in.rest); i++ {
		switch c := in.rest[i]; {
		case c == '"':
			text := in.rest[1:i]
			in.rest = in.rest[i+1:]
			return text, true
		case c == '\\' || c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			return in.unicode(i)
		}
	}
	return nil, false
}

// unicode is text from where it is not ASCII.
func (in *fastInput) unicode(i int) ([]byte, bool) {
	for ; i < len(in.rest); i++ {
		switch c := in.rest[i]; {
		case c == '"':
			text := in.rest[1:i]
			in.rest = in.rest[i+1:]
			return text, utf8.Valid(text)
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// plainASCII answers how many bytes, at least, are neither a quote, a backslash, a control character nor beyond ASCII. It looks at
// eight at a time.
func plainASCII(text []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(text); n += 8 {
		x := binary.LittleEndian.Uint64(text[n:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		if found := ((quote - ones) | (slash - ones) | (x - ones*' ') | x) & highs; found != 0 {
			break // there is one, or a byte above confuses: look at each
		}
	}
	return n
}

// number takes a number of a form that strconv reads as JSON means it.
func (in *fastInput) number() ([]byte, bool) {
	n := 0
	for n < len(in.rest) && (in.rest[n] >= '0' && in.rest[n] <= '9' || n == 0 && in.rest[n] == '-') {
		n++
	}
	number := in.rest[:n]
	digits := bytes.TrimPrefix(number, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 || (digits[0] == '0' && len(number) > 1) {
		return nil, false
	}
	if n < len(in.rest) && strings.IndexByte(".eE", in.rest[n]) >= 0 {
		return nil, false
	}
	in.rest = in.rest[n:]
	return number, true
}

func (in *fastInput) integer() (int64, bool) {
	number, ok := in.number()
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(number), 10, 64)
	return n, err == nil
}

// personal takes a sealed text and opens it; later only makes it ready to be opened.
func (in *fastInput) personal(p *domain.Personal, later bool) bool {
	if !in.take(`{"sealed":"`) {
		return false
	}
	quote := bytes.IndexByte(in.rest, '"')
	if quote < 0 {
		return false
	}
	encoded := in.rest[:quote]
	in.rest = in.rest[quote:]
	if !in.take(`","subject":`) {
		return false
	}
	name, ok := in.text()
	if !ok || !in.take("}") {
		return false
	}
	sealed := in.bytes(base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(sealed, encoded)
	// The decoder passes over line ends, which a string in JSON does not have: then something is missing.
	padding := 0
	for padding < len(encoded) && encoded[len(encoded)-1-padding] == '=' {
		padding++
	}
	if err != nil || len(encoded)%4 != 0 || n != len(encoded)/4*3-padding {
		return false
	}
	subject := in.named(name)
	*p = domain.SealedPersonal(subject.id, sealed[:n])
	in.failed = in.resolve(p, subject, later)
	return in.failed == nil
}

// fastUnmarshal reads data into v, which is zero, and opens the texts in it; false means that the general decoder has to, into a
// zero value again, unless a text could not be opened (opener.err).
func fastUnmarshal(decode fastDecoder, o *opener, data []byte, v reflect.Value) bool {
	in := fastInput{rest: data, opener: o}
	return decode != nil && decode(&in, v) && len(in.rest) == 0
}
