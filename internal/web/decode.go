package web

import (
	"bufio"
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// maxDepth bounds how deeply a JSON body may nest.
const maxDepth = 32

// The refusals of Decode. Invalid ones name the field by its path, such as permissions[1].
var (
	ErrNotJSON     = domain.Refuse(domain.Unsupported, "not_json", "the body must be JSON: send Content-Type: application/json").On("Content-Type")
	ErrEncoding    = domain.Refuse(domain.Unsupported, "encoding_not_accepted", "a body must not be compressed: send the bytes as they are")
	ErrNoBody      = domain.Refuse(domain.Invalid, "body_missing", "a JSON body is needed").On("body")
	ErrSyntax      = domain.Refuse(domain.Invalid, "json_syntax", "the body is not well-formed JSON")
	ErrWrongType   = domain.Refuse(domain.Invalid, "wrong_type", "the value is of another type than is accepted")
	ErrNoSuchField = domain.Refuse(domain.Invalid, "unknown_field", "there is no such field")
	ErrTwice       = domain.Refuse(domain.Invalid, "duplicate_field", "the field is given twice")
	ErrTooDeep     = domain.Refuse(domain.Invalid, "too_deep", fmt.Sprintf("the body nests deeper than %d levels", maxDepth))
)

// Decode reads the JSON body, at most limit bytes of it, into a T. It is strict, so that a client's mistake is told and never
// guessed at: unknown and repeated fields, another spelling of a field, wrong types, trailing data and bytes that are not UTF-8
// are refused, and so is null where the field has no place for it.
func Decode[T any](r *http.Request, limit int64) (T, error) {
	var v T
	if err := requireJSON(r); err != nil {
		return v, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return v, fmt.Errorf("read body: %w", err)
	case int64(len(body)) > limit:
		return v, ErrTooLarge.Because(fmt.Sprintf("the body is larger than the %d bytes that are accepted here", limit))
	case len(bytes.TrimSpace(body)) == 0:
		return v, ErrNoBody
	case !utf8.Valid(body):
		return v, ErrSyntax.Because("the body is not valid UTF-8")
	}
	c := &checker{body: body, dec: json.NewDecoder(bytes.NewReader(body))}
	c.dec.UseNumber()
	if err := c.value(reflect.TypeFor[T](), "", 0); err != nil {
		return v, err
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return v, ErrSyntax.Because("there is more after the end of the JSON value")
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, unreadable(err)
	}
	return v, nil
}

// Perhaps is Decode where no body is needed; nothing at all is the zero T. An empty struct for a T takes none: what is said in a
// body that nobody reads would be lost.
func Perhaps[T any](r *http.Request, limit int64) (T, error) {
	var zero T
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return zero, nil
	}
	body := bufio.NewReader(r.Body)
	if _, err := body.Peek(1); err == io.EOF { //nolint:errorlint // an EOF that is wrapped is a body that was cut
		return zero, nil
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	return Decode[T](r, limit)
}

// unreadable is what remains when a body passed every check and still cannot be read.
func unreadable(err error) error {
	if refusal, ok := domain.AsRefusal(err); ok {
		return refusal
	}
	return ErrSyntax.Because("the body cannot be read: " + printable(err.Error(), 200))
}

func requireJSON(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return ErrNoBody
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/merge-patch+json" {
		return ErrNotJSON
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return ErrNotJSON.Because("JSON is UTF-8; no other charset is accepted")
	}
	return Plain(r)
}

// Plain refuses a body that was compressed on its way.
func Plain(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return ErrEncoding.On("Content-Encoding")
	}
	return nil
}

// checker walks a body along the Go type that it is meant for, so that every complaint can name the place.
type checker struct {
	body []byte
	dec  *json.Decoder
}

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType            = reflect.TypeFor[time.Time]()
)

