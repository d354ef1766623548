package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Append implements eventstore.Log. It decides by what this process knows of the stream, and appends expecting exactly that; the
// server holds it against all others. Where that is too little, or the stream went on, it reads what came since. The server
// knows the same ids at the same place again, so that an append whose answer was lost is simply made again. Whether it was this
// append, or another process's, that the server knows again is told by where the log ended before. Appends of this process to one
// stream go one by one.
func (l *Log) Append(ctx context.Context, stream eventstore.Stream, expected eventstore.Expected, entries ...eventstore.Entry) (eventstore.Receipt, error) {
	if err := eventstore.CheckAppend(stream, expected, entries); err != nil {
		return eventstore.Receipt{}, err
	}
	if system(stream) {
		return eventstore.Receipt{}, fmt.Errorf("%w: streams whose names begin with $ are the event store's own", eventstore.ErrInvalid)
	}
	ctx, cancel := l.bounded(ctx, l.timeout)
	defer cancel()
	if ctx.Err() != nil {
		return eventstore.Receipt{}, faultOf(ctx, ctx.Err()).err
	}
	t, err := l.known.take(ctx, stream)
	if err != nil {
		return eventstore.Receipt{}, faultOf(ctx, err).err
	}
	defer l.known.give(t)
	a := appending{log: l, stream: stream, expected: expected, entries: entries, tail: t, tried: -1, actual: -1}
	receipt, err := a.run(ctx)
	switch {
	case err == nil && receipt.Repeated:
		l.stats.repeats.Add(1)
	case err == nil:
		l.stats.appends.Add(1)
		l.stats.events.Add(int64(len(entries)))
		l.head.publish(receipt.Position)
	case errors.Is(err, eventstore.ErrConflict):
		l.stats.conflicts.Add(1)
	}
	return receipt, err
}

// appending is an append on its way.
type appending struct {
	log      *Log
	stream   eventstore.Stream
	expected eventstore.Expected
	entries  []eventstore.Entry
	tail     *tail
	tried    eventstore.Revision // where an attempt began of which no answer came; -1: none
	actual   eventstore.Revision // where the server said that the stream ends; -1: not told
	looked   bool                // the stream was read since the append began
	before   eventstore.Position // where the log ended after the append began, and before it was sent; 0: not known
}

// taken is what a server answers to an append.
type taken struct {
	last     eventstore.Revision
	position eventstore.Position // of the last event; 0: not told
}

// errElsewhere is a stream that did not end where it was read to end.
var errElsewhere = errors.New("the stream went on in the meantime")

func (a *appending) run(ctx context.Context) (eventstore.Receipt, error) {
	look := !a.tail.read || a.tail.others
	for {
		if look {
			if err := a.lookUp(ctx); err != nil {
				return eventstore.Receipt{}, err
			}
			a.looked = true
		}
		a.tail.last = max(a.tail.last, a.actual) // of a truncated stream there is nothing to read
		at, err := a.tail.find(a.entries)
		if err != nil {
			return eventstore.Receipt{}, fmt.Errorf("%w: in %s", err, a.stream)
		}
		if at >= 0 {
			return a.readBack(ctx, at, at != a.tried)
		}
		if a.expected != eventstore.Any && a.expected != eventstore.Expected(a.tail.last) {
			if !a.looked { // what is known may be old
				look = true
				continue
			}
			return eventstore.Receipt{}, &eventstore.ConflictError{Stream: a.stream, Expected: a.expected, Actual: a.tail.last}
		}
		if !a.looked && a.before == 0 {
			end, err := a.log.ends.ask(ctx, 0)
			if err != nil {
				return eventstore.Receipt{}, err
			}
			a.before = end.head
		}
		done, err := a.send(ctx)
		if errors.Is(err, errElsewhere) {
			look = true
			continue
		}
		if err != nil {
			return eventstore.Receipt{}, err
		}
		first := done.last - eventstore.Revision(len(a.entries)) + 1
		for i, e := range a.entries {
			a.tail.met(e.ID, first+eventstore.Revision(i))
		}
		return a.receipt(ctx, first, done)
	}
}

