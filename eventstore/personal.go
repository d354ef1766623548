package eventstore

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/mediavault-io/mediavault/domain"
)

// A plan says where in a type the personal texts stand, so that reflection looks for them once per type and not once per
// event. A nil plan has none.
type plan struct {
	personal bool       // the value itself is a domain.Personal
	fields   []planStep // of a struct
	elem     *plan      // of a slice, an array or a pointer
}

type planStep struct {
	index int
	plan  *plan
}

var (
	personalType      = reflect.TypeFor[domain.Personal]()
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

// planOf finds the personal texts of a type. It refuses shapes in which it could miss one, or in which decoding is not the
// reverse of encoding.
func planOf(t reflect.Type, path string, depth int) (*plan, error) {
	if t == personalType {
		return &plan{personal: true}, nil
	}
	if depth > 16 {
		return nil, fmt.Errorf("%s: nested too deep, or in itself", path)
	}
	if writesItself(t) {
		return nil, nil //nolint:nilnil // a nil plan is a plan: there is nothing to do
	}
	switch t.Kind() {
	case reflect.Struct:
		return planOfStruct(t, path, depth)
	case reflect.Slice, reflect.Array, reflect.Pointer:
		elem, err := planOf(t.Elem(), path+"[]", depth+1)
		if elem == nil || err != nil {
			return nil, err
		}
		return &plan{elem: elem}, nil
	case reflect.Map:
		if elem, err := planOf(t.Elem(), path+"{}", depth+1); err != nil || elem != nil {
			return nil, fmt.Errorf("%s: personal text cannot stand in a map: %w", path, errOr(err))
		}
		return nil, nil //nolint:nilnil // see above
	case reflect.Interface, reflect.Chan, reflect.Func, reflect.Uintptr, reflect.UnsafePointer,
		reflect.Complex64, reflect.Complex128:
		return nil, fmt.Errorf("%s: an event cannot have a field of type %s", path, t)
	default:
		return nil, nil //nolint:nilnil // see above
	}
}

func planOfStruct(t reflect.Type, path string, depth int) (*plan, error) {
	p := &plan{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Tag.Get("json") == "-" {
			if sub, err := planOf(f.Type, path+"."+f.Name, depth+1); err == nil && sub == nil {
				continue
			}
			return nil, fmt.Errorf("%s.%s: personal text that is not stored", path, f.Name)
		}
		sub, err := planOf(f.Type, path+"."+f.Name, depth+1)
		if err != nil {
			return nil, err
		}
		if sub != nil {
			p.fields = append(p.fields, planStep{index: i, plan: sub})
		}
	}
	if len(p.fields) == 0 {
		return nil, nil //nolint:nilnil // see planOf
	}
	return p, nil
}

func writesItself(t reflect.Type) bool {
	for _, m := range []reflect.Type{jsonMarshalerType, textMarshalerType} {
		if t.Implements(m) || reflect.PointerTo(t).Implements(m) {
			return true
		}
	}
	return false
}

func errOr(err error) error {
	if err == nil {
		return domain.ErrUnsealed
	}
	return err
}

// visit calls f with every personal text in v, which must be addressable.
func (p *plan) visit(v reflect.Value, f func(*domain.Personal) error) error {
	switch {
	case p == nil:
		return nil
	case p.personal:
		return f(v.Addr().Interface().(*domain.Personal)) //nolint:forcetypeassert // the plan says so
	case p.elem == nil:
		for _, s := range p.fields {
			if err := s.plan.visit(v.Field(s.index), f); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return p.elem.visit(v.Elem(), f)
	default:
		for i := range v.Len() {
			if err := p.elem.visit(v.Index(i), f); err != nil {
				return err
			}
		}
		return nil
	}
}

// detach gives v its own copy of whatever holds a personal text behind a slice or a pointer, so that sealing does not reach
// into the caller's event.
func (p *plan) detach(v reflect.Value) {
	switch {
	case p == nil || p.personal:
	case p.elem == nil:
		for _, s := range p.fields {
			s.plan.detach(v.Field(s.index))
		}
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			p.elem.detach(c.Elem())
			v.Set(c)
		}
	default:
		if v.Kind() == reflect.Slice && !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			v.Set(c)
		}
		for i := range v.Len() {
			p.elem.detach(v.Index(i))
		}
	}
}
