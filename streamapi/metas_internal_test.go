package streamapi

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
)

func write(t *testing.T, log eventstore.Log, stream eventstore.Stream, typ, data string) eventstore.Raw {
	t.Helper()
	r, err := log.Append(t.Context(), stream, eventstore.Any, eventstore.Entry{ID: uuid.New(), Type: typ, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return eventstore.Raw{Stream: stream, Type: typ, Data: []byte(data), Revision: r.Revision, Position: r.Position}
}

func TestWhatWasSaidOfMoreStreamsThanAreRememberedIsReadAgain(t *testing.T) {
	t.Parallel()
	const streams, most = 3000, 64 << 10
	log := memory.New()
	t.Cleanup(log.Close)
	m := newMetas(log, most)
	var said []eventstore.Raw
	for i := range streams {
		stream := eventstore.Stream(fmt.Sprint("app-", i))
		write(t, log, stream, "e", "{}")
		said = append(said, write(t, log, "$$"+stream, typeMetadata, fmt.Sprintf(`{"$maxCount":%d,"$acl":{"$r":["reader-%d"]}}`, i+1, i)))
		if i%3 == 0 {
			said = append(said, write(t, log, stream, typeDeleted, ""))
		}
		if i%5 == 0 { // somebody went on, not having heard of it
			write(t, log, stream, "e", "{}")
			write(t, log, "$$"+stream, "note", "{}")
		}
	}
	check := func(when string) {
		t.Helper()
		for i := range streams {
			got, err := m.of(t.Context(), eventstore.Stream(fmt.Sprint("app-", i)))
			if err != nil {
				t.Fatal(err)
			}
			isClosed := i%3 == 0 && (m.whole || i%5 != 0) // until all was gathered it is looked for at a stream's end alone
			if got.maxCount != int64(i+1) || len(got.acl.Read) != 1 || got.acl.Read[0] != fmt.Sprint("reader-", i) || (got.closed > 0) != isClosed {
				t.Fatalf("%s, stream %d: %+v", when, i, got)
			}
			if got, err := m.of(t.Context(), eventstore.Stream(fmt.Sprint("other-", i))); err != nil || got != noMeta {
				t.Fatalf("%s, of a stream about which nothing was said: %+v, %v", when, got, err)
			}
		}
		size := 0
		for _, list := range []map[eventstore.Stream]*meta{m.young, m.old} {
			for stream, known := range list {
				size += known.size(stream)
			}
		}
		if size > most+most/10 {
			t.Errorf("%s: %d bytes are remembered, and %d may be", when, size, most)
		}
	}
	check("before anything was heard")
	for _, raw := range said {
		m.take(raw)
	}
	m.gathered()
	check("once all was heard")
	check("once more")
}

// overtaken is a log of which, while the metadata of a stream are being read, others are written and heard of.
type overtaken struct {
	eventstore.Log
	during func()
}

func (l *overtaken) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	events := l.Log.ReadStream(ctx, stream, r)
	return func(yield func(eventstore.Raw, error) bool) {
		for raw, err := range events {
			if f := l.during; f != nil && stream == "$$app-1" {
				l.during = nil
				f()
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

func TestWhatIsSaidWhileItIsBeingReadIsNotForgotten(t *testing.T) {
	t.Parallel()
	log := &overtaken{Log: memory.New()}
	m := newMetas(log, knownMetas)
	m.take(write(t, log, "$$app-1", typeMetadata, `{"$maxCount":1}`))
	m.gathered()
	m.young = map[eventstore.Stream]*meta{} // it was long ago
	log.during = func() { m.take(write(t, log, "$$app-1", typeMetadata, `{"$maxCount":2}`)) }
	for range 2 {
		if got, err := m.of(t.Context(), "app-1"); err != nil || got.maxCount != 2 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	m.take(write(t, log, "app-1", typeDeleted, ""))
	if got, err := m.of(t.Context(), "app-1"); err != nil || got.maxCount != 2 || got.closed == 0 {
		t.Errorf("once it is closed: %+v, %v", got, err)
	}
}

func TestMarksSeldomGuessWrongly(t *testing.T) {
	t.Parallel()
	m := newMarks()
	const streams = 1_000_000
	for i := range streams {
		m.add(said, eventstore.Stream(fmt.Sprint("app-", i)))
	}
	wrong := 0
	for i := range streams {
		if !m.has(said, eventstore.Stream(fmt.Sprint("app-", i))) {
			t.Fatal("one that is there is missed")
		}
		if m.has(said, eventstore.Stream(fmt.Sprint("other-", i))) {
			wrong++
		}
		if m.has(closed, eventstore.Stream(fmt.Sprint("app-", i))) {
			wrong++
		}
	}
	if wrong > 2*streams/2000 {
		t.Errorf("%d of %d guesses are wrong", wrong, 2*streams)
	}
}
