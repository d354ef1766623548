package esdb

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"

	"github.com/mediavault-io/mediavault/eventstore"
)

// errSilent is a server that stopped answering in the middle of an answer.
var errSilent = errors.New("the event store fell silent")

// incoming is what a server sends on one call.
type incoming struct {
	call    streams.Streams_ReadClient
	cancel  context.CancelCauseFunc
	silence time.Duration // it may take so long to say something; 0: for ever
}

// ask begins a read or a subscription. The caller closes it.
func (l *Log) ask(ctx context.Context, to *link, o *streams.ReadReq_Options) (*incoming, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	call, err := to.streams.Read(l.cluster.calling(ctx), &streams.ReadReq{Options: o})
	if err != nil {
		cancel(nil)
		return nil, answer(err, func() metadata.MD { return nil })
	}
	return &incoming{call: call, cancel: cancel, silence: l.silence}, nil
}

func (i *incoming) close() { i.cancel(nil) }

// next answers the next message; io.EOF at the end.
func (i *incoming) next() (*streams.ReadResp, error) {
	if i.silence > 0 {
		// Only the time that the server takes counts, not that of who reads.
		watch := time.AfterFunc(i.silence, func() { i.cancel(errSilent) })
		defer watch.Stop()
	}
	m, err := i.call.Recv()
	if err != nil && errors.Is(context.Cause(i.call.Context()), errSilent) {
		return nil, errSilent
	}
	return m, answer(err, i.call.Trailer)
}

// readEvents calls take with each event until it answers false; done: it did.
func (l *Log) readEvents(ctx context.Context, to *link, o *streams.ReadReq_Options, take func(eventstore.Raw) bool) error {
	in, err := l.ask(ctx, to, o)
	if err != nil {
		return err
	}
	defer in.close()
	for {
		m, err := in.next()
		switch {
		case errors.Is(err, io.EOF), err == nil && m.GetStreamNotFound() != nil:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		e := m.GetEvent().GetEvent()
		if e == nil {
			continue // of a newer server, which tells more
		}
		raw, err := rawOf(e)
		if err != nil {
			return err
		}
		if !take(raw) {
			return nil
		}
	}
}

// resumed runs one read after the other until the events end, the caller stops, or a fault stays: where a connection was lost it goes
// on where it was. request makes the request for what is left, nil when nothing is.
func (l *Log) resumed(ctx context.Context, yield func(eventstore.Raw, error) bool, request func() *streams.ReadReq_Options, take func(eventstore.Raw) (keep, more bool)) {
	stopped := false
	for {
		came := false
		began := time.Now()
		err := l.retrying(ctx, func(ctx context.Context, to *link) error {
			o := request()
			if o == nil {
				return nil
			}
			return l.readEvents(ctx, to, o, func(raw eventstore.Raw) bool {
				came = true
				keep, more := take(raw)
				if keep && !yield(raw, nil) {
					stopped, more = true, false
				}
				return more
			})
		})
		if stopped || err == nil {
			return
		}
		// Time that the caller took between events is not the server's: whoever got some has a right to another attempt.
		if came && errors.Is(err, eventstore.ErrUnavailable) && ctx.Err() == nil && time.Since(began) > l.timeout {
			continue
		}
		yield(eventstore.Raw{}, err)
		return
	}
}

// ReadStream implements eventstore.Log.
func (l *Log) ReadStream(ctx context.Context, stream eventstore.Stream, r eventstore.StreamRead) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		ctx, cancel := l.bounded(ctx, 0)
		defer cancel()
		if ctx.Err() != nil {
			yield(eventstore.Raw{}, faultOf(ctx, ctx.Err()).err)
			return
		}
		if !exists(stream) {
			return
		}
		from, left, over := r.From, r.Limit, false
		if !r.Backward {
			from = max(from, 0)
		}
		// Whoever is about to append reads the stream, mostly: what was read then need not be read once more.
		var ids []uuid.UUID
		whole := !r.Backward && from == 0 && r.Limit == 0 && !l.known.has(stream)
		request := func() *streams.ReadReq_Options {
			if over {
				return nil
			}
			count := uint64(unbounded)
			if r.Limit > 0 {
				count = uint64(left)
			}
			o := readRequest(r.Backward, count)
			o.StreamOption = streamPlace(stream, from, r.Backward)
			return o
		}
		l.resumed(ctx, func(raw eventstore.Raw, err error) bool {
			if errors.Is(err, errDeleted) {
				whole = false
				return false // there is no such stream any more
			}
			more := yield(raw, err)
			whole = whole && more && err == nil
			return more
		}, request, func(raw eventstore.Raw) (bool, bool) {
			whole = whole && raw.Revision == eventstore.Revision(len(ids)) && len(ids) < longMemory
			if whole {
				ids = append(ids, raw.ID)
			}
			if left--; r.Limit > 0 && left == 0 {
				over = true
			}
			if from = raw.Revision + 1; r.Backward {
				from = raw.Revision - 1
				over = over || from < 0
			}
			return true, !over
		})
		if whole && ctx.Err() == nil {
			l.known.learn(stream, ids)
		}
	}
}

