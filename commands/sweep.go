package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Naming is that the log names an object in storage.
type Naming struct {
	Object  domain.ObjectKey
	Media   domain.MediaID    // empty: of the content alone
	Needed  bool              // a version of the item is there
	Purged  bool              // it was, until the item was purged
	Until   time.Time         // when an announcement ends; zero: it is none
	Content eventstore.Stream // of the content, when an upload says that it needs the bytes; it may have come to nothing
}

// ObjectIndex finds how the log names objects; a read model implements it.
type ObjectIndex interface {
	// NamesOf answers all that is known of the objects, up to the head of the log when it was asked, or later.
	NamesOf(ctx context.Context, keys []domain.ObjectKey) ([]Naming, error)
}

// MinSweepAge is how old bytes are at least before they can be taken for litter: no upload takes so long from its last byte to its
// event (see late).
const MinSweepAge = time.Hour

// slowest is how long after the last byte of a file the rest of its form may come.
const slowest = MinSweepAge / 2

// Sweep says what to sweep, and how.
type Sweep struct {
	Age    time.Duration // of the bytes, at least; at least MinSweepAge
	DryRun bool          // nothing is destroyed or recorded
	Found  func(object.Litter)
}

// Swept is what a sweep came to.
type Swept struct {
	Objects int   // that were looked at
	Litter  int   // of these, that nobody needs
	Bytes   int64 // of the litter
}

// sweepStream is where it is recorded what was swept.
func sweepStream() eventstore.Stream { return eventstore.StreamOf(object.Category, "swept") }

// Sweep destroys bytes in storage that nobody needs, and records which. It goes through storage page by page. Bytes are litter when
// they are old enough that no upload of them can be on its way, and the log, asked after they were listed and up to its head, does
// not need them: nobody ever named them, or who did came to nothing, by the streams themselves. What was derived from an item goes with
// the item, and is left alone here. Doing it again, or in two processes at once, does no harm.
func (m *Media) Sweep(ctx context.Context, env Envelope, index ObjectIndex, s Sweep) (Swept, error) {
	if s.Age < MinSweepAge {
		return Swept{}, fmt.Errorf("sweep: bytes have to be %v old at least", MinSweepAge)
	}
	var total Swept
	for after := domain.ObjectKey(""); ; {
		page, err := m.blobs.List(ctx, after)
		if err != nil || len(page) == 0 {
			return total, err
		}
		after = page[len(page)-1].Key
		total.Objects += len(page)
		old := page[:0]
		now := m.vault.Now()
		for _, o := range page {
			if now.Sub(o.Modified) >= s.Age && !blobs.Derived(o.Key) {
				old = append(old, o)
			}
		}
		litter, err := m.litter(ctx, env, index, s, old)
		if err == nil && !s.DryRun {
			err = m.sweepAway(ctx, env, litter)
		}
		if err != nil {
			return total, err
		}
		for _, l := range litter {
			total.Litter++
			total.Bytes += l.Size
			if s.Found != nil {
				s.Found(l)
			}
		}
	}
}

// litter are those of the objects that nobody needs.
func (m *Media) litter(ctx context.Context, env Envelope, index ObjectIndex, s Sweep, old []blobs.Info) ([]object.Litter, error) {
	if len(old) == 0 {
		return nil, nil
	}
	keys := make([]domain.ObjectKey, len(old))
	for i, o := range old {
		keys[i] = o.Key
	}
	found, err := m.names(ctx, index, keys)
	if err != nil {
		return nil, err
	}
	names := map[domain.ObjectKey][]Naming{}
	for _, n := range found {
		names[n.Object] = append(names[n.Object], n)
	}
	var all []object.Litter
	for _, o := range old {
		why, err := m.useless(ctx, env, s, o.Key, names[o.Key])
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", o.Key, err)
		}
		if why != "" {
			all = append(all, object.Litter{Object: o.Key, Size: o.Size, StoredAt: o.Modified, Why: why})
		}
	}
	return all, nil
}

