package streamapi

import (
	"context"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/mediavault-io/mediavault/eventstore"
)

// reading is a read or a subscription, as it was asked for.
type reading struct {
	principal Principal
	stream    eventstore.Stream // "" for $all
	backward  bool
	resolve   bool
	subscribe bool
	count     uint64 // of a read
	filter    *filter

	// Where it begins. In a stream, and in a virtual one, from is a revision; in $all a position. Reads include it, going
	// backwards in $all they do not; subscriptions begin behind it.
	fromStart, fromEnd bool
	from               int64

	out     *sender
	history *history
}

// Read implements streams.StreamsServer: reads and subscriptions, of streams and of $all.
func (s *Server) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	return s.whileAllowed(call.Context(), func(ctx context.Context, end context.CancelCauseFunc) error {
		return s.read(ctx, req, call, s.histories.reader(end))
	})
}

func (s *Server) read(ctx context.Context, req *streams.ReadReq, call streams.Streams_ReadServer, history *history) error {
	r, err := readingOf(req.GetOptions())
	if err != nil {
		return err
	}
	r.principal, r.history = principalOf(ctx), history
	r.out = &sender{server: s, call: call, history: history, principal: &r.principal, resolve: r.resolve}
	_, r.out.encoder.text = req.GetOptions().GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_)
	if r.stream == "" {
		return s.readView(ctx, r, view{})
	}
	if v, ok := viewOf(r.stream); ok {
		if len(v.filter.Categories) > 0 && !s.sees(r.principal, eventstore.Stream(v.filter.Categories[0]+"-")) {
			return accessDenied()
		}
		return s.readView(ctx, r, v)
	}
	if r.stream == usersStream {
		return s.readUsers(r)
	}
	if err := s.mayRead(ctx, r.principal, r.stream); err != nil {
		return err
	}
	about, err := s.metas.of(ctx, r.stream)
	if err != nil {
		return err
	}
	if about.closed > 0 {
		return streamDeleted(r.stream)
	}
	if r.subscribe {
		return s.subscribeStream(ctx, r, about)
	}
	return s.readStream(ctx, r, about)
}

func readingOf(o *streams.ReadReq_Options) (*reading, error) {
	r := &reading{
		backward: o.GetReadDirection() == streams.ReadReq_Options_Backwards, resolve: o.GetResolveLinks(), count: o.GetCount(),
	}
	_, r.subscribe = o.GetCountOption().(*streams.ReadReq_Options_Subscription)
	switch target := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		var err error
		if r.stream, err = streamOf(target.Stream.GetStreamIdentifier()); err != nil {
			return nil, err
		}
		switch from := target.Stream.GetRevisionOption().(type) {
		case *streams.ReadReq_Options_StreamOptions_Revision:
			r.from = int64(min(from.Revision, math.MaxInt64-1)) //nolint:gosec // bounded
		case *streams.ReadReq_Options_StreamOptions_End:
			r.fromEnd = true
		default:
			r.fromStart = true
		}
		if r.stream == "$all" {
			return nil, invalidArgument("$all is read as such, not as a stream")
		}
	case *streams.ReadReq_Options_All:
		switch from := target.All.GetAllOption().(type) {
		case *streams.ReadReq_Options_AllOptions_Position:
			r.from = int64(positionOf(from.Position.GetCommitPosition()))
		case *streams.ReadReq_Options_AllOptions_End:
			r.fromEnd = true
		default:
			r.fromStart = true
		}
	default:
		return nil, invalidArgument("'options.streamOption' is required")
	}
	if f := o.GetFilter(); f != nil {
		if r.stream != "" {
			return nil, invalidArgument("streams are not filtered, $all is")
		}
		_, onStream := f.GetFilter().(*streams.ReadReq_Options_FilterOptions_StreamIdentifier)
		var err error
		if r.filter, err = filterOf[*streams.ReadReq_Options_FilterOptions_Expression](f, onStream); err != nil {
			return nil, err
		}
	}
	if r.subscribe && r.backward {
		return nil, invalidArgument("a subscription goes forwards")
	}
	return r, nil
}

