// Package apitest holds what the tests of both HTTP APIs share: an openapi.yaml is held against the table of routes, against
// every real answer that a test gets, and the table's rights against every role. It is imported by tests alone.
package apitest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Spec is an OpenAPI 3.1 document that was found to be valid, its examples too.
type Spec struct {
	doc    *openapi3.T
	router routers.Router

	mu   sync.Mutex     // guards seen
	seen map[string]int // answers checked, by operationId and status
}

// Load reads an openapi.yaml and fails the test where it is not valid OpenAPI 3.1, or where an operation has no operationId,
// no summary or no answer.
func Load(tb testing.TB, document []byte) *Spec {
	tb.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		tb.Fatalf("openapi: %v", err)
	}
	if !doc.IsOpenAPI31OrLater() {
		tb.Fatalf("openapi: version is %s, not 3.1", doc.OpenAPI)
	}
	// Paths are matched whatever the host: a test server has another port each time.
	doc.Servers = nil
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.AllowExtensionsWithRef()); err != nil {
		tb.Fatalf("openapi: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		tb.Fatalf("openapi: %v", err)
	}
	s := &Spec{doc: doc, router: router, seen: map[string]int{}}
	for key, op := range s.operations() {
		if op.OperationID == "" || op.Summary == "" || op.Responses.Len() == 0 {
			tb.Errorf("openapi: %s needs an operationId, a summary and responses", key)
		}
	}
	return s
}

// operations are all operations by method and path.
func (s *Spec) operations() map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range s.doc.Paths.Map() {
		for method, op := range item.Operations() {
			all[method+" "+path] = op
		}
	}
	return all
}

// MatchesRoutes fails the test where document and table differ: a route without an operation, an operation without a route,
// another name, a route that wants somebody where the document says that it does not, or the reverse.
func (s *Spec) MatchesRoutes(tb testing.TB, table []web.Route) {
	tb.Helper()
	operations := s.operations()
	rows := map[string]bool{}
	for _, rt := range table {
		key := rt.Method + " " + plain(rt.Path)
		if rows[key] {
			tb.Errorf("%s stands twice in the table of routes", key)
		}
		rows[key] = true
		op, ok := operations[key]
		if !ok {
			tb.Errorf("%s is a route that openapi.yaml does not describe", key)
			continue
		}
		if op.OperationID != rt.Name {
			tb.Errorf("%s is %q in openapi.yaml and %q in the table of routes", key, op.OperationID, rt.Name)
		}
		if s.public(op) != rt.Public() {
			tb.Errorf("%s: openapi.yaml says public=%v, the table of routes says public=%v", key, s.public(op), rt.Public())
		}
	}
	for key := range operations {
		if !rows[key] {
			tb.Errorf("%s is in openapi.yaml but is not a route", key)
		}
	}
}

// plain is a mux template without the patterns of its variables: /v1/{id:[0-9]+} is /v1/{id}.
func plain(path string) string {
	var b strings.Builder
	depth, pattern := 0, false
	for _, c := range path {
		switch {
		case c == '{':
			if depth++; depth == 1 {
				b.WriteRune(c)
			}
		case c == '}':
			if depth--; depth == 0 {
				pattern = false
				b.WriteRune(c)
			}
		case depth > 0 && c == ':':
			pattern = true
		case !pattern:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func (s *Spec) public(op *openapi3.Operation) bool {
	requirements := s.doc.Security
	if op.Security != nil {
		requirements = *op.Security
	}
	return len(requirements) == 0 || slices.ContainsFunc(requirements, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

// exchange is one request and its answer.
type exchange struct {
	request  *http.Request // its URL and headers; its body, if it was small enough to keep, is in sent
	sent     []byte
	kept     bool // sent is the whole body
	status   int
	header   http.Header
	body     []byte
	complete bool // body is the whole answer
}

// check says what is wrong with an answer according to the document.
func (s *Spec) check(ctx context.Context, x exchange) error {
	at := &http.Request{Method: x.request.Method, URL: &url.URL{Path: x.request.URL.Path, RawPath: x.request.URL.RawPath, RawQuery: x.request.URL.RawQuery}, Header: x.request.Header.Clone()}
	route, pathParams, err := s.router.FindRoute(at)
	if err != nil {
		return s.unrouted(x)
	}
	s.mu.Lock()
	s.seen[fmt.Sprintf("%s %d", route.Operation.OperationID, x.status)]++
	s.mu.Unlock()
	// Other bodies are the handlers' tests' business: the validator does not know how to read them.
	x.kept = x.kept && isJSON(x.request.Header)
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		ExcludeRequestBody: !x.kept, ExcludeResponseBody: !x.complete || !isJSON(x.header),
	}
	in := &openapi3filter.RequestValidationInput{Request: at, PathParams: pathParams, Route: route, Options: options}
	if x.kept {
		at.Body, at.ContentLength = reader(x.sent), int64(len(x.sent))
	}
	if x.status < 300 {
		// What the server took, the document must allow: otherwise it promises less than there is.
		if err := openapi3filter.ValidateRequest(ctx, in); err != nil {
			return fmt.Errorf("the server accepted what openapi.yaml does not allow: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: x.status, Header: x.header, Options: options}
	out.SetBodyBytes(x.body)
	if err := openapi3filter.ValidateResponse(ctx, out); err != nil {
		return err
	}
	return documented(route.Operation, x)
}

// documented checks what the validator leaves out when it is not to look at a body: its content type.
func documented(op *openapi3.Operation, x exchange) error {
	ref := op.Responses.Status(x.status)
	if ref == nil {
		ref = op.Responses.Default()
	}
	if kind := x.header.Get("Content-Type"); ref != nil && kind != "" && len(x.body) > 0 && ref.Value.Content.Get(kind) == nil {
		return fmt.Errorf("content type %s is not described for status %d", kind, x.status)
	}
	return nil
}

// unrouted checks an answer to a path or method that the document does not have: it must be a problem.
func (s *Spec) unrouted(x exchange) error {
	if x.status < 400 && x.request.Method != http.MethodOptions {
		return fmt.Errorf("answered %d at an address that openapi.yaml does not have", x.status)
	}
	return nil
}

// Unseen lists the operations of which no answer with a status below 300 has been checked yet, for a test that wants to have
// seen them all.
func (s *Spec) Unseen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for key, op := range s.operations() {
		ok := false
		for status := 200; status < 300; status++ {
			ok = ok || s.seen[fmt.Sprintf("%s %d", op.OperationID, status)] > 0
		}
		if !ok {
			missing = append(missing, op.OperationID+" ("+key+")")
		}
	}
	slices.Sort(missing)
	return missing
}

// Roles are all that a token can carry, and guest for none.
func Roles() []domain.Role {
	return []domain.Role{
		domain.RoleGuest, domain.RoleUser, domain.RolePartner, domain.RolePartnerAdmin, domain.RoleModerator, domain.RoleAuditor,
		domain.RoleAnalyst, domain.RoleAdmin,
	}
}
