package reactors

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Sharing records what becomes of shares by themselves: that they expired, are used up, or are about to be; that their item was
// taken away, and came back. It enforces nothing: every use asks the terms and the item itself.
type Sharing struct {
	shares *commands.Shares
	timers timers
	notice time.Duration
}

// NewSharing makes the reactor. notice is how long before its end the owner of a share is to be told; 24 h when 0.
func NewSharing(pool *pgxpool.Pool, shares *commands.Shares, notice time.Duration) *Sharing {
	s := &Sharing{shares: shares, notice: orDefault(notice, 24*time.Hour)}
	s.timers = timers{pool: pool, reactor: s.Name()}
	return s
}

// Name implements Reactor.
func (*Sharing) Name() string { return "sharing" }

// Types implements Reactor.
func (*Sharing) Types() []string {
	return []string{
		share.Granted{}.EventType(), share.Changed{}.EventType(), share.Revoked{}.EventType(), share.Closed{}.EventType(), access.Served{}.EventType(),
		media.Deleted{}.EventType(), media.Restored{}.EventType(), media.Quarantined{}.EventType(), media.Removed{}.EventType(),
		media.Released{}.EventType(), media.Purged{}.EventType(),
	}
}

// React implements Reactor. What it records follows from the streams as they are, so that the order in which a share and its
// item are looked at does not matter: a share that is granted while its item is taken away is settled by one of the two.
func (s *Sharing) React(ctx context.Context, rec eventstore.Recorded) error {
	switch e := rec.Event.(type) {
	case share.Granted:
		if err := s.timers.set(ctx, string(e.Share), string(e.Media), s.first(e.Terms, rec.At)); err != nil {
			return err
		}
		return s.settle(ctx, rec, e.Share)
	case share.Changed:
		id := domain.ShareID(rec.Stream.ID())
		found, ok, err := s.timers.of(ctx, string(id))
		if err != nil || !ok {
			return err // it ended
		}
		if err := s.timers.set(ctx, string(id), found.about, s.first(e.Terms, rec.At)); err != nil {
			return err
		}
		return s.settle(ctx, rec, id)
	case share.Revoked, share.Closed:
		return s.timers.forget(ctx, rec.Stream.ID())
	case access.Served:
		if e.Share == "" || !e.Opens() || rec.Stream.ID() != string(e.Share) {
			return nil // opens are counted, in the share's own stream, where there is a limit
		}
		return s.settle(ctx, rec, e.Share)
	default:
		all, err := s.timers.about(ctx, rec.Stream.ID())
		if err != nil {
			return err
		}
		for _, t := range all {
			if err := s.settle(ctx, rec, domain.ShareID(t.key)); err != nil {
				return err
			}
		}
		return nil
	}
}

// first is when something is due of new terms: in good time before their end, or at the end where that is nearer.
func (s *Sharing) first(t share.Terms, since time.Time) time.Time {
	notice := t.ExpiresAt.Add(-s.notice)
	if t.ExpiresAt.IsZero() || !notice.After(since) {
		return t.ExpiresAt
	}
	return notice
}

func (s *Sharing) settle(ctx context.Context, rec eventstore.Recorded, id domain.ShareID) error {
	_, _, err := s.shares.Settle(ctx, because(s, rec), id, false)
	return err
}

// Due implements Clocked.
func (s *Sharing) Due(ctx context.Context, now time.Time) error {
	return s.timers.each(ctx, now, func(ctx context.Context, due timer) error {
		state, _, err := s.shares.Settle(ctx, commands.Envelope{Actor: domain.System()}, domain.ShareID(due.key), true)
		if _, refused := domain.AsRefusal(err); err != nil && !refused {
			return err
		}
		if state.Expired || state.Terms.ExpiresAt.IsZero() || state.Revoked || state.Closed {
			return s.timers.next(ctx, due, time.Time{})
		}
		return s.timers.next(ctx, due, state.Terms.ExpiresAt)
	})
}