// value checks the next value against t; a nil t accepts anything well-formed.
func (c *checker) value(t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return ErrTooDeep.On(path)
	}
	start := c.dec.InputOffset()
	token, err := c.dec.Token()
	if err != nil {
		return syntax(err, path)
	}
	nullable := t == nil
	for t != nil && t.Kind() == reflect.Pointer && !own(t) {
		t, nullable = t.Elem(), true
	}
	leaf := t != nil && own(t)
	switch token {
	case json.Delim('{'):
		err = c.object(t, leaf, path, depth)
	case json.Delim('['):
		err = c.list(t, leaf, path, depth)
	case nil:
		if nullable || leaf || t.Kind() == reflect.Interface {
			return nil
		}
		return ErrWrongType.On(path).Because("null is not accepted; accepted is " + describe(t))
	default:
		leaf = t != nil
	}
	if err != nil || !leaf || t.Kind() == reflect.Interface {
		return err
	}
	raw := bytes.TrimLeft(c.body[start:c.dec.InputOffset()], " \t\r\n:,")
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		if refusal, ok := domain.AsRefusal(err); ok {
			return refusal.On(path)
		}
		return ErrWrongType.On(path).Because("accepted is " + describe(t))
	}
	return nil
}

func (c *checker) object(t reflect.Type, leaf bool, path string, depth int) error {
	var fields map[string]reflect.Type
	var each reflect.Type
	switch {
	case t == nil || leaf || t.Kind() == reflect.Interface:
	case t.Kind() == reflect.Struct:
		fields = fieldsOf(t)
	case t.Kind() == reflect.Map:
		each = t.Elem()
	default:
		return ErrWrongType.On(path).Because("accepted is " + describe(t))
	}
	seen := map[string]bool{}
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return syntax(err, path)
		}
		name, ok := token.(string)
		if !ok {
			return ErrSyntax.On(path)
		}
		at := join(path, name)
		if seen[name] {
			return ErrTwice.On(at)
		}
		seen[name] = true
		inner := each
		if fields != nil {
			if inner, ok = fields[name]; !ok {
				return ErrNoSuchField.On(at).Because("there is no such field; accepted here: " + names(fields))
			}
		}
		if err := c.value(inner, at, depth+1); err != nil {
			return err
		}
	}
	_, err := c.dec.Token()
	return syntax(err, path)
}

func (c *checker) list(t reflect.Type, leaf bool, path string, depth int) error {
	var each reflect.Type
	switch {
	case t == nil || leaf || t.Kind() == reflect.Interface:
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8, t.Kind() == reflect.Array:
		each = t.Elem()
	default:
		return ErrWrongType.On(path).Because("accepted is " + describe(t))
	}
	for i := 0; c.dec.More(); i++ {
		if err := c.value(each, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := c.dec.Token()
	return syntax(err, path)
}

// own reports whether a type reads its own JSON, so that only it can say what it accepts.
func own(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(unmarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType) ||
		t.Implements(unmarshalerType) || t.Implements(textUnmarshalerType)
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			for n, ft := range fieldsOf(inner) {
				if _, shadowed := fields[n]; !shadowed {
					fields[n] = ft
				}
			}
		case !f.IsExported():
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	return fields
}

func names(fields map[string]reflect.Type) string {
	all := make([]string, 0, len(fields))
	for name := range fields {
		all = append(all, name)
	}
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func join(path, name string) string {
	name = printable(name, 64)
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(t reflect.Type) string {
	switch {
	case t == timeType:
		return "a time such as 2026-01-02T15:04:05Z (RFC 3339)"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		return fmt.Sprintf("a whole number, not negative, of at most %d bits", t.Bits())
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "a string in base64"
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		return "a list, each item " + describe(t.Elem())
	case t.Kind() == reflect.Struct && !own(t):
		return "an object with the fields " + names(fieldsOf(t))
	case t.Kind() == reflect.Pointer:
		return describe(t.Elem())
	default:
		return "an object"
	}
}

// Accepts says what JSON a T is read from, as the refusals of Decode do.
func Accepts[T any]() string { return describe(reflect.TypeFor[T]()) }

// syntax turns what the JSON scanner says into a refusal; nil stays nil.
func syntax(err error, path string) error {
	if err == nil {
		return nil
	}
	detail := "the body is not well-formed JSON"
	if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
		detail = fmt.Sprintf("the body is not well-formed JSON at byte %d: %s", at.Offset, printable(at.Error(), 100))
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		detail = "the body ends in the middle of a JSON value"
	}
	return ErrSyntax.On(path).Because(detail)
}
