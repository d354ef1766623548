package commands

import (
	"context"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

// Settle records what has become of a share by itself: its time or its opens are over, or about to be (announce says that it
// is time to tell of the end in time), its item was taken away, came back, or is gone. For the vault itself. It answers the
// share as it is then.
func (s *Shares) Settle(ctx context.Context, env Envelope, id domain.ShareID, announce bool) (share.State, Receipt, error) {
	got, err := decide(ctx, s.vault, env, operation{name: "share.settle", thing: string(id)}, shareStream(id), share.Evolve,
		func(state share.State) ([]share.Event, error) {
			if !state.Known() {
				return nil, share.ErrNotFound
			}
			cmd := share.Settle{At: s.vault.Now(), Announce: announce}
			item, err := s.vault.mediaState(ctx, state.Media)
			if err != nil {
				return nil, err
			}
			cmd.Item = becameOf(item)
			if state.Terms.MaxOpens > 0 {
				opened, err := fold(ctx, s.vault, openings(id), access.Evolve, nil)
				if err != nil {
					return nil, err
				}
				cmd.Opens = opened.state.Opens
			}
			return cmd.Decide(state)
		})
	return got.state, got.Receipt, err
}

// becameOf says why an item cannot be had through its shares; empty when it can.
func becameOf(item media.State) share.Code {
	switch {
	case item.Phase == media.Gone:
		return share.ItemPurged
	case item.Phase == media.Erasable:
		return share.ItemDeleted
	case item.Hold() == media.IsRemoved:
		return share.ItemRemoved
	case item.Hold() == media.IsQuarantined:
		return share.ItemQuarantined
	default:
		return ""
	}
}
