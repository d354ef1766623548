package postgres

import (
	"errors"
	"io"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// TestALateReaderTakesNothingOfTheNextBatch reads on for a batch whose connection was lost, when the next is being written already.
func TestALateReaderTakesNothingOfTheNextBatch(t *testing.T) {
	t.Parallel()
	placed := func() *placing {
		p := newPlacing([]*request{{stream: "test-1", expected: eventstore.Any, entries: []eventstore.Entry{{ID: uuid.New(), Type: "test.happened"}}}})
		p.streams[0].written.revision = -1
		p.place(p.baseAt)
		return p
	}
	var rows copyRows
	late := rows.start(placed())
	rows.stop()
	next := rows.start(placed())
	if n, err := late.Read(make([]byte, 4096)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %d bytes of the next batch, %v", n, err)
	}
	if b, err := io.ReadAll(next); err != nil || string(b[:len(copyHeader)]) != copyHeader || string(b[len(b)-len(copyTrailer):]) != copyTrailer {
		t.Errorf("the next batch is %q, %v", b, err)
	}
}
