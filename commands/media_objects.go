package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/eventstore"
)

// placed is a file whose bytes are stored and referenced: where its owner had the same bytes already, File.Object is where those
// are, and this upload's own copy is gone.
type placed struct {
	media.File
	upload domain.ObjectKey // names the reference; empty: there is none
}

// objectStream is that of one content of one owner.
func objectStream(owner domain.UserID, digest domain.Digest) eventstore.Stream {
	return eventstore.StreamOf(object.Category, domain.ObjectKey(domain.Derive("object", string(owner), string(digest)).String()))
}

// keep references stored bytes for an item, before any event of the item speaks of them: a reference without an item is litter,
// an item without a reference could lose its bytes. Where the owner has the same bytes already, they are used, and the copy goes.
// What will be decided is asked before: of what comes to nothing no reference is made.
func (m *Media) keep(ctx context.Context, env Envelope, id domain.MediaID, owner domain.UserID, f media.File,
	decision func(media.State) ([]media.Event, error),
) (placed, error) {
	item, err := m.vault.mediaState(ctx, id)
	if err != nil {
		return placed{}, err
	}
	if events, err := decision(item); err != nil || len(events) == 0 {
		return placed{File: f}, nil // the decision itself says why
	}
	got, err := m.decideObject(ctx, env, owner, f.SHA256, object.Keep{
		Owner: owner, SHA256: f.SHA256, Size: f.Size, Upload: f.Object, Media: id,
	}.Decide)
	if errors.Is(err, ErrForgotten) || errors.Is(err, eventstore.ErrFull) {
		m.discard(ctx, f.Object) // it was not recorded, for sure
	}
	if err != nil {
		return placed{}, fmt.Errorf("reference bytes: %w", err)
	}
	p := placed{File: f, upload: f.Object}
	if got.state.Object == f.Object {
		return p, nil
	}
	info, err := m.blobs.Stat(ctx, got.state.Object)
	switch {
	case errors.Is(err, blobs.ErrNotFound), err == nil && info.Size != f.Size:
		return p, nil // lost from storage: this copy is the only one, and not shared
	case err != nil:
		return placed{}, err
	}
	m.discard(ctx, f.Object)
	p.Object = got.state.Object
	return p, nil
}

// letGo ends the reference of an upload that came to nothing, and destroys its bytes when nobody else needs them. What fails
// here leaves litter, not harm.
func (m *Media) letGo(ctx context.Context, env Envelope, id domain.MediaID, owner domain.UserID, p placed) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	if p.upload == "" {
		m.discard(ctx, p.Object)
		return
	}
	got, err := m.decideObject(ctx, env, owner, p.SHA256, object.Release{Media: id, Upload: p.upload}.Decide)
	if errors.Is(err, ErrForgotten) { // nothing can be said by him any more, but his bytes still have to go
		env.Actor = domain.System()
		got, err = m.decideObject(ctx, env, owner, p.SHA256, object.Release{Media: id, Upload: p.upload}.Decide)
	}
	if err != nil {
		return
	}
	for _, e := range got.said {
		if destroyed, ok := e.(object.Destroyed); ok {
			m.discard(ctx, destroyed.Object)
		}
	}
	if p.Object == p.upload && got.state.Object != p.Object {
		m.discard(ctx, p.Object) // a copy of its own, beside a place from which the bytes were lost
	}
}

// OfCase answers the item that a case is about.
func (m *Media) OfCase(ctx context.Context, id domain.CaseID) (domain.MediaID, error) {
	s, err := m.vault.caseState(ctx, id)
	return s.Media, err
}

// DestroyObjects destroys the bytes of a purged item that nobody else needs, for the reactor that does; while a case about the
// item is open they stay, and the reactor asks again when it is closed. Doing it again does no harm.
func (m *Media) DestroyObjects(ctx context.Context, env Envelope, id domain.MediaID) error {
	item, err := m.vault.mediaState(ctx, id)
	if err != nil || item.Phase != media.Gone {
		return err
	}
	latest, _, err := m.vault.caseOf(ctx, id)
	if err != nil || latest.Open() {
		return err
	}
	for _, v := range item.Versions {
		if err := m.destroy(ctx, env, id, item.Owner, v.File); err != nil {
			return err
		}
	}
	return m.DestroyDerived(ctx, item.Owner, id)
}

func (m *Media) destroy(ctx context.Context, env Envelope, id domain.MediaID, owner domain.UserID, f media.File) error {
	got, err := m.decideObject(ctx, env, owner, f.SHA256, object.Release{Media: id}.Decide)
	if err != nil {
		return fmt.Errorf("release bytes: %w", err)
	}
	if got.state.Live && got.state.Object == f.Object {
		return nil // another item needs them
	}
	return m.blobs.Delete(ctx, f.Object)
}

// decideObject decides about the content of that digest, of one owner.
func (m *Media) decideObject(ctx context.Context, env Envelope, owner domain.UserID, digest domain.Digest,
	decision func(object.State) ([]object.Event, error),
) (outcome[object.State, object.Event], error) {
	return m.decideContent(ctx, env, objectStream(owner, digest), decision)
}

// decideContent decides about a content. Whoever asks for the item's sake may ask again: references are named, so that no key is
// needed.
func (m *Media) decideContent(ctx context.Context, env Envelope, content eventstore.Stream,
	decision func(object.State) ([]object.Event, error),
) (outcome[object.State, object.Event], error) {
	return decide(ctx, m.vault, unconditional(env), operation{name: "object"}, content, object.Evolve, decision)
}
