package eventstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

type noted struct {
	Media  domain.MediaID     `json:"media"`
	Title  domain.Personal    `json:"title,omitzero"`
	Tags   []string           `json:"tags"`
	Inner  inner              `json:"inner"`
	People []inner            `json:"people,omitempty"`
	Maybe  *inner             `json:"maybe,omitempty"`
	Pair   [2]domain.Personal `json:"pair"`
	Size   int64              `json:"size"`
	At     time.Time          `json:"at"`
	Lasted time.Duration      `json:"lasted,omitempty"`
	Counts map[string]int     `json:"counts,omitempty"`
}

type inner struct {
	Name domain.Personal `json:"name,omitzero"`
	Age  int             `json:"age"`
}

func (noted) EventType() string { return "test.noted" }

type renamed struct {
	Title string `json:"title"`
	Lang  string `json:"lang"`
}

func (renamed) EventType() string { return "test.renamed" }

type stranger struct{}

func (stranger) EventType() string { return "test.stranger" }

func types() []domain.Type {
	return []domain.Type{domain.TypeOf[noted](), domain.TypeOf[renamed](), domain.TypeOf[titled]()}
}

func newCodec(t testing.TB, keys eventstore.Keys, upcasters ...eventstore.Upcaster) *eventstore.Codec {
	t.Helper()
	c, err := eventstore.NewCodec(keys, types(), upcasters...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func example() noted {
	p := func(s string) domain.Personal { return domain.NewPersonal("alice", s) }
	return noted{
		Media: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21", Title: p("Grandma & <Grandpa> 👵"), Tags: []string{"b", "a"},
		Inner: inner{Name: p("in")}, People: []inner{{Name: p("one"), Age: 1}, {Age: 2}}, Maybe: &inner{Name: p("maybe")},
		Pair: [2]domain.Personal{p("x"), {}}, Size: 1<<62 + 1, At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Lasted: time.Second, Counts: map[string]int{"z": 1, "a": 2},
	}
}

func meta() eventstore.Metadata {
	return eventstore.Metadata{
		Command: uuid.MustParse("0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"), Actor: domain.Actor{ID: "alice", Roles: []domain.Role{"user"}},
		Address:     domain.NewPersonal("alice", "192.0.2.1"),
		Correlation: uuid.MustParse("0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e22"), Took: 1500 * time.Microsecond,
	}
}

func rawOf(e eventstore.Entry) eventstore.Raw {
	return eventstore.Raw{Position: 1, Stream: "test-1", ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}
}

func TestCodec(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("what goes in comes out, and the caller's event stays open", func(t *testing.T) {
		t.Parallel()
		c := newCodec(t, storetest.Keys())
		in := example()
		entries, err := c.Encode(ctx, meta(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(in, example()) {
			t.Error("encoding changed the event that was given")
		}
		rec, err := c.Decode(ctx, rawOf(entries[0]))
		if err != nil {
			t.Fatal(err)
		}
		out := rec.Event.(noted) //nolint:forcetypeassert // fails the test
		if !out.Title.Same(in.Title) || !out.People[0].Name.Same(in.People[0].Name) || !out.Maybe.Name.Same(in.Maybe.Name) ||
			!out.Pair[0].Same(in.Pair[0]) || !out.Pair[1].IsZero() || out.Size != in.Size || !out.At.Equal(in.At) || out.Lasted != in.Lasted {
			t.Errorf("got %+v", out)
		}
		if !rec.Metadata.Address.Same(meta().Address) || rec.Metadata.Took != meta().Took || rec.ID != meta().EventID(0) {
			t.Errorf("got metadata %+v", rec.Metadata)
		}
	})

	t.Run("stored bytes are canonical and tell no personal text", func(t *testing.T) {
		t.Parallel()
		c := newCodec(t, storetest.Keys())
		entries, err := c.Encode(ctx, meta(), renamed{Title: "a<b & ü", Lang: "de"}, example())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(entries[0].Data), `{"lang":"de","title":"a<b & ü"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		data := string(entries[1].Data)
		if !strings.HasPrefix(data, `{"at":"2026-01-02T03:04:05.000006Z","counts":{"a":2,"z":1},"inner":{"age":0,"name":{"sealed":"`) {
			t.Errorf("not canonical: %s", data)
		}
		if !strings.Contains(data, `"size":4611686018427387905`) {
			t.Errorf("an integer lost digits: %s", data)
		}
		if strings.Contains(data, "Grandma") || strings.Contains(string(entries[1].Metadata), "192.0.2") {
			t.Error("personal text is stored open")
		}
	})

	t.Run("a forgotten subject's text is erased, everything else stays", func(t *testing.T) {
		t.Parallel()
		keys := storetest.Keys()
		c := newCodec(t, keys)
		entries, err := c.Encode(ctx, meta(), example())
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Destroy(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		rec, err := c.Decode(ctx, rawOf(entries[0]))
		if err != nil {
			t.Fatal(err)
		}
		out := rec.Event.(noted) //nolint:forcetypeassert // fails the test
		if _, ok := out.Title.Reveal(); ok || !out.Title.Erased() || !rec.Metadata.Address.Erased() || out.Size != 1<<62+1 {
			t.Errorf("got %+v", rec)
		}
		if _, err := c.Encode(ctx, meta(), example()); !errors.Is(err, domain.ErrForgotten) {
			t.Errorf("sealing for a forgotten subject: %v", err)
		}
		if _, err := c.Encode(ctx, eventstore.Metadata{Command: uuid.New()}, out); err != nil {
			t.Errorf("an event that carries erased text cannot be encoded: %v", err)
		}
	})

	t.Run("an unknown type is an error both ways", func(t *testing.T) {
		t.Parallel()
		c := newCodec(t, storetest.Keys())
		if _, err := c.Encode(ctx, meta(), stranger{}); !errors.Is(err, eventstore.ErrUnknownType) {
			t.Errorf("encode: %v", err)
		}
		if _, err := c.Decode(ctx, eventstore.Raw{Type: "test.stranger", Data: []byte("{}"), Metadata: []byte("{}")}); !errors.Is(err, eventstore.ErrUnknownType) {
			t.Errorf("decode: %v", err)
		}
	})

	t.Run("what would be lost in reading is an error", func(t *testing.T) {
		t.Parallel()
		c := newCodec(t, storetest.Keys())
		meta := `{"actor":{"id":"a"},"command":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21","correlation":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"}`
		for name, raw := range map[string][2]string{
			"unknown member":    {`{"lang":"de","title":"x","colour":"red"}`, meta},
			"other case":        {`{"lang":"de","Title":"x"}`, meta},
			"member twice":      {`{"lang":"de","title":"x","title":"y"}`, meta},
			"trailing":          {`{"lang":"de","title":"x"}{}`, meta},
			"wrong type":        {`{"lang":"de","title":1}`, meta},
			"not JSON":          {"\xff", meta},
			"empty":             {"", meta},
			"metadata unknown":  {`{"lang":"de","title":"x"}`, strings.Replace(meta, `{"id"`, `{"shoe":1,"id"`, 1)},
			"metadata not JSON": {`{"lang":"de","title":"x"}`, ""},
			"newer schema":      {`{"lang":"de","title":"x"}`, strings.Replace(meta, `{"actor"`, `{"schema":2,"actor"`, 1)},
			"negative schema":   {`{"lang":"de","title":"x"}`, strings.Replace(meta, `{"actor"`, `{"schema":-2,"actor"`, 1)},
		} {
			_, err := c.Decode(ctx, eventstore.Raw{Type: "test.renamed", Data: []byte(raw[0]), Metadata: []byte(raw[1])})
			if err == nil {
				t.Errorf("%s: was read", name)
			}
			if errors.Is(err, eventstore.ErrNewerSchema) != (name == "newer schema" || name == "negative schema") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("old shapes are led to the present one step by step", func(t *testing.T) {
		t.Parallel()
		keys := storetest.Keys()
		c := newCodec(t, keys, titleWasName(), langWasUnknown())
		meta := func(schema string) string {
			return `{"actor":{"id":"a"},"command":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21","correlation":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"` + schema + `}`
		}
		for _, raw := range [][2]string{
			{`{"name":"Sea"}`, meta(``)},
			{`{"name":"Sea"}`, meta(`,"schema":1`)},
			{`{"title":"Sea"}`, meta(`,"schema":2`)},
			{`{"lang":"und","title":"Sea"}`, meta(`,"schema":3`)},
		} {
			rec, err := c.Decode(ctx, eventstore.Raw{Type: "test.renamed", Data: []byte(raw[0]), Metadata: []byte(raw[1])})
			if err != nil || rec.Event != (renamed{Title: "Sea", Lang: "und"}) {
				t.Errorf("%s: %+v, %v", raw[0], rec.Event, err)
			}
		}
		entries, err := c.Encode(ctx, eventstore.Metadata{}, renamed{}, example())
		if err != nil {
			t.Fatal(err)
		}
		if m := string(entries[0].Metadata); !strings.Contains(m, `"schema":3`) {
			t.Errorf("a new event does not say its schema: %s", m)
		}
		if m := string(entries[1].Metadata); strings.Contains(m, `"schema"`) {
			t.Errorf("the first schema needs no number: %s", m)
		}
	})

	t.Run("a batch keeps its order, and only a neighbour's fault fails it", func(t *testing.T) {
		t.Parallel()
		keys := &faultyKeys{Keys: storetest.Keys()}
		c := newCodec(t, keys)
		var raws []eventstore.Raw
		for i := range 1000 {
			entries, err := c.Encode(ctx, meta(), noted{Title: domain.NewPersonal("bob", fmt.Sprint(i))})
			if err != nil {
				t.Fatal(err)
			}
			raw := rawOf(entries[0])
			raw.Position = eventstore.Position(i + 1)
			if i == 500 {
				raw.Type = "test.stranger"
			}
			raws = append(raws, raw)
		}
		recs, err := c.DecodeAll(ctx, raws)
		if err != nil {
			t.Fatal(err)
		}
		for i, rec := range recs {
			if i == 500 {
				if !errors.Is(rec.Undecodable, eventstore.ErrUnknownType) {
					t.Errorf("event 500: %v", rec.Undecodable)
				}
			} else if n, ok := rec.Event.(noted); !ok || n.Title.Text() != fmt.Sprint(i) || rec.Position != raws[i].Position {
				t.Fatalf("event %d: %+v", i, rec)
			}
		}
		keys.err = eventstore.ErrUnavailable
		if _, err := c.DecodeAll(ctx, raws); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("keys that do not answer: %v", err)
		}
	})
}

type faultyKeys struct {
	eventstore.Keys
	err error
}

func (k *faultyKeys) Open(ctx context.Context, s domain.UserID, sealed []byte) ([]byte, bool, error) {
	if k.err != nil {
		return nil, false, k.err
	}
	return k.Keys.Open(ctx, s, sealed)
}

// titleWasName: in its first shape the event called its title a name.
func titleWasName() eventstore.Upcaster {
	return eventstore.Upcaster{Type: "test.renamed", From: 1, Up: func(old json.RawMessage) (json.RawMessage, error) {
		var was struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(old, &was); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]string{"title": was.Name})
	}}
}

// langWasUnknown: in its second shape the event did not say the language, "und" in BCP 47.
func langWasUnknown() eventstore.Upcaster {
	return eventstore.Upcaster{Type: "test.renamed", From: 2, Up: func(old json.RawMessage) (json.RawMessage, error) {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(old, &fields); err != nil {
			return nil, err
		}
		fields["lang"] = json.RawMessage(`"und"`)
		return json.Marshal(fields)
	}}
}

type withAny struct{ X any }

func (withAny) EventType() string { return "test.any" }

type withMap struct{ X map[string]domain.Personal }

func (withMap) EventType() string { return "test.map" }

type withHidden struct {
	X domain.Personal `json:"-"`
}

func (withHidden) EventType() string { return "test.hidden" }

type recursive struct{ X []recursive }

func (recursive) EventType() string { return "test.recursive" }

func TestNewCodecRefuses(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][]domain.Type{
		"a type twice":                {domain.TypeOf[renamed](), domain.TypeOf[renamed]()},
		"a field of any type":         {domain.TypeOf[withAny]()},
		"personal text in a map":      {domain.TypeOf[withMap]()},
		"personal text not stored":    {domain.TypeOf[withHidden]()},
		"a type that contains itself": {domain.TypeOf[recursive]()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := eventstore.NewCodec(storetest.Keys(), types); err == nil {
				t.Error("was accepted")
			}
		})
	}
	for name, upcasters := range map[string][]eventstore.Upcaster{
		"a gap in the shapes":   {langWasUnknown()},
		"shapes out of order":   {langWasUnknown(), titleWasName()},
		"an unknown type":       {{Type: "x", From: 1, Up: titleWasName().Up}},
		"one that does nothing": {{Type: "test.renamed", From: 1}},
	} {
		t.Run("upcasters with "+name, func(t *testing.T) {
			t.Parallel()
			if _, err := eventstore.NewCodec(storetest.Keys(), types(), upcasters...); err == nil {
				t.Error("was accepted")
			}
		})
	}
}
