package readapi_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestTheChainIsForStaffAndTheOwner(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	v.by("system", mediaStream(id), media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 30, Stages: []media.Stage{
		{Name: "nsfw", Version: "model-7", Verdict: media.VerdictReview, Codes: []string{"nsfw_high"}},
	}})
	c := domain.CaseID(uuid.NewString())
	stream := eventstore.StreamOf(moderation.Category, c)
	v.by("bob", stream, moderation.Opened{Case: c, Media: id, Owner: "alice", Origin: moderation.FromReport, By: "bob", Category: "spam"})
	before := v.settled()
	at := v.by("mod", stream, moderation.Decided{
		Number: 1, Media: id, By: "mod", Action: moderation.Restrict, Policy: "P1", Statement: domain.NewPersonal("alice", "restricted"),
		Reason: domain.NewPersonal("alice", "inside"),
	})
	path := "/v1/media/" + string(id) + "/moderation"
	type chain struct {
		Screenings []struct{ Stages []struct{ Version string } }
		Cases      []struct {
			Decisions []struct{ By, Reason, Statement string }
		}
	}
	staff := into[chain](v, "mod2 moderator", path, after(at)...)
	if len(staff.Screenings) != 2 || staff.Screenings[1].Stages[0].Version != "model-7" || staff.Cases[0].Decisions[0].Reason != "inside" {
		t.Errorf("%+v", staff)
	}
	owner := into[chain](v, "alice user", path)
	if d := owner.Cases[0].Decisions[0]; d.Statement != "restricted" || d.By != "" || d.Reason != "" {
		t.Errorf("%+v", owner)
	}
	if then := into[chain](v, "mod moderator", fmt.Sprintf("%s?as_of=%d", path, before)); len(then.Cases[0].Decisions) != 0 {
		t.Errorf("%+v", then)
	}
	v.refused(404, "not_found", "mallory user", path)
	v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "carol"}, share.Terms{})
	v.settled()
	v.refused(403, "may_not_see", "carol user", path)

	type statistics struct {
		Queue     struct{ Waiting int }
		Decisions map[string]int
	}
	if got := into[statistics](v, "ann analyst", "/v1/moderation/statistics"); got.Decisions["restrict"] != 1 || got.Queue.Waiting != 0 {
		t.Errorf("%+v", got)
	}
	if got := into[statistics](v, "mod moderator", fmt.Sprintf("/v1/moderation/statistics?as_of=%d", before)); got.Queue.Waiting != 1 || got.Decisions["restrict"] != 0 {
		t.Errorf("%+v", got)
	}
	v.refused(400, "invalid", "mod moderator", "/v1/moderation/statistics?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")
}

func TestAVersionIsForThoseWhoSeeVersions(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, _ := v.upload("alice", "harbour.png", []byte("first"))
	v.by("alice", mediaStream(id), media.VersionAdded{Version: 2, File: v.file("alice", "harbour.png", "image/png", []byte("second"))})
	v.screen(id, 2)
	_, at := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	path := "/v1/media/" + string(id) + "/content"
	if a := v.get("alice user", path+"?version=1", after(at)...); string(a.body) != "first" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := v.get("bob user", path); string(a.body) != "second" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := v.get("bob user", path+"?version=2"); string(a.body) != "second" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	v.refused(404, "no_such_version", "bob user", path+"?version=1")
	v.refused(404, "no_such_version", "alice user", path+"?version=3")
	v.refused(400, "invalid", "alice user", path+"?version=0")
}
