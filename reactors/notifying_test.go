package reactors_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

func TestWhoIsToldOfWhat(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item := v.item()
	granted := func(with share.Grantee) (eventstore.Stream, domain.Event) {
		id := domain.ShareID(uuid.NewString())
		return shareStream(id), share.Granted{Share: id, Media: item, Owner: "alice", By: "alice", With: with, Terms: share.Terms{Permissions: []share.Permission{share.View}}}
	}
	given := v.share(item, share.Terms{})
	file := eventstore.StreamOf(moderation.Category, domain.CaseID(uuid.NewString()))
	user, byUser := granted(share.Grantee{Kind: share.WithUser, User: "carl"})
	org, byOrg := granted(share.Grantee{Kind: share.WithOrganisation, Organisation: "acme"})
	link, byLink := granted(share.Grantee{Kind: share.WithLink, Token: "00"})
	upload, atOnce := domain.MediaID(uuid.NewString()), domain.MediaID(uuid.NewString())
	v.by("bob", mediaStream(upload), media.UploadRequested{Media: upload, Owner: "bob", Title: domain.NewPersonal("bob", "Pier")})
	// A case that rita and the moderator mo reported, the detector found and ria referred.
	reported := func(more ...domain.Event) eventstore.Stream {
		id := domain.CaseID(uuid.NewString())
		stream := eventstore.StreamOf(moderation.Category, id)
		v.by("rita", stream, append([]domain.Event{
			moderation.Opened{Case: id, Media: item, Owner: "alice", Origin: moderation.FromReport, By: "rita", Category: "spam"},
			moderation.Reported{Origin: moderation.FromReport, By: "rita", Category: "fraud"},
			moderation.Reported{Origin: moderation.FromReport, By: "mo", Category: "spam"},
			moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "nudity"},
			moderation.Reported{Origin: moderation.FromReferral, By: "ria", Category: "spam"},
		}, more...)...)
		return stream
	}
	free, held := v.item(), v.item()
	v.by("system", mediaStream(held), media.Quarantined{Code: media.CodeScreening})
	doubtful := domain.MediaID(uuid.NewString())
	v.by("alice", mediaStream(doubtful), media.Uploaded{Media: doubtful, Owner: "alice", Title: domain.NewPersonal("alice", "Quay"), File: media.File{Type: "image/png", Size: 1, Object: "0f/2"}},
		media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 40})
	remove := moderation.Decided{Number: 1, Media: item, By: "mo", Action: moderation.Remove, Policy: "privacy-4"}
	restrict := moderation.Decided{Number: 1, Media: item, By: "mona", Action: moderation.Restrict}
	for _, c := range []struct {
		row   string // of docs/notifications.md
		by    domain.UserID
		in    eventstore.Stream
		event domain.Event
		told  string
	}{
		{"`share.granted` with a user | that user", "alice", user, byUser, "carl share_granted"},
		{"`share.granted` with an organisation | nobody", "alice", org, byOrg, ""},
		{"`share.granted` by link | nobody", "alice", link, byLink, ""},
		{"`share.end_announced` | who gave the share", "system", shareStream(given), share.EndAnnounced{OpensLeft: 1}, "alice share_ending"},
		{"`share.expired` | who gave the share", "system", shareStream(given), share.Expired{}, "alice share_ended"},
		{"`share.exhausted` | who gave the share", "system", shareStream(given), share.Exhausted{Opens: 5}, "alice share_ended"},
		{"`media.upload_refused` in the answer to who uploads | nobody: the answer tells", "bob", mediaStream(atOnce), media.UploadRefused{Media: atOnce, Owner: "bob", Reasons: []string{"too_large"}}, ""},
		{"`media.upload_refused` of an upload that was announced | who uploaded", "bob", mediaStream(upload), media.UploadRefused{Media: upload, Owner: "bob", Reasons: []string{"too_large"}}, "bob upload_refused"},
		{
			"`media.screened`: a person has to look | the item's owner", "system", mediaStream(item),
			media.Screened{Version: 1, Verdict: media.VerdictReview, Stages: []media.Stage{{Name: "content", Verdict: media.VerdictReview, Codes: []string{"undecodable"}}}}, "alice item_in_review",
		},
		{"`media.screened` with another verdict | nobody", "system", mediaStream(item), media.Screened{Version: 1, Verdict: media.VerdictClean, Score: 100}, ""},
		{"`media.quarantined` by screening | the item's owner", "system", mediaStream(item), media.Quarantined{Code: media.CodeScreening}, "alice item_quarantined"},
		{"`media.quarantined` by a decision | nobody: the decision tells", "system", mediaStream(item), media.Quarantined{Code: media.CodeModeration}, ""},
		{"`moderation.decided` that takes something away | the item's owner", "mona", file, moderation.Decided{Number: 1, Media: item, By: "mona", Action: moderation.Remove}, "alice item_decided"},
		{"`moderation.decided`: approved what was withheld | the item's owner", "mona", file, moderation.Decided{Number: 1, Media: held, By: "mona", Action: moderation.Approve}, "alice item_decided"},
		{"`moderation.decided`: approved what was withheld | the item's owner", "mona", file, moderation.Decided{Number: 1, Media: doubtful, By: "mona", Action: moderation.Approve}, "alice item_decided"},
		{"`moderation.decided`: approved what was not withheld | nobody: the owner missed nothing", "mona", file, moderation.Decided{Number: 1, Media: free, By: "mona", Action: moderation.Approve}, ""},
		{"`moderation.decided` about what people reported | also each of them", "mo", reported(), remove, "alice item_decided, rita report_decided"},
		{
			"`moderation.decided` as before | of those who reported, who did since", "mona",
			reported(restrict, moderation.Reopened{Why: moderation.NewReports, Decision: 1, People: 1}, moderation.Reported{Origin: moderation.FromReport, By: "rosa", Category: "spam"}),
			moderation.Decided{Number: 2, Media: item, By: "mona", Action: moderation.Restrict}, "alice item_decided, rosa report_decided",
		},
		{
			"`moderation.decided` about what people reported | also each of them", "mona", reported(),
			moderation.Decided{Number: 1, Media: free, By: "mona", Action: moderation.Approve}, "rita report_decided, mo report_decided",
		},
		{
			"`moderation.appeal_decided`: overturned, about what people reported | also each of them", "moe", reported(remove),
			moderation.AppealDecided{Number: 1, Media: item, By: "moe", Outcome: moderation.Overturn}, "alice appeal_decided, rita report_decided, mo report_decided",
		},
		{
			"`moderation.appeal_decided` | the item's owner", "moe", reported(remove),
			moderation.AppealDecided{Number: 1, Media: item, By: "moe", Outcome: moderation.Uphold}, "alice appeal_decided",
		},
		{
			"`moderation.reported` in a case that is decided, and stays so | who reported", "rosa", reported(remove),
			moderation.Reported{Origin: moderation.FromReport, By: "rosa", Category: "spam"}, "rosa report_decided",
		},
		{
			"`moderation.reported` in a case that it reopens | nobody yet", "rosa",
			reported(restrict, moderation.Reopened{Why: moderation.NewReports, Decision: 1, People: 1}),
			moderation.Reported{Origin: moderation.FromReport, By: "rosa", Category: "spam"}, "",
		},
		{
			"`moderation.reported` in a case that waits | nobody yet", "rosa", reported(),
			moderation.Reported{Origin: moderation.FromReport, By: "rosa", Category: "spam"}, "",
		},
		{"`moderation.appeal_decided` | the item's owner", "moe", file, moderation.AppealDecided{Number: 1, Media: item, By: "moe", Outcome: moderation.Uphold}, "alice appeal_decided"},
		{"`moderation.assigned` by somebody else | the moderator", "chief", file, moderation.Assigned{Moderator: "mona", By: "chief"}, "mona case_assigned"},
		{"`moderation.assigned` by himself | nobody", "mona", file, moderation.Assigned{Moderator: "mona", By: "mona"}, ""},
	} {
		v.by(c.by, c.in, c.event)
		head, err := v.store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stop := v.react(v.notifying())
		v.done()
		stop()
		var told []string
		for rec, err := range v.store.ReadAll(t.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
			if err != nil {
				t.Fatal(err)
			}
			if e := rec.Event.(notification.Sent); e.About.Cause == int64(head) { //nolint:forcetypeassert // of that type
				told = append(told, string(e.To)+" "+string(e.About.Topic))
			}
		}
		if got := strings.Join(told, ", "); got != c.told {
			t.Errorf("%s: told %q, want %q", c.row, got, c.told)
		}
		if !documented(t, c.row, c.told) {
			t.Errorf("docs/notifications.md has no row %q", c.row)
		}
		if !slices.Contains(v.notifying().Types(), c.event.EventType()) {
			t.Errorf("%s is not reacted to", c.event.EventType())
		}
	}
	doc := readDoc(t)
	for _, typ := range v.notifying().Types() {
		if !strings.Contains(doc, "| `"+typ+"`") {
			t.Errorf("docs/notifications.md does not say who is told of %s", typ)
		}
	}
	for _, topic := range domain.Topics() {
		if !strings.Contains(doc, "`"+string(topic)+"` |") {
			t.Errorf("docs/notifications.md does not say who is told about %s", topic)
		}
	}
}

