package media

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// ErrTelling refuses bytes that carry a place or names, which could not be taken out, to others than the owner.
var ErrTelling = domain.Refuse(domain.Forbidden, "metadata_not_removed",
	"the file carries a place or names that cannot be taken out; its owner may allow it all the same")

// ErrOtherBytes refuses bytes that are not the ones that this viewer gets, which a reader that is behind may ask for.
var ErrOtherBytes = domain.Refuse(domain.Unavailable, "not_ready", "what may be delivered has just changed; ask again")

// Derive records what was made of one version. Only the vault itself derives.
type Derive struct {
	By      domain.Actor
	Derived Derived
}

// Decide records it when it says something new. ErrPurged means that what was made has to be destroyed again.
func (c Derive) Decide(m State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	switch m.Phase {
	case Live, Erasable:
	case Gone:
		return nil, ErrPurged
	default:
		return nil, ErrNotFound
	}
	if _, ok := m.Version(c.Derived.Version); !ok || c.Derived.Version == 0 {
		return nil, ErrNoVersion.On("version")
	}
	if !m.derives(c.Derived) {
		return nil, nil
	}
	return []Event{c.Derived}, nil
}

// derives reports whether the event says something new.
func (s State) derives(e Derived) bool {
	v := s.Versions[e.Version-1]
	return e.Blurhash != "" && e.Blurhash != v.Blurhash || e.NoPicture != "" && e.NoPicture != v.NoPicture ||
		slices.ContainsFunc(e.Derivatives, func(d Derivative) bool { return !slices.Contains(v.Derivatives, d) })
}

// same reports whether both say the same. What was forgotten stays so.
func (e Inspected) same(f Inspected) bool {
	return e.Place.Same(f.Place) && e.Author.Same(f.Author) && e.TakenAt.Equal(f.TakenAt) && e.Version == f.Version && e.Width == f.Width && e.Height == f.Height && e.Orientation == f.Orientation &&
		e.Frames == f.Frames && e.Pages == f.Pages && e.Length == f.Length && e.Video == f.Video && e.Audio == f.Audio &&
		e.Camera == f.Camera && e.Lens == f.Lens && e.Telling == f.Telling
}

// Empty reports whether it says nothing.
func (e Inspected) Empty() bool { return e.same(Inspected{Version: e.Version}) }

// Clean is the copy of a version without place and names; false when there is none.
func (v Version) Clean() (Derivative, bool) { return Find(v.Derivatives, KindClean, "") }

// Handed answers nil when this object holds what somebody gets of version n (0: the current one). Thumbnails carry nothing that
// tells of anybody. Of the content, the owner gets the original (own); others get the copy without place and names where
// the original has any, unless the owner chose to keep them.
func (s State) Handed(n int, object domain.ObjectKey, thumbnail, own bool) error {
	v, ok := s.Version(n)
	if !ok {
		return ErrNoVersion
	}
	if slices.ContainsFunc(v.Derivatives, func(d Derivative) bool {
		return d.Object == object && (thumbnail && d.Kind == KindThumbnail || !thumbnail && d.Kind == KindPlayable)
	}) {
		return nil
	}
	clean, cleaned := v.Clean()
	switch {
	case thumbnail:
		return ErrOtherBytes
	case own, s.KeepMetadata, !v.Inspected.Telling:
		if object == v.File.Object || cleaned && object == clean.Object {
			return nil
		}
		return ErrOtherBytes
	case !cleaned:
		return ErrTelling
	case object != clean.Object:
		return ErrOtherBytes
	}
	return nil
}
