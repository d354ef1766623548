package analyzers

import (
	"bytes"
	"fmt"
	"io"
)

func newReader(b []byte) *bytes.Reader { return bytes.NewReader(b) }

// Apply is the original with the edits made, read from start to end.
func Apply(original io.Reader, edits []Edit) io.Reader {
	return &edited{in: original, edits: edits}
}

// EditedSize is how many bytes Apply yields of an original of so many.
func EditedSize(size int64, edits []Edit) int64 {
	for _, e := range edits {
		if !e.Zero {
			size += int64(len(e.With)) - (e.To - e.From)
		}
	}
	return size
}

type edited struct {
	in    io.Reader
	edits []Edit
	at    int64 // in the original
	now   io.Reader
}

// zeros yields nothing but zeros.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Read implements io.Reader.
func (e *edited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if e.now != nil {
			n, err := e.now.Read(p)
			if n > 0 || err != io.EOF { //nolint:errorlint // io.Reader's contract
				return n, err
			}
			e.now = nil
		}
		if len(e.edits) == 0 {
			n, err := e.in.Read(p)
			e.at += int64(n)
			return n, err
		}
		next := e.edits[0]
		if e.at < next.From {
			n, err := e.in.Read(p[:min(int64(len(p)), next.From-e.at)])
			e.at += int64(n)
			if n == 0 && err == io.EOF { //nolint:errorlint // io.Reader's contract
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		skipped, err := io.CopyN(io.Discard, e.in, next.To-next.From)
		e.at += skipped
		if err != nil {
			return 0, fmt.Errorf("leave out bytes: %w", io.ErrUnexpectedEOF)
		}
		e.edits = e.edits[1:]
		if e.now = bytes.NewReader(next.With); next.Zero {
			e.now = io.LimitReader(zeros{}, next.To-next.From)
		}
	}
}
