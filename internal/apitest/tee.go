package apitest

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// tee keeps what was read of a body, as long as it is small. The transport may read it beyond the answer.
type tee struct {
	io.ReadCloser
	size int64 // as declared; -1 or 0 when it was not

	mu   sync.Mutex // guards what follows
	kept bytes.Buffer
	over bool
	done bool
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over = t.over || t.kept.Len()+n > maxKept; t.over {
		t.kept.Reset()
	} else {
		t.kept.Write(p[:n])
	}
	t.done = t.done || errors.Is(err, io.EOF)
	return n, err
}

// whole is the body, when all of it was read and kept.
func (t *tee) whole() ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The transport need not come to see the end of a body whose length it knows.
	return bytes.Clone(t.kept.Bytes()), !t.over && (t.done || t.size > 0 && int64(t.kept.Len()) == t.size)
}

type joined struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