func readDoc(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func documented(t *testing.T, row, told string) bool {
	t.Helper()
	topic := ""
	if told != "" {
		topic = "`" + told[strings.LastIndex(told, " ")+1:] + "` " // the owner is told first, then those whom the row is about
	}
	return strings.Contains(readDoc(t), "\n| "+row+" | "+topic+"|\n")
}

func TestWhoReportedLearnsTheOutcomeAndTheRuleAndNoMore(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item, id := v.item(), domain.CaseID(uuid.NewString())
	stream := eventstore.StreamOf(moderation.Category, id)
	v.by("rita", stream, moderation.Opened{
		Case: id, Media: item, Owner: "alice", Origin: moderation.FromReport, By: "rita", Category: "privacy", Note: domain.NewPersonal("rita", "my licence plate"),
	})
	v.by("mona", stream, moderation.Decided{
		Number: 1, Media: item, By: "mona", Action: moderation.Restrict, Policy: "privacy-4",
		Reason: domain.NewPersonal("alice", "internal"), Statement: domain.NewPersonal("alice", "to alice"),
	})
	v.by("moe", stream, moderation.AppealDecided{Number: 1, Decision: 1, Media: item, By: "moe", Outcome: moderation.Overturn, Overturns: moderation.Restrict})
	mails := make(letters, 8)
	must(t, v.notifications().LearnAddress(t.Context(), "rita", "rita@example.org"))
	v.react(v.notifying(), reactors.NewMailing(v.pool, v.notifications(), mails, 0, v.now))
	want := []string{
		"A moderator decided about item " + string(item) + ", which you reported: restrict. Rule: privacy-4. If you disagree",
		"The decision about item " + string(item) + ", which you reported, fell on appeal. If you disagree",
	}
	var text string
	waitFor(t, func() bool {
		select {
		case mail := <-mails:
			text += mail
		default:
		}
		return strings.Contains(text, want[0]) && strings.Contains(text, want[1])
	})
	if strings.Contains(text, "mona") || strings.Contains(text, "alice") || strings.Contains(text, "internal") {
		t.Errorf("rita is told too much:\n%s", text)
	}
	for rec, err := range v.store.ReadAll(t.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"notification.sent"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		e := rec.Event.(notification.Sent) //nolint:forcetypeassert // of that type
		if e.To != "rita" {
			continue
		}
		about := e.About
		about.Cause = 0
		first := notification.About{Topic: domain.TopicReportDecided, Media: item, Case: id, Code: "restrict", Policy: "privacy-4"}
		second := notification.About{Topic: domain.TopicReportDecided, Media: item, Case: id, Code: "overturn"}
		if about != first && about != second {
			t.Errorf("rita learns %+v", e.About)
		}
	}
}

// letters takes mails, and keeps their subject and text.
type letters chan string

func (l letters) Mail(_ context.Context, _, subject, text, _ string) error {
	l <- subject + "\n" + text
	return nil
}
