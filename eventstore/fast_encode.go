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

// fastEncoder appends a value in its canonical form, without going through an uncanonical one. Like its counterpart it
// decides nothing: false means that the general encoder has to, and a fuzz test holds the two against each other.
type fastEncoder func(b []byte, v reflect.Value) ([]byte, bool)

// fastEncoderOf plans the fast way for a type; nil where there is none.
func fastEncoderOf(t reflect.Type) fastEncoder {
	if fastOf(t) == nil {
		return nil
	}
	switch {
	case t == personalType:
		return encodePersonal
	case t == reflect.TypeFor[time.Time]():
		return encodeTime
	case t.Implements(textMarshalerType):
		return encodeText
	case reflect.PointerTo(t).Implements(textMarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType):
		return nil
	}
	switch t.Kind() {
	case reflect.String:
		return func(b []byte, v reflect.Value) ([]byte, bool) { return appendPlain(b, v.String()) }
	case reflect.Bool:
		return func(b []byte, v reflect.Value) ([]byte, bool) { return strconv.AppendBool(b, v.Bool()), true }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(b []byte, v reflect.Value) ([]byte, bool) { return strconv.AppendInt(b, v.Int(), 10), true }
	case reflect.Slice:
		return encodeSlice(fastEncoderOf(t.Elem()))
	case reflect.Pointer:
		return encodePointer(fastEncoderOf(t.Elem()))
	case reflect.Struct:
		return encodeStruct(t)
	default:
		return nil
	}
}

// appendPlain appends a string that needs no escapes.
func appendPlain[T string | []byte](b []byte, text T) ([]byte, bool) {
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == '"' || c == '\\' || c == 0x7f:
			return b, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !utf8.ValidString(string(text)) {
		return b, false
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"'), true
}

func encodePersonal(b []byte, v reflect.Value) ([]byte, bool) {
	data, err := v.Addr().Interface().(*domain.Personal).MarshalJSON() //nolint:forcetypeassert // planned so
	if err != nil || bytes.IndexByte(data, '\\') >= 0 {
		return b, false
	}
	return append(b, data...), true
}

func encodeTime(b []byte, v reflect.Value) ([]byte, bool) {
	t := *v.Addr().Interface().(*time.Time) //nolint:forcetypeassert // planned so
	if t.Location() != time.UTC || t.Year() < 0 || t.Year() > 9999 {
		return b, false
	}
	b = append(b, '"')
	return append(t.AppendFormat(b, time.RFC3339Nano), '"'), true
}

func encodeText(b []byte, v reflect.Value) ([]byte, bool) {
	text, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText() //nolint:forcetypeassert // planned so
	if err != nil {
		return b, false
	}
	return appendPlain(b, text)
}

func encodeSlice(elem fastEncoder) fastEncoder {
	if elem == nil {
		return nil
	}
	return func(b []byte, v reflect.Value) (_ []byte, ok bool) {
		if v.IsNil() {
			return append(b, "null"...), true
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, ok = elem(b, v.Index(i)); !ok {
				return b, false
			}
		}
		return append(b, ']'), true
	}
}

func encodePointer(elem fastEncoder) fastEncoder {
	if elem == nil {
		return nil
	}
	return func(b []byte, v reflect.Value) ([]byte, bool) {
		if v.IsNil() {
			return append(b, "null"...), true
		}
		return elem(b, v.Elem())
	}
}

type encodedField struct {
	fastField
	key       []byte // `"name":`
	encode    fastEncoder
	omitEmpty bool
	omitZero  func(reflect.Value) bool
}

func encodeStruct(t reflect.Type) fastEncoder {
	plain, ok := fastFields(t, nil)
	if !ok {
		return nil
	}
	slices.SortFunc(plain, func(a, b fastField) int { return strings.Compare(a.name, b.name) })
	fields := make([]encodedField, len(plain))
	for i, f := range plain {
		key, ok := appendPlain(nil, f.name)
		field := t.FieldByIndex(f.index)
		_, opts, _ := strings.Cut(field.Tag.Get("json"), ",")
		e := encodedField{fastField: f, key: append(key, ':'), encode: fastEncoderOf(field.Type), omitEmpty: opts == "omitempty"}
		if opts == "omitzero" {
			e.omitZero = zeroOf(field.Type)
		}
		if !ok || e.encode == nil || (opts == "omitzero" && e.omitZero == nil) {
			return nil
		}
		fields[i] = e
	}
	return func(b []byte, v reflect.Value) (_ []byte, ok bool) {
		open := len(b)
		b = append(b, '{')
		for i := range fields {
			f := &fields[i]
			from := v.Field(f.index[0])
			for _, i := range f.index[1:] {
				from = from.Field(i)
			}
			if f.omitEmpty && empty(from) || f.omitZero != nil && f.omitZero(from) {
				continue
			}
			if len(b) > open+1 {
				b = append(b, ',')
			}
			if b, ok = f.encode(append(b, f.key...), from); !ok {
				return b, false
			}
		}
		return append(b, '}'), true
	}
}

// empty is what encoding/json leaves out under omitempty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice:
		return v.Len() == 0
	case reflect.Struct, reflect.Array:
		return false
	default:
		return v.IsZero()
	}
}

// zeroOf is what encoding/json leaves out under omitzero; nil for a type that says so itself in a way that is not known here.
func zeroOf(t reflect.Type) func(reflect.Value) bool {
	type zeroer interface{ IsZero() bool }
	switch {
	case t == personalType || t == reflect.TypeFor[time.Time]():
		return func(v reflect.Value) bool { return v.Addr().Interface().(zeroer).IsZero() } //nolint:forcetypeassert // both do
	case reflect.PointerTo(t).Implements(reflect.TypeFor[zeroer]()):
		return nil
	default:
		return reflect.Value.IsZero
	}
}
