package reactors

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Erasure forgets people: it destroys the key of who is to be forgotten, deletes and purges what he has, ends what was shared with him,
// and takes back what was on its way to him. When no process can know his texts any more it does so once again, for what slipped in meanwhile, and records
// that it is done: what read models took in while a process still knew the key, they forget at that event.
type Erasure struct {
	people  *commands.People
	letters Letters
	timers  timers
	now     func() time.Time
}

// NewErasure makes the reactor.
func NewErasure(pool *pgxpool.Pool, people *commands.People, now func() time.Time) *Erasure {
	e := &Erasure{people: people, letters: Letters{pool}, now: now}
	e.timers = timers{pool: pool, reactor: e.Name()}
	return e
}

// Name implements Reactor.
func (*Erasure) Name() string { return "erasure" }

// Types implements Reactor.
func (*Erasure) Types() []string {
	return []string{person.ErasureRequested{}.EventType(), person.Erased{}.EventType(), moderation.Closed{}.EventType()}
}

// Tuning implements Tuned: a person may have many items.
func (*Erasure) Tuning() Tuning { return Tuning{Timeout: 30 * time.Minute} }

// React implements Reactor. Each step does no harm again, so that a kill between any two is mended by the next try; the timer that
// ends it is set last, and counts from a moment after the key was destroyed.
func (e *Erasure) React(ctx context.Context, rec eventstore.Recorded) error {
	switch event := rec.Event.(type) {
	case person.ErasureRequested:
		if err := e.people.Forget(ctx, event.Subject); err != nil {
			return err
		}
		settled := e.now().Add(e.people.Settles())
		if _, err := e.erase(ctx, because(e, rec), event.Subject); err != nil {
			return err
		}
		return e.timers.set(ctx, rec.Stream.ID(), string(event.Subject), settled)
	case person.Erased:
		return e.timers.forget(ctx, rec.Stream.ID())
	case moderation.Closed:
		return e.people.CaseClosed(ctx, because(e, rec), domain.CaseID(rec.Stream.ID()))
	default:
		return fmt.Errorf("erasure got a %s", rec.Type)
	}
}

// Due implements Clocked.
func (e *Erasure) Due(ctx context.Context, now time.Time) error {
	return e.timers.each(ctx, now, func(ctx context.Context, due timer) error {
		subject := domain.UserID(due.about)
		env := commands.Envelope{Actor: domain.System()}
		kept, err := e.erase(ctx, env, subject)
		if err != nil {
			return err
		}
		if _, err := e.people.FinishErasure(ctx, env, subject, kept); err != nil {
			return err
		}
		return e.timers.forget(ctx, due.key)
	})
}

func (e *Erasure) erase(ctx context.Context, env commands.Envelope, subject domain.UserID) (kept int, err error) {
	if err := e.letters.TakeBack(ctx, subject); err != nil { // whoever sends them finds no address either
		return 0, err
	}
	if err := e.people.EndShares(ctx, env, subject); err != nil {
		return 0, err
	}
	return e.people.EraseItems(ctx, env, subject)
}
