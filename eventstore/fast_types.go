package eventstore

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

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
