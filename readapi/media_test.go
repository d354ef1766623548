package readapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/projections"
)

type item struct {
	ID, Owner, Title, Status, Filename, SHA256 string
	Version                                    int
	Revision, Position                         int64
	Reasons                                    []string
	Versions                                   []struct {
		Version int
		Reasons []string
	}
}

type list struct {
	Items      []item
	Total      int64
	HasNext    bool   `json:"has_next"`
	NextCursor string `json:"next_cursor"`
}

func TestMediaIsFoundByWhomItConcerns(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	a, _ := v.upload("alice", "harbour.png", []byte("harbour"))
	b, _ := v.upload("alice", "moor.png", []byte("moor"))
	c, _ := v.upload("carol", "acme.png", []byte("acme"), "acme")
	s, at := v.share(a, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	_ = s
	for _, tt := range []struct {
		who, query string
		want       []domain.MediaID
	}{
		{"alice user", "", []domain.MediaID{b, a}},
		{"alice user", "?sort=created_at", []domain.MediaID{a, b}},
		{"alice user", "?q=HARBOUR", []domain.MediaID{a}},
		{"alice user", "?type=image", []domain.MediaID{b, a}},
		{"alice user", "?type=video", nil},
		{"alice user", "?status=deleted", nil},
		{"alice user", "?to=2020-01-01T00:00:00Z", nil},
		{"bob user", "", []domain.MediaID{a}},
		{"dave partner acme", "", []domain.MediaID{c}},
		{"mallory user", "", nil},
		{"mallory user", "?owner=alice", nil},
		{"ann analyst", "", nil},
		{"aud auditor", "", []domain.MediaID{c, b, a}},
	} {
		got := into[list](v, tt.who, "/v1/media"+tt.query, after(at)...)
		var ids []domain.MediaID
		for _, it := range got.Items {
			ids = append(ids, domain.MediaID(it.ID))
		}
		if fmt.Sprint(ids) != fmt.Sprint(tt.want) || got.Total != int64(len(tt.want)) {
			t.Errorf("%s %s: %v (%d), not %v", tt.who, tt.query, ids, got.Total, tt.want)
		}
	}
	first := into[list](v, "alice user", "/v1/media?page_size=1")
	second := into[list](v, "alice user", "/v1/media?page_size=1&cursor="+first.NextCursor)
	if first.Items[0].ID != string(b) || !first.HasNext || second.Items[0].ID != string(a) || second.HasNext {
		t.Errorf("pages: %+v, %+v", first, second)
	}
	v.refused(400, "invalid", "bob user", "/v1/media?page_size=1&cursor="+first.NextCursor)
	v.refused(400, "invalid", "bob user", "/v1/media?type=banana")
}

func TestOneItem(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, at := v.upload("alice", "harbour.png", []byte("harbour"))
	path := "/v1/media/" + string(id)

	t.Run("is a 304 for who has it, and a 404 for a stranger", func(t *testing.T) {
		a := v.get("alice user", path, after(at)...)
		if a.StatusCode != 200 || a.Header.Get("ETag") != `"1"` || a.Header.Get("Vault-Position") != fmt.Sprint(at) {
			t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
		}
		for _, tag := range []string{`"1"`, `W/"1"`, `"7", "1"`, "*"} {
			if a := v.get("alice user", path, "If-None-Match", tag); a.StatusCode != 304 || len(a.body) > 0 {
				t.Errorf("If-None-Match %s: %d", tag, a.StatusCode)
			}
		}
		v.refused(404, "not_found", "mallory user", path)
		v.refused(404, "not_found", "ann analyst", path)
		v.refused(401, "unauthenticated", "", path)
		v.refused(404, "not_found", "alice user", "/v1/media/nonsense")
		v.refused(404, "no_thumbnail", "alice user", path+"/thumbnail")
		v.refused(404, "not_found", "mallory user", path+"/thumbnail")
	})
	t.Run("is what it was, as of a position or a time", func(t *testing.T) {
		before := time.Now().UTC()
		described := v.by("alice", mediaStream(id), media.Described{Title: domain.NewPersonal("alice", "Another")})
		if got := into[item](v, "alice user", path, after(described)...); got.Title != "Another" || got.Revision != 2 {
			t.Errorf("now: %+v", got)
		}
		for _, asOf := range []string{fmt.Sprint(at), before.Format(time.RFC3339Nano)} {
			if got := into[item](v, "alice user", path+"?as_of="+asOf); got.Title != "About harbour.png" || got.Revision != 1 {
				t.Errorf("as of %s: %+v", asOf, got)
			}
		}
		v.refused(404, "not_found", "alice user", path+"?as_of=0")
		v.refused(400, "as_of_in_future", "alice user", path+"?as_of=999999")
		v.refused(400, "as_of_in_future", "alice user", path+"?as_of=2999-01-01T00:00:00Z")
	})
	t.Run("does not come back by as_of once the share is revoked", func(t *testing.T) {
		s, shared := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
		if got := into[item](v, "bob user", path, after(shared)...); len(got.Versions) > 0 {
			t.Errorf("a recipient sees versions: %+v", got)
		}
		revoked := v.by("alice", shareStream(s), share.Revoked{By: "alice"})
		v.refused(404, "not_found", "bob user", path, after(revoked)...)
		then := fmt.Sprintf("?as_of=%d", shared)
		for _, part := range []string{"", "/history", "/access", "/content", "/thumbnail"} {
			v.refused(404, "not_found", "bob user", path+part+then)
		}
		if got := into[list](v, "bob user", "/v1/media"+then); len(got.Items) != 0 {
			t.Errorf("the list of then shows it: %+v", got)
		}
	})
	t.Run("does not come back by as_of while the read model of rights is behind the others", func(t *testing.T) {
		s, shared := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "eve"}, share.Terms{})
		v.settled()
		held, err := v.pool.Begin(t.Context())
		must(t, err)
		defer held.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // a second time, mostly
		_, err = held.Exec(t.Context(), "select from projections where name = $1 for update", projections.AccessName)
		must(t, err)
		revoked := v.by("alice", shareStream(s), share.Revoked{By: "alice"})
		v.refused(404, "not_found", "eve user", path, after(revoked)...)
		then := fmt.Sprintf("?as_of=%d", shared)
		v.refused(503, "not_yet", "eve user", path+then)
		v.refused(503, "not_yet", "eve user", "/v1/media"+then)
		must(t, held.Rollback(t.Context()))
		v.refused(404, "not_found", "eve user", path+then, after(revoked)...)
		if got := into[list](v, "eve user", "/v1/media"+then); len(got.Items) != 0 {
			t.Errorf("the list of then shows it: %+v", got)
		}
	})
	t.Run("waits for what was just written, and not for ever", func(t *testing.T) {
		v.settled()
		a := v.refused(503, "not_yet", "alice user", path, "Vault-After", "100000")
		if a.Header.Get("Retry-After") != "1" || !strings.Contains(string(a.body), "position") {
			t.Errorf("%v %s", a.Header, a.body)
		}
		v.refused(400, "invalid", "alice user", path, "Vault-After", "soon")
		v.refused(400, "invalid", "alice user", path, "Vault-After", "-1")
	})
}

