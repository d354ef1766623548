package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

type digest string

func (d *digest) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	parsed, err := domain.ParseDigest(s)
	*d = digest(parsed)
	return err
}

type shared struct {
	Note string `json:"note"`
}

type order struct {
	shared
	Title       *string               `json:"title"`
	Count       uint8                 `json:"count"`
	Permissions []string              `json:"permissions"`
	With        struct{ User string } `json:"with"`
	ExpiresAt   *time.Time            `json:"expires_at"`
	Sum         digest                `json:"sum"`
	Tags        map[string]int        `json:"tags"`
	Any         any                   `json:"any"`
	hidden      string
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return r
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body  string
		want  *domain.Refusal
		field string
		says  string
	}{
		"nothing":                       {"", web.ErrNoBody, "", ""},
		"blanks":                        {" \n", web.ErrNoBody, "", ""},
		"not JSON":                      {"title=x", web.ErrSyntax, "", ""},
		"cut off":                       {`{"title":"x"`, web.ErrSyntax, "", "in the middle"},
		"trailing data":                 {`{} {}`, web.ErrSyntax, "", "after the end"},
		"trailing garbage":              {`{}]`, web.ErrSyntax, "", ""},
		"bytes that are not UTF-8":      {"{\"note\":\"\xff\"}", web.ErrSyntax, "", "UTF-8"},
		"another kind of value":         {`[]`, web.ErrWrongType, "", "an object with the fields"},
		"null":                          {`null`, web.ErrWrongType, "", ""},
		"an unknown field":              {`{"titel":"x"}`, web.ErrNoSuchField, "titel", "accepted here: any, count"},
		"another spelling":              {`{"Title":"x"}`, web.ErrNoSuchField, "Title", ""},
		"a field that is not exported":  {`{"hidden":"x"}`, web.ErrNoSuchField, "hidden", ""},
		"an unknown field inside":       {`{"with":{"user":"x"}}`, web.ErrNoSuchField, "with.user", "User"},
		"the same field twice":          {`{"count":1,"count":2}`, web.ErrTwice, "count", ""},
		"twice by an escape":            {`{"count":1,"co\u0075nt":2}`, web.ErrTwice, "count", ""},
		"twice where anything goes":     {`{"any":{"a":[{"b":1,"b":2}]}}`, web.ErrTwice, "any.a[0].b", ""},
		"a number for text":             {`{"title":7}`, web.ErrWrongType, "title", "a string"},
		"text for a number":             {`{"count":"7"}`, web.ErrWrongType, "count", "a whole number"},
		"a number too large":            {`{"count":256}`, web.ErrWrongType, "count", "8 bits"},
		"a fraction":                    {`{"count":1.5}`, web.ErrWrongType, "count", ""},
		"null where nothing is a value": {`{"count":null}`, web.ErrWrongType, "count", "null"},
		"null for a list":               {`{"permissions":null}`, web.ErrWrongType, "permissions", "null"},
		"an item of another type":       {`{"permissions":["view",3]}`, web.ErrWrongType, "permissions[1]", "a string"},
		"an object for a list":          {`{"permissions":{}}`, web.ErrWrongType, "permissions", "a list"},
		"a value of a map":              {`{"tags":{"a":1,"b":true}}`, web.ErrWrongType, "tags.b", ""},
		"not a time":                    {`{"expires_at":"tomorrow"}`, web.ErrWrongType, "expires_at", "RFC 3339"},
		"an object for a time":          {`{"expires_at":{"a":1}}`, web.ErrWrongType, "expires_at", ""},
		"a type of its own":             {`{"sum":"abc"}`, domain.ErrInvalid, "sum", "64 hexadecimal digits"},
		"too deep":                      {`{"any":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, web.ErrTooDeep, "", ""},
		"deep enough to break a stack":  {`{"any":` + strings.Repeat(`{"a":`, 100_000), web.ErrTooDeep, "", ""},
		"too large":                     {`{"note":"` + strings.Repeat("x", 1<<20) + `"}`, web.ErrTooLarge, "", "1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := web.Decode[order](post(test.body), 1<<20)
			refusal, ok := domain.AsRefusal(err)
			if !ok || !errors.Is(err, test.want) || !strings.Contains(refusal.Detail, test.says) {
				t.Fatalf("%v", err)
			}
			if test.field != "" && refusal.Field != test.field {
				t.Errorf("field %q", refusal.Field)
			}
		})
	}
	t.Run("what is accepted arrives", func(t *testing.T) {
		t.Parallel()
		got, err := web.Decode[order](post(`{"note":"n","title":null,"count":255,"permissions":["view"],"with":{"User":"bob"},
			"expires_at":"2026-01-02T15:04:05+01:00","sum":"`+strings.Repeat("A", 64)+`","tags":{"a":1},"any":{"x":[1,null]}}`), 1<<20)
		if err != nil || got.Note != "n" || got.Title != nil || got.Count != 255 || got.Permissions[0] != "view" || got.With.User != "bob" ||
			got.ExpiresAt.UTC().Hour() != 14 || got.Sum != digest(strings.Repeat("a", 64)) || got.Tags["a"] != 1 || got.Any == nil || got.hidden != "" {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("only JSON is JSON", func(t *testing.T) {
		t.Parallel()
		for contentType, ok := range map[string]bool{
			"application/json": true, "application/merge-patch+json": true, "": false, "text/plain": false, "application/json; charset=latin1": false,
			"application/x-www-form-urlencoded": false, "multipart/form-data; boundary=x": false, "application/json; charset": false, "application/json-patch+json": false,
		} {
			r := post(`{}`)
			r.Header.Set("Content-Type", contentType)
			if _, err := web.Decode[order](r, 100); (err == nil) != ok || err != nil && !errors.Is(err, web.ErrNotJSON) {
				t.Errorf("%q: %v", contentType, err)
			}
		}
	})
}

func TestACompressedBodyIsNotTaken(t *testing.T) {
	t.Parallel()
	for encoding, refused := range map[string]bool{"": false, "identity": false, "gzip": true, "br": true} {
		r := post(`{}`)
		r.Header.Set("Content-Encoding", encoding)
		if _, err := web.Decode[order](r, 100); errors.Is(err, web.ErrEncoding) != refused {
			t.Errorf("%q: %v", encoding, err)
		}
	}
}

func TestABodyThatNeverEndsCostsItsLimit(t *testing.T) {
	t.Parallel()
	endless := &counting{}
	r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(endless))
	r.Header.Set("Content-Type", "application/json")
	if _, err := web.Decode[order](r, 1<<10); !errors.Is(err, web.ErrTooLarge) || endless.read > 1<<16 {
		t.Errorf("%v after %d bytes", err, endless.read)
	}
}

type counting struct{ read int }

func (c *counting) Read(p []byte) (int, error) {
	c.read += len(p)
	return copy(p, bytes.Repeat([]byte("["), len(p))), nil
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"note":"n","count":1}`, `{"any":[[{"a":null}]]}`, `{"tags":{"a":1}}`, "\xff", `{"with":{"User":"x"}} `, `{"sum":"x"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := web.Decode[order](post(body), 1<<16)
		if err != nil {
			if _, ok := domain.AsRefusal(err); !ok {
				t.Fatalf("%q: %v is a fault", body, err)
			}
			return
		}
		// What was accepted means the same to the standard library.
		var want order
		dec := json.NewDecoder(strings.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: accepted as %+v, but %v", body, got, err)
		}
	})
}
