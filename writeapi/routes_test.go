package writeapi

import (
	"net/http"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/internal/apitest"
)

func TestOpenAPIIsTheTableOfRoutes(t *testing.T) {
	t.Parallel()
	apitest.Load(t, OpenAPI()).MatchesRoutes(t, (&Server{}).Table())
}

func TestEveryOperationAnswersAsDescribed(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	itemsLife(t, v)
	sharesLife(t, v)
	casesLife(t, v)
	findingsLife(t, v)
	parkedLife(t, v)
	erasureLife(t, v)
	notificationsLife(t, v)
	objects := v.objects()
	signedUpload(t, v)
	if n := v.objects() - objects; n != 1 {
		t.Errorf("%d objects of one signed upload", n)
	}
	if unseen := v.spec.Unseen(); len(unseen) > 0 {
		t.Errorf("no good answer was seen of %v", unseen)
	}
}

func TestEveryRouteOpensToItsRolesAlone(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	apitest.Rights(t, v.client, v.url, v.server.Table(), func(role domain.Role) string { return v.token(domain.UserID("a-"+string(role)), role) })
}

// TestAStrangersThingsAreNotThere asks every route about a thing of somebody else's.
func TestAStrangersThingsAreNotThere(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	item := v.upload("alice", "secret")
	share := v.want(v.do("alice", "POST", "/v1/shares", `{"media_id":"`+item+`","with":{"user":"bob"},"permissions":["view"]}`), 201, "").id()
	report := v.want(v.do("mod1", "POST", "/v1/moderation/cases", `{"media_id":"`+item+`","category":"spam"}`), 201, "").id()
	found := v.raised("alice", item)
	before := len(v.events())
	media, cases := "/v1/media/"+item, "/v1/moderation/cases/"+report
	file := []string{"Content-Type", "image/png", "Content-Disposition", "attachment; filename=a.png"}
	asked := 0
	for _, c := range []struct {
		method, path string
		body         any
		headers      []string
	}{
		{"PATCH", media, `{"title":"mine"}`, nil},
		{"PATCH", media, `{"title":"mine"}`, []string{"If-Match", `"7"`}},
		{"PATCH", media + "?share=" + share, `{"title":"mine"}`, nil},
		{"DELETE", media, nil, nil},
		{"POST", media + "/versions", picture("mine"), file},
		{"POST", media + "/versions?share=" + share, picture("mine"), file},
		{"POST", media + "/rollback", `{"version":1}`, nil},
		{"POST", media + "/restore", nil, nil},
		{"POST", media + "/purge", nil, nil},
		{"POST", media + "/reports", `{"category":"spam"}`, nil},
		{"POST", media + "/reports", `{"category":"spam","share_id":"` + share + `"}`, nil},
		{"POST", "/v1/uploads/" + item + "/complete", nil, nil},
		{"POST", "/v1/shares", `{"media_id":"` + item + `","with":{"user":"mallory"}}`, nil},
		{"POST", "/v1/shares", `{"media_id":"` + item + `","with":{"link":true},"through":"` + share + `"}`, nil},
		{"PATCH", "/v1/shares/" + share, `{"permissions":["view","edit"]}`, nil},
		{"DELETE", "/v1/shares/" + share, nil, nil},
		{"POST", cases + "/appeals", `{"note":"mine"}`, nil},
		{"POST", "/v1/findings/" + found + "/status", `{"status":"resolved"}`, nil},
	} {
		asked++
		if got := v.do("mallory", c.method, c.path, c.body, c.headers...); got.status != http.StatusNotFound || got.code() != "not_found" {
			t.Errorf("%s %s: %s", c.method, c.path, got.raw)
		}
	}
	recorded := 0
	for _, rec := range v.events()[before:] {
		refused, ok := rec.Event.(access.Refused)
		if !ok || refused.Code != "not_found" || refused.Status != 404 || rec.Metadata.Actor.ID != "mallory" || rec.Metadata.Address.Text() == "" {
			t.Errorf("something else than a refusal was recorded: %s %+v by %s", rec.Type, rec.Event, rec.Metadata.Actor.ID)
		}
		recorded++
	}
	if recorded != asked {
		t.Errorf("%d refusals of %d were recorded", recorded, asked)
	}
	if v.objects() != 1 {
		t.Errorf("%d objects", v.objects())
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	v.want(v.do("mod1", "DELETE", "/v1/media/"+nothing, nil, "Vault-Reason", "tidying up"), 403, "role_not_allowed")
	v.want(v.do("", "DELETE", "/v1/media/"+nothing, nil), 401, "unauthenticated")
	forged := v.do("", "DELETE", "/v1/media/"+nothing, nil, "Authorization", "Bearer "+v.token("alice")[:40]+"x.y.z")
	v.want(forged, 401, "token_invalid")
	v.want(v.do("alice", "DELETE", "/v1/media/not-an-id", nil), 400, "invalid") // says nothing about access
	type row struct {
		code     string
		resource string
		status   int
		reason   string
	}
	var got []row
	for _, rec := range v.events() {
		e, ok := rec.Event.(access.Refused)
		if !ok || e.Action != "DELETE /v1/media/{id}" {
			t.Fatalf("%s %+v", rec.Type, rec.Event)
		}
		got = append(got, row{e.Code, e.Resource, e.Status, rec.Metadata.Reason.Text()})
	}
	want := []row{{"role_not_allowed", nothing, 403, "tidying up"}, {"unauthenticated", nothing, 401, ""}, {"token_invalid", nothing, 401, ""}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, wanted %v", got[i], want[i])
		}
	}
}

// nothing is an id that nothing has.
const nothing = "00000000-0000-4000-8000-000000000000"
