package eventstore

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
)

// everything has a field of each sort that the fast way knows.
type everything struct {
	Bool    bool               `json:"bool"`
	Int     int64              `json:"int"`
	Small   int8               `json:"small,omitempty"`
	Text    string             `json:"text"`
	ID      domain.MediaID     `json:"id"`
	UUID    uuid.UUID          `json:"uuid"`
	At      time.Time          `json:"at,omitzero"`
	Title   domain.Personal    `json:"title,omitzero"`
	Tags    []domain.Personal  `json:"tags,omitempty"`
	Names   []string           `json:"names"`
	Inner   struct{ A, B int } `json:"inner"`
	Pointer *int               `json:"pointer"`
	Nested  []struct {
		X []int `json:"x"`
	} `json:"nested"`
}

func (everything) EventType() string { return "test.everything" }

// FuzzFast holds the fast ways against the general ones: where they answer, the general ones answer the same.
func FuzzFast(f *testing.F) {
	for _, seed := range []string{
		`{"at":"2026-01-02T03:04:05.000006Z","bool":true,"id":"x","inner":{"A":1,"B":-2},"int":-9007199254740993,"names":["a","ü"],` +
			`"nested":[{"x":[1,2]},{"x":[]},{"x":null}],"pointer":7,"small":127,"tags":[{"sealed":"AAEC","subject":"a"}],"text":"t",` +
			`"title":{"sealed":"AA==","subject":"alice"},"uuid":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"}`,
		`{}`, `{"int":1}`, `{"int":01}`, `{"int":-0}`, `{"int":1e3}`, `{"int":1.0}`, `{"small":128}`, `{"text":"\u00e9"}`, `{"text":"` + "\xff" + `"}`,
		`{"int":1,"int":2}`, `{"text":"a","int":1}`, `{"int":1}x`, `{"int":1,}`, `{"at":"2026-01-02T3:04:05Z"}`, `{"at":"2026-01-02T03:04:05,5+01:00"}`,
		`{"uuid":"{0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21}"}`, `{"title":null}`, `{"title":{"sealed":"A","subject":""}}`, `{"title":{"sealed":"AA=A","subject":""}}`,
		`{"title":{"sealed":"AAB=","subject":"x"}}`, `{"title":{"subject":"x","sealed":""}}`, `{"names":null}`, `{"names":[null]}`, `{"inner":null}`,
		`{"bool":truee}`, `{"bool":null}`, `{"pointer":null}`, `{"nested":[[]]}`, `{"Text":"x"}`, `{"inner":{"B":1,"A":1}}`, ` {"int":1}`, `null`, ``,
		`{"int":99999999999999999999}`, `{"uuid":""}`, `{"at":""}`, `{"text":"` + "\x1f" + `"}`, `{"title":{"sealed":"AAEC","subject":"a","x":1}}`,
	} {
		f.Add([]byte(seed))
	}
	decode := fastOf(reflect.TypeFor[everything]())
	if decode == nil {
		f.Fatal("there is no fast way for what it is made for")
	}
	encode := fastEncoderOf(reflect.TypeFor[everything]())
	if encode == nil {
		f.Fatal("there is no fast way to write what it is made for")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var any everything
		v := reflect.ValueOf(&any).Elem()
		if json.Unmarshal(data, &any, jsonOptions) == nil {
			if fast, ok := encode(nil, v); ok {
				if general, err := canonical(nil, v); err != nil || !bytes.Equal(fast, general) {
					t.Fatalf("written fast:\n%s\nand generally:\n%s\n%v", fast, general, err)
				}
			}
		}
		var fast, general everything
		before := bytes.Clone(data)
		if !fastUnmarshal(decode, noOpener(), data, reflect.ValueOf(&fast).Elem()) {
			return
		}
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if err := json.Unmarshal(data, &general, jsonOptions); err != nil {
			t.Fatalf("%s\nthe fast way reads it, the general one says %v", data, err)
		}
		for i := range data { // what was read does not hang on the input
			data[i] = 'x'
		}
		if !reflect.DeepEqual(fast, general) {
			t.Fatalf("%s\nfast:    %+v\ngeneral: %+v", before, fast, general)
		}
	})
}

// noOpener leaves texts sealed.
func noOpener() *opener {
	return &opener{memory: memory{size: 1024}, subjects: map[domain.UserID]*subject{}}
}

