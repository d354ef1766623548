package streamapi

import (
	"context"
	"encoding/binary"
	"iter"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// resolved is what is sent for an event: itself; in a virtual stream the link that EventStoreDB would have written, alone or,
// when links are to be resolved, beside what it leads to; and the same for links that a program wrote into a stream of its own.
// It may put them into room, which the caller can use again once they are sent.
func (s *Server) resolved(ctx context.Context, p *Principal, raw eventstore.Raw, v *view, resolve bool, room *room) (event, link *shown, err error) {
	switch {
	case v != nil && v.name != "" && !resolve:
		room.link = linkTo(raw, v.name, room.data[:0])
		room.data = room.link.raw.Data
		return &room.link, nil, nil
	case v != nil && v.name != "":
		room.event, err = s.show(ctx, p, raw)
		room.link = linkTo(raw, v.name, room.data[:0])
		room.data = room.link.raw.Data
		return &room.event, &room.link, err
	case resolve && raw.Type == typeLink:
		l, err := s.show(ctx, p, raw)
		if err != nil {
			return nil, nil, err
		}
		event, err := s.target(ctx, p, raw)
		return event, &l, err
	default:
		room.event, err = s.show(ctx, p, raw)
		return &room.event, nil, err
	}
}

// room is where an event, and the link to it, stand while they are sent.
type room struct {
	event, link shown
	data        []byte // of the link
}

// linkTo is the link to an event that a virtual stream holds, with its data behind what is in room.
func linkTo(raw eventstore.Raw, in eventstore.Stream, room []byte) shown {
	l := shown{raw: eventstore.Raw{Position: raw.Position, Stream: in, Type: typeLink, At: raw.At}, revision: eventstore.Revision(raw.Position)}
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(in) {
		h = (h ^ uint64(in[i])) * 1099511628211
	}
	l.raw.ID = raw.ID
	binary.BigEndian.PutUint64(l.raw.ID[8:], binary.BigEndian.Uint64(raw.ID[8:])^h)
	l.raw.ID[6], l.raw.ID[8] = l.raw.ID[6]&0x0f|0x80, l.raw.ID[8]&0x3f|0x80 // a UUID of version 8
	room = strconv.AppendInt(room, int64(raw.Revision), 10)
	l.raw.Data = append(append(room, '@'), raw.Stream...)
	return l
}

// target is the event to which a written link leads; nil when it is not there, or not for the principal to see.
func (s *Server) target(ctx context.Context, p *Principal, link eventstore.Raw) (*shown, error) {
	number, name, ok := strings.Cut(string(link.Data), "@")
	revision, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || revision < 0 || name == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no fault
	}
	stream := eventstore.Stream(name)
	about, err := s.metas.of(ctx, stream)
	if err != nil {
		return nil, err
	}
	if about.closed > 0 || about.deleted() || revision < about.before {
		return nil, nil //nolint:nilnil // see above
	}
	for raw, err := range s.Log.ReadStream(ctx, stream, eventstore.StreamRead{From: eventstore.Revision(revision), Limit: 1}) {
		if err != nil {
			return nil, err
		}
		if raw.Revision != eventstore.Revision(revision) {
			break
		}
		ok, err := s.visible(ctx, p, &raw)
		if err != nil || !ok {
			return nil, err
		}
		e, err := s.show(ctx, p, raw)
		return &e, err
	}
	return nil, nil //nolint:nilnil // see above
}

// correlated are the events of a correlation: those in the index, and those behind it, which the caller has to look at.
func (s *Server) correlated(ctx context.Context, history *history, correlation string, r eventstore.Read) iter.Seq2[eventstore.Raw, error] {
	return func(yield func(eventstore.Raw, error) bool) {
		through := s.indexedThrough(ctx)
		recent := r
		recent.After = max(r.After, eventstore.Position(through))
		if r.Backward {
			for raw, err := range history.all(ctx, s.Log, recent) {
				if !yield(raw, err) || err != nil {
					return
				}
			}
		}
		if !s.indexed(ctx, correlation, r, eventstore.Position(through), yield) || r.Backward {
			return
		}
		for raw, err := range history.all(ctx, s.Log, recent) {
			if !yield(raw, err) || err != nil {
				return
			}
		}
	}
}

// indexedThrough is how far the index of correlations reaches. When that is not known the whole log is looked at: slower, and as right.
func (s *Server) indexedThrough(ctx context.Context) int64 {
	through, err := s.Correlations.Through(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Warn("stream API: the index of correlations does not answer, the whole log is read", "error", err)
		}
		return 0
	}
	return through
}

// indexed yields the events of a correlation that are in the index; false when the caller stopped or a fault was yielded.
func (s *Server) indexed(
	ctx context.Context, correlation string, r eventstore.Read, through eventstore.Position, yield func(eventstore.Raw, error) bool,
) bool {
	const page = 256
	from := r.After
	if r.Backward {
		if from = r.Before; from <= 0 || from > through {
			from = through + 1
		}
	}
	for {
		positions, err := s.Correlations.Positions(ctx, correlation, int64(from), r.Backward, page)
		if err != nil {
			return yield(eventstore.Raw{}, err) && false
		}
		for _, p := range positions {
			at := eventstore.Position(p)
			if at > through || (r.Before > 0 && at >= r.Before) || (r.Backward && at <= r.After) {
				if r.Backward && at > r.After {
					continue
				}
				return true
			}
			for raw, err := range s.Log.ReadAll(ctx, eventstore.Read{After: at - 1, Before: at + 1}) {
				if !yield(raw, err) || err != nil {
					return false
				}
			}
			from = at
		}
		if len(positions) < page {
			return true
		}
	}
}

// sendCorrelated sends a subscriber what the index has, and answers how far that is.
func (s *Server) sendCorrelated(ctx context.Context, r *reading, v *view, after eventstore.Position) (eventstore.Position, error) {
	through := s.indexedThrough(ctx)
	read := eventstore.Read{After: after}
	var fault error
	s.indexed(ctx, v.correlation, read, eventstore.Position(through), func(raw eventstore.Raw, err error) bool {
		fault = err
		if fault != nil {
			return false
		}
		var ok bool
		if ok, fault = s.passes(ctx, r, v, &raw); ok && fault == nil {
			fault = r.out.event(ctx, raw, v, nil)
		}
		return fault == nil
	})
	return max(after, eventstore.Position(through)), fault
}

// usersStream is where EventStoreDB says who its users are. Here they are API keys, and not told: an admin finds that there is one.
const usersStream eventstore.Stream = "$users"

func (s *Server) readUsers(r *reading) error {
	if !r.principal.Admin() {
		return accessDenied()
	}
	if r.subscribe || r.count == 0 {
		return invalidArgument("%s can be read, and not subscribed to", usersStream)
	}
	e := shown{raw: eventstore.Raw{
		Stream: usersStream, Type: "$User", ID: uuid.NewSHA1(uuid.NameSpaceURL, []byte(r.principal.ID)), Data: []byte(r.principal.ID), At: s.Now(),
	}}
	return r.out.call.SendMsg(r.out.encoder.read(&e, nil, 0))
}

var _ streams.StreamsServer = (*Server)(nil)
