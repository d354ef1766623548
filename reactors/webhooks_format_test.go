package reactors_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// asked is a request that a webhook got.
type asked struct {
	id, signature string
	at            string
	body          []byte
}

func TestWebhookFormatsAndSecrets(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	came := make(chan asked, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- asked{r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Signature"), r.Header.Get("Webhook-Timestamp"), body}
	}))
	t.Cleanup(receiver.Close)
	next := func() asked {
		t.Helper()
		select {
		case a := <-came:
			return a
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came in 30 s")
			return asked{}
		}
	}
	id, first, _, err := v.notifications().AddWebhook(t.Context(), v.as("bob"), commands.Webhook{URL: receiver.URL, Format: recipient.Slack})
	must(t, err)
	v.react(v.notifying(), reactors.NewWebhooks(v.pool, v.store, v.notifications(), notify.NewWebhooks(5*time.Second, true), v.now))
	item := v.item()
	v.share(item, share.Terms{})
	a := next()
	var said map[string]string
	if err := json.Unmarshal(a.body, &said); err != nil || len(said) != 1 || !strings.Contains(said["text"], "alice shared item "+string(item)) {
		t.Errorf("Slack gets %s, %v", a.body, err)
	}
	signedBy := func(a asked, secrets ...string) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, "1970-01-01T00:00:00Z")
		must(t, err)
		seconds, err := time.ParseDuration(a.at + "s")
		must(t, err)
		want, err := notify.Sign(a.id, at.Add(seconds), a.body, secrets)
		must(t, err)
		if a.signature != want {
			t.Errorf("signed with %q, want %q", a.signature, want)
		}
	}
	signedBy(a, first)

	second, _, err := v.notifications().RotateWebhook(t.Context(), v.as("bob"), id)
	must(t, err)
	v.share(v.item(), share.Terms{})
	signedBy(next(), second, first) // during the overlap, the newest first
	v.pass(recipient.Overlap + time.Second)
	v.share(v.item(), share.Terms{})
	signedBy(next(), second)
	// A replay from a position gets what came after it, under the ids that it had, and nothing of before.
	last := v.raised()
	_, err = v.notifications().ReplayWebhook(t.Context(), v.as("bob"), id, int64(v.positionOf(last[1])))
	must(t, err)
	if got := next(); !strings.Contains(string(got.body), last[2]) {
		t.Errorf("the replay began with %s", got.body)
	}
}

// positionOf is where somebody was told of an item.
func (v *vault) positionOf(item string) eventstore.Position {
	v.Helper()
	for rec, err := range v.store.ReadAll(v.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
		if err != nil {
			v.Fatal(err)
		}
		if e := rec.Event.(notification.Sent); string(e.About.Media) == item && e.Channel == domain.ChannelInApp { //nolint:forcetypeassert // of that type
			return rec.Position
		}
	}
	v.Fatalf("nobody was told of %s", item)
	return 0
}
