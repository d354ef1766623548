package reactors

import (
	"context"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Review puts before people what screening doubts, and keeps in the open case who may see its item.
type Review struct {
	Moderation *commands.Moderation
}

// Name implements Reactor.
func (Review) Name() string { return "review" }

// Types implements Reactor: what may leave an item's current version in doubt, and what may change who sees an item.
func (Review) Types() []string {
	return []string{
		media.Screened{}.EventType(), media.RolledBack{}.EventType(),
		share.Granted{}.EventType(), share.Changed{}.EventType(), share.Revoked{}.EventType(), "share.expired", "share.exhausted",
	}
}

// React implements Reactor. What is true now counts, not what the event says: it may be old.
func (r Review) React(ctx context.Context, rec eventstore.Recorded) error {
	var err error
	if rec.Stream.Category() == share.Category {
		_, err = r.Moderation.Spread(ctx, because(r, rec), domain.ShareID(rec.Stream.ID()))
	} else {
		_, err = r.Moderation.Flag(ctx, because(r, rec), domain.MediaID(rec.Stream.ID()))
	}
	return err
}
