package readapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/readapi"
)

// forgotten are the people who were.
type forgotten []domain.UserID

// Forgotten implements readapi.People.
func (f forgotten) Forgotten(_ context.Context, person domain.UserID) (bool, error) {
	for _, gone := range f {
		if gone == person {
			return true, nil
		}
	}
	return false, nil
}

func TestSomebodyWhoWasForgottenIsAnsweredNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(_ *vault, p *readapi.Parts, _ *web.Options) { p.People = forgotten{"bob"} })
	id, _ := v.upload("alice", "a.png", []byte("of alice"))
	_, at := v.share(id, "alice", share.Recipient{Kind: share.WithUser, User: "bob"}, share.Terms{Permissions: []share.Permission{share.View}})
	for _, rt := range v.api.Routes() {
		role := "admin"
		if len(rt.Roles) > 0 {
			role = string(rt.Roles[0])
		}
		path := strings.NewReplacer("{id}", string(id), "{name}", "library", "{stream}", "media-"+string(id), "{token}", "x").Replace(rt.Path)
		got := v.ask(rt.Method, "bob "+role, path)
		if got.StatusCode != http.StatusForbidden || rt.Method != http.MethodHead && got.code() != "forgotten" {
			t.Errorf("%s %s: %d %s", rt.Method, rt.Path, got.StatusCode, got.body)
		}
	}
	if got := v.get("carol user", "/v1/media", after(at)...); got.StatusCode != http.StatusOK {
		t.Errorf("another: %d %s", got.StatusCode, got.body)
	}
}