// readStream reads a part of one stream.
func (s *Server) readStream(ctx context.Context, r *reading, about *meta) error {
	if about.deleted() {
		return r.out.notFound(r.stream)
	}
	from, oldest, err := s.shownFrom(ctx, r.stream, about)
	if err != nil {
		return err
	}
	read := eventstore.StreamRead{Backward: r.backward, From: eventstore.Revision(r.from), Limit: limitOf(r.count)}
	switch {
	case r.backward && r.fromEnd:
		read.From = -1
	case r.fromEnd: // behind the end there is nothing
		read.From = math.MaxInt64
	case !r.backward:
		read.From = max(read.From, from)
	}
	if about.maxAge > 0 {
		read.Limit = 0 // it is not known how many are too old
	}
	sent := uint64(0)
	if r.count > 0 {
		for raw, err := range r.history.stream(ctx, s.Log, r.stream, read) {
			if err != nil {
				return err
			}
			if raw.Revision < from || (raw.At.Before(oldest) && r.backward) {
				break
			}
			if raw.At.Before(oldest) {
				continue
			}
			if err := r.out.event(ctx, raw, nil, nil); err != nil {
				return err
			}
			if sent++; sent == r.count {
				break
			}
		}
	}
	if sent > 0 {
		return nil
	}
	last, err := s.lastRevision(ctx, r.stream)
	if err == nil && last < 0 {
		return r.out.notFound(r.stream)
	}
	return err
}

// shownFrom is what a stream's metadata hides: events before a revision, and events older than a time.
func (s *Server) shownFrom(ctx context.Context, stream eventstore.Stream, about *meta) (eventstore.Revision, time.Time, error) {
	var oldest time.Time
	if about.maxAge > 0 {
		oldest = s.Now().Add(-about.maxAge)
	}
	from := eventstore.Revision(about.before)
	if about.maxCount > 0 {
		last, err := s.lastRevision(ctx, stream)
		if err != nil {
			return 0, oldest, err
		}
		from = max(from, last-eventstore.Revision(about.maxCount)+1)
	}
	return from, oldest, nil
}

func limitOf(count uint64) int {
	if count > math.MaxInt32 {
		return 0
	}
	return int(count) //nolint:gosec // bounded
}

