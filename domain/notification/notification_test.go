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
	}, notification.Sent{
		Notification: "n1", To: "alice", About: about(), Channel: domain.ChannelWebhook, Outcome: notification.Delivered, Attempt: 3,
		Endpoint: "e1", Replay: 9,
	}, notification.Sent{
		Notification: "n2", To: "rita", Channel: domain.ChannelInApp, Outcome: notification.Delivered, Attempt: 1,
		About: notification.About{Topic: domain.TopicReportDecided, Media: "m1", Case: "c1", Code: "remove", Cause: 8, Policy: "privacy-4"},
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

func TestHowTellingEnded(t *testing.T) {
	t.Parallel()
	said := func(outcome notification.Outcome, final bool, replay int64) notification.Sent {
		e := raised()
		e.Channel, e.Endpoint, e.Outcome, e.Final, e.Replay = domain.ChannelWebhook, "e1", outcome, final, replay
		return e
	}
	for name, c := range map[string]struct {
		events []notification.Event
		replay int64
		over   bool
	}{
		"nothing was tried":                      {nil, 0, false},
		"it failed, and is tried again":          {[]notification.Event{said(notification.Failed, false, 0)}, 0, false},
		"it was given up":                        {[]notification.Event{said(notification.Failed, true, 0)}, 0, true},
		"it is not wanted":                       {[]notification.Event{said(notification.Suppressed, false, 0)}, 0, true},
		"it was delivered":                       {[]notification.Event{said(notification.Delivered, false, 0)}, 0, true},
		"a replay is another telling":            {[]notification.Event{said(notification.Delivered, false, 0)}, 9, false},
		"a replay was delivered":                 {[]notification.Event{said(notification.Delivered, false, 0), said(notification.Delivered, false, 9)}, 9, true},
		"a later replay covers an earlier one":   {[]notification.Event{said(notification.Delivered, false, 12)}, 9, true},
		"a replay that failed is not over":       {[]notification.Event{said(notification.Delivered, false, 0), said(notification.Failed, false, 9)}, 9, false},
		"what failed later was delivered before": {[]notification.Event{said(notification.Delivered, false, 0), said(notification.Failed, false, 9)}, 0, true},
	} {
		s := domaintest.Given(t, notification.Evolve, append([]notification.Event{raised()}, c.events...)...).State()
		if _, over := s.Over(domain.ChannelWebhook, "e1", c.replay); over != c.over {
			t.Errorf("%s: over %v", name, over)
		}
		if _, over := s.Over(domain.ChannelWebhook, "e2", c.replay); over {
			t.Errorf("%s: another endpoint's is over", name)
		}
	}
}
