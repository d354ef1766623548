package writeapi

import (
	"testing"

	"github.com/mediavault-io/mediavault/domain/share"
)

func TestASharesLifeOverHTTP(t *testing.T) {
	t.Parallel()
	sharesLife(t, newVault(t, nil))
}

func sharesLife(t *testing.T, v *vault) {
	t.Helper()
	item := v.upload("alice", "shared")
	grant := func(rest string) reply {
		return v.do("alice", "POST", "/v1/shares", `{"media_id":"`+item+`",`+rest+`}`)
	}

	user := v.want(grant(`"with":{"user":"bob"},"permissions":["view","edit"],"expires_at":"2036-01-01T00:00:00Z"`), 201, "")
	if user.body["token"] != nil || user.header.Get("Location") != "/v1/shares/"+user.id() {
		t.Errorf("got %s %v", user.raw, user.header)
	}
	v.want(v.do("bob", "PATCH", "/v1/media/"+item+"?share="+user.id(), `{"title":"by bob"}`), 200, "")
	v.want(grant(`"with":{"organisation":"acme"}`), 201, "")
	link := v.want(grant(`"with":{"link":true},"password":"correct horse","max_opens":3`), 201, "")
	if token := link.text("token"); len(token) < 40 || link.text("url") != "/v1/public/"+token {
		t.Errorf("got %s", link.raw)
	}

	path := "/v1/shares/" + link.id()
	v.want(v.do("alice", "PATCH", path, `{"password":null,"max_opens":5}`, "If-Match", `"0"`), 200, "")
	v.want(v.do("alice", "PATCH", path, `{"expires_at":"2036-01-01T00:00:00+02:00"}`, "If-Match", `"0"`), 412, "wrong_revision")
	terms := share.Terms{}
	for _, rec := range v.events() {
		if e, ok := rec.Event.(share.Changed); ok {
			terms = e.Terms
		}
	}
	if terms.PasswordHash != "" || terms.MaxOpens != 5 || !terms.Allows(share.View) {
		t.Errorf("a merge patch changes only what is given: %+v", terms)
	}
	v.want(v.do("bob", "DELETE", "/v1/shares/"+user.id(), nil), 403, "not_owner")
	v.want(v.do("alice", "DELETE", path, nil), 200, "")
	v.want(v.do("alice", "PATCH", path, `{"max_opens":1}`), 410, "share_revoked")
	v.want(v.do("alice", "DELETE", "/v1/shares/"+user.id(), nil), 200, "")
	v.want(v.do("bob", "PATCH", "/v1/media/"+item+"?share="+user.id(), `{"title":"again"}`), 404, "not_found")
}

func TestSharesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	item := v.upload("alice", "shared")
	before := len(v.events())
	for rest, field := range map[string]string{
		`"with":{}`:                                                   "with",
		`"with":{"link":false}`:                                       "with",
		`"with":{"user":""}`:                                          "with",
		`"with":{"user":"bob","link":true}`:                           "with",
		`"with":{"user":"alice"}`:                                     "with.user",
		`"with":null`:                                                 "with",
		`"with":{"user":7}`:                                           "with.user",
		`"with":{"group":"g"}`:                                        "with.group",
		`"with":{"user":"bob"},"permissions":["fly"]`:                 "permissions",
		`"with":{"user":"bob"},"permissions":[]`:                      "permissions",
		`"with":{"user":"bob"},"permissions":"view"`:                  "permissions",
		`"with":{"link":true},"permissions":["edit"]`:                 "permissions",
		`"with":{"link":true},"expires_at":"2001-01-01T00:00:00Z"`:    "expires_at",
		`"with":{"link":true},"expires_at":"tomorrow"`:                "expires_at",
		`"with":{"link":true},"expires_at":"9999999-01-01T00:00:00Z"`: "expires_at",
		`"with":{"link":true},"max_opens":0`:                          "max_opens",
		`"with":{"link":true},"max_opens":-1`:                         "max_opens",
		`"with":{"link":true},"max_opens":1e99`:                       "max_opens",
		`"with":{"link":true},"max_opens":2000000000`:                 "max_opens",
		`"with":{"link":true},"password":""`:                          "password",
		`"with":{"link":true},"password":"1234567"`:                   "password",
		`"with":{"link":true},"password":"ääääääü"`:                   "password",
		`"with":{"user":"bob"},"password":"secret"`:                   "password",
		`"with":{"link":true},"through":"x"`:                          "through",
		`"with":{"user":"bob"},"colour":"red"`:                        "colour",
	} {
		got := v.do("alice", "POST", "/v1/shares", `{"media_id":"`+item+`",`+rest+`}`)
		if got.status != 400 || got.text("field") != field {
			t.Errorf("%s: %d %s", rest, got.status, got.raw)
		}
	}
	if after := len(v.events()); after != before {
		t.Errorf("%d events were written", after-before)
	}
}