func TestAnOwnerSeesWhyHisItemWaitsAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, clean := v.upload("alice", "harbour.png", []byte("harbour"), "acme")
	path := "/v1/media/" + string(id)
	v.by("alice", mediaStream(id), media.VersionAdded{Version: 2, File: v.file("alice", "two.png", "image/png", []byte("two"))})
	doubt := v.by("system", mediaStream(id), media.Screened{Version: 2, Verdict: media.VerdictReview, Score: 55, Stages: []media.Stage{
		{Name: "malware", Verdict: media.VerdictClean, Codes: []string{"no_scanner"}},
		{Name: "content", Verdict: media.VerdictReview, Codes: []string{"decoder_timeout"}},
	}})
	got := into[item](v, "alice user", path, after(doubt)...)
	if got.Status != "review" || fmt.Sprint(got.Reasons) != "[decoder_timeout]" || fmt.Sprint(got.Versions) != "[{1 []} {2 [decoder_timeout]}]" {
		t.Errorf("%+v", got)
	}
	if got := into[list](v, "alice user", "/v1/media?status=review"); len(got.Items) != 1 || fmt.Sprint(got.Items[0].Reasons) != "[decoder_timeout]" {
		t.Errorf("in a list: %+v", got)
	}
	for _, who := range []string{"mona moderator", "carl partner acme", "audrey auditor"} {
		a := v.get(who, path)
		if a.StatusCode != 200 || strings.Contains(string(a.body), "decoder_timeout") {
			t.Errorf("%s: %d %s", who, a.StatusCode, a.body)
		}
	}
	v.refused(404, "not_found", "mallory user", path)

	passed := v.by("system", mediaStream(id), media.Released{Source: media.Source{Case: "c", Number: 1, By: "mona", Version: 2}})
	if got := into[item](v, "alice user", path, after(passed)...); got.Status != "available" || len(got.Reasons) > 0 {
		t.Errorf("after it was let pass: %+v", got)
	}
	for at, want := range map[int64]string{clean: "[]", doubt: "[decoder_timeout]"} {
		if got := into[item](v, "alice user", fmt.Sprintf("%s?as_of=%d", path, at)); fmt.Sprint(got.Reasons) != want {
			t.Errorf("as of %d: %+v", at, got)
		}
	}
}