// subscribeStream sends what is in a stream, and then what comes.
func (s *Server) subscribeStream(ctx context.Context, r *reading, about *meta) error {
	from, oldest, err := s.shownFrom(ctx, r.stream, about)
	if err != nil {
		return err
	}
	after := eventstore.Revision(-1)
	switch {
	case r.fromEnd:
		if after, err = s.lastRevision(ctx, r.stream); err != nil {
			return err
		}
	case !r.fromStart:
		after = eventstore.Revision(r.from)
	}
	if about.deleted() {
		if from, err = s.lastRevision(ctx, r.stream); err != nil {
			return err
		}
		from++
	}
	after = max(after, from-1)
	if err := r.out.confirm(); err != nil {
		return err
	}
	for batch, err := range s.followStream(ctx, r.history, r.stream, after) {
		if err == nil {
			err = r.out.state(batch.state, after, 0)
		}
		if err != nil {
			return err
		}
		for i := range batch.events {
			after = batch.events[i].Revision
			if err := s.mayRead(ctx, r.principal, r.stream); err != nil { // its $acl may have changed
				return err
			}
			if batch.events[i].Type == typeDeleted {
				return streamDeleted(r.stream)
			}
			if batch.events[i].At.Before(oldest) {
				continue
			}
			if err := r.out.event(ctx, batch.events[i], nil, batch.frame(i)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// readView reads $all or a virtual stream, or subscribes to it. In a virtual stream the revision of an event is its position
// in the log: increasing, but not without gaps.
func (s *Server) readView(ctx context.Context, r *reading, v view) error {
	if v.filter.Categories == nil {
		v.filter.Categories = pushed(r)
	}
	if r.subscribe {
		return s.subscribeView(ctx, r, v)
	}
	read := eventstore.Read{Backward: r.backward, Filter: v.filter}
	switch {
	case r.backward && r.fromStart && v.name == "":
		return nil
	case r.backward && r.fromStart:
		read.Before = 1
	case r.backward && r.fromEnd, r.fromStart:
	case r.backward && v.name == "": // a position names the place before its event
		if read.Before = eventstore.Position(r.from); r.from <= 0 {
			return nil
		}
	case r.backward:
		read.Before = eventstore.Position(r.from) + 1
	case r.fromEnd:
		return nil
	default:
		read.After = eventstore.Position(r.from) - 1
	}
	if r.count == 0 {
		return nil
	}
	if r.filter == nil && v.match == nil && r.principal.all() {
		read.Limit = limitOf(r.count)
	}
	sent := uint64(0)
	for raw, err := range s.events(ctx, r.history, v, read) {
		if err != nil {
			return err
		}
		ok, err := s.passes(ctx, r, &v, &raw)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := r.out.event(ctx, raw, &v, nil); err != nil {
			return err
		}
		if sent++; sent == r.count {
			break
		}
	}
	if sent == 0 && v.name != "" && (r.fromStart && !r.backward || r.fromEnd && r.backward) {
		return r.out.notFound(v.name)
	}
	return nil
}

// pushed are the categories of which alone the log needs to answer events; nil: all.
func pushed(r *reading) []string {
	if list := r.filter.categories(); list != nil {
		return list
	}
	return r.principal.categories()
}

// passes reports whether an event is one of those asked for, and the principal may see it.
func (s *Server) passes(ctx context.Context, r *reading, v *view, raw *eventstore.Raw) (bool, error) {
	if !r.filter.lets(raw) || (v.match != nil && !v.match(raw)) {
		return false, nil
	}
	return s.visible(ctx, &r.principal, raw)
}

// events are those of a view; the caller looks at each whether it passes.
func (s *Server) events(ctx context.Context, history *history, v view, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	if v.correlation == "" || s.Correlations == nil {
		return history.all(ctx, s.Log, r)
	}
	return s.correlated(ctx, history, v.correlation, r)
}

// subscribeView sends what is in a view, and then what comes.
func (s *Server) subscribeView(ctx context.Context, r *reading, v view) error {
	after := eventstore.Position(r.from)
	if r.fromEnd {
		var err error
		if after, err = s.Log.Head(ctx); err != nil {
			return err
		}
	}
	if err := r.out.confirm(); err != nil {
		return err
	}
	if v.correlation != "" && s.Correlations != nil {
		var err error
		if after, err = s.sendCorrelated(ctx, r, &v, after); err != nil {
			return err
		}
	}
	told := after // where the subscriber knows that it stands
	for batch, err := range s.follow(ctx, r.history, after, v.filter) {
		if err == nil {
			err = r.out.state(batch.state, -1, batch.through)
		}
		if err != nil {
			return err
		}
		for i := range batch.events {
			raw := &batch.events[i]
			if !inFilter(&v.filter, raw) {
				continue
			}
			ok, err := s.passes(ctx, r, &v, raw)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := r.out.event(ctx, *raw, &v, batch.frame(i)); err != nil {
				return err
			}
			if told, err = r.tell(told, raw.Position); err != nil {
				return err
			}
		}
		if told, err = r.tell(told, batch.through); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tell tells the subscriber of a filter where it stands, when that is far from where it was told so last.
func (r *reading) tell(told, at eventstore.Position) (eventstore.Position, error) {
	if r.filter == nil || at-told < r.filter.interval {
		return told, nil
	}
	return at, r.out.checkpoint(at)
}

// inFilter is what a log does with a filter, for events that came past it.
func inFilter(f *eventstore.Filter, raw *eventstore.Raw) bool {
	return (len(f.Categories) == 0 || slices.Contains(f.Categories, raw.Stream.Category())) && (len(f.Types) == 0 || slices.Contains(f.Types, raw.Type))
}
