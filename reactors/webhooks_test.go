package reactors_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// receiver is a program of somebody's own that takes webhooks, or does not.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	answer func(n int) int
	asked  int
	got    []string // positions of what it took, as the data says
	ids    []string
	sigs   []string
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.asked++
		n := r.asked
		r.mu.Unlock()
		status := r.answer(n)
		if status == 0 { // answers late: after the sender has given up
			<-req.Context().Done()
			return
		}
		if status == 200 {
			var said struct{ Data struct{ Media string } }
			_ = json.Unmarshal(body, &said)
			r.mu.Lock()
			r.got, r.ids, r.sigs = append(r.got, said.Data.Media), append(r.ids, req.Header.Get("Webhook-Id")), append(r.sigs, req.Header.Get("Webhook-Signature"))
			r.mu.Unlock()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// times is how often it was asked.
func (r *receiver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// outcomes are what became of telling somebody on a channel, in order.
func (v *vault) outcomes(channel domain.Channel) []string {
	v.Helper()
	var all []string
	for rec, err := range v.store.ReadAll(v.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
		if err != nil {
			v.Fatal(err)
		}
		if e := rec.Event.(notification.Sent); e.Channel == channel { //nolint:forcetypeassert // of that type
			all = append(all, string(e.Outcome)+" "+e.Code)
		}
	}
	return all
}

func (v *vault) notifications() *commands.Notifications {
	return commands.NewNotifications(v.vault, nil)
}

func (v *vault) notifying() reactors.Reactor {
	return reactors.Notifying{Notifications: v.notifications(), Now: v.now}
}

func (v *vault) as(who domain.UserID) commands.Envelope {
	return commands.Envelope{Actor: domain.Actor{ID: who, Roles: []domain.Role{domain.RoleUser}}}
}

// raised are the items that bob was told of, in the order of the log.
func (v *vault) raised() []string {
	v.Helper()
	var all []string
	for rec, err := range v.store.ReadAll(v.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
		if err != nil {
			v.Fatal(err)
		}
		if e := rec.Event.(notification.Sent); e.Channel == domain.ChannelInApp { //nolint:forcetypeassert // of that type
			all = append(all, string(e.About.Media))
		}
	}
	return all
}

func TestNotifying(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item := v.item()
	v.share(item, share.Terms{})
	v.by("mod", "moderation-c1", moderation.Decided{Number: 1, Media: item, By: "mod", Action: moderation.Remove, Policy: "p"})
	v.by("mod", "moderation-c1", moderation.AppealDecided{Number: 1, Media: item, By: "mod2", Outcome: moderation.Uphold})
	v.by("chief", "moderation-c2", moderation.Assigned{Moderator: "mod", By: "chief"})
	v.by("mod", "moderation-c3", moderation.Assigned{Moderator: "mod", By: "mod"}) // took it himself
	stop := v.react(v.notifying())
	v.done()
	stop()
	told := map[string]int{}
	for rec, err := range v.store.ReadAll(t.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		e := rec.Event.(notification.Sent) //nolint:forcetypeassert // of that type
		told[string(e.To)+" "+string(e.About.Topic)]++
	}
	want := map[string]int{"bob share_granted": 1, "alice item_decided": 1, "alice appeal_decided": 1, "mod case_assigned": 1}
	if len(told) != len(want) {
		t.Errorf("told %v, want %v", told, want)
	}
	for who := range want {
		if told[who] != 1 {
			t.Errorf("told %v, want %v", told, want)
		}
	}
	// Reacting to all of it again tells nobody twice.
	if _, err := v.pool.Exec(t.Context(), `UPDATE reactor_checkpoints SET position = 0`); err != nil {
		t.Fatal(err)
	}
	v.react(v.notifying())
	v.done()
	if n := len(v.outcomes(domain.ChannelInApp)); n != 4 {
		t.Errorf("%d notifications after reacting again", n)
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	webhooks := func(v *vault) reactors.Reactor {
		return reactors.NewWebhooks(v.pool, v.store, v.notifications(), notify.NewWebhooks(200*time.Millisecond, true), v.now)
	}
	add := func(v *vault, r *receiver) recipient.EndpointID {
		v.Helper()
		id, _, _, err := v.notifications().AddWebhook(v.Context(), v.as("bob"), commands.Webhook{URL: r.URL})
		if err != nil {
			v.Fatal(err)
		}
		return id
	}
	granted := func(v *vault, n int) {
		for range n {
			v.share(v.item(), share.Terms{})
		}
	}

	t.Run("what fails, hangs and answers late gets everything in order, after a while, over a stop", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		r := newReceiver(t, func(n int) int {
			switch n {
			case 1:
				return 500
			case 2:
				return 0
			default:
				return 200
			}
		})
		add(v, r)
		granted(v, 3)
		stop := v.react(v.notifying(), webhooks(v))
		waitFor(t, func() bool { return len(v.outcomes(domain.ChannelWebhook)) == 1 })
		stop()
		if got := r.took(); len(got) != 0 {
			t.Fatalf("took %v", got)
		}
		v.react(v.notifying(), webhooks(v))
		v.pass(time.Minute)
		waitFor(t, func() bool { return len(v.outcomes(domain.ChannelWebhook)) == 2 })
		v.pass(time.Hour)
		waitFor(t, func() bool { return len(r.took()) == 3 })
		if got, items := r.took(), v.raised(); !slices.Equal(got, items) {
			t.Errorf("took %v, want %v", got, items)
		}
		waitFor(t, func() bool { return len(v.outcomes(domain.ChannelWebhook)) == 5 })
		if got := v.outcomes(domain.ChannelWebhook); !slices.Equal(got, []string{"failed status_500", "failed timeout", "delivered ", "delivered ", "delivered "}) {
			t.Errorf("recorded %v", got)
		}
	})

	t.Run("what never takes one is given up after more than a day, and the next comes", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		r := newReceiver(t, func(n int) int {
			if n <= 9 {
				return 503
			}
			return 200
		})
		add(v, r)
		granted(v, 2)
		v.react(v.notifying(), webhooks(v))
		for n := range 9 {
			waitFor(t, func() bool { return len(v.outcomes(domain.ChannelWebhook)) > n })
			v.pass(12 * time.Hour)
		}
		waitFor(t, func() bool { return len(r.took()) == 1 })
		if got, items := r.took(), v.raised(); !slices.Equal(got, items[1:]) {
			t.Errorf("took %v, want %v", got, items[1:])
		}
	})

	t.Run("a secret that was rotated signs beside the new one; a replay sends the same ids; what is removed is silent", func(t *testing.T) {
		t.Parallel()
		v := newVault(t)
		r := newReceiver(t, func(int) int { return 200 })
		id := add(v, r)
		granted(v, 2)
		v.react(v.notifying(), webhooks(v))
		waitFor(t, func() bool { return len(r.took()) == 2 })
		if _, _, err := v.notifications().RotateWebhook(t.Context(), v.as("bob"), id); err != nil {
			t.Fatal(err)
		}
		if _, err := v.notifications().ReplayWebhook(t.Context(), v.as("bob"), id, 0); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return len(r.took()) == 4 })
		items := v.raised()
		if got := r.took(); !slices.Equal(got, append(slices.Clone(items), items...)) || !slices.Equal(r.ids[:2], r.ids[2:]) {
			t.Errorf("took %v as %v", got, r.ids)
		}
		if len(r.sigs[0]) >= len(r.sigs[3]) {
			t.Errorf("signed with %q, then %q", r.sigs[0], r.sigs[3])
		}
		if _, err := v.notifications().RemoveWebhook(t.Context(), v.as("bob"), id); err != nil {
			t.Fatal(err)
		}
		granted(v, 1)
		v.done()
		v.pass(time.Hour)
		v.done()
		if got := r.took(); len(got) != 4 {
			t.Errorf("took %v", got)
		}
	})
}
