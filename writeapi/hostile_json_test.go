package writeapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
)

// bodies are routes that take JSON, with a body that is right but for its ids.
func bodies() map[string]string {
	return map[string]string{
		"PATCH /v1/media/" + nothing:                                   `{"title":"t"}`,
		"POST /v1/media/" + nothing + "/rollback":                      `{"version":1}`,
		"POST /v1/media/" + nothing + "/reports":                       `{"category":"spam"}`,
		"POST /v1/uploads":                                             `{"filename":"a.png","size":10,"sha256":"` + strings.Repeat("a", 64) + `"}`,
		"POST /v1/uploads/" + nothing + "/complete":                    `{"parts":[]}`,
		"POST /v1/shares":                                              `{"media_id":"` + nothing + `","with":{"user":"bob"}}`,
		"PATCH /v1/shares/" + nothing:                                  `{"max_opens":1}`,
		"POST /v1/moderation/cases":                                    `{"media_id":"` + nothing + `","category":"spam"}`,
		"POST /v1/moderation/cases/" + nothing + "/assign":             `{"moderator":"mod1"}`,
		"POST /v1/moderation/cases/" + nothing + "/decisions":          `{"action":"approve","reason":"r"}`,
		"POST /v1/moderation/cases/" + nothing + "/appeals":            `{"note":"n"}`,
		"POST /v1/moderation/cases/" + nothing + "/appeals/1/decision": `{"outcome":"uphold","reason":"r","statement":"s"}`,
	}
}

func asker(route string) domain.UserID {
	if strings.Contains(route, "/moderation/") && !strings.HasSuffix(route, "/appeals") {
		return "mod1"
	}
	return "alice"
}

func TestHostileJSON(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	json := []string{"Content-Type", "application/json"}
	for route, good := range bodies() {
		method, path, _ := strings.Cut(route, " ")
		ask := func(body any, headers ...string) reply { return v.do(asker(route), method, path, body, headers...) }
		if route != "POST /v1/uploads" {
			v.want(ask(good), 404, "not_found") // only the id is wrong
		}
		for what, c := range map[string]struct {
			status int
			got    reply
		}{
			"an unknown field":            {400, ask(strings.Replace(good, "{", `{"colour":"red",`, 1))},
			"another spelling":            {400, ask(strings.ToUpper(good[:3]) + good[3:])},
			"a list":                      {400, ask([]byte("["+good+"]"), json...)},
			"a number":                    {400, ask([]byte("7"), json...)},
			"null":                        {400, ask([]byte("null"), json...)},
			"cut":                         {400, ask(good[:len(good)-1])},
			"trailing garbage":            {400, ask(good + "x")},
			"twice":                       {400, ask(good + good)},
			"not UTF-8":                   {400, ask(strings.Replace(good, `:"`, ":\"\xff", 1) + "\xff")},
			"no content type":             {415, ask([]byte(good))},
			"another type":                {415, ask([]byte(good), "Content-Type", "text/plain")},
			"a form":                      {415, ask([]byte("a=b"), "Content-Type", "application/x-www-form-urlencoded")},
			"XML":                         {415, ask([]byte("<a/>"), "Content-Type", "application/xml")},
			"another charset":             {415, ask([]byte(good), "Content-Type", "application/json; charset=utf-16")},
			"deep lists":                  {400, ask([]byte(strings.Repeat("[", 20_000)), json...)},
			"deep objects":                {400, ask(`{"title":` + strings.Repeat(`{"a":`, 10_000))},
			"a query that nobody knows":   {400, v.do(asker(route), method, path+"?colour=red", good)},
			"a query that is none":        {400, v.do(asker(route), method, path+"?%zz", good)},
			"If-Match that is none":       {400, ask(good, "If-Match", "3")},
			"weak If-Match":               {400, ask(good, "If-Match", `W/"3"`)},
			"a key of control characters": {400, ask(good, "Idempotency-Key", "a\tb")},
			"a key that is too long":      {400, ask(good, "Idempotency-Key", strings.Repeat("k", 256))},
			"two keys":                    {400, ask(good, "Idempotency-Key", "a", "Idempotency-Key", "b")},
			"a reason that is too long":   {400, ask(good, "Vault-Reason", strings.Repeat("r", 5_000))},
			"a reason that is not UTF-8":  {400, ask(good, "Vault-Reason", "\xff\xfe")},
		} {
			if c.got.status != c.status {
				t.Errorf("%s: %s: %d %s", route, what, c.got.status, c.got.raw)
			}
		}
		// A field of each wrong type, in the place of each right one.
		for _, wrong := range []string{`7`, `-1.5e300`, `true`, `[]`, `[1,2]`, `{"a":{"b":[]}}`, `"\u0000"`, `"` + strings.Repeat("x", 20_000) + `"`} {
			name, _, _ := strings.Cut(good[2:], `"`)
			got := ask(`{"` + name + `":` + wrong + `}`)
			if got.status != 400 && got.status != 404 {
				t.Errorf("%s: %s of %.30s: %d %s", route, name, wrong, got.status, got.raw)
			}
		}
	}
	v.untouched(0, 0)
}

