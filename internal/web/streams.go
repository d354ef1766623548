package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Events is a stream of server-sent events on its way to one client. Every write is bounded by the edge's idle time, so that
// a client that does not read ends its own stream and delays nobody.
type Events struct {
	rc *http.ResponseController

	mu   sync.Mutex // guards what follows; the heartbeat writes, too
	w    http.ResponseWriter
	last time.Time
}

// ServeEvents answers with server-sent events: produce sends them until it returns, the client goes, what it showed of itself
// expires, or the edge drains; the last three end ctx and are no error. A client whose token expired is told so by a last event,
// "expired", which has no id: with a new token it goes on where it was. While nothing is sent for the time beat, a comment keeps the connection open. The route
// has to be Streaming. An error of produce before the first Send is answered like any other.
func ServeEvents(w http.ResponseWriter, r *http.Request, beat time.Duration, produce func(ctx context.Context, out *Events) error) error {
	return live(w, r, func(ctx context.Context, cancel context.CancelFunc) error {
		out := &Events{rc: http.NewResponseController(w), w: w, last: time.Now()}
		beating := sync.WaitGroup{}
		beats, stop := context.WithCancel(ctx)
		beating.Go(func() {
			if err := out.keepAlive(beats, beat); err != nil {
				cancel()
			}
		})
		var expired atomic.Bool
		if end := edgeOf(r).goodUntil(r); !end.IsZero() {
			expiry := time.AfterFunc(time.Until(end), func() { expired.Store(true); cancel() })
			defer expiry.Stop()
		}
		err := produce(ctx, out)
		stop()
		beating.Wait()
		if expired.Load() && r.Context().Err() == nil && started(w) {
			return out.expire()
		}
		return err
	})
}

// goodUntil is until when the client may be answered with what it showed of itself; the zero time: for ever.
func (e *Edge) goodUntil(r *http.Request) time.Time {
	if e.until == nil {
		return time.Time{}
	}
	return e.until(r)
}

// live runs a stream that never ends by itself under a context that ends with the client or with the edge's Drain.
func live(w http.ResponseWriter, r *http.Request, run func(ctx context.Context, cancel context.CancelFunc) error) error {
	if a := answerOf(w); a != nil && a.begin != nil {
		a.begin() // what it sends comes when it comes
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	watching := sync.WaitGroup{}
	watching.Go(func() {
		select {
		case <-ctx.Done():
		case <-edgeOf(r).draining:
			cancel()
		}
	})
	err := run(ctx, cancel)
	ended := ctx.Err() != nil
	cancel()
	watching.Wait()
	if err != nil && ended && r.Context().Err() == nil && !started(w) {
		return errDrain // never an empty answer that looks like the whole
	}
	if err != nil && ended && (errors.Is(err, context.Canceled) || clientGone(w, r)) {
		return nil
	}
	return err
}

// begin sends the head of the stream; it is called with mu held.
func (e *Events) begin() {
	if started(e.w) {
		return
	}
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would otherwise hold events back
	e.w.WriteHeader(http.StatusOK)
}

// Open sends the head of the answer, so that a client knows that it is connected before there is an event.
func (e *Events) Open() error { return e.write([]byte(": open\n\n")) }

// Send writes one event without flushing it. id is what a client that reconnects sends as Last-Event-ID; "" for none.
func (e *Events) Send(id, event string, data []byte) error {
	if strings.ContainsAny(id, "\r\n\x00") || strings.ContainsAny(event, "\r\n") {
		return fmt.Errorf("server-sent event: id %q or name %q has a line break", id, event)
	}
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	if event != "" {
		fmt.Fprintf(&b, "event: %s\n", event)
	}
	for line := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r"), nil), []byte("\n")) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin()
	e.last = time.Now()
	_, err := e.w.Write(b.Bytes())
	return err
}

// SendJSON writes v as one event without flushing it.
func (e *Events) SendJSON(id, event string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("marshal event: %w", err)
	}
	return e.Send(id, event, data)
}

// Flush hands what was sent to the client; call it once per batch.
func (e *Events) Flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rc.Flush()
}

// expire says that the stream ends because of its token.
func (e *Events) expire() error {
	err := e.SendJSON("", "expired", map[string]string{
		"code": "token_expired", "detail": "the token has expired; connect again with a new one and Last-Event-ID",
	})
	if err != nil {
		return err
	}
	return e.Flush()
}

func (e *Events) write(p []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin()
	e.last = time.Now()
	if _, err := e.w.Write(p); err != nil {
		return err
	}
	return e.rc.Flush()
}

// keepAlive sends a comment whenever nothing was sent for the time beat, until ctx ends.
func (e *Events) keepAlive(ctx context.Context, beat time.Duration) error {
	if beat <= 0 {
		return nil
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			e.mu.Lock()
			// Before the head is out produce may still refuse, and a comment would take the status away from it.
			idle := started(e.w) && now.Sub(e.last) >= beat
			e.mu.Unlock()
			if !idle {
				continue
			}
			if err := e.write([]byte(": beat\n\n")); err != nil {
				return err
			}
		}
	}
}

// Lines is a stream of newline-delimited JSON on its way to one client.
type Lines struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
	enc *json.Encoder
}

// lineBuffer is how many bytes gather before they are written.
const lineBuffer = 32 << 10

// ServeLines answers with newline-delimited JSON (application/x-ndjson): produce writes until it returns, the client goes,
// or the edge drains. The route has to be Streaming. An error of produce before the first bytes left is answered like any
// other; later the connection is cut, so that a client never takes a part for the whole.
func ServeLines(w http.ResponseWriter, r *http.Request, produce func(ctx context.Context, out *Lines) error) error {
	return live(w, r, func(ctx context.Context, _ context.CancelFunc) error {
		out := &Lines{w: w, rc: http.NewResponseController(w)}
		out.enc = json.NewEncoder(&out.buf)
		out.enc.SetEscapeHTML(false)
		if err := produce(ctx, out); err != nil {
			if ctx.Err() != nil && started(w) && r.Context().Err() == nil {
				panic(http.ErrAbortHandler) // drained in the middle
			}
			return err
		}
		return out.Flush()
	})
}

// Write adds one line.
func (l *Lines) Write(v any) error {
	if err := l.enc.Encode(v); err != nil {
		return fmt.Errorf("marshal line: %w", err)
	}
	if l.buf.Len() < lineBuffer {
		return nil
	}
	return l.drain()
}

// Flush hands what was written to the client.
func (l *Lines) Flush() error {
	if err := l.drain(); err != nil {
		return err
	}
	if err := l.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (l *Lines) drain() error {
	if !started(l.w) {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	_, err := l.w.Write(l.buf.Bytes())
	l.buf.Reset()
	return err
}

// LastEventID is the position after which a client that reconnects wants to go on, from Last-Event-ID; given is false
// when it connects for the first time.
func LastEventID(r *http.Request) (position int64, given bool, err error) {
	value := r.Header.Get("Last-Event-ID")
	if value == "" {
		return 0, false, nil
	}
	var n int64
	if _, err := fmt.Sscanf(value, "%d", &n); err != nil || n < 0 || fmt.Sprint(n) != value {
		return 0, false, domain.ErrInvalid.On("Last-Event-ID").Because("accepted is the id of an event as the stream gave it")
	}
	return n, true, nil
}
