package reactors

import (
	"context"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Review puts before people what screening doubts and the personal data whose risk asks for it, keeps in the open case who may see
// its item, and keeps cases and findings consistent: what was let be is accepted, and a case of which nothing is left is closed.
type Review struct {
	Moderation *commands.Moderation
	// Least is the risk from which a finding is put before people, 1 to 100; 0: none is.
	Least int
}

// Name implements Reactor.
func (Review) Name() string { return "review" }

// Types implements Reactor: what may leave an item's current version in doubt, what may change who sees an item, what becomes of
// findings, and the end of cases.
func (Review) Types() []string {
	return []string{
		media.Screened{}.EventType(), media.RolledBack{}.EventType(),
		share.Granted{}.EventType(), share.Changed{}.EventType(), share.Revoked{}.EventType(), "share.expired", "share.exhausted",
		finding.Raised{}.EventType(), finding.Rescored{}.EventType(), finding.StatusChanged{}.EventType(), moderation.Closed{}.EventType(),
	}
}

// React implements Reactor. What is true now counts, not what the event says: it may be old.
func (r Review) React(ctx context.Context, rec eventstore.Recorded) error {
	env, id := because(r, rec), rec.Stream.ID()
	switch rec.Stream.Category() {
	case share.Category:
		_, err := r.Moderation.Spread(ctx, env, domain.ShareID(id))
		return err
	case finding.Category:
		if err := r.Moderation.ReferFinding(ctx, env, domain.FindingID(id), r.Least); err != nil {
			return err
		}
		return r.Moderation.DismissFinding(ctx, env, domain.FindingID(id))
	case moderation.Category:
		if err := r.Moderation.ApproveFindings(ctx, env, domain.CaseID(id)); err != nil {
			return err
		}
		return r.Moderation.FlagAfter(ctx, env, domain.CaseID(id))
	default:
		_, err := r.Moderation.Flag(ctx, env, domain.MediaID(id))
		return err
	}
}
