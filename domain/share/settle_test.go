package share_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain/share"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	limited := granted(withBob(), share.View)
	limited.Terms.ExpiresAt, limited.Terms.MaxOpens = now.Add(time.Hour), 10
	end := limited.Terms.ExpiresAt

	t.Run("a share that is as it was says nothing", func(t *testing.T) {
		t.Parallel()
		given(t, limited).When(share.Settle{At: now}.Decide).Nothing()
		given(t).When(share.Settle{At: now, Item: share.ItemPurged}.Decide).Nothing()
		given(t, limited, share.Revoked{By: "alice"}).When(share.Settle{At: end, Item: share.ItemDeleted}.Decide).Nothing()
	})
	t.Run("its end is announced once, then recorded once", func(t *testing.T) {
		t.Parallel()
		given(t, limited).When(share.Settle{At: now, Announce: true}.Decide).Then(share.EndAnnounced{ExpiresAt: end})
		given(t, limited, share.EndAnnounced{ExpiresAt: end}).When(share.Settle{At: now, Announce: true, Opens: 9}.Decide).Nothing()
		given(t, limited).When(share.Settle{At: end, Announce: true}.Decide).Then(share.Expired{ExpiresAt: end})
		given(t, limited, share.Expired{ExpiresAt: end}).When(share.Settle{At: end}.Decide).Nothing()
	})
	t.Run("so is the end of its opens", func(t *testing.T) {
		t.Parallel()
		given(t, limited).When(share.Settle{At: now, Opens: 7}.Decide).Nothing()
		given(t, limited).When(share.Settle{At: now, Opens: 8}.Decide).Then(share.EndAnnounced{OpensLeft: 2})
		given(t, limited).When(share.Settle{At: now, Opens: 10}.Decide).Then(share.Exhausted{Opens: 10})
		given(t, limited, share.Exhausted{Opens: 10}).When(share.Settle{At: now, Opens: 10}.Decide).Nothing()
	})
	t.Run("new terms are another end", func(t *testing.T) {
		t.Parallel()
		later := share.Terms{Permissions: limited.Terms.Permissions, ExpiresAt: end.Add(time.Hour), MaxOpens: 20}
		given(t, limited, share.Expired{ExpiresAt: end}, share.Exhausted{Opens: 10}, share.Changed{By: "alice", Terms: later}).
			When(share.Settle{At: later.ExpiresAt, Opens: 20}.Decide).Then(share.Expired{ExpiresAt: later.ExpiresAt}, share.Exhausted{Opens: 20})
	})
	t.Run("what can come back suspends it, what cannot closes it", func(t *testing.T) {
		t.Parallel()
		held := share.Suspended{Code: share.ItemQuarantined}
		given(t, limited).When(share.Settle{At: now, Item: share.ItemQuarantined}.Decide).Then(held)
		given(t, limited, held).When(share.Settle{At: now, Item: share.ItemQuarantined}.Decide).Nothing()
		given(t, limited, held).When(share.Settle{At: now, Item: share.ItemDeleted}.Decide).Then(share.Suspended{Code: share.ItemDeleted})
		given(t, limited, held).When(share.Settle{At: now}.Decide).Then(share.Resumed{Code: share.ItemQuarantined})
		given(t, limited, held).When(share.Settle{At: now, Item: share.ItemPurged}.Decide).Then(share.Closed{Code: share.ItemPurged})
		given(t, limited, share.Closed{Code: share.ItemPurged}).When(share.Settle{At: end}.Decide).Nothing()
		given(t, limited, share.Closed{Code: share.ItemPurged}).When(share.Change{By: alice, Terms: limited.Terms, At: now}.Decide).Refused(share.ErrClosed)
	})
}
