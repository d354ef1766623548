package writeapi

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
)

// inbox finds what was raised for a person in the log itself.
type inbox struct{ v *vault }

func (i inbox) Unread(_ context.Context, person domain.UserID) ([]notification.ID, error) {
	var all []notification.ID
	for _, rec := range i.v.events() {
		if e, ok := rec.Event.(notification.Sent); ok && e.To == person {
			all = append(all, e.Notification)
		}
	}
	return all, nil
}

// notificationsLife is told, reads, and says how to be told.
func notificationsLife(t *testing.T, v *vault) {
	t.Helper()
	n := v.server.Notifications
	system := commands.Envelope{Actor: domain.System()}
	for cause := range int64(3) {
		if _, err := n.Raise(t.Context(), system, "nina", notification.About{Topic: domain.TopicItemDecided, Cause: cause}); err != nil {
			t.Fatal(err)
		}
	}
	first := "/v1/notifications/" + string(notification.IDOf("nina", domain.TopicItemDecided, 0)) + "/read"
	v.want(v.do("mallory", "POST", first, nil), 404, "not_found")
	v.want(v.do("nina", "POST", first, nil), 200, "")
	v.want(v.do("nina", "POST", first, nil), 200, "")
	all := v.want(v.do("nina", "POST", "/v1/notifications/read-all", nil), 200, "")
	if all.body["count"] != 3.0 {
		t.Errorf("%s", all.raw)
	}

	const preferences = "/v1/notifications/preferences"
	v.want(v.do("nina", "PUT", preferences, `{"email":"nina@example.org","off":[{"channel":"email","topic":"share_granted"}]}`), 200, "")
	v.want(v.do("nina", "PUT", preferences, `{"email":"not an address"}`), 400, "invalid")
	v.want(v.do("nina", "PUT", preferences, `{"off":[{"channel":"pigeon","topic":"share_granted"}]}`), 400, "invalid")
	v.want(v.do("nina", "PUT", preferences, `{"email":null}`), 200, "")

	made := v.want(v.do("nina", "POST", "/v1/webhooks", `{"url":"https://hooks.example.org/vault","topics":["item_decided"]}`, "Idempotency-Key", "hook"), 201, "")
	again := v.want(v.do("nina", "POST", "/v1/webhooks", `{"url":"https://hooks.example.org/vault","topics":["item_decided"]}`, "Idempotency-Key", "hook"), 201, "")
	if !strings.HasPrefix(made.text("secret"), "whsec_") || again.text("secret") != "" || again.text("id") != made.text("id") {
		t.Errorf("%s %s", made.raw, again.raw)
	}
	hook := "/v1/webhooks/" + made.text("id")
	rotated := v.want(v.do("nina", "POST", hook+"/rotate", nil), 200, "")
	if rotated.text("secret") == "" || rotated.text("secret") == made.text("secret") {
		t.Errorf("%s", rotated.raw)
	}
	v.want(v.do("nina", "POST", hook+"/replay", `{"after":0}`), 200, "")
	v.want(v.do("nina", "POST", hook+"/replay", `{}`), 400, "invalid")
	for _, path := range []string{hook, hook + "/rotate", hook + "/replay"} {
		method, body := "POST", any(nil)
		if path == hook {
			method = "DELETE"
		}
		if strings.HasSuffix(path, "replay") {
			body = `{"after":0}`
		}
		v.want(v.do("mallory", method, path, body), 404, "not_found")
	}
	v.want(v.do("nina", "DELETE", hook, nil), 200, "")
	v.want(v.do("nina", "POST", "/v1/webhooks", `{"url":"ftp://example.org"}`), 400, "invalid")

	// Addresses and secrets stand sealed in the log.
	for _, rec := range v.events() {
		if stored, err := json.Marshal(rec.Event); rec.Stream.Category() == "recipient" && err == nil &&
			(strings.Contains(string(stored), "example.org") || strings.Contains(string(stored), "whsec_")) {
			t.Errorf("%s: %s", rec.Type, stored)
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	notificationsLife(t, newVault(t, nil))
}

func TestAWebhookThatCouldNeverBeDeliveredToIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(s *Server) { s.Notifications.Public = notify.Public })
	for _, address := range []string{"http://127.0.0.1:18997/h", "http://169.254.169.254/latest", "http://localhost/h", "https://[::1]/h", "https://10.0.0.7/h"} {
		got := v.want(v.do("nina", "POST", "/v1/webhooks", `{"url":"`+address+`"}`), 400, "address_not_allowed")
		if !strings.Contains(string(got.raw), `"url"`) {
			t.Errorf("the field is not named: %s", got.raw)
		}
	}
	v.want(v.do("nina", "POST", "/v1/webhooks", `{"url":"https://hooks.example.org/h"}`), 201, "")
}
