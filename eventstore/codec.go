package eventstore

import (
	"context"

	"github.com/mediavault-io/mediavault/domain"
)

// Keys seals and opens personal text under the key of its subject. adapters/keys implements it.
type Keys interface {
	// Seal encrypts text under the subject's key, making the key durable first if there is none. Sealing for a subject
	// whose key was destroyed fails.
	Seal(ctx context.Context, subject domain.UserID, text []byte) ([]byte, error)
	// Open decrypts; false when the subject's key was destroyed.
	Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error)
}

// Codec turns events into stored bytes and back.
type Codec struct{}

// NewCodec makes a codec that knows the types, in the stored shapes that upcasters lead up to.
func NewCodec(keys Keys, types []domain.Type, upcasters ...Upcaster) (*Codec, error) {
	panic("building")
}

// Upcaster turns one old stored shape into the next.
type Upcaster struct {
	Type string
}

// Encode seals and encodes the events of one command; entry i gets meta.EventID(i).
func (c *Codec) Encode(ctx context.Context, meta Metadata, events ...domain.Event) ([]Entry, error) {
	panic("building")
}

// Decode upcasts, decodes and opens one event. An unknown type is an error (ErrUnknownType).
func (c *Codec) Decode(ctx context.Context, raw Raw) (Recorded, error) { panic("building") }

// DecodeAll decodes a batch, in order, on as many cores as help. What cannot be decoded comes with Undecodable set.
func (c *Codec) DecodeAll(ctx context.Context, raws []Raw) []Recorded { panic("building") }
