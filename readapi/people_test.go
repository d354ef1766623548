package readapi_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	_, at := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{Permissions: []share.Permission{share.View}})
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

// forgetful forgets one person when it is told to.
type forgetful struct {
	person domain.UserID
	gone   atomic.Bool
}

// Forgotten implements readapi.People.
func (f *forgetful) Forgotten(_ context.Context, person domain.UserID) (bool, error) {
	return f.gone.Load() && person == f.person, nil
}

func TestALiveStreamEndsWhenItsReaderIsForgotten(t *testing.T) {
	t.Parallel()
	people := &forgetful{person: "ann"}
	v := newVault(t, func(_ *vault, p *readapi.Parts, _ *web.Options) { p.People, p.Heartbeat = people, 50*time.Millisecond })
	open := func(who string) *http.Response {
		res, err := v.client.Do(v.request(t.Context(), http.MethodGet, who, "/v1/events", "Accept", "text/event-stream"))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	hers, others := open("ann analyst"), open("aud auditor")
	people.gone.Store(true)
	began := time.Now()
	if _, err := io.Copy(io.Discard, hers.Body); err != nil {
		t.Errorf("her stream: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it ended after %v", took)
	}
	id, _ := v.upload("alice", "a.png", []byte("of alice"))
	lines := bufio.NewScanner(others.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), string(id)) {
			return
		}
	}
	t.Errorf("another's stream ended, too: %v", lines.Err())
}
