package projections

import (
	"reflect"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestAWebhookShowsItsLastDelivery(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	w, err := NewWebhooks(v.engine)
	must(t, err)
	told := func(to domain.Actor, id notification.ID, endpoint string, outcome notification.Outcome, attempt int, code string, final bool) eventstore.Position {
		return v.by(domain.System(), eventstore.StreamOf(notification.Category, id), notification.Sent{
			Notification: id, To: to.ID, Channel: domain.ChannelWebhook, Endpoint: endpoint, Outcome: outcome, Attempt: attempt, Code: code, Final: final,
		})
	}
	shows := func(person domain.Actor, want map[string]Delivery) {
		t.Helper()
		v.settle()
		got, err := w.Last(t.Context(), person.ID, Moment{})
		must(t, err)
		for id, d := range got {
			if d.At.IsZero() || (d.DeliveredAt == nil) != (want[id].DeliveredAt == nil) {
				t.Errorf("%s: %+v", id, d)
			}
			d.At, d.DeliveredAt = want[id].At, want[id].DeliveredAt
			got[id] = d
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, not %+v", got, want)
		}
	}
	shows(alice, map[string]Delivery{})
	told(alice, "n1", "e1", notification.Failed, 1, "status_503", false)
	timeout := told(alice, "n1", "e1", notification.Failed, 2, "timeout", false)
	other := told(bob, "n2", "e2", notification.Failed, 1, "status_410", true)
	// In the app, or not wanted any more: nothing was sent to the webhook.
	v.by(domain.System(), "notification-n3", notification.Sent{Notification: "n3", To: "alice", Channel: domain.ChannelInApp, Outcome: notification.Delivered, Attempt: 1})
	told(alice, "n3", "e1", notification.Suppressed, 1, "", false)
	told(alice, "n3", "", notification.Suppressed, 1, "", false)
	shows(alice, map[string]Delivery{"e1": {Position: timeout, Notification: "n1", Outcome: "failed", Code: "timeout", Attempt: 2, Failures: 2}})
	shows(bob, map[string]Delivery{"e2": {Position: other, Notification: "n2", Outcome: "failed", Code: "status_410", Status: 410, Attempt: 1, Failures: 1, GivenUp: true}})

	well := told(alice, "n1", "e1", notification.Delivered, 3, "", false)
	at := v.clock()
	shows(alice, map[string]Delivery{"e1": {Position: well, Notification: "n1", Outcome: "delivered", Attempt: 3, DeliveredAt: &at}})
	failed := told(alice, "n4", "e1", notification.Failed, 1, "unreachable", false)
	shows(alice, map[string]Delivery{"e1": {Position: failed, Notification: "n4", Outcome: "failed", Code: "unreachable", Attempt: 1, Failures: 1, DeliveredAt: &at}})

	out, err := v.engine.Rebuild(t.Context(), WebhooksName, RebuildOptions{})
	if err != nil || out.Differences > 0 {
		t.Errorf("a rebuild differs: %+v, %v", out, err)
	}
	shows(alice, map[string]Delivery{"e1": {Position: failed, Notification: "n4", Outcome: "failed", Code: "unreachable", Attempt: 1, Failures: 1, DeliveredAt: &at}})
	v.by(alice, "recipient-r1", recipient.EndpointRemoved{Person: "alice", Endpoint: "e1"})
	v.by(alice, "recipient-r1", recipient.EndpointRemoved{Person: "alice", Endpoint: "e9"}) // nothing was ever sent there
	shows(alice, map[string]Delivery{})
}
