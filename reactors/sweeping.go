package reactors

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Sweeper aborts uploads in parts that nobody completed; blobs.S3 is one.
type Sweeper interface {
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// How often storage is swept, and how old an upload in parts is before it counts as abandoned: far older than an announcement
// lives.
const (
	sweepEvery = time.Hour
	abandoned  = 48 * time.Hour
)

// Sweeping ends uploads that were announced and never came, and clears storage of parts that nobody will complete.
type Sweeping struct {
	media  *commands.Media
	blobs  Sweeper
	timers timers
	log    *slog.Logger
	swept  time.Time // owned by Due
}

// NewSweeping makes the reactor.
func NewSweeping(pool *pgxpool.Pool, m *commands.Media, blobs Sweeper, log *slog.Logger) *Sweeping {
	s := &Sweeping{media: m, blobs: blobs, log: log}
	s.timers = timers{pool: pool, reactor: s.Name()}
	return s
}

// Name implements Reactor.
func (*Sweeping) Name() string { return "sweeping" }

// Types implements Reactor.
func (*Sweeping) Types() []string {
	return []string{media.UploadRequested{}.EventType(), media.Uploaded{}.EventType(), media.UploadRefused{}.EventType()}
}

// Tuning implements Tuned: clearing storage takes its time.
func (*Sweeping) Tuning() Tuning { return Tuning{Timeout: 10 * time.Minute} }

// React implements Reactor.
func (s *Sweeping) React(ctx context.Context, rec eventstore.Recorded) error {
	if e, ok := rec.Event.(media.UploadRequested); ok {
		return s.timers.set(ctx, rec.Stream.ID(), "", e.ExpiresAt.Add(time.Microsecond))
	}
	return s.timers.forget(ctx, rec.Stream.ID())
}

// Due implements Clocked.
func (s *Sweeping) Due(ctx context.Context, now time.Time) error {
	err := s.timers.each(ctx, now, func(ctx context.Context, due timer) error {
		_, err := s.media.ExpireUpload(ctx, commands.Envelope{Actor: domain.System()}, domain.MediaID(due.key))
		if _, refused := domain.AsRefusal(err); err != nil && !refused {
			return err
		}
		return s.timers.next(ctx, due, time.Time{})
	})
	if err != nil || s.blobs == nil || now.Sub(s.swept) < sweepEvery {
		return err
	}
	n, err := s.blobs.Sweep(ctx, now.Add(-abandoned))
	if n > 0 {
		s.log.Info("uploads in parts that nobody completed were aborted", "count", n)
	}
	if err == nil {
		s.swept = now
	}
	return err
}
