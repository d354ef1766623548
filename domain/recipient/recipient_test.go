package recipient_test

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/domaintest"
	"github.com/mediavault-io/mediavault/domain/recipient"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func p(text string) domain.Personal { return domain.NewPersonal("alice", text) }

func added() recipient.EndpointAdded {
	return recipient.EndpointAdded{
		Person: "alice", Endpoint: "e1", URL: p("https://hooks.example.org/a"), Format: recipient.Standard, Secret: p("whsec_YQ=="),
		Topics: []domain.Topic{domain.TopicItemDecided},
	}
}

func TestStoredShapesNeverChange(t *testing.T) {
	t.Parallel()
	domaintest.Golden(t, recipient.Types,
		recipient.PreferencesChanged{Person: "alice", Off: []recipient.Off{{Channel: domain.ChannelEmail, Topic: domain.TopicShareGranted}}, Address: p("a@example.org")},
		recipient.AddressLearned{Person: "alice", Address: p("alice@example.org")}, added(),
		recipient.EndpointRotated{Person: "alice", Endpoint: "e1", Secret: p("whsec_Yg=="), Until: now},
		recipient.EndpointRemoved{Person: "alice", Endpoint: "e1"}, recipient.ReplayRequested{Person: "alice", Endpoint: "e1", After: 7})
}

func TestRecipient(t *testing.T) {
	t.Parallel()
	given := func(events ...recipient.Event) domaintest.Story[recipient.State, recipient.Event] {
		return domaintest.Given(t, recipient.Evolve, events...)
	}
	off := recipient.Off{Channel: domain.ChannelEmail, Topic: domain.TopicShareGranted}
	set := recipient.SetPreferences{Person: "alice", Off: []recipient.Off{off, off}, Address: p("a@example.org")}
	changed := recipient.PreferencesChanged{Person: "alice", Off: []recipient.Off{off}, Address: p("a@example.org")}
	s := given().When(set.Decide).Then(changed).State()
	if s.Wants(off.Channel, off.Topic) || !s.Wants(domain.ChannelInApp, off.Topic) || s.Address().Text() != "a@example.org" {
		t.Errorf("%+v", s)
	}
	given(changed).When(set.Decide).Nothing()
	for _, wrong := range []string{"alice", "Alice <a@example.org>", "a@example.org\r\nBcc: b@example.org"} {
		given().When(recipient.SetPreferences{Person: "alice", Address: p(wrong)}.Decide).Refused(domain.ErrInvalid)
		given().When(recipient.LearnAddress{Person: "alice", Address: p(wrong)}.Decide).Nothing()
	}
	given().When(recipient.SetPreferences{Off: []recipient.Off{{Channel: "pigeon", Topic: off.Topic}}}.Decide).Refused(domain.ErrInvalid)
	learned := recipient.AddressLearned{Person: "alice", Address: p("idp@example.org")}
	given().When(recipient.LearnAddress(learned).Decide).Then(learned)
	given(learned).When(recipient.LearnAddress(learned).Decide).Nothing()

	given().When(recipient.AddEndpoint(added()).Decide).Then(added())
	given(added()).When(recipient.AddEndpoint(added()).Decide).Nothing()
	for _, wrong := range []string{"", "ftp://example.org", "https://u:p@example.org", "https://", "javascript:alert(1)", "https://example.org:0", "https://example.org:65536"} {
		e := recipient.AddEndpoint(added())
		e.URL = p(wrong)
		given().When(e.Decide).Refused(domain.ErrInvalid)
	}
	rotated := recipient.EndpointRotated{Person: "alice", Endpoint: "e1", Secret: p("whsec_Yg=="), Until: now.Add(recipient.Overlap)}
	s = given(added()).When(recipient.RotateSecret{Person: "alice", Endpoint: "e1", Secret: p("whsec_Yg=="), At: now}.Decide).Then(rotated).State()
	at, _ := s.Endpoint("e1")
	if len(at.Secrets(now)) != 2 || at.Secrets(now)[0] != "whsec_Yg==" || len(at.Secrets(now.Add(recipient.Overlap))) != 1 {
		t.Errorf("%v", at.Secrets(now))
	}
	given().When(recipient.RotateSecret{Endpoint: "e1"}.Decide).Refused(recipient.ErrNoEndpoint)
	given(added()).When(recipient.RemoveEndpoint{Person: "alice", Endpoint: "e1"}.Decide).Then(recipient.EndpointRemoved{Person: "alice", Endpoint: "e1"})
	given(added()).When(recipient.Replay{Person: "alice", Endpoint: "e1", After: 3}.Decide).EachTime(recipient.ReplayRequested{Person: "alice", Endpoint: "e1", After: 3})
	given().When(recipient.Replay{Endpoint: "e1"}.Decide).Refused(recipient.ErrNoEndpoint)
}