// behind is for how long a sweep waits for an index that is behind: it may be built for the first time.
const behind = 10 * time.Minute

// names asks the index until it has come far enough.
func (m *Media) names(ctx context.Context, index ObjectIndex, keys []domain.ObjectKey) ([]Naming, error) {
	ctx, cancel := context.WithTimeout(ctx, behind)
	defer cancel()
	for attempt := 1; ; attempt++ {
		found, err := index.NamesOf(ctx, keys)
		if refusal, no := domain.AsRefusal(err); !no || refusal.Kind != domain.Unavailable {
			return found, err
		}
		if pause(ctx, attempt) != nil {
			return nil, err
		}
	}
}

// useless answers why nobody needs an object; empty: somebody does, or may. References of uploads that came to nothing end on the way.
func (m *Media) useless(ctx context.Context, env Envelope, s Sweep, key domain.ObjectKey, names []Naming) (object.Why, error) {
	if len(names) == 0 {
		return object.Unnamed, nil
	}
	for _, n := range names {
		if n.Needed || m.vault.Now().Before(n.Until.Add(s.Age)) {
			return "", nil
		}
	}
	var why object.Why // empty: by names that say nothing, such as that of a content
	for _, n := range names {
		switch {
		case n.Purged && s.DryRun:
			return "", nil
		case n.Purged:
			// Its destruction is the reactor's, which waits while the bytes are evidence; what a crash left over is done here.
			return "", m.DestroyObjects(ctx, env, n.Media)
		case n.Content != "":
			free, err := m.release(ctx, env, s.DryRun, key, n)
			if err != nil || !free {
				return "", err
			}
			why = object.Abandoned
		case !n.Until.IsZero():
			item, err := m.vault.mediaState(ctx, n.Media)
			if err != nil || named(item, key) {
				return "", err
			}
			if why == "" {
				why = object.Announced
			}
		}
	}
	return why, nil
}

func named(item media.State, key domain.ObjectKey) bool {
	return slices.ContainsFunc(item.Versions, func(v media.Version) bool { return v.File.Object == key })
}

// release ends the reference of an upload that came to nothing, and answers whether its copy of the bytes is free to go. Where the item
// is there, and uses another copy of the same content, the reference is the item's, and stays.
func (m *Media) release(ctx context.Context, env Envelope, dry bool, key domain.ObjectKey, n Naming) (free bool, err error) {
	item, err := m.vault.mediaState(ctx, n.Media)
	if err != nil || named(item, key) {
		return false, err
	}
	content, err := fold(ctx, m.vault, n.Content, object.Evolve, nil)
	if err != nil {
		return false, err
	}
	if named(item, content.state.Object) || dry {
		return content.state.Object != key || dry, nil
	}
	got, err := m.decideContent(ctx, env, n.Content, object.Release{Media: n.Media, Upload: key}.Decide)
	if err != nil {
		return false, err
	}
	return !got.state.Live || got.state.Object != key, nil // else another upload's, which uses this copy
}

// sweepAway records litter and destroys it, in this order: what is gone has been recorded, and what a crash leaves is found again.
func (m *Media) sweepAway(ctx context.Context, env Envelope, litter []object.Litter) error {
	if len(litter) == 0 {
		return nil
	}
	meta, err := m.vault.metadata(unconditional(env), operation{name: "object.sweep"})
	if err != nil {
		return err
	}
	appending, cancel := m.vault.within(ctx)
	defer cancel()
	if _, err := m.vault.Store.Append(appending, sweepStream(), eventstore.Any, meta, object.Swept{Objects: litter}); err != nil {
		return fmt.Errorf("record what is swept: %w", err)
	}
	var errs []error
	for _, l := range litter {
		if err := m.blobs.Delete(ctx, l.Object); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// late refuses a form whose rest came so long after its file that the file may have been swept.
func (m *Media) late(stored time.Time) error {
	if m.vault.Now().Sub(stored) > slowest {
		return media.ErrExpired
	}
	return nil
}
