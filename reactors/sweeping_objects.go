package reactors

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/eventstore"
)

// SweepingObjects destroys bytes in storage that nobody needs, once a day, in one process at a time.
type SweepingObjects struct {
	media  *commands.Media
	index  commands.ObjectIndex
	age    time.Duration
	timers timers
	log    *slog.Logger
}

// How often storage is swept of litter; and how soon after a failure it is tried again, and after the reactor ran for the first time.
const (
	litterEvery = 24 * time.Hour
	litterAgain = time.Hour
)

// NewSweepingObjects makes the reactor. age is how old bytes have to be.
func NewSweepingObjects(pool *pgxpool.Pool, m *commands.Media, index commands.ObjectIndex, age time.Duration, log *slog.Logger) *SweepingObjects {
	s := &SweepingObjects{media: m, index: index, age: age, log: log}
	s.timers = timers{pool: pool, reactor: s.Name()}
	return s
}

// Name implements Reactor.
func (*SweepingObjects) Name() string { return "sweeping_objects" }

// Types implements Reactor: it acts by the clock. What it recorded itself sets the clock, as its timer does.
func (*SweepingObjects) Types() []string { return []string{object.Swept{}.EventType()} }

// Tuning implements Tuned: there may be millions of objects.
func (*SweepingObjects) Tuning() Tuning { return Tuning{Timeout: 12 * time.Hour} }

// React implements Reactor.
func (*SweepingObjects) React(context.Context, eventstore.Recorded) error { return nil }

// sweepTimer is the key of the one timer.
const sweepTimer = "sweep"

// Due implements Clocked. The next time is set before it begins, so that a sweep that cannot end does not begin all the time.
func (s *SweepingObjects) Due(ctx context.Context, now time.Time) error {
	due, there, err := s.timers.of(ctx, sweepTimer)
	switch {
	case err != nil:
		return err
	case !there:
		return s.timers.set(ctx, sweepTimer, "", now.Add(litterAgain))
	case now.Before(due.at):
		return nil
	}
	if err := s.timers.set(ctx, sweepTimer, "", now.Add(litterAgain)); err != nil {
		return err
	}
	began := time.Now()
	swept, err := s.media.Sweep(ctx, commands.Envelope{Actor: domain.System()}, s.index, commands.Sweep{Age: s.age})
	if swept.Litter > 0 || err == nil {
		s.log.Info("storage was swept", "objects", swept.Objects, "litter", swept.Litter, "bytes", swept.Bytes, "took", time.Since(began))
	}
	if err != nil {
		return err
	}
	return s.timers.set(ctx, sweepTimer, "", now.Add(litterEvery))
}
