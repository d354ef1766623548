package reactors

import (
	"context"
	"fmt"

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

// React implements Reactor.
func (e Enforcement) React(ctx context.Context, rec eventstore.Recorded) error {
	ruling := commands.Ruling{Case: domain.CaseID(rec.Stream.ID())}
	var err error
	switch d := rec.Event.(type) {
	case moderation.Decided:
		ruling.Number, ruling.Action, ruling.By, ruling.Version = d.Number, d.Action, d.By, d.Version
		_, err = e.Media.ApplyDecision(ctx, because(e, rec), d.Media, ruling)
	case moderation.AppealDecided:
		if d.Outcome != moderation.Overturn {
			return nil
		}
		ruling.Number, ruling.Action, ruling.By, ruling.Version = d.Decision, d.Overturns, d.By, d.Version
		_, err = e.Media.Release(ctx, because(e, rec), d.Media, ruling)
	default:
		err = fmt.Errorf("enforcement got a %s", rec.Type)
	}
	return err
}

// Destruction destroys the bytes of what was purged.
type Destruction struct {
	Media *commands.Media
}

// Name implements Reactor.
func (Destruction) Name() string { return "destruction" }

// Types implements Reactor.
func (Destruction) Types() []string { return []string{media.Purged{}.EventType()} }

// React implements Reactor. Destroying again does no harm.
func (d Destruction) React(ctx context.Context, rec eventstore.Recorded) error {
	purged, ok := rec.Event.(media.Purged)
	if !ok {
		return fmt.Errorf("destruction got a %s", rec.Type)
	}
	return d.Media.DestroyObjects(ctx, purged.Objects)
}
