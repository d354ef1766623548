package streamapi

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// Delete implements streams.StreamsServer: the stream reads as if it were not there, and goes on after its last revision when
// it is written again. Its events stay in $all: nothing that was recorded is ever removed.
func (s *Server) Delete(ctx context.Context, r *streams.DeleteReq) (*streams.DeleteResp, error) {
	at, err := s.close(ctx, r.GetOptions(), s.forget)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: uint64(at), PreparePosition: uint64(at)},
	}}, nil
}

// Tombstone implements streams.StreamsServer: the stream is closed for ever.
func (s *Server) Tombstone(ctx context.Context, r *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	at, err := s.close(ctx, r.GetOptions(), s.tombstone)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: uint64(at), PreparePosition: uint64(at)},
	}}, nil
}

type closing func(ctx context.Context, stream eventstore.Stream, last eventstore.Revision) (eventstore.Position, error)

// closingOptions is what both ways to close a stream are asked with.
type closingOptions interface {
	expected
	GetStreamIdentifier() *shared.StreamIdentifier
}

// close is what both have in common. It has the stream's gate alone, so that no append of this process comes in between.
func (s *Server) close(ctx context.Context, o closingOptions, how closing) (eventstore.Position, error) {
	stream, err := streamOf(o.GetStreamIdentifier())
	if err != nil {
		return 0, err
	}
	want, err := expectationOf(o)
	if err != nil {
		return 0, err
	}
	if err := s.mayWrite(ctx, principalOf(ctx), stream, true); err != nil {
		return 0, err
	}
	gate := s.gate(stream)
	gate.Lock()
	defer gate.Unlock()
	for {
		about, err := s.metas.of(ctx, stream)
		if err != nil {
			return 0, err
		}
		if about.closed > 0 || (about.deleted() && want == mustExist) {
			return 0, streamDeleted(stream)
		}
		last, err := s.lastRevision(ctx, stream)
		if err != nil {
			return 0, err
		}
		seen := last
		if about.deleted() && want == expectation(eventstore.NoStream) {
			seen = -1
		}
		if (want == mustExist && seen < 0) || (want >= expectation(eventstore.NoStream) && want != expectation(seen)) {
			return 0, wrongExpectedVersion(stream, wrongVersion{expected: want, actual: last})
		}
		at, err := how(ctx, stream, last)
		if !errors.Is(err, eventstore.ErrConflict) {
			return at, err
		}
		// Another process was faster: look again, as often as it takes and the caller waits.
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// tombstone writes the event that ends a stream.
func (s *Server) tombstone(ctx context.Context, stream eventstore.Stream, last eventstore.Revision) (eventstore.Position, error) {
	entry := eventstore.Entry{ID: uuid.New(), Type: typeDeleted, Data: []byte{}, Metadata: pack(nil, false)}
	receipt, err := s.Log.Append(ctx, stream, eventstore.Expected(last), entry)
	if err != nil {
		return 0, err
	}
	s.metas.take(eventstore.Raw{Stream: stream, Type: typeDeleted, Position: receipt.Position})
	return receipt.Position, nil
}

// forget says in the stream's metadata that all of its events are before what is shown.
func (s *Server) forget(ctx context.Context, stream eventstore.Stream, _ eventstore.Revision) (eventstore.Position, error) {
	return s.truncate(ctx, stream, forgotten)
}

// undelete shows a deleted stream again, from what was just written.
func (s *Server) undelete(ctx context.Context, stream eventstore.Stream, from eventstore.Revision) error {
	for {
		about, err := s.metas.of(ctx, stream)
		if err != nil || !about.deleted() {
			return err // none: another writer did
		}
		if _, err := s.truncate(ctx, stream, int64(from)); !errors.Is(err, eventstore.ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// truncate sets $tb in a stream's metadata, and leaves the rest of it as it is. ErrConflict: somebody else wrote it meanwhile.
func (s *Server) truncate(ctx context.Context, stream eventstore.Stream, before int64) (eventstore.Position, error) {
	about := eventstore.Stream("$$" + stream)
	members := map[string]json.RawMessage{}
	last := eventstore.Revision(-1)
	for raw, err := range s.Log.ReadStream(ctx, about, eventstore.StreamRead{From: -1, Backward: true, Limit: 1}) {
		if err != nil {
			return 0, err
		}
		last = raw.Revision
		s.metas.take(raw)
		if raw.Type == typeMetadata && json.Unmarshal(raw.Data, &members) != nil {
			members = map[string]json.RawMessage{} // what is no JSON object says nothing
		}
	}
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	members["$tb"], _ = json.Marshal(before)
	data, err := json.Marshal(members)
	if err != nil {
		return 0, err
	}
	entry := eventstore.Entry{ID: uuid.New(), Type: typeMetadata, Data: data, Metadata: []byte{}}
	receipt, err := s.Log.Append(ctx, about, eventstore.Expected(last), entry)
	if err != nil {
		return 0, err
	}
	s.metas.take(eventstore.Raw{Stream: about, Revision: receipt.Revision, Type: typeMetadata, Data: data, Position: receipt.Position})
	return receipt.Position, nil
}
