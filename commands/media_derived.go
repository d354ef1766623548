package commands

import (
	"context"
	"io"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Open opens stored bytes, for the reactors that look at them. blobs.ErrNotFound when they are gone. The caller closes it, and
// ctx has to live as long as the reading.
func (m *Media) Open(ctx context.Context, key domain.ObjectKey) (*blobs.Blob, error) {
	return m.blobs.Get(ctx, key)
}

// StoreDerivative stores something that was made of an item's bytes: bytes before facts. name is that of its content; the same
// again goes to the same place. size is -1 when it is not known.
func (m *Media) StoreDerivative(ctx context.Context, owner domain.UserID, id domain.MediaID, name string, r io.Reader, size int64, kind string) (blobs.Info, error) {
	return m.blobs.Put(ctx, m.blobs.DerivedKey(owner, id, name), r, size, kind)
}

// RecordDerived records what was made of a version, for the reactors that make it; the envelope's actor is domain.System().
// media.ErrPurged: what was made has to be destroyed again (DestroyDerived).
func (m *Media) RecordDerived(ctx context.Context, env Envelope, id domain.MediaID, d media.Derived) (Receipt, error) {
	got, err := decide(ctx, m.vault, env, operation{name: "media.derive", thing: string(id), asked: d}, mediaStream(id), media.Evolve,
		media.Derive{By: env.Actor, Derived: d}.Decide)
	return got.Receipt, err
}

// DestroyDerived destroys what was made of an item's bytes, recorded or not. Doing it again does no harm.
func (m *Media) DestroyDerived(ctx context.Context, owner domain.UserID, id domain.MediaID) error {
	return m.blobs.DeleteDerived(ctx, owner, id)
}

// Facts is an item as its stream has it now, for reactors that need more than the event.
func (m *Media) Facts(ctx context.Context, id domain.MediaID) (media.State, error) {
	return m.vault.mediaState(ctx, id)
}
