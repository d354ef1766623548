package projections

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
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

func TestWhereAWebhookIsIsItsOwnersToKnow(t *testing.T) {
	t.Parallel()
	const all = "https://hooks.slack.example/services/T0/B0/XyZ?k=v"
	r := &renderer{}
	for _, tt := range []struct {
		address string
		sight   sight
		want    string
	}{
		{all, sight{viewer: "audrey", data: true, meta: true, staff: true}, "https://hooks.slack.example/[withheld]"},
		{"http://h.example:8443", sight{viewer: "audrey", data: true, staff: true}, "http://h.example:8443/[withheld]"},
		{"\x7f://", sight{viewer: "audrey", data: true, staff: true}, Withheld},
		{all, sight{staff: true}, Closed},
		{all, sight{viewer: "alice", data: true, staff: true}, all},
	} {
		event := recipient.EndpointAdded{Person: "alice", Endpoint: "e1", URL: domain.NewPersonal("alice", tt.address), Secret: domain.NewPersonal("alice", "whsec_x")}
		e, err := r.event(eventstore.Recorded{Type: event.EventType(), Event: event}, tt.sight)
		must(t, err)
		var data struct{ URL, Secret string }
		must(t, json.Unmarshal(e.Data, &data))
		if data.URL != tt.want || data.Secret != Withheld {
			t.Errorf("%+v reads %+v, not %s", tt.sight, data, tt.want)
		}
	}
}

// TestAnOwnerReadsNobodyOfTheModerationSide fills every event about cases and holds, also those that are new, and reads them as
// the owner: whatever names a person or is a personal text must be his own or meant for him.
func TestAnOwnerReadsNobodyOfTheModerationSide(t *testing.T) {
	t.Parallel()
	r := &renderer{}
	seal := func(domain.UserID, []byte) ([]byte, error) { return []byte("x"), nil }
	meant := map[string][]string{ // for the owner, or by him
		"moderation.opened":         {"owner"},
		"moderation.decided":        {"statement"},
		"moderation.appealed":       {"by", "note"},
		"moderation.appeal_decided": {"statement"},
	}
	seen := 0
	for _, typ := range catalog.Types() {
		if category, _, _ := strings.Cut(typ.Name, "."); category != moderation.Category && !discreet(typ.Name) {
			continue
		}
		seen++
		v := reflect.New(typ.Go).Elem()
		fill(v, seal)
		event, ok := v.Interface().(domain.Event)
		if !ok {
			t.Fatalf("%s is no event", typ.Name)
		}
		rec := eventstore.Recorded{Type: typ.Name, Event: event, Metadata: eventstore.Metadata{Actor: moderator}}
		e, err := r.event(rec, sight{viewer: "alice"})
		must(t, err)
		if named := strings.Contains(string(e.Metadata), string(moderator.ID)+`"`); named && discreet(typ.Name) {
			t.Errorf("%s names who acted: %s", typ.Name, e.Metadata)
		}
		var data any
		must(t, json.Unmarshal(e.Data, &data))
		for _, path := range telling(data, "") {
			if !slices.Contains(meant[typ.Name], path) {
				t.Errorf("%s lets the owner read %s: %s", typ.Name, path, e.Data)
			}
		}
	}
	if seen < len(moderation.Types) {
		t.Errorf("only %d events were read", seen)
	}
}

// telling are the paths of the filled members that name a person or are a personal text.
func telling(v any, path string) []string {
	var paths []string
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			paths = append(paths, telling(member, strings.TrimPrefix(path+"."+name, "."))...)
		}
	case []any:
		for _, element := range v {
			paths = append(paths, telling(element, path)...)
		}
	case string:
		if strings.Contains(v, "domain.UserID") || v == "personal words" {
			paths = append(paths, path)
		}
	}
	return paths
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
