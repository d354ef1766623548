package reactors

import (
	"context"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Enforcement makes items follow what moderators decide, and what falls on appeal.
type Enforcement struct {
	Media *commands.Media
}

// Name implements Reactor.
func (Enforcement) Name() string { return "enforcement" }

// Types implements Reactor.
func (Enforcement) Types() []string {
	return []string{moderation.Decided{}.EventType(), moderation.AppealDecided{}.EventType()}
}

// React implements Reactor. Mostly the item follows already, because the command that decided saw to it at once.
func (e Enforcement) React(ctx context.Context, rec eventstore.Recorded) error {
	return e.Media.Follow(ctx, because(e, rec), domain.CaseID(rec.Stream.ID()), rec.Event)
}

// Destruction destroys the bytes of what was purged, once no case needs them as evidence.
type Destruction struct {
	Media *commands.Media
}

// Name implements Reactor.
func (Destruction) Name() string { return "destruction" }

// Types implements Reactor. A purge is refused while a case is open; of a case that was opened in the same moment the closing
// lets the bytes go.
func (Destruction) Types() []string {
	return []string{media.Purged{}.EventType(), moderation.Closed{}.EventType()}
}

// Tuning implements Tuned.
func (Destruction) Tuning() Tuning { return Tuning{Neighbours: []string{Storage}} }

// React implements Reactor. Destroying again does no harm.
func (d Destruction) React(ctx context.Context, rec eventstore.Recorded) error {
	id := domain.MediaID(rec.Stream.ID())
	if rec.Stream.Category() == moderation.Category {
		var err error
		if id, err = d.Media.OfCase(ctx, domain.CaseID(rec.Stream.ID())); err != nil {
			return err
		}
	}
	return d.Media.DestroyObjects(ctx, because(d, rec), id)
}