// exists reports whether there can be a stream of the log of that name.
func exists(stream eventstore.Stream) bool {
	return stream != "" && !system(stream) && utf8.ValidString(string(stream)) && !strings.ContainsRune(string(stream), 0)
}

// ReadAll implements eventstore.Log.
func (l *Log) ReadAll(ctx context.Context, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		if r.Before > 0 && r.After >= r.Before-1 {
			return
		}
		ctx, cancel := l.bounded(ctx, 0)
		defer cancel()
		read := reading{after: max(r.After, 0), before: r.Before, backward: r.Backward, choice: chosen(r.Filter), limit: r.Limit}
		if !r.Backward && r.Before <= 0 { // what is there now, and no more
			head, err := l.Head(ctx)
			if err != nil {
				yield(eventstore.Raw{}, faultOf(ctx, err).err)
				return
			}
			if head <= read.after {
				return
			}
			read.before = head + 1
		}
		for raw, err := range l.readAll(ctx, read) {
			if !yield(raw, err) {
				return
			}
		}
	}
}

// reading is a part of $all: what is after one position and before another, both exclusive; before 0 is the end.
type reading struct {
	after, before eventstore.Position
	backward      bool
	choice        choice
	limit         int
	system        bool // the system's own events, too: they are filtered out, and a server that filters reads more than it is asked for
}

// readAll reads a part of $all. ctx is one of bounded.
func (l *Log) readAll(ctx context.Context, r reading) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		if ctx.Err() != nil {
			yield(eventstore.Raw{}, faultOf(ctx, ctx.Err()).err)
			return
		}
		stopped := false
		again := l.readFrom(ctx, r, r.begin(), func(raw eventstore.Raw, err error) bool {
			if errors.Is(err, errBadPosition) {
				return false
			}
			stopped = !yield(raw, err)
			return !stopped
		})
		if again && !stopped {
			// A position in the middle of a record, which nobody was ever told: what is next to it is found from one that is known.
			l.readFrom(ctx, r, l.near(ctx, r), yield)
		}
	}
}

// begin is where the server is asked to begin; 0: at the start, or going backwards at the end.
func (r reading) begin() eventstore.Position {
	switch {
	case !r.backward:
		return r.after
	case r.before == math.MaxInt64:
		return 0
	default:
		return r.before
	}
}

// near is a position that the server knows, from which a read meets everything that was asked for; 0 is where every read does.
// What is asked for is often an event right at the border.
func (l *Log) near(ctx context.Context, r reading) eventstore.Position {
	if r.backward {
		if at, next := l.at(ctx, r.before-1); at {
			return next
		}
		return l.times.from(r.before)
	}
	if at, _ := l.at(ctx, r.after+1); at {
		return r.after + 1
	}
	return l.times.until(r.after)
}

// at reports whether there is an event at a position, and which position is next; 0: none.
func (l *Log) at(ctx context.Context, p eventstore.Position) (there bool, next eventstore.Position) {
	err := l.retrying(ctx, func(ctx context.Context, to *link) error {
		o := readRequest(false, 2)
		o.StreamOption = place(p, false)
		return l.readEvents(ctx, to, o, func(raw eventstore.Raw) bool {
			if there {
				next = raw.Position
				return false
			}
			there = raw.Position == p
			return there
		})
	})
	return err == nil && there, next // of a fault the read that follows will hear again
}

// readFrom reads from a position on; again: the server has no such position, and nothing was read.
func (l *Log) readFrom(ctx context.Context, r reading, at eventstore.Position, yield func(eventstore.Raw, error) bool) (again bool) {
	left, over := r.limit, false
	request := func() *streams.ReadReq_Options {
		if over {
			return nil
		}
		count := uint64(unbounded)
		if r.limit > 0 && r.choice.everything() {
			count = uint64(left) + 1 // and the one at the position itself
		}
		o := readRequest(r.backward, count)
		if o.StreamOption = place(at, r.backward); !r.system {
			o.FilterOption = r.choice.option()
		}
		return o
	}
	l.resumed(ctx, func(raw eventstore.Raw, err error) bool {
		again = errors.Is(err, errBadPosition)
		return yield(raw, err)
	}, request, func(raw eventstore.Raw) (bool, bool) {
		switch at = raw.Position; {
		case raw.Position <= r.after:
			over = r.backward
			return false, !over
		case r.before > 0 && raw.Position >= r.before:
			over = !r.backward
			return false, !over
		case !r.system && !r.choice.lets(&raw):
			return false, true
		}
		// Whatever comes again after a lost connection is not handed on again.
		if r.backward {
			r.before = raw.Position
		} else {
			r.after = raw.Position
		}
		if left--; r.limit > 0 && left == 0 {
			over = true
		}
		return true, !over
	})
	return again
}
