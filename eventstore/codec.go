package eventstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/mediavault-io/mediavault/domain"
)

// ErrUnknownType is an event of a type that the codec was not told of.
var ErrUnknownType = errors.New("unknown event type")

// Keys seals and opens personal text under the key of its subject. adapters/keys implements it.
type Keys interface {
	// Seal encrypts text under the subject's key, making the key durable first if there is none. Sealing for a subject
	// whose key was destroyed fails with domain.ErrForgotten.
	Seal(ctx context.Context, subject domain.UserID, text []byte) ([]byte, error)
	// Open decrypts; false when the subject's key was destroyed. domain.ErrBroken when it cannot be opened, now or
	// ever; every other error is taken for a neighbour that does not answer.
	Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error)
}

// Codec turns events into stored bytes and back.
//
// Stored bytes are canonical JSON (RFC 8785: keys sorted, no blanks, nothing escaped without need), but for integers, which
// keep all their digits. Reading is strict: a member that the event does not have, a member that comes twice and a newer
// schema are errors, because to read on would silently drop a part of a fact. So programs that read are deployed before
// programs that write new members.
type Codec struct {
	keys     Keys
	types    map[string]*eventType
	metadata *plan
	decoder  fastDecoder // of metadata
	encoder  fastEncoder // of metadata
}

type eventType struct {
	domain.Type
	plan      *plan
	decoder   fastDecoder // nil: only the general one
	encoder   fastEncoder // likewise
	upcasters []upcaster  // entry i leads from schema i+1
}

// storedMetadata is what stands in an entry's Metadata.
type storedMetadata struct {
	Metadata
	Schema int `json:"schema,omitempty"` // of the data; missing is 1
}

// NewCodec makes a codec that knows the types, in the stored shapes that upcasters lead up to. Each type's upcasters are
// given in the order of their shapes.
func NewCodec(keys Keys, types []domain.Type, upcasters ...Upcaster) (*Codec, error) {
	meta := reflect.TypeFor[storedMetadata]()
	c := &Codec{keys: keys, types: make(map[string]*eventType, len(types)), decoder: fastOf(meta), encoder: fastEncoderOf(meta)}
	for _, t := range types {
		if _, twice := c.types[t.Name]; twice || t.Name == "" || t.Go.Kind() != reflect.Struct {
			return nil, fmt.Errorf("event type %q (%s): needs a name of its own, and to be a struct", t.Name, t.Go)
		}
		p, err := planOf(t.Go, t.Name, 0)
		if err != nil {
			return nil, err
		}
		c.types[t.Name] = &eventType{Type: t, plan: p, decoder: fastOf(t.Go), encoder: fastEncoderOf(t.Go)}
	}
	var err error
	if c.metadata, err = planOf(meta, "metadata", 0); err != nil {
		return nil, err
	}
	return c, arrange(c.types, upcasters)
}

