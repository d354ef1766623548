package web

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// answer remembers what was answered, and gives the writes of a Streaming handler their deadlines.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
	rc     *http.ResponseController // of a Streaming request
	idle   time.Duration

	multiplexed bool // HTTP/2, where a deadline that passes between two writes ends the stream

	undelivered bool // a write failed: the client is gone, or does not take what it is sent

	begin func() // told that the answer begins; nil: nobody is
}

// begun notes that the answer begins.
func (a *answer) begun(status int) {
	if a.status == 0 {
		a.status = status
	}
	if a.begin != nil {
		a.begin()
	}
}

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= 200 {
		a.begun(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer. In a Streaming request a reader that takes nothing for the idle time fails it.
func (a *answer) Write(p []byte) (int, error) {
	a.begun(http.StatusOK)
	a.extend()
	n, err := a.ResponseWriter.Write(p)
	a.relax()
	a.bytes += int64(n)
	a.undelivered = a.undelivered || err != nil && !errors.Is(err, http.ErrContentLength) && !errors.Is(err, http.ErrBodyNotAllowed)
	return n, err
}

// FlushError implements the flushing that http.ResponseController looks for.
func (a *answer) FlushError() error {
	a.begun(http.StatusOK)
	a.extend()
	err := http.NewResponseController(a.ResponseWriter).Flush()
	a.relax()
	a.undelivered = a.undelivered || err != nil && !errors.Is(err, http.ErrNotSupported)
	return err
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

func (a *answer) extend() {
	if a.rc != nil {
		_ = a.rc.SetWriteDeadline(time.Now().Add(a.idle)) // a writer without deadlines is a recorder in a test
	}
}

// relax keeps the deadline in HTTP/1, where the last bytes leave after the handler has returned.
func (a *answer) relax() {
	if a.rc != nil && a.multiplexed {
		_ = a.rc.SetWriteDeadline(time.Time{})
	}
}

func answerOf(w http.ResponseWriter) *answer {
	for w != nil {
		if a, ok := w.(*answer); ok {
			return a
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
	return nil
}

// started reports whether the status line is on its way.
func started(w http.ResponseWriter) bool {
	a := answerOf(w)
	return a != nil && a.status != 0
}

// body is a request's body whose errors can be told from those of others; in a Streaming request it must keep coming.
type body struct {
	io.ReadCloser
	rc     *http.ResponseController // of a Streaming request
	idle   time.Duration
	failed error // why the body could not be read to its end; written by whoever reads, before the handler returns
}

type bodyError struct{ err error }

func (e *bodyError) Error() string { return "request body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.rc != nil {
		_ = b.rc.SetReadDeadline(time.Now().Add(b.idle))
	}
	n, err := b.ReadCloser.Read(p)
	if b.rc != nil {
		// Between two reads only the server's listening for the client going away is waiting, and may.
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err: err}
		b.failed = err
	}
	return n, err
}
