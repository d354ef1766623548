package commands

import (
	"reflect"

	"github.com/mediavault-io/mediavault/domain"
)

// withoutOthers answers an event without open texts about others than the actor: somebody is forgotten, so that a text about him cannot be
// kept, and what the event says besides still holds. A case about a forgotten person's item has to come to its end.
func withoutOthers[E domain.Event](e E, actor domain.UserID) E {
	v := reflect.New(reflect.TypeOf(e))
	v.Elem().Set(reflect.ValueOf(e))
	strip(v.Elem(), actor)
	return v.Elem().Interface().(E) //nolint:forcetypeassert // it is of the type that it was
}

func strip(v reflect.Value, actor domain.UserID) {
	switch v.Kind() {
	case reflect.Struct:
		if p, ok := v.Interface().(domain.Personal); ok {
			if p.Sealed() == nil && p.Subject() != actor {
				v.SetZero()
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				strip(v.Field(i), actor)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		// The caller's own slice stays as it is.
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			strip(fresh.Index(i), actor)
		}
		v.Set(fresh)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		fresh := reflect.New(v.Type().Elem())
		fresh.Elem().Set(v.Elem())
		strip(fresh.Elem(), actor)
		v.Set(fresh)
	}
}