// Encode seals and encodes the events of one command; entry i gets meta.EventID(i). The events themselves stay as they are.
func (c *Codec) Encode(ctx context.Context, meta Metadata, events ...domain.Event) ([]Entry, error) {
	stored := storedMetadata{Metadata: meta}
	if err := c.seal(ctx, c.metadata, reflect.ValueOf(&stored).Elem()); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	encoded := make(map[int][]byte, 1) // by schema
	entries := make([]Entry, len(events))
	for i, event := range events {
		name := event.EventType()
		t, ok := c.types[name]
		if !ok || reflect.TypeOf(event) != t.Go {
			return nil, fmt.Errorf("%w: %s (%T)", ErrUnknownType, name, event)
		}
		v := reflect.New(t.Go).Elem()
		v.Set(reflect.ValueOf(event))
		t.plan.detach(v)
		if err := c.seal(ctx, t.plan, v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		data, err := canonical(t.encoder, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		schema := t.schema()
		if _, ok := encoded[schema]; !ok {
			if stored.Schema = 0; schema > 1 {
				stored.Schema = schema
			}
			if encoded[schema], err = canonical(c.encoder, reflect.ValueOf(&stored).Elem()); err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
		}
		entries[i] = Entry{ID: meta.EventID(i), Type: name, Data: data, Metadata: encoded[schema]}
	}
	return entries, nil
}

func (c *Codec) seal(ctx context.Context, p *plan, v reflect.Value) error {
	return p.visit(v, func(text *domain.Personal) error {
		sealed, err := text.Seal(func(subject domain.UserID, text []byte) ([]byte, error) {
			sealed, err := c.keys.Seal(ctx, subject, text)
			return sealed, keysFault(ctx, err)
		})
		*text = sealed
		return err
	})
}

// Decode upcasts, decodes and opens one event. An unknown type is an error (ErrUnknownType).
func (c *Codec) Decode(ctx context.Context, raw Raw) (Recorded, error) {
	rec := Recorded{
		Position: raw.Position, Stream: raw.Stream, Revision: raw.Revision, ID: raw.ID, Type: raw.Type, At: raw.At,
		Size: len(raw.Data) + len(raw.Metadata),
	}
	if err := c.decode(newOpener(ctx, c.keys, 0), raw, &rec); err != nil {
		return rec, fmt.Errorf("event %d (%s) of %s at position %d: %w", raw.Revision, raw.Type, raw.Stream, raw.Position, err)
	}
	return rec, nil
}

func (c *Codec) decode(o *opener, raw Raw, rec *Recorded) error {
	t, ok := c.types[raw.Type]
	if !ok {
		return ErrUnknownType
	}
	var stored storedMetadata
	v := reflect.ValueOf(&stored).Elem()
	if err := unmarshal(c.decoder, &o.memory, raw.Metadata, v); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := c.metadata.visit(v, o.visit); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	data, err := t.upcast(stored.Schema, raw.Data)
	if err != nil {
		return err
	}
	event, err := t.Decode(func(into any) error {
		v := reflect.ValueOf(into).Elem()
		if err := unmarshal(t.decoder, &o.memory, data, v); err != nil {
			return err
		}
		return t.plan.visit(v, o.visit)
	})
	if err != nil {
		return err
	}
	rec.Metadata, rec.Event = stored.Metadata, event
	return nil
}

// opener opens personal texts, and remembers that a key could not be asked for: that is no fault of the event. One goroutine
// uses it, for one call.
type opener struct {
	ctx    context.Context //nolint:containedctx // it lives for one call
	keys   Keys
	fault  error
	visit  func(*domain.Personal) error
	open   func(domain.UserID, []byte) ([]byte, bool, error)
	memory memory
}

func newOpener(ctx context.Context, keys Keys, block int) *opener {
	o := &opener{ctx: ctx, keys: keys, memory: memory{size: block}}
	o.open = func(subject domain.UserID, sealed []byte) ([]byte, bool, error) {
		text, ok, err := o.keys.Open(o.ctx, subject, sealed)
		if err = keysFault(o.ctx, err); err != nil && !errors.Is(err, domain.ErrBroken) {
			o.fault = err
		}
		return text, ok, err
	}
	o.visit = func(text *domain.Personal) error {
		opened, err := text.Open(o.open)
		if err == nil {
			*text = opened
		}
		return err
	}
	return o
}

// keysFault tells what is said about the text from keys that do not answer.
func keysFault(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, domain.ErrBroken) || errors.Is(err, domain.ErrForgotten) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// DecodeAll decodes a batch, in order, on as many cores as help. What cannot be decoded comes with Undecodable set; the error
// is a neighbour that did not answer, and says nothing about the events.
func (c *Codec) DecodeAll(ctx context.Context, raws []Raw) ([]Recorded, error) {
	const share = 64 // events that are worth another goroutine
	recs := make([]Recorded, len(raws))
	workers := min(runtime.GOMAXPROCS(0), (len(raws)+share-1)/share)
	if workers <= 1 {
		return recs, c.decodeRange(ctx, raws, recs)
	}
	var (
		next   atomic.Int64
		group  sync.WaitGroup
		faults = make([]error, workers)
	)
	work := func(w int) {
		for faults[w] == nil {
			to := int(next.Add(share))
			from := to - share
			if from >= len(raws) {
				return
			}
			to = min(to, len(raws))
			faults[w] = c.decodeRange(ctx, raws[from:to], recs[from:to])
		}
	}
	for w := 1; w < workers; w++ {
		group.Go(func() { work(w) })
	}
	work(0)
	group.Wait()
	return recs, errors.Join(faults...)
}

func (c *Codec) decodeRange(ctx context.Context, raws []Raw, recs []Recorded) error {
	o := newOpener(ctx, c.keys, 8<<10)
	for i, raw := range raws {
		recs[i] = Recorded{
			Position: raw.Position, Stream: raw.Stream, Revision: raw.Revision, ID: raw.ID, Type: raw.Type, At: raw.At,
			Size: len(raw.Data) + len(raw.Metadata),
		}
		if err := c.decode(o, raw, &recs[i]); err != nil {
			if o.fault != nil {
				return o.fault
			}
			recs[i].Undecodable = err
		}
	}
	return nil
}

// The options in which stored JSON is what encoding/json writes and reads, but for escaping and for being strict.
func options() json.Options {
	return json.JoinOptions(
		json.Deterministic(true),
		json.FormatNilSliceAsNull(true),
		json.FormatNilMapAsNull(true),
		json.RejectUnknownMembers(true),
		jsonv1.OmitEmptyWithLegacySemantics(true),
		jsonv1.FormatDurationAsNano(true),
		jsonv1.FormatByteArrayAsArray(true),
	)
}

var (
	jsonOptions      = options()
	canonicalOptions = []jsontext.Options{
		jsontext.ReorderRawObjects(true), jsontext.CanonicalizeRawFloats(true), jsontext.CanonicalizeRawInts(false),
	}
)

func canonical(fast fastEncoder, from reflect.Value) ([]byte, error) {
	if fast != nil {
		if data, ok := fast(make([]byte, 0, 512), from); ok {
			return data, nil
		}
	}
	data, err := json.Marshal(from.Addr().Interface(), jsonOptions)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(data)
	if err := value.Format(canonicalOptions...); err != nil {
		return nil, err
	}
	return value, nil
}

func unmarshal(fast fastDecoder, m *memory, data []byte, into reflect.Value) error {
	if fastUnmarshal(fast, m, data, into) {
		return nil
	}
	into.SetZero()
	return json.Unmarshal(data, into.Addr().Interface(), jsonOptions)
}
