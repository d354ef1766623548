package notification_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/notification"
)

func about() notification.About {
	return notification.About{Topic: domain.TopicItemDecided, Media: "m1", Share: "s1", Case: "c1", By: "mod", Code: "remove", Cause: 7}
}

func raised() notification.Sent {
	return notification.Sent{Notification: "n1", To: "alice", About: about(), Channel: domain.ChannelInApp, Outcome: notification.Delivered, Attempt: 1}
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	domaintest.Golden(t, notification.Types, raised(), notification.Sent{
		Notification: "n1", To: "alice", About: about(), Channel: domain.ChannelWebhook, Outcome: notification.Failed, Attempt: 2,
		Endpoint: "e1", Digest: "d1", Code: "timeout", Final: true,
	}, notification.Read{By: "alice"})
}

func TestNotification(t *testing.T) {
	t.Parallel()
	given := func(events ...notification.Event) domaintest.Story[notification.State, notification.Event] {
		return domaintest.Given(t, notification.Evolve, events...)
	}
	raise := notification.Raise{ID: "n1", To: "alice", About: about(), Wanted: true}
	given().When(raise.Decide).Then(raised())
	given(raised()).When(raise.Decide).Nothing()
	muted := raised()
	muted.Outcome = notification.Suppressed
	raise.Wanted = false
	given().When(raise.Decide).Then(muted)

	told := raised()
	told.Channel, told.Endpoint, told.Outcome, told.Code = domain.ChannelWebhook, "e1", notification.Failed, "timeout"
	tell := notification.Tell{Channel: domain.ChannelWebhook, Endpoint: "e1", Outcome: notification.Failed, Code: "timeout"}
	again := told
	again.Attempt = 2
	once, err := tell.Decide(given(raised()).State())
	if err != nil || len(once) != 1 || once[0] != notification.Event(told) {
		t.Errorf("%+v %v", once, err)
	}
	twice, err := tell.Decide(given(raised(), told).State())
	if err != nil || len(twice) != 1 || twice[0] != notification.Event(again) {
		t.Errorf("%+v %v", twice, err)
	}
	given().When(tell.Decide).Refused(notification.ErrNotFound)

	given(raised()).When(notification.MarkRead{By: "alice"}.Decide).Then(notification.Read{By: "alice"})
	given(raised(), notification.Read{By: "alice"}).When(notification.MarkRead{By: "alice"}.Decide).Nothing()
	given(raised()).When(notification.MarkRead{By: "bob"}.Decide).Refused(notification.ErrNotFound)
}
