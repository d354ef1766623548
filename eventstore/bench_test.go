package eventstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

// BenchmarkDecode decodes an event with one sealed text in its data and two in its metadata, on one core.
func BenchmarkDecode(b *testing.B) {
	ctx := context.Background()
	c := newCodec(b, storetest.Keys())
	id := uuid.NewString()
	p := func(s string) domain.Personal { return domain.NewPersonal(domain.UserID(id), s) }
	m := meta()
	m.Actor.ID = domain.UserID(id)
	m.Address, m.UserAgent = p("203.0.113.42"), p("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	entries, err := c.Encode(ctx, m, titled{Title: p("Grandma's 80th birthday, picture 17"), Tags: []domain.Personal{}})
	if err != nil {
		b.Fatal(err)
	}
	raw := rawOf(entries[0])
	b.Run(fmt.Sprint(len(raw.Data)+len(raw.Metadata), " bytes"), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Decode(ctx, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Encode(ctx, m, titled{Title: p("Grandma's 80th birthday, picture 17"), Tags: []domain.Personal{}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// titled is of the shape of most events of a vault.
type titled struct {
	Title       domain.Personal   `json:"title,omitzero"`
	Description domain.Personal   `json:"description,omitzero"`
	Tags        []domain.Personal `json:"tags,omitempty"`
}

func (titled) EventType() string { return "test.titled" }

var _ eventstore.Keys = (*storetest.MemoryKeys)(nil)
