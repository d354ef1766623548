package readapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/readapi"
)

type recipients struct{}

func (recipients) Recipient(_ context.Context, _ domain.UserID, at int64) (readapi.Recipient, error) {
	if at == 0 {
		return readapi.Recipient{Revision: -1}, nil // nothing was said yet
	}
	until := time.Now().UTC()
	return readapi.Recipient{
		Off: []readapi.Muted{{Channel: domain.ChannelEmail, Topic: domain.TopicItemDecided}}, Email: "alice@example.org", EmailFrom: "person", Revision: 3,
		Webhooks: []readapi.Webhook{{
			ID: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21", URL: "https://hooks.example.org", Format: "standard",
			Topics: []domain.Topic{domain.TopicItemDecided}, RotatingUntil: &until,
		}},
	}, nil
}

// tell raises a notification, and answers its stream.
func (v *vault) tell(to domain.UserID, cause int64, outcome notification.Outcome) (eventstore.Stream, int64) {
	v.Helper()
	id := notification.IDOf(to, domain.TopicItemDecided, cause)
	stream := eventstore.StreamOf(notification.Category, id)
	return stream, v.by("system", stream, notification.Sent{
		Notification: id, To: to, Channel: domain.ChannelInApp, Outcome: outcome, Attempt: 1,
		About: notification.About{
			Topic: domain.TopicItemDecided, Media: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e22", Case: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e23", Code: "remove", Cause: cause,
		},
	})
}

type box struct {
	Items []struct {
		ID     string
		Email  string
		ReadAt *time.Time `json:"read_at"`
	}
	Total      int64
	Unread     int64
	NextCursor string `json:"next_cursor"`
}

func TestNotificationsAreReadByTheirPersonAsOfAnyMoment(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	first, before := v.tell("alice", 1, notification.Delivered)
	second, _ := v.tell("alice", 2, notification.Delivered)
	v.tell("alice", 3, notification.Suppressed) // not wanted in the app
	v.tell("bob", 4, notification.Delivered)
	v.by("system", second, notification.Sent{
		Notification: notification.ID(second.ID()), To: "alice", Channel: domain.ChannelEmail, Outcome: notification.Delivered, Attempt: 1,
	})
	last := v.by("alice", first, notification.Read{By: "alice"})

	got := into[box](v, "alice user", "/v1/notifications", after(last)...)
	if got.Total != 2 || got.Unread != 1 || got.Items[0].ID != second.ID() || got.Items[0].Email != "delivered" || got.Items[1].ReadAt == nil {
		t.Errorf("%+v", got)
	}
	if got = into[box](v, "alice user", "/v1/notifications?unread=true", after(last)...); got.Total != 1 || got.Items[0].ID != second.ID() {
		t.Errorf("unread: %+v", got)
	}
	page := into[box](v, "alice user", "/v1/notifications?page_size=1", after(last)...)
	if next := into[box](v, "alice user", "/v1/notifications?page_size=1&cursor="+page.NextCursor); next.Items[0].ID != first.ID() {
		t.Errorf("second page: %+v", next)
	}
	then := into[box](v, "alice user", "/v1/notifications?as_of="+itoa(before))
	if then.Total != 1 || then.Unread != 1 || then.Items[0].ReadAt != nil {
		t.Errorf("as of %d: %+v", before, then)
	}
	if none := into[box](v, "mallory user", "/v1/notifications", after(last)...); none.Total != 0 || none.Unread != 0 {
		t.Errorf("a stranger sees %+v", none)
	}
}

func TestAWebhookIsListedWithItsLastDelivery(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	type hooks struct {
		Items []struct {
			ID, URL string
			Last    *struct {
				Position, Status, Failures int64
				Outcome, Code              string
			} `json:"last_delivery"`
		}
	}
	if got := into[hooks](v, "alice user", "/v1/webhooks"); len(got.Items) != 1 || got.Items[0].Last != nil {
		t.Errorf("nothing was sent, and it shows %+v", got)
	}
	stream, _ := v.tell("alice", 1, notification.Delivered)
	at := v.by("system", stream, notification.Sent{
		Notification: notification.ID(stream.ID()), To: "alice", Channel: domain.ChannelWebhook, Endpoint: "0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21",
		Outcome: notification.Failed, Attempt: 1, Code: "status_503",
	})
	got := into[hooks](v, "alice user", "/v1/webhooks", after(at)...)
	if len(got.Items) != 1 || got.Items[0].Last == nil || got.Items[0].Last.Position != at || got.Items[0].Last.Status != 503 ||
		got.Items[0].Last.Code != "status_503" || got.Items[0].Last.Outcome != "failed" || got.Items[0].Last.Failures != 1 {
		t.Errorf("%+v", got)
	}
	if got := into[hooks](v, "bob user", "/v1/webhooks", after(at)...); len(got.Items) != 1 || got.Items[0].Last != nil {
		t.Errorf("another person sees %+v", got)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestPreferencesSayAtWhichRevisionTheyAreSoThatTheyCanBeChangedSafely(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	if a := v.ask(http.MethodGet, "alice user", "/v1/notifications/preferences"); a.StatusCode != 200 || a.Header.Get("ETag") != `"3"` {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if a := v.ask(http.MethodGet, "alice user", "/v1/notifications/preferences?as_of=0"); a.StatusCode != 200 || a.Header.Get("ETag") != "" {
		t.Errorf("before anything was said: %d %v", a.StatusCode, a.Header)
	}
	if a := v.ask(http.MethodGet, "alice user", "/v1/webhooks?as_of=2999-01-01T00:00:00Z"); a.StatusCode != 400 || a.code() != "as_of_in_future" {
		t.Errorf("in the future: %d %s", a.StatusCode, a.body)
	}
	type listed struct {
		Items      []json.RawMessage
		Total      int
		Page       int
		PageSize   int  `json:"page_size"`
		TotalPages int  `json:"total_pages"`
		HasNext    bool `json:"has_next"`
	}
	if none := into[listed](v, "alice user", "/v1/webhooks?as_of=0"); len(none.Items) != 0 || none.TotalPages != 0 {
		t.Errorf("%+v", none)
	}
	if all := into[listed](v, "alice user", "/v1/webhooks"); len(all.Items) != 1 || all.Total != 1 || all.Page != 1 || all.PageSize != 1 || all.TotalPages != 1 || all.HasNext {
		t.Errorf("%+v", all)
	}
}
