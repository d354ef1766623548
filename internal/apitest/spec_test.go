package apitest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/apitest"
	"github.com/mediavault-io/mediavault/internal/web"
)

const document = `
openapi: 3.1.0
info: {title: test, version: "1"}
security: [{bearer: []}]
paths:
  /v1/things/{id}:
    get:
      operationId: getThing
      summary: One thing.
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200':
          description: The thing.
          headers: {ETag: {required: true, schema: {type: string}}}
          content: {application/json: {schema: {type: object, required: [name], additionalProperties: false, properties: {name: {type: [string, "null"]}}}}}
        '404': {description: None., content: {application/problem+json: {schema: {type: object, required: [code]}}}}
    patch:
      operationId: renameThing
      summary: Another name.
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {type: object, additionalProperties: false, properties: {name: {type: string, maxLength: 3}}}}}}
      responses:
        '200': {description: Done.}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
`

// complaints is a testing.TB that keeps what a helper complains of.
type complaints struct {
	testing.TB
	said []string
}

func (c *complaints) Helper() {}
func (c *complaints) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func TestTheClientFindsAnswersThatAreNotAsDescribed(t *testing.T) {
	t.Parallel()
	const problem = `{"type":"about:blank","title":"x","status":%d,"detail":"x","code":"x"}`
	for _, c := range []struct {
		name, method, sent string
		status             int
		kind, tag, body    string
		complains          string
	}{
		{"as described", "GET", "", 200, "application/json", `"1"`, `{"name":"a"}`, ""},
		{"null where null is allowed", "GET", "", 200, "application/json", `"1"`, `{"name":null}`, ""},
		{"another type", "GET", "", 200, "application/json", `"1"`, `{"name":1}`, "name"},
		{"a field too many", "GET", "", 200, "application/json", `"1"`, `{"name":"a","more":1}`, "more"},
		{"a field too few", "GET", "", 200, "application/json", `"1"`, `{}`, "name"},
		{"a header too few", "GET", "", 200, "application/json", ``, `{"name":"a"}`, "ETag"},
		{"another content type", "GET", "", 200, "text/plain", `"1"`, `a`, "text/plain"},
		{"another status", "GET", "", 201, "application/json", `"1"`, `{"name":"a"}`, "status"},
		{"a refusal", "GET", "", 404, "application/problem+json", ``, fmt.Sprintf(problem, 404), ""},
		{"a refusal that says another status", "GET", "", 404, "application/problem+json", ``, fmt.Sprintf(problem, 400), "problem"},
		{"a refusal without a problem", "GET", "", 404, "application/json", ``, `{}`, "problem"},
		{"a fault", "GET", "", 500, "application/problem+json", ``, fmt.Sprintf(problem, 500), "500"},
		{"a body that is allowed", "PATCH", `{"name":"abc"}`, 200, "", ``, ``, ""},
		{"a body that is not allowed, accepted", "PATCH", `{"name":"abcd"}`, 200, "", ``, ``, "does not allow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.kind != "" {
					w.Header().Set("Content-Type", c.kind)
				}
				if c.tag != "" {
					w.Header().Set("ETag", c.tag)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			heard := &complaints{TB: t}
			r, _ := http.NewRequestWithContext(t.Context(), c.method, server.URL+"/v1/things/a", strings.NewReader(c.sent))
			if c.sent != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			res, err := apitest.Client(heard, apitest.Load(t, []byte(document))).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			said := strings.Join(heard.said, "\n")
			if (c.complains == "") != (said == "") || !strings.Contains(said, c.complains) {
				t.Errorf("complained %q, wanted something about %q", said, c.complains)
			}
		})
	}
}

func TestTheTableAndTheDocumentAreHeldAgainstEachOther(t *testing.T) {
	t.Parallel()
	spec := apitest.Load(t, []byte(document))
	get := web.Route{Method: "GET", Path: "/v1/things/{id:[a-z]{1,3}}", Name: "getThing", Roles: []domain.Role{domain.RoleUser}}
	patch := web.Route{Method: "PATCH", Path: "/v1/things/{id}", Name: "renameThing", Roles: []domain.Role{domain.RoleUser}}
	public := get
	public.Roles = nil
	renamed := get
	renamed.Name = "thing"
	for name, c := range map[string]struct {
		table []web.Route
		want  string
	}{
		"both alike":       {[]web.Route{get, patch}, ""},
		"a route too few":  {[]web.Route{get}, "PATCH /v1/things/{id} is in openapi.yaml"},
		"a route too many": {[]web.Route{get, patch, {Method: "PUT", Path: "/v1/things", Name: "x"}}, "PUT /v1/things is a route"},
		"a row twice":      {[]web.Route{get, get, patch}, "twice"},
		"another name":     {[]web.Route{renamed, patch}, `"getThing"`},
		"a public route":   {[]web.Route{public, patch}, "public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := &complaints{TB: t}
			spec.MatchesRoutes(heard, c.table)
			said := strings.Join(heard.said, "\n")
			if (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
				t.Errorf("complained %q, wanted something about %q", said, c.want)
			}
		})
	}
}