func TestHistoryAndAccessTellWhatHappenedAndWhoMaySee(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	id, born := v.upload("alice", "harbour.png", []byte("harbour"))
	path := "/v1/media/" + string(id)
	_, at := v.share(id, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	type entry struct {
		Type, Summary, Why string
		Position           int64
	}
	type history struct {
		Items      []entry
		HasNext    bool   `json:"has_next"`
		NextCursor string `json:"next_cursor"`
	}
	whole := into[history](v, "alice user", path+"/history", after(at)...)
	var types []string
	for _, e := range whole.Items {
		types = append(types, e.Type)
	}
	if fmt.Sprint(types) != "[media.uploaded media.screened share.granted]" || whole.Items[0].Why != "because" {
		t.Errorf("%+v", whole)
	}
	first := into[history](v, "alice user", path+"/history?page_size=2")
	rest := into[history](v, "alice user", path+"/history?page_size=2&cursor="+first.NextCursor)
	if len(first.Items) != 2 || !first.HasNext || len(rest.Items) != 1 || rest.HasNext || rest.Items[0].Type != "share.granted" {
		t.Errorf("%+v, %+v", first, rest)
	}
	if then := into[history](v, "alice user", path+fmt.Sprintf("/history?as_of=%d", born)); len(then.Items) != 2 {
		t.Errorf("as of %d: %+v", born, then)
	}
	v.refused(403, "may_not_see", "bob user", path+"/history")
	v.refused(404, "not_found", "mallory user", path+"/history")

	type grants struct {
		Items []struct {
			Via       string
			Principal struct{ Kind, ID string }
			Since     struct{ Type string }
		}
	}
	all := into[grants](v, "alice user", path+"/access")
	if len(all.Items) < 2 || all.Items[0].Via != "owner" || all.Items[1].Principal.ID != "bob" || all.Items[1].Since.Type != "share.granted" {
		t.Errorf("%+v", all)
	}
	then := into[grants](v, "alice user", path+fmt.Sprintf("/access?as_of=%d", born))
	if len(then.Items) != len(all.Items)-1 {
		t.Errorf("as of %d: %+v", born, then)
	}
	v.refused(403, "may_not_see", "bob user", path+"/access")
}

func TestEveryRouteIsOpenToItsRolesAlone(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	t.Run("", func(t *testing.T) {
		tokens := func(role domain.Role) string { return "somebody " + string(role) }
		rights(t, v, tokens)
	})
	if v.rec.count() == 0 {
		t.Error("no refusal was recorded")
	}
	if a := v.ask(http.MethodPost, "root admin", "/v1/projections/library/rebuild"); a.StatusCode != 202 {
		t.Errorf("rebuild: %d %s", a.StatusCode, a.body)
	}
	said := v.request(v.Context(), http.MethodPost, "root admin", "/v1/projections/library/rebuild", "Content-Type", "application/json")
	said.Body, said.ContentLength = io.NopCloser(strings.NewReader(`{"from":0}`)), 10
	res, err := v.client.Do(said)
	must(t, err)
	if res.Body.Close(); res.StatusCode != 400 {
		t.Errorf("a body that nobody reads: %d", res.StatusCode)
	}
	if a := v.ask(http.MethodPost, "root admin", "/v1/projections/nonsense/rebuild"); a.StatusCode != 404 {
		t.Errorf("rebuild of nothing: %d %s", a.StatusCode, a.body)
	}
}
