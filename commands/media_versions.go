package commands

import (
	"context"
	"io"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// AddVersion takes the bytes of another version of an item, as Upload takes a new item's. Title, description and tags of the
// file are not looked at. A refused version leaves the item as it is and no event in its stream.
func (m *Media) AddVersion(ctx context.Context, env Envelope, id domain.MediaID, f File, body io.Reader) (UploadReceipt, error) {
	op := operation{name: "media.add_version", thing: string(id), asked: asked(f)}
	if receipt, done, err := m.repeated(ctx, env, op, id, body); done || err != nil {
		return receipt, err
	}
	before, err := fold(ctx, m.vault, mediaStream(id), media.Evolve, nil)
	if err != nil {
		return UploadReceipt{}, err
	}
	right, err := m.vault.right(ctx, env.Actor, before.state, f.Share)
	if err != nil {
		return UploadReceipt{}, err
	}
	if err := before.state.Editable(env.Actor, right); err != nil {
		return UploadReceipt{}, err
	}
	if env.IfMatch != nil && *env.IfMatch != before.revision {
		return UploadReceipt{}, wrongRevision(before.revision)
	}
	stored, err := m.store(ctx, before.state.Owner, &f, body)
	if err != nil {
		return UploadReceipt{}, err
	}
	ctx, cancel := m.vault.within(ctx) // all that is left
	defer cancel()
	cmd := media.AddVersion{
		By: env.Actor, Right: right, File: stored, Expected: media.Expected{Size: f.Size, SHA256: f.SHA256}, Policy: m.vault.Policy,
	}
	kept, err := m.keep(ctx, env, id, before.state.Owner, stored, cmd.Decide)
	if err != nil {
		return UploadReceipt{}, err
	}
	cmd.File = kept.File
	got, err := decide(ctx, m.vault, env, op, mediaStream(id), media.Evolve, func(s media.State) ([]media.Event, error) {
		if cmd.Right, err = m.vault.right(ctx, env.Actor, s, f.Share); err != nil {
			return nil, err
		}
		return cmd.Decide(s)
	})
	if err != nil {
		if _, no := domain.AsRefusal(err); no {
			m.letGo(ctx, env, id, before.state.Owner, kept)
		}
		return UploadReceipt{}, err
	}
	return m.settled(ctx, env, id, before.state.Owner, kept, got)
}
