package projections

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
)

func TestRendererWritesEveryEventAsEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	r := &renderer{}
	seal := func(domain.UserID, []byte) ([]byte, error) { return []byte("x"), nil }
	for _, typ := range catalog.Types() {
		v := reflect.New(typ.Go).Elem()
		fill(v, seal)
		want, err := json.Marshal(v.Interface())
		must(t, err)
		got, err := r.render(v, sight{data: true, staff: true}, true, nil)
		must(t, err)
		var a, b any
		must(t, json.Unmarshal(want, &a))
		must(t, json.Unmarshal(got, &b))
		if !reflect.DeepEqual(plain(a), plain(b)) {
			t.Errorf("%s:\n%s\n%s", typ.Name, want, got)
		}
		closed, err := r.render(v, sight{}, false, nil)
		must(t, err)
		if strings.Contains(string(closed), "personal words") {
			t.Errorf("%s lets out personal text: %s", typ.Name, closed)
		}
		for _, path := range append(secret(typ.Name), withheld(typ.Name)...) {
			if hidden, err := r.render(v, sight{data: true}, true, []string{path}); err != nil || !strings.Contains(string(hidden), Withheld) {
				t.Errorf("%s has no %s to withhold: %s, %v", typ.Name, path, hidden, err)
			}
		}
		zero, err := r.render(reflect.New(typ.Go).Elem(), sight{}, false, nil)
		must(t, err)
		want, err = json.Marshal(reflect.New(typ.Go).Elem().Interface())
		must(t, err)
		if string(zero) != string(want) {
			t.Errorf("%s, empty: %s, want %s", typ.Name, zero, want)
		}
	}
}

// plain turns sealed texts into what they say, so that the two ways of writing can be compared.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["sealed"]; ok && len(v) == 2 {
			return "personal words"
		}
		for k := range v {
			v[k] = plain(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// fill puts something into every field.
func fill(v reflect.Value, seal func(domain.UserID, []byte) ([]byte, error)) {
	switch {
	case v.Type() == reflect.TypeFor[domain.Personal]():
		p, _ := domain.NewPersonal("alice", "personal words").Seal(seal)
		v.Set(reflect.ValueOf(p))
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
	case v.Type() == reflect.TypeFor[uuid.UUID]():
		v.Set(reflect.ValueOf(uuid.New()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), seal)
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), seal)
		}
	case v.Kind() == reflect.String:
		v.SetString(`<a "string"> & ` + fmt.Sprint(v.Type()))
	case v.CanInt():
		v.SetInt(7)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	}
}
