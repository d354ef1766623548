package commands_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestHowAPersonWantsToBeToldCanBeAskedAsOfAPosition(t *testing.T) {
	t.Parallel()
	v := newVault(t, false)
	n := commands.NewNotifications(v.shared, nil)
	off := []recipient.Off{{Channel: domain.ChannelEmail, Topic: domain.TopicShareGranted}}
	first := must(n.SetPreferences(t.Context(), by(alice), commands.Preferences{Off: off}))(t)
	second := must(n.SetPreferences(t.Context(), by(alice), commands.Preferences{}))(t)
	for at, want := range map[int64]struct {
		off      int
		revision int64
	}{0: {0, -1}, int64(first.Position): {1, 0}, int64(second.Position): {0, 1}, int64(second.Position) + 9: {0, 1}, -1: {0, 1}} {
		s, revision, err := n.RecipientAt(t.Context(), alice.ID, eventstore.Position(at))
		if err != nil || len(s.Off) != want.off || int64(revision) != want.revision {
			t.Errorf("at %d: %d muted at revision %d, %v", at, len(s.Off), revision, err)
		}
	}
}
