package reactors_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/reactors"
)

// teller is a vault that tells bob by e-mail and by a webhook.
type teller struct {
	*vault
	receiver *receiver
	endpoint recipient.EndpointID
	postman  *postman
	stop     func()
}

func newTeller(t *testing.T, answer func(n int) int) *teller {
	t.Helper()
	v := &teller{vault: newVault(t), receiver: newReceiver(t, answer), postman: &postman{}}
	if err := v.notifications().LearnAddress(t.Context(), "bob", "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	v.endpoint = v.hook(v.receiver)
	v.start()
	return v
}

func (v *teller) hook(r *receiver) recipient.EndpointID {
	v.Helper()
	id, _, _, err := v.notifications().AddWebhook(v.Context(), v.as("bob"), commands.Webhook{URL: r.URL})
	if err != nil {
		v.Fatal(err)
	}
	return id
}

func (v *teller) start() {
	v.stop = v.react(v.notifying(),
		reactors.NewWebhooks(v.pool, v.store, v.notifications(), notify.NewWebhooks(5*time.Second, true), v.now),
		reactors.NewMailing(v.pool, v.notifications(), v.postman, time.Minute, v.now))
}

func (v *teller) granted(n int) {
	v.Helper()
	for range n {
		v.share(v.item(), share.Terms{})
	}
	v.done()
}

func (v *teller) recorded(channel domain.Channel, n int) {
	v.Helper()
	waitFor(v.T, func() bool { return len(v.outcomes(channel)) == n })
}

// emptied waits until nothing is on its way.
func (v *teller) emptied() {
	v.Helper()
	waitFor(v.T, func() bool {
		var n int
		return v.pool.QueryRow(v.Context(), `SELECT count(*) FROM reactor_outbox`).Scan(&n) == nil && n == 0
	})
}

func (v *teller) exec(sql string) {
	v.Helper()
	if _, err := v.pool.Exec(v.Context(), sql); err != nil {
		v.Fatal(err)
	}
}

func always(int) int { return 200 }

func TestOutbox(t *testing.T) {
	t.Parallel()

	t.Run("what was told is not told again when a checkpoint is lost", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.granted(3)
		v.recorded(domain.ChannelWebhook, 3)
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 3)
		v.emptied()
		v.stop()
		v.exec(`UPDATE reactor_checkpoints SET position = 0`)
		v.start()
		v.granted(1)
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 4)
		v.emptied()
		if got, want := v.receiver.took(), v.raised(); !slices.Equal(got, want) {
			t.Errorf("the webhook got %v, want each of %v once, in order", got, want)
		}
		if mails := v.postman.mails(); len(mails) != 2 || !strings.Contains(mails[0], "3 notifications") || strings.Contains(mails[1], "notifications|") {
			t.Errorf("mails %q", mails)
		}
	})

	t.Run("a kill between recording and forgetting sends nothing again", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.granted(2)
		v.recorded(domain.ChannelWebhook, 2)
		v.done()
		v.exec(`CREATE TABLE kept AS SELECT * FROM reactor_outbox WHERE reactor = 'mailing'`)
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 2)
		v.emptied()
		v.stop()
		v.exec(`INSERT INTO reactor_outbox SELECT * FROM kept`)
		v.exec(`INSERT INTO reactor_outbox (reactor, lane, position, person, notification, raised_at, due_at)
			SELECT 'webhooks', '` + string(v.endpoint) + `', position, person, notification, raised_at, due_at FROM kept`)
		v.start()
		v.emptied()
		if n := len(v.receiver.took()); n != 2 || len(v.postman.mails()) != 1 {
			t.Errorf("%d webhooks, mails %q", n, v.postman.mails())
		}
		if all := v.outcomes(domain.ChannelEmail); len(all) != 2 {
			t.Errorf("recorded %v", all)
		}
	})

	t.Run("a mail that is tried again stays the same, and what came meanwhile goes in the next", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.postman.mu.Lock()
		v.postman.fail = errors.New("the answer was lost")
		v.postman.mu.Unlock()
		v.granted(2)
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 2)
		v.granted(1)
		v.postman.mu.Lock()
		v.postman.fail = nil
		v.postman.mu.Unlock()
		v.pass(2 * time.Minute)
		v.recorded(domain.ChannelEmail, 5)
		ids := v.postman.ids
		if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
			t.Errorf("Message-IDs %v", ids)
		}
		if mails := v.postman.mails(); len(mails) != 2 || !strings.Contains(mails[0], "2 notifications") || strings.Contains(mails[1], "notifications|") {
			t.Errorf("mails %q", mails)
		}
	})

	t.Run("a receiver that hangs keeps no other waiting", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, func(int) int { return 0 })
		other := newReceiver(t, always)
		v.hook(other)
		v.granted(3)
		waitFor(t, func() bool { return len(other.took()) == 3 })
		if all := v.outcomes(domain.ChannelWebhook); slices.Contains(all, "failed timeout") {
			t.Errorf("the others waited until the first gave up: %v", all)
		}
	})

	t.Run("who says in between that he does not want it is not told", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, func(int) int { return 503 })
		v.granted(1)
		v.recorded(domain.ChannelWebhook, 1)
		off := []recipient.Off{{Channel: domain.ChannelEmail, Topic: domain.TopicShareGranted}, {Channel: domain.ChannelWebhook, Topic: domain.TopicShareGranted}}
		if _, err := v.notifications().SetPreferences(t.Context(), v.as("bob"), commands.Preferences{Off: off}); err != nil {
			t.Fatal(err)
		}
		v.pass(2 * time.Minute)
		v.emptied()
		if mail, hook := v.outcomes(domain.ChannelEmail), v.outcomes(domain.ChannelWebhook); !slices.Equal(mail, []string{"suppressed "}) || !slices.Equal(hook, []string{"failed status_503", "suppressed "}) {
			t.Errorf("recorded %v and %v", mail, hook)
		}
		if len(v.postman.mails()) != 0 {
			t.Errorf("mails %q", v.postman.mails())
		}
	})

	t.Run("a replay is sent once, also when a checkpoint is lost", func(t *testing.T) {
		t.Parallel()
		v := newTeller(t, always)
		v.granted(2)
		v.recorded(domain.ChannelWebhook, 2)
		if _, err := v.notifications().ReplayWebhook(t.Context(), v.as("bob"), v.endpoint, 0); err != nil {
			t.Fatal(err)
		}
		v.recorded(domain.ChannelWebhook, 4)
		waitFor(t, func() bool {
			var n int
			return v.pool.QueryRow(t.Context(), `SELECT count(*) FROM reactor_outbox WHERE reactor = 'webhooks'`).Scan(&n) == nil && n == 0
		})
		v.stop()
		v.exec(`UPDATE reactor_checkpoints SET position = 0`)
		v.start()
		v.granted(1)
		v.recorded(domain.ChannelWebhook, 5)
		items := v.raised()
		want := []string{items[0], items[1], items[0], items[1], items[2]}
		if got := v.receiver.took(); !slices.Equal(got, want) {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}