func TestABodyOf100MB(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for route := range bodies() {
		method, path, _ := strings.Cut(route, " ")
		huge := io.MultiReader(strings.NewReader(`{"title":"`), io.LimitReader(letters{}, 100<<20), strings.NewReader(`"}`))
		r, err := http.NewRequestWithContext(t.Context(), method, v.url+path, huge)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		role := domain.RoleUser
		if asker(route) == "mod1" {
			role = domain.RoleModerator
		}
		r.Header.Set("Authorization", "Bearer "+v.token(asker(route), role))
		r.ContentLength = 100<<20 + 12
		if got := v.send(r); got.status != 413 || got.code() != "body_too_large" {
			t.Errorf("%s: %d %s", route, got.status, got.raw)
		}
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestGarbagePaths(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for _, path := range []string{
		"/", "//", "/v1", "/v1/", "/v1/media/", "/v1//media", "/v1/media/../media", "/v2/media", "/v1/media/x/y/z", "/v1/media/%2e%2e%2f", "/v1/media/%00",
		"/v1/media/" + strings.Repeat("x", 8_000), "/v1/media/%ff%fe", "/v1/media/" + strings.ToUpper(nothing) + "0", "/v1/media/{id}", "/v1/media/'--",
		"/v1/media/" + nothing + "/", "/v1/media/" + nothing + "/unknown", "/v1/uploads/x/complete", "/v1/shares/x", "/v1/moderation/cases/x/assign",
		"/v1/moderation/cases/" + nothing + "/appeals/-1/decision", "/v1/moderation/cases/" + nothing + "/appeals/1e3/decision", "/.git/config", "/..;/", "/%",
	} {
		for _, method := range []string{"POST", "PATCH", "DELETE", "PUT", "GET", "BREW"} {
			if strings.HasSuffix(path, "%") {
				continue // no client of ours sends it
			}
			got := v.do("alice", method, path, `{}`)
			if got.status != 400 && got.status != 404 && got.status != 405 && got.status != 403 {
				t.Errorf("%s %.60s: %d %s", method, path, got.status, got.raw)
			}
		}
	}
	if status, body := v.raw("POST /% HTTP/1.1\r\nHost: x\r\n\r\n", false); status != 400 {
		t.Errorf("a path that is none: %d %s", status, body)
	}
	v.untouched(0, 0)
}

func FuzzJSONBodies(f *testing.F) {
	v := newVault(f, nil)
	routes, tokens := []string{}, map[domain.UserID]string{"alice": v.token("alice"), "mod1": v.token("mod1", domain.RoleModerator)}
	for route, good := range bodies() {
		routes = append(routes, route)
		f.Add(uint8(len(routes)-1), []byte(good))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		route := routes[int(which)%len(routes)]
		method, path, _ := strings.Cut(route, " ")
		r := httptest.NewRequest(method, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+tokens[asker(route)])
		w := httptest.NewRecorder()
		v.handler.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code < 200 {
			t.Errorf("%s: %d %s", route, w.Code, w.Body)
		}
		if w.Code < 300 && route != "POST /v1/uploads" {
			t.Errorf("%s: something was done to what is not there: %s", route, w.Body)
		}
	})
}
