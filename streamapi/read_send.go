package streamapi

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/eventstore"
)

// sender sends what a read answers.
type sender struct {
	server    *Server
	call      streams.Streams_ReadServer
	principal *Principal
	resolve   bool
	encoder   encoder
	room      room
	history   *history
}

func (o *sender) sendMsg(m any) error {
	o.history.sending()
	defer o.history.sending()
	return o.call.SendMsg(m)
}

func (o *sender) confirm() error {
	return o.sendMsg(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

func (o *sender) notFound(stream eventstore.Stream) error {
	return o.sendMsg(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: identifierOf(stream)},
	}})
}

func (o *sender) checkpoint(at eventstore.Position) error {
	return o.sendMsg(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: uint64(at), PreparePosition: uint64(at)}, //nolint:gosec // positive
	}})
}

// state says whether what comes now is new, and where to go on from: behind a revision of a stream, or else (-1) a position.
func (o *sender) state(s feedState, revision eventstore.Revision, position eventstore.Position) error {
	if s == catchingUp {
		return nil
	}
	o.encoder.live(s == caughtUp)
	return o.sendMsg(encodedState(s, o.server.Now(), revision, position))
}

// event sends an event of a stream, or (v not nil) of a view. Where f is not nil, it is what others who get the very same are
// sent.
func (o *sender) event(ctx context.Context, raw eventstore.Raw, v *view, f *frame) error {
	if f != nil && !o.shares(&raw, v) {
		f = nil
	}
	if f != nil {
		if m := f.Load(); m != nil {
			return o.sendMsg(*m)
		}
	}
	event, link, err := o.server.resolved(ctx, o.principal, raw, v, o.resolve, &o.room)
	if err != nil {
		return err
	}
	m := o.encoder.read(event, link, raw.Position)
	if f != nil {
		f.Store(&m)
	}
	return o.sendMsg(m)
}

// shares reports whether what is sent for an event is the same for most.
func (o *sender) shares(raw *eventstore.Raw, v *view) bool {
	return !o.encoder.text && (v == nil || v.name == "") && raw.Type != typeLink && !o.server.opens(o.principal, raw) && !o.server.hides(o.principal, raw)
}
