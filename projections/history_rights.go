package projections

import (
	"context"
	"errors"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// everything is the sight of those who may read the whole log.
func everything(viewer domain.Actor) (sight, error) {
	switch {
	case viewer.Known() && viewer.Is(domain.RoleAuditor, domain.RoleAdmin):
		return sight{viewer: viewer.ID, data: true, meta: true, staff: true}, nil
	case viewer.Known() && viewer.Is(domain.RoleAnalyst):
		return sight{staff: true}, nil // no viewer: not even texts about himself, so that all analysts see the same
	default:
		return sight{}, ErrMayNotSee
	}
}

// sightOf is what the viewer may see of a stream. Errors: ErrHidden.
func (h *History) sightOf(ctx context.Context, viewer domain.Actor, stream eventstore.Stream, m Moment) (sight, error) {
	if s, err := everything(viewer); err == nil {
		return s, nil
	}
	if !viewer.Known() {
		return sight{}, ErrHidden
	}
	switch stream.Category() {
	case media.Category:
		return h.sightOfItem(ctx, viewer, domain.MediaID(stream.ID()), m)
	case share.Category:
		return h.sightOfShare(ctx, viewer, stream.ID(), m)
	case moderation.Category:
		return h.sightOfCase(ctx, viewer, stream.ID(), m)
	case access.Category:
		if stream.ID() == string(viewer.ID) {
			return sight{viewer: viewer.ID}, nil
		}
		id := stream.ID()
		if n := len("0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21"); len(id) > n && id[n] == '-' {
			id = id[:n] // of an open of the share
		}
		s, err := h.sightOfShare(ctx, viewer, id, m)
		if errors.Is(err, ErrHidden) {
			s, err = h.sightOfItem(ctx, viewer, domain.MediaID(stream.ID()), m)
		}
		return s, err
	default:
		return sight{}, ErrHidden
	}
}

// sightOfItem is what the viewer may see of what happened to an item. A share gives none of it: what was before the share is
// not the recipient's to know.
func (h *History) sightOfItem(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (sight, error) {
	if s, err := everything(viewer); err == nil {
		return s, nil
	}
	right, err := h.access.Right(ctx, viewer, id, m)
	if err != nil {
		return sight{}, err
	}
	switch {
	case right.Via == access.ViaOwner:
		return sight{viewer: viewer.ID}, nil
	case viewer.Is(domain.RoleModerator):
		return sight{viewer: viewer.ID, data: true, staff: true}, nil
	case viewer.MemberOf(right.Org):
		kept, err := h.kept(ctx, id, m)
		return sight{viewer: viewer.ID, data: true, member: !kept}, err
	default:
		return sight{}, ErrMayNotSee
	}
}

// kept reports whether the item's owner chose, by then, to leave in its bytes what they tell of him.
func (h *History) kept(ctx context.Context, id domain.MediaID, m Moment) (bool, error) {
	end, err := h.end(ctx, m)
	if err != nil {
		return false, err
	}
	recs, err := h.read(ctx, eventstore.StreamOf(media.Category, id), 0, 0, end, maxChain)
	kept := false
	for _, rec := range recs {
		if e, ok := rec.Event.(media.MetadataChosen); ok {
			kept = e.Keep
		}
	}
	return kept, err
}

func (h *History) sightOfShare(ctx context.Context, viewer domain.Actor, id string, m Moment) (sight, error) {
	at, err := h.shares.Resolve(ctx, m)
	if err != nil {
		return sight{}, err
	}
	v, ok, err := h.shares.Find(ctx, at, id)
	if err != nil {
		return sight{}, err
	}
	if !ok {
		return sight{}, ErrHidden
	}
	if viewer.ID == v.Row.Owner || viewer.ID == v.Row.By {
		return sight{viewer: viewer.ID}, nil
	}
	s, err := h.sightOfItem(ctx, viewer, v.Row.Media, m)
	if errors.Is(err, ErrMayNotSee) {
		err = ErrHidden
	}
	return s, err
}

func (h *History) sightOfCase(ctx context.Context, viewer domain.Actor, id string, m Moment) (sight, error) {
	at, err := h.cases.Resolve(ctx, m)
	if err != nil {
		return sight{}, err
	}
	v, ok, err := h.cases.Find(ctx, at, id)
	switch {
	case err != nil:
		return sight{}, err
	case !ok:
		return sight{}, ErrHidden
	case v.Row.Owner == viewer.ID:
		return sight{viewer: viewer.ID}, nil
	case viewer.Is(domain.RoleModerator):
		return sight{viewer: viewer.ID, data: true, staff: true}, nil
	default:
		return sight{}, ErrHidden
	}
}