// FuzzMetadata holds the fast way of reading metadata against the general one.
func FuzzMetadata(f *testing.F) {
	const ids = `"command":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21","correlation":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e22"`
	for _, seed := range []string{
		`{"actor":{"id":"a","org":"o","roles":["user","admin"]},"address":{"sealed":"AAEC","subject":"a"},"causation":"0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21",` +
			ids + `,"fingerprint":"f","reason":{"sealed":"AA==","subject":"b"},"schema":2,"took":-5,"user_agent":{"sealed":"AAE=","subject":"ü"}}`,
		`{"actor":{"id":""},` + ids + `}`, `{"actor":{"id":"a","roles":[]},` + ids + `}`, `{"actor":{"id":"a","roles":null},` + ids + `}`,
		`{"actor":{"id":"a","roles":["x",]},` + ids + `}`, `{"actor":{"id":"a","roles":[,"x"]},` + ids + `}`, `{"actor":{"id":"a"},` + ids + `}x`,
		`{"actor":{"id":"a"},` + ids + `,"took":1,"took":1}`, `{"actor":{"id":"a"},"address":{"sealed":"AAEC\n","subject":"a"},` + ids + `}`,
		`{"actor":{"id":"a"},"address":{"sealed":"` + "AA\nAA" + `","subject":"a"},` + ids + `}`, `{"actor":{"id":"a"},"address":{"sealed":"A===","subject":"a"},` + ids + `}`,
		`{"actor":{"id":"a"},"address":null,` + ids + `}`, `{"actor":null,` + ids + `}`, `{"actor":{"id":"a"},` + ids + `,"schema":99999999999}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	o := noOpener()
	f.Fuzz(func(t *testing.T, data []byte) {
		var general storedMetadata
		fault := json.Unmarshal(data, &general, jsonOptions)
		for range 2 { // the second time with what is known from the first
			var fast Metadata
			input := bytes.Clone(data)
			schema, ok := fastMetadata(o, input, &fast)
			if !ok {
				if !reflect.DeepEqual(fast, Metadata{}) {
					t.Fatalf("%s\nis left to the general way, but not as it was: %+v", data, fast)
				}
				return
			}
			if !bytes.Equal(input, data) {
				t.Fatal("the input was changed")
			}
			for i := range input { // what was read does not hang on the input
				input[i] = 'x'
			}
			if fault != nil {
				t.Fatalf("%s\nthe fast way reads it, the general one says %v", data, fault)
			}
			if !reflect.DeepEqual(fast, general.Metadata) || schema != general.Schema {
				t.Fatalf("%s\nfast:    %+v\ngeneral: %+v", data, fast, general)
			}
		}
	})
}

// FuzzDecode hands any bytes to the codec: it may refuse them, and what it reads it writes and reads again the same.
func FuzzDecode(f *testing.F) {
	ctx := context.Background()
	c, err := NewCodec(noKeys{}, []domain.Type{domain.TypeOf[everything]()})
	if err != nil {
		f.Fatal(err)
	}
	entries, err := c.Encode(ctx, Metadata{Command: uuid.New(), Actor: domain.Actor{ID: "a", Roles: []domain.Role{"user"}}, Took: 5},
		everything{Text: "x", Title: domain.NewPersonal("a", "t"), Names: []string{"n"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(entries[0].Data, entries[0].Metadata)
	f.Add([]byte(`{"text":"\ud800"}`), []byte(`{"schema":-1}`))
	f.Add([]byte(`{"nested":[{"x":[1e2]}]}`), []byte(`{"actor":{"roles":null}}`))
	f.Fuzz(func(t *testing.T, data, metadata []byte) {
		raw := Raw{Position: 1, Stream: "test-1", Type: "test.everything", Data: data, Metadata: metadata}
		rec, err := c.Decode(ctx, raw)
		if err != nil {
			return
		}
		again, err := c.Encode(ctx, rec.Metadata, rec.Event)
		if err != nil {
			t.Fatalf("%s %s\nis read, but not written: %v", data, metadata, err)
		}
		raw.Data, raw.Metadata = again[0].Data, again[0].Metadata
		rec2, err := c.Decode(ctx, raw)
		if err != nil || !reflect.DeepEqual(rec2.Metadata, rec.Metadata) {
			t.Fatalf("%s %s\nis %+v, and written and read again %+v, %v", data, metadata, rec, rec2, err)
		}
		third, err := c.Encode(ctx, rec2.Metadata, rec2.Event)
		if err != nil || !bytes.Equal(third[0].Data, again[0].Data) || !bytes.Equal(third[0].Metadata, again[0].Metadata) {
			t.Fatalf("%s is written as %s and then as %s, %v", data, again[0].Data, third[0].Data, err)
		}
	})
}

// noKeys seals nothing, so that any sealed bytes open.
type noKeys struct{}

func (noKeys) Seal(_ context.Context, _ domain.UserID, text []byte) ([]byte, error) { return text, nil }

func (noKeys) Open(_ context.Context, _ domain.UserID, sealed []byte) ([]byte, bool, error) {
	return sealed, true, nil
}
