package reactors_test

import (
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
)

func TestWhoIsToldOfWhat(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item := v.item()
	granted := func(with share.Recipient) (eventstore.Stream, domain.Event) {
		id := domain.ShareID(uuid.NewString())
		return shareStream(id), share.Granted{Share: id, Media: item, Owner: "alice", By: "alice", With: with, Terms: share.Terms{Permissions: []share.Permission{share.View}}}
	}
	given := v.share(item, share.Terms{})
	file := eventstore.StreamOf(moderation.Category, domain.CaseID(uuid.NewString()))
	user, byUser := granted(share.Recipient{Kind: share.WithUser, User: "carl"})
	org, byOrg := granted(share.Recipient{Kind: share.WithOrganisation, Organisation: "acme"})
	link, byLink := granted(share.Recipient{Kind: share.WithLink, Token: "00"})
	upload := domain.MediaID(uuid.NewString())
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
		{"`media.upload_refused` | who uploaded", "bob", mediaStream(upload), media.UploadRefused{Media: upload, Owner: "bob", Reasons: []string{"too_large"}}, "bob upload_refused"},
		{"`media.quarantined` by screening | the item's owner", "system", mediaStream(item), media.Quarantined{Code: media.CodeScreening}, "alice item_quarantined"},
		{"`media.quarantined` by a decision | nobody: the decision tells", "system", mediaStream(item), media.Quarantined{Code: media.CodeModeration}, ""},
		{"`moderation.decided` | the item's owner", "mona", file, moderation.Decided{Number: 1, Media: item, By: "mona", Action: moderation.Remove}, "alice item_decided"},
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
	if _, name, ok := strings.Cut(told, " "); ok {
		topic = "`" + name + "` "
	}
	return strings.Contains(readDoc(t), "\n| "+row+" | "+topic+"|\n")
}
