package domaintest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Update reports whether golden files are to be written anew (go test -update).
func Update() bool { return *update }

// Golden holds the stored shapes of an aggregate's events, in testdata, against what is written and read today. Every type
// needs an example, and the examples of a type together need every field. A file that no example wrote is an old shape: it has
// to decode still.
func Golden(t *testing.T, types []domain.Type, examples ...domain.Event) {
	t.Helper()
	byName := map[string]domain.Type{}
	for _, typ := range types {
		byName[typ.Name] = typ
	}
	written := map[string]bool{}
	seen := map[string]map[string]bool{}
	for _, e := range examples {
		typ, ok := byName[e.EventType()]
		if !ok {
			t.Errorf("%s is not among the aggregate's types", e.EventType())
			continue
		}
		file := filepath.Join("testdata", typ.Name+".json")
		for n := 2; written[file]; n++ {
			file = filepath.Join("testdata", fmt.Sprintf("%s-%d.json", typ.Name, n))
		}
		written[file] = true
		if seen[typ.Name] == nil {
			seen[typ.Name] = map[string]bool{}
		}
		fields(reflect.ValueOf(e), "", seen[typ.Name])
		golden(t, file, typ, e)
	}
	for _, typ := range types {
		all := map[string]bool{}
		names(typ.Go, "", all)
		for name := range all {
			if !seen[typ.Name][name] {
				t.Errorf("%s: no example has the field %s", typ.Name, name)
			}
		}
	}
	oldShapes(t, byName, written)
}

func golden(t *testing.T, file string, typ domain.Type, e domain.Event) {
	t.Helper()
	sealed, err := Seal(e)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	got, err := json.MarshalIndent(sealed, "", "  ")
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: a new event needs its golden file; write it with -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the stored shape changed, which it never may; an upcaster and a new golden file are needed\nstored %s\nnow    %s", file, want, got)
	}
	back, err := decode(typ, want)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if !reflect.DeepEqual(back, sealed) {
		t.Errorf("%s: what is read is not what was written\nwrote %s\nread  %s", file, Show(sealed), Show(back))
	}
}

// oldShapes decodes the files that no example wrote.
func oldShapes(t *testing.T, types map[string]domain.Type, written map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if written[file] {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		typ, ok := types[name]
		if !ok {
			t.Errorf("%s: its type is gone; types are never removed", file)
			continue
		}
		if _, err := decode(typ, raw); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func decode(typ domain.Type, raw []byte) (domain.Event, error) {
	e, err := typ.Decode(func(into any) error {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		return d.Decode(into)
	})
	if err != nil {
		return nil, err
	}
	return each(e, func(p domain.Personal) (domain.Personal, error) {
		return p.Open(func(subject domain.UserID, sealed []byte) ([]byte, bool, error) {
			return bytes.TrimPrefix(sealed, prefix(subject)), true, nil
		})
	})
}

// Seal answers the event with its personal texts sealed by fixed bytes.
func Seal(e domain.Event) (domain.Event, error) {
	return each(e, func(p domain.Personal) (domain.Personal, error) {
		return p.Seal(func(subject domain.UserID, text []byte) ([]byte, error) {
			return append(prefix(subject), text...), nil
		})
	})
}

func prefix(subject domain.UserID) []byte { return []byte("sealed for " + string(subject) + ": ") }

// each answers a copy of the event with f laid over its personal texts.
func each(e domain.Event, f func(domain.Personal) (domain.Personal, error)) (domain.Event, error) {
	v := reflect.New(reflect.TypeOf(e)).Elem()
	v.Set(reflect.ValueOf(e))
	if err := walk(v, f); err != nil {
		return nil, err
	}
	return v.Interface().(domain.Event), nil //nolint:forcetypeassert // it was one
}

func walk(v reflect.Value, f func(domain.Personal) (domain.Personal, error)) error {
	if p, ok := v.Interface().(domain.Personal); ok {
		q, err := f(p)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(q))
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				if err := walk(v.Field(i), f); err != nil {
					return err
				}
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		v.Set(own)
		for i := range v.Len() {
			if err := walk(v.Index(i), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaf reports whether a type is looked at as a whole.
func leaf(t reflect.Type) bool {
	return t == reflect.TypeFor[domain.Personal]() || t.Kind() != reflect.Struct || t.PkgPath() == "time"
}

// fields notes the names of the fields that are set.
func fields(v reflect.Value, path string, set map[string]bool) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			fields(v.Index(i), path, set)
		}
		if v.Len() > 0 {
			set[path] = true
		}
		return
	}
	if leaf(v.Type()) {
		if !v.IsZero() {
			set[path] = true
		}
		return
	}
	for i := range v.NumField() {
		fields(v.Field(i), path+"."+v.Type().Field(i).Name, set)
	}
}

// names notes the names of all fields.
func names(t reflect.Type, path string, all map[string]bool) {
	if t.Kind() == reflect.Slice {
		if path != "" {
			all[path] = true
		}
		t = t.Elem()
		if t.Kind() != reflect.Struct || leaf(t) {
			return
		}
	}
	if leaf(t) {
		all[path] = true
		return
	}
	for i := range t.NumField() {
		names(t.Field(i).Type, path+"."+t.Field(i).Name, all)
	}
}
