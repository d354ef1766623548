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
	encoder  fastEncoder // of metadata
	idle     sync.Pool   // of *opener
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
	c := &Codec{keys: keys, types: make(map[string]*eventType, len(types)), encoder: fastEncoderOf(meta)}
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
	var rec Recorded
	one := [1]Raw{raw}
	o := c.opener(ctx, one[:], nil)
	defer c.release(o)
	if err := c.decode(o, &one[0], &rec); err != nil {
		return rec, fmt.Errorf("event %d (%s) of %s at position %d: %w", raw.Revision, raw.Type, raw.Stream, raw.Position, err)
	}
	return rec, nil
}

// decode fills rec, which is zero.
func (c *Codec) decode(o *opener, raw *Raw, rec *Recorded) error {
	rec.Position, rec.Stream, rec.Revision, rec.ID, rec.Type, rec.At = raw.Position, raw.Stream, raw.Revision, raw.ID, raw.Type, raw.At
	rec.Size = len(raw.Data) + len(raw.Metadata)
	t, ok := c.types[raw.Type]
	if !ok {
		return ErrUnknownType
	}
	var meta Metadata
	schema, err := c.decodeMetadata(o, raw.Metadata, &meta)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	data, err := t.upcast(schema, raw.Data)
	if err != nil {
		return err
	}
	place := o.place(t)
	if !fastUnmarshal(t.decoder, o, data, place.value) {
		place.value.SetZero()
		if err = o.err(); err == nil {
			err = json.Unmarshal(data, place.value.Addr().Interface(), jsonOptions)
		}
		if err == nil {
			err = t.plan.visit(place.value, o.open)
		}
		if err != nil {
			place.value.SetZero()
			return err
		}
	}
	rec.Metadata, rec.Event = meta, place.take()
	return nil
}

// decodeMetadata answers the schema of the data.
func (c *Codec) decodeMetadata(o *opener, data []byte, meta *Metadata) (int, error) {
	if schema, ok := fastMetadata(o, data, meta); ok {
		return schema, nil
	} else if err := o.err(); err != nil {
		return 0, err
	}
	var stored storedMetadata
	if err := json.Unmarshal(data, &stored, jsonOptions); err != nil {
		return 0, err
	}
	if err := c.metadata.visit(reflect.ValueOf(&stored).Elem(), o.openLater); err != nil {
		return 0, err
	}
	*meta = stored.Metadata
	return stored.Schema, nil
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
	recs := make([]Recorded, len(raws))
	return recs, c.decodeAll(ctx, raws, recs)
}

// decodeAll decodes into recs, which are zero.
func (c *Codec) decodeAll(ctx context.Context, raws []Raw, recs []Recorded) error {
	const share = 64 // events that are worth another goroutine
	subjects := sync.OnceValue(func() []domain.UserID { return subjectsOf(raws) })
	workers := min(runtime.GOMAXPROCS(0), (len(raws)+share-1)/share)
	if workers <= 1 {
		o := c.opener(ctx, raws, subjects)
		defer c.release(o)
		return c.decodeRange(o, raws, recs)
	}
	var (
		next   atomic.Int64
		group  sync.WaitGroup
		faults = make([]error, workers)
	)
	work := func(w int) {
		o := c.opener(ctx, raws, subjects)
		defer c.release(o)
		for faults[w] == nil {
			to := int(next.Add(share))
			from := to - share
			if from >= len(raws) {
				return
			}
			to = min(to, len(raws))
			faults[w] = c.decodeRange(o, raws[from:to], recs[from:to])
		}
	}
	for w := 1; w < workers; w++ {
		group.Go(func() { work(w) })
	}
	work(0)
	group.Wait()
	return errors.Join(faults...)
}

func (c *Codec) decodeRange(o *opener, raws []Raw, recs []Recorded) error {
	for i := range raws {
		if err := c.decode(o, &raws[i], &recs[i]); err != nil {
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
