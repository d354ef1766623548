package eventstore

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
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

// fastOf plans the fast way for a type; nil where there is none.
func fastOf(t reflect.Type) fastDecoder {
	switch t {
	case personalType:
		return fastPersonal
	case reflect.TypeFor[time.Time]():
		return fastTime
	}
	pointer := reflect.PointerTo(t)
	switch {
	case pointer.Implements(jsonUnmarshalerType) || pointer.Implements(jsonMarshalerType):
		return nil
	case pointer.Implements(textUnmarshalerType):
		return fastText
	case pointer.Implements(textMarshalerType):
		return nil
	}
	switch t.Kind() {
	case reflect.String:
		return fastString
	case reflect.Bool:
		return fastBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fastInt
	case reflect.Slice:
		return fastSlice(t)
	case reflect.Pointer:
		return fastPointer(t)
	case reflect.Struct:
		return fastStruct(t)
	default:
		return nil
	}
}

var (
	jsonUnmarshalerType = reflect.TypeFor[interface{ UnmarshalJSON(data []byte) error }]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func fastPersonal(in *fastInput, v reflect.Value) bool {
	return in.personal(v.Addr().Interface().(*domain.Personal), false) //nolint:forcetypeassert // planned so
}

func fastTime(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	return ok && plainTime(text) && v.Addr().Interface().(*time.Time).UnmarshalText(text) == nil //nolint:forcetypeassert // planned so
}

// plainTime reports whether a time has the form in which UTC is written; package time itself is not strict about it.
func plainTime(text []byte) bool {
	const form = "0000-00-00T00:00:00"
	if len(text) < len(form)+1 || text[len(text)-1] != 'Z' {
		return false
	}
	for i, c := range text[:len(text)-1] {
		digit := c >= '0' && c <= '9'
		switch {
		case i < len(form) && form[i] == '0', i > len(form):
			if !digit {
				return false
			}
		case i < len(form) && c != form[i], i == len(form) && (c != '.' || len(text) == len(form)+2):
			return false
		}
	}
	return true
}

func fastText(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	return ok && v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text) == nil //nolint:forcetypeassert // planned so
}

func fastString(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	if ok && len(text) <= 36 {
		v.SetString(in.name(text)) // an id, or a word of a few
	} else if ok {
		v.SetString(string(text))
	}
	return ok
}

func fastBool(in *fastInput, v reflect.Value) bool {
	yes := in.take("true")
	v.SetBool(yes)
	return yes || in.take("false")
}

func fastInt(in *fastInput, v reflect.Value) bool {
	n, ok := in.integer()
	if !ok || v.OverflowInt(n) {
		return false
	}
	v.SetInt(n)
	return true
}

func fastSlice(t reflect.Type) fastDecoder {
	decode := fastOf(t.Elem())
	if decode == nil || t.Elem().Kind() == reflect.Uint8 {
		return nil
	}
	return func(in *fastInput, v reflect.Value) bool {
		if !in.take("[") {
			return in.take("null")
		}
		v.Set(reflect.MakeSlice(t, 0, 1))
		if in.take("]") {
			return true
		}
		for i := 0; ; i++ {
			if i == v.Cap() {
				v.Grow(1)
			}
			v.SetLen(i + 1)
			if !decode(in, v.Index(i)) {
				return false
			}
			if in.take("]") {
				return true
			}
			if !in.take(",") {
				return false
			}
		}
	}
}

func fastPointer(t reflect.Type) fastDecoder {
	decode := fastOf(t.Elem())
	if decode == nil {
		return nil
	}
	return func(in *fastInput, v reflect.Value) bool {
		if in.take("null") {
			return true
		}
		v.Set(reflect.New(t.Elem()))
		return decode(in, v.Elem())
	}
}

type fastField struct {
	name   string
	key    string // `"name":`
	index  []int  // more than one where it is of an embedded struct
	decode fastDecoder
}

func fastStruct(t reflect.Type) fastDecoder {
	fields, ok := fastFields(t, nil)
	if !ok {
		return nil
	}
	slices.SortFunc(fields, func(a, b fastField) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(fields); i++ {
		if fields[i].name == fields[i-1].name {
			return nil // one hides the other; by which rules, the general decoder knows
		}
	}
	return func(in *fastInput, v reflect.Value) bool {
		if !in.take("{") {
			return false
		}
		if in.take("}") {
			return true
		}
		for next := 0; ; next++ {
			for next < len(fields) && !in.take(fields[next].key) {
				next++
			}
			if next == len(fields) { // unknown, twice, or not in order
				return false
			}
			f := &fields[next]
			into := v.Field(f.index[0])
			for _, i := range f.index[1:] {
				into = into.Field(i)
			}
			if !f.decode(in, into) {
				return false
			}
			if in.take("}") {
				return true
			}
			if !in.take(",") {
				return false
			}
		}
	}
}

func fastFields(t reflect.Type, outer []int) ([]fastField, bool) {
	var fields []fastField
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, opts, _ := strings.Cut(tag, ",")
		index := append(slices.Clone(outer), i)
		switch {
		case tag == "-":
			continue
		case f.Anonymous && (tagged || f.Type.Kind() != reflect.Struct || !f.IsExported()):
			return nil, false
		case f.Anonymous:
			inner, ok := fastFields(f.Type, index)
			if !ok {
				return nil, false
			}
			fields = append(fields, inner...)
			continue
		case !f.IsExported():
			continue
		}
		if opts != "" && opts != "omitempty" && opts != "omitzero" || strings.ContainsAny(name, `'"\`) {
			return nil, false
		}
		if name == "" {
			name = f.Name
		}
		decode := fastOf(f.Type)
		if decode == nil {
			return nil, false
		}
		fields = append(fields, fastField{name: name, key: `"` + name + `":`, index: index, decode: decode})
	}
	return fields, true
}