// lookUp reads what came to the stream since it was read last; the first time its latest events, from the end.
func (a *appending) lookUp(ctx context.Context) error {
	var met []eventstore.Raw
	r := eventstore.StreamRead{From: a.tail.last + 1}
	if !a.tail.read {
		r = eventstore.StreamRead{From: -1, Backward: true, Limit: longMemory}
	}
	for raw, err := range a.log.ReadStream(ctx, a.stream, r) {
		if err != nil {
			return faultOf(ctx, err).err
		}
		raw.Data, raw.Metadata = nil, nil
		met = append(met, raw)
	}
	for i := range met {
		a.tail.met(met[i].ID, met[i].Revision)
	}
	a.tail.others = a.tail.read && len(met) > 0
	a.tail.read = true
	return nil
}

// receipt is that of an append that the server took. When it was recorded the server does not say: that is looked for where the
// server says that it is.
func (a *appending) receipt(ctx context.Context, first eventstore.Revision, done taken) (eventstore.Receipt, error) {
	if done.position > 0 && small(a.entries) {
		q, err := a.log.events.ask(ctx, done.position)
		if raw := q.event; err == nil && raw.Position > 0 && raw.Stream == a.stream && raw.Revision == done.last {
			return a.told(first, raw, raw.Position <= a.before), nil
		}
		if ctx.Err() != nil {
			return eventstore.Receipt{}, faultOf(ctx, ctx.Err()).err
		}
	}
	r, err := a.readBack(ctx, first, false)
	r.Repeated = err == nil && r.Position <= a.before
	return r, err
}

func (a *appending) told(first eventstore.Revision, last eventstore.Raw, repeated bool) eventstore.Receipt {
	return eventstore.Receipt{Stream: a.stream, First: first, Revision: last.Revision, Position: last.Position, At: last.At, Repeated: repeated}
}

// readBack reads the last of events that are there.
func (a *appending) readBack(ctx context.Context, first eventstore.Revision, repeated bool) (eventstore.Receipt, error) {
	last := first + eventstore.Revision(len(a.entries)) - 1
	for raw, err := range a.log.ReadStream(ctx, a.stream, eventstore.StreamRead{From: last, Limit: 1}) {
		if err != nil {
			return eventstore.Receipt{}, faultOf(ctx, err).err
		}
		if raw.Revision == last {
			return a.told(first, raw, repeated), nil
		}
	}
	return eventstore.Receipt{}, fmt.Errorf("%w: what was appended to %s at revision %d cannot be read", eventstore.ErrUnavailable, a.stream, last)
}

// send appends behind what is known.
func (a *appending) send(ctx context.Context) (taken, error) {
	var done taken
	err := a.log.retrying(ctx, func(ctx context.Context, to *link) error {
		var err error
		done, err = a.attempt(ctx, to)
		if f := faultOf(ctx, err); err != nil && (f.passing || ctx.Err() != nil) {
			a.tried = a.tail.last + 1
		}
		return err
	})
	return done, err
}

func (a *appending) attempt(ctx context.Context, to *link) (taken, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var trailers metadata.MD
	told := func() metadata.MD { return trailers }
	call, err := to.streams.Append(a.log.cluster.calling(ctx), grpc.Trailer(&trailers))
	if err != nil {
		return taken{}, answer(err, told)
	}
	err = call.Send(appendTo(a.stream, a.tail.last))
	for i := 0; err == nil && i < len(a.entries); i++ {
		err = call.Send(proposed(a.entries[i]))
	}
	if err != nil && !errors.Is(err, io.EOF) { // at EOF the server has said why already
		return taken{}, answer(err, told)
	}
	m, err := call.CloseAndRecv()
	if err != nil {
		return taken{}, answer(err, told)
	}
	switch r := m.GetResult().(type) {
	case *streams.AppendResp_Success_:
		return takenAt(r.Success.GetCurrentRevision(), r.Success.GetPosition().GetCommitPosition()), nil
	case *streams.AppendResp_WrongExpectedVersion_:
		if r.WrongExpectedVersion.GetCurrentNoStream() == nil {
			a.actual = eventstore.Revision(r.WrongExpectedVersion.GetCurrentRevision()) //nolint:gosec // as the server has it
		}
		return taken{}, errElsewhere
	default:
		return taken{}, fmt.Errorf("%w: to an append", errMalformed)
	}
}

func takenAt(revision, position uint64) taken {
	return taken{last: eventstore.Revision(min(revision, unbounded)), position: eventstore.Position(min(position, unbounded))} //nolint:gosec // bounded
}
