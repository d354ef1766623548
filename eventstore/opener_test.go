package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestOpening(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("a broken text of an event is an error, one of its metadata reveals nothing", func(t *testing.T) {
		t.Parallel()
		c := newCodec(t, storetest.Keys())
		broken := func(stored []byte, from string) []byte { // a digit of the base64 behind from becomes another
			b := bytes.Clone(stored)
			at := bytes.Index(b, []byte(from)) + len(from) + 30
			b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
			return b
		}
		entries, err := c.Encode(ctx, meta(), titled{Title: example().Title})
		if err != nil {
			t.Fatal(err)
		}
		for name, stored := range map[string][]byte{"as it is written": entries[0].Data, "read the general way": append([]byte(" "), entries[0].Data...)} {
			raw := rawOf(entries[0])
			raw.Data = broken(stored, `"title":{"sealed":"`)
			if _, err := c.Decode(ctx, raw); !errors.Is(err, domain.ErrBroken) {
				t.Errorf("%s: a broken title: %v", name, err)
			}
			raw.Data = stored
			if rec, err := c.Decode(ctx, raw); err != nil || !rec.Event.(titled).Title.Same(example().Title) { //nolint:forcetypeassert // fails the test
				t.Errorf("%s: after a broken one, a good one is %v", name, err)
			}
		}
		raw := rawOf(entries[0])
		raw.Metadata = broken(raw.Metadata, `"address":{"sealed":"`)
		rec, err := c.Decode(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := rec.Metadata.Address.Reveal(); ok || text != "" || rec.Metadata.Address.Same(meta().Address) || rec.Metadata.Address.Erased() {
			t.Errorf("a broken address reveals %q, %v", text, ok)
		}
		if !rec.Event.(titled).Title.Same(example().Title) { //nolint:forcetypeassert // fails the test
			t.Error("the title beside a broken address is lost")
		}
	})

	t.Run("what is decoded after the key was destroyed is erased, and written again as it was", func(t *testing.T) {
		t.Parallel()
		keys := storetest.Keys()
		c := newCodec(t, keys)
		entries, err := c.Encode(ctx, meta(), example())
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // nothing of the keys is kept from one batch to the next
			if _, err := c.Decode(ctx, rawOf(entries[0])); err != nil {
				t.Fatal(err)
			}
		}
		before, err := c.Decode(ctx, rawOf(entries[0]))
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Destroy(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if !before.Metadata.Address.Same(meta().Address) {
			t.Error("what was decoded before changed")
		}
		after, err := c.DecodeAll(ctx, []eventstore.Raw{rawOf(entries[0])})
		if err != nil || !after[0].Metadata.Address.Erased() || !after[0].Event.(noted).Title.Erased() { //nolint:forcetypeassert // fails the test
			t.Errorf("decoded afterwards: %+v, %v", after[0], err)
		}
		again, err := c.Encode(ctx, after[0].Metadata, after[0].Event)
		if err != nil || !bytes.Equal(again[0].Metadata, entries[0].Metadata) || !bytes.Equal(again[0].Data, entries[0].Data) {
			t.Errorf("written again: %v\n%s\n%s", err, again[0].Metadata, entries[0].Metadata)
		}
	})

	t.Run("the keys of a batch are asked for together", func(t *testing.T) {
		t.Parallel()
		const subjects = 300
		keys := &countedKeys{MemoryKeys: storetest.Keys()}
		c := newCodec(t, keys)
		var raws []eventstore.Raw
		for i := range subjects {
			subject := domain.UserID(fmt.Sprintf("subject %d", i))
			m := meta()
			m.Address = domain.NewPersonal(subject, "192.0.2.1")
			entries, err := c.Encode(ctx, m, noted{Title: domain.NewPersonal(subject, "x")})
			if err != nil {
				t.Fatal(err)
			}
			raws = append(raws, rawOf(entries[0]))
		}
		if _, err := c.DecodeAll(ctx, raws); err != nil {
			t.Fatal(err)
		}
		if n := keys.ahead.Load(); n != subjects {
			t.Errorf("of %d subjects, %d were told ahead", subjects, n)
		}
		if n := keys.asked.Load(); n != subjects {
			t.Errorf("%d subjects were asked for %d times", subjects, n)
		}
		keys.err = errors.New("away")
		if _, err := c.DecodeAll(ctx, raws); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("keys that do not answer: %v", err)
		}
		if _, err := c.Decode(ctx, raws[0]); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("keys that do not answer: %v", err)
		}
	})
}

type countedKeys struct {
	*storetest.MemoryKeys
	asked, ahead atomic.Int64
	err          error
}

func (k *countedKeys) Subject(ctx context.Context, s domain.UserID, ahead func() []domain.UserID) (domain.SubjectKeys, error) {
	if k.err != nil {
		return nil, k.err
	}
	k.asked.Add(1)
	k.ahead.Store(int64(len(ahead())))
	return k.MemoryKeys.Subject(ctx, s, nil)
}
