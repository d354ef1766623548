package web

import (
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals of the table of routes.
var (
	// ErrNobody is a route that wants somebody, asked for by nobody.
	ErrNobody = domain.Refuse(domain.Unauthenticated, "unauthenticated", "send Authorization: Bearer with an access token")
	// ErrRole is a route that the asker's roles do not open.
	ErrRole = domain.Refuse(domain.Forbidden, "role_not_allowed", "your roles do not allow this")
)

// Route is one row of the table that says what there is and who may ask for it. The rows of an API are its only way to
// register a handler, so that no route stands without its roles. What a role opens, the domain may still refuse.
type Route struct {
	Method    string
	Path      string        // as gorilla/mux writes it: /v1/media/{id}
	Name      string        // the operationId in openapi.yaml
	Roles     []domain.Role // who may; empty: everybody, guests too
	Handler   Handler
	Streaming bool // the body, of either side, has any length
}

// Allows says whether the actor may use the route: nil, ErrNobody for a guest, ErrRole for a role that may not.
func (rt Route) Allows(a domain.Actor) error {
	switch {
	case len(rt.Roles) == 0 || a.Is(rt.Roles...):
		return nil
	case !a.Known():
		return ErrNobody
	default:
		return ErrRole
	}
}

// Public reports whether guests may use the route.
func (rt Route) Public() bool {
	return len(rt.Roles) == 0 || slices.Contains(rt.Roles, domain.RoleGuest)
}

// Action is the route as the audit log says it: GET /v1/media/{id}.
func (rt Route) Action() string { return rt.Method + " " + rt.Path }

// Refused is told that somebody was refused something, before it is answered; what it does with it is its own matter. Told is who
// may not, and who asks for what he may not know of or what is gone; a mistake in a request is not an attempt, and what is not
// ready is not refused.
type Refused func(r *http.Request, rt Route, refusal *domain.Refusal)

// Mount registers the table's rows: each checks the roles, then calls its handler; a refusal is told to refused, which may be
// nil, and answered.
func Mount(router *mux.Router, table []Route, refused Refused) {
	for _, rt := range table {
		call := func(w http.ResponseWriter, r *http.Request) error {
			err := rt.Allows(Actor(r))
			if err == nil {
				err = rt.Handler(w, r)
			}
			tell(refused, r, rt, err)
			return err
		}
		var h http.Handler = Handler(call)
		if rt.Streaming {
			h = Streaming(call)
		}
		router.Handle(rt.Path, h).Methods(rt.Method).Name(rt.Name)
	}
}

func tell(refused Refused, r *http.Request, rt Route, err error) {
	refusal, ok := domain.AsRefusal(err)
	if refused == nil || !ok {
		return
	}
	switch refusal.Kind {
	case domain.Unauthenticated, domain.Forbidden, domain.NotFound, domain.Gone:
		refused(r, rt, refusal)
	}
}

// tell is for refusals that come before the routes; it finds the route that would have been next.
func (e *Edge) tell(r *http.Request, err error) {
	rt := Route{Method: method(r.Method), Path: unrouted}
	var match mux.RouteMatch
	if e.router != nil && e.router.Match(r, &match) && match.Route != nil {
		if template, err := match.Route.GetPathTemplate(); err == nil {
			rt.Path, rt.Name = template, match.Route.GetName()
			r = mux.SetURLVars(r, match.Vars)
		}
	}
	tell(e.refused, r, rt, err)
}
