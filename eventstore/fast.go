package eventstore

import (
	"bytes"
	"encoding"
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
type fastInput struct{ rest []byte }

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
	ascii := true
	for i := 1; i < len(in.rest); i++ {
		switch c := in.rest[i]; {
		case c == '"':
			text := in.rest[1:i]
			in.rest = in.rest[i+1:]
			return text, ascii || utf8.Valid(text)
		case c == '\\' || c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false
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

// fastUnmarshal reads data into v, which is zero; false means that the general decoder has to, into a zero value again.
func fastUnmarshal(decode fastDecoder, data []byte, v reflect.Value) bool {
	in := fastInput{rest: data}
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
	const sealed, subject = `{"sealed":"`, `","subject":"`
	rest := in.rest
	if len(rest) < len(sealed) || string(rest[:len(sealed)]) != sealed {
		return false
	}
	n := len(sealed)
	quote := bytes.IndexByte(rest[n:], '"')
	if n += quote; quote < 0 || len(rest) < n+len(subject) || string(rest[n:n+len(subject)]) != subject {
		return false
	}
	n += len(subject)
	if quote = bytes.IndexByte(rest[n:], '"'); quote < 0 {
		return false
	}
	if n += quote + 1; n >= len(rest) || rest[n] != '}' || bytes.IndexByte(rest[:n], '\\') >= 0 {
		return false
	}
	data := in.rest[:n+1]
	in.rest = in.rest[n+1:]
	return v.Addr().Interface().(*domain.Personal).UnmarshalJSON(data) == nil //nolint:forcetypeassert // planned so
}

func fastTime(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	return ok && v.Addr().Interface().(*time.Time).UnmarshalText(text) == nil //nolint:forcetypeassert // planned so
}

func fastText(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	return ok && v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text) == nil //nolint:forcetypeassert // planned so
}

func fastString(in *fastInput, v reflect.Value) bool {
	text, ok := in.text()
	if ok {
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
	number, ok := in.number()
	if !ok {
		return false
	}
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || v.OverflowInt(n) {
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
	index  []int // more than one where it is of an embedded struct
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
			name, ok := in.text()
			if !ok || !in.take(":") {
				return false
			}
			for next < len(fields) && fields[next].name != string(name) {
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
		fields = append(fields, fastField{name: name, index: index, decode: decode})
	}
	return fields, true
}
