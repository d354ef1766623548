package main

import (
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/reactors"
)

// keeping are the reactors that keep the vault in order by the clock.
func (a *app) keeping() []reactors.Reactor {
	return []reactors.Reactor{
		reactors.NewSharing(a.pool, commands.NewShares(a.vault), 0),
		reactors.NewSweeping(a.pool, a.media, a.blobs, a.log),
		reactors.Notifying{Notifications: commands.NewNotifications(a.vault, nil), Now: time.Now},
	}
}
