package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/domain"
)

// Options say how the edge treats requests. The zero Options identify nobody, limit nothing and log to slog's default.
type Options struct {
	Log *slog.Logger
	// Identify says who asks; nil makes everybody a guest. A refusal of it is the answer.
	Identify func(*http.Request) (domain.Actor, error)
	// Until says until when what Identify was shown is good: live streams end then. The zero time, and a nil Until: for ever.
	Until func(*http.Request) time.Time
	// Refused is told when Identify refuses; the refusals of routes are told to what Mount was given. nil: nobody is told.
	Refused Refused
	// Faults translate errors of neighbours, such as a database that does not answer, into refusals (domain.Unavailable).
	Faults []func(error) (*domain.Refusal, bool)
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// AdminNetworks are those from which the admin role may be used; empty: from everywhere.
	AdminNetworks []netip.Prefix
	// Origins are those whose pages may call the API, such as https://vault.example.org; "*" allows all.
	Origins []string
	Limits  Limits
	// Exempt paths are answered without identity and limits and are logged at debug level: probes, metrics, documentation.
	// One that ends in / stands for everything below it.
	Exempt []string
	// Timeout bounds a request that is not Streaming; 0 means 30 s.
	Timeout time.Duration
	// Idle bounds how long a Streaming request may stand still; 0 means 60 s.
	Idle time.Duration
	// Metrics is where the edge's metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
}

// Edge is what every request passes before it reaches a handler and every answer on its way back.
type Edge struct {
	log           *slog.Logger
	identify      func(*http.Request) (domain.Actor, error)
	until         func(*http.Request) time.Time
	refused       Refused
	faults        []func(error) (*domain.Refusal, bool)
	proxies       []netip.Prefix
	origins       []string
	adminNetworks []netip.Prefix
	exempt        []string
	timeout       time.Duration
	idle          time.Duration
	limits        *limiters
	metrics       *metrics
	router        *mux.Router // set by Serve

	draining chan struct{} // closed by Drain
	drain    sync.Once
}

// New makes an edge; it fails when an origin is not one.
func New(o Options) (*Edge, error) {
	for _, origin := range o.Origins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return nil, fmt.Errorf("origin %q: accepted is a scheme and a host, such as https://vault.example.org, or *", origin)
		}
	}
	metrics, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	e := &Edge{
		log: o.Log, identify: o.Identify, until: o.Until, refused: o.Refused, faults: o.Faults, proxies: o.TrustedProxies, origins: o.Origins, adminNetworks: o.AdminNetworks, exempt: o.Exempt,
		timeout: o.Timeout, idle: o.Idle, limits: newLimiters(o.Limits, time.Now), metrics: metrics, draining: make(chan struct{}),
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.timeout <= 0 {
		e.timeout = 30 * time.Second
	}
	if e.idle <= 0 {
		e.idle = time.Minute
	}
	return e, nil
}

// NewRouter is a router as the edge wants it: a path means what it says, without redirects.
func NewRouter() *mux.Router { return mux.NewRouter().SkipClean(true) }

// Drain ends the live streams, which would otherwise never end, so that http.Server.Shutdown does. Other requests finish.
func (e *Edge) Drain() { e.drain.Do(func() { close(e.draining) }) }

// Serve puts the edge before the router's routes. It is called once, after all routes are there.
func (e *Edge) Serve(router *mux.Router) http.Handler {
	router.NotFoundHandler = Handler(func(http.ResponseWriter, *http.Request) error { return ErrNoRoute })
	router.MethodNotAllowedHandler = methodNotAllowed(router)
	router.Use(e.routed)
	e.router = router
	return e.recorded(e.recovered(e.guarded(headed(router))))
}

// headed answers HEAD as GET, whose body net/http leaves away, where a route says nothing of HEAD and its body has an end.
func headed(router *mux.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && routeFor(router, r, http.MethodHead) == nil && heads(routeFor(router, r, http.MethodGet)) {
			get := *r // net/http looks at its own
			get.Method = http.MethodGet
			r = &get
		}
		router.ServeHTTP(w, r)
	})
}

// heads reports whether the route of a GET also answers HEAD.
func heads(route *mux.Route) bool {
	if route == nil {
		return false
	}
	_, streams := route.GetHandler().(Streaming)
	return !streams
}

// routeFor is the route that answers the request's path to the method, or nil.
func routeFor(router *mux.Router, r *http.Request, method string) *mux.Route {
	try := *r
	try.Method = method
	var match mux.RouteMatch
	if !router.Match(&try, &match) || match.MatchErr != nil {
		return nil
	}
	return match.Route
}

type callKey struct{}

// call is what the edge knows of one request. It is written by the request's own goroutine alone.
type call struct {
	edge        *Edge
	id          string
	correlation [16]byte
	addr        netip.Addr
	actor       domain.Actor
	route       string // the template that matched
	context     context.Context
}

func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	return c
}

// bareEdge serves handlers that stand before no edge, as in a test of one handler.
var bareEdge = &Edge{log: slog.Default(), timeout: 30 * time.Second, idle: time.Minute, draining: make(chan struct{})}

func edgeOf(r *http.Request) *Edge {
	if c := callOf(r); c != nil {
		return c.edge
	}
	return bareEdge
}

func routeOf(r *http.Request) string {
	if c := callOf(r); c != nil {
		return c.route
	}
	return unrouted
}

// unrouted is the route, in logs and metrics, of what matched none: paths of strangers must not become labels.
const unrouted = "unmatched"

var errTimeout = errors.New("the request's time is over")

func causeOf(r *http.Request) error {
	if c := callOf(r); c != nil && c.context != nil {
		return context.Cause(c.context)
	}
	return context.Cause(r.Context())
}

// recorded gives the request its ids, and the log and the metrics their line about it.
func (e *Edge) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		c := &call{edge: e, route: unrouted, actor: domain.Actor{Roles: []domain.Role{domain.RoleGuest}}, addr: clientAddr(r, e.proxies)}
		c.id, c.correlation = requestIDs(r.Header)
		w := &answer{ResponseWriter: rw}
		w.Header().Set("X-Request-Id", c.id)
		e.metrics.began()
		defer func() {
			status := w.status
			switch {
			case status == 0 && r.Context().Err() != nil:
				status = statusClientGone
			case status == 0:
				status = http.StatusOK
			}
			took := time.Since(began)
			e.metrics.ended(c.route, r.Method, status, took)
			level := slog.LevelInfo
			if e.isExempt(r.URL.Path) {
				level = slog.LevelDebug
			}
			e.log.LogAttrs(r.Context(), level, "request",
				slog.String("method", method(r.Method)), slog.String("route", c.route), slog.Int("status", status),
				slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int64("bytes", w.bytes),
				slog.String("actor", string(c.actor.ID)), slog.String("client", c.addr.String()), slog.String("request_id", c.id))
		}()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// statusClientGone is written nowhere but in log and metrics (nginx's 499): the client left before there was an answer.
const statusClientGone = 499

// recovered turns a panic into a fault.
func (e *Edge) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			e.log.ErrorContext(r.Context(), "panic", "request_id", RequestID(r), "method", r.Method, "route", routeOf(r),
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if started(w) {
				panic(http.ErrAbortHandler)
			}
			writeProblem(w, r, problemFault)
		}()
		next.ServeHTTP(w, r)
	})
}

// guarded sets the security headers and lets through who may pass: by origin, identity and limits.
func (e *Edge) guarded(next http.Handler) http.Handler {
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		e.limit(w)
		securityHeaders(w.Header())
		if done, err := e.cors(w, r); done || err != nil {
			return err
		}
		if e.isExempt(r.URL.Path) {
			next.ServeHTTP(w, r)
			return nil
		}
		c := callOf(r)
		var err error
		if e.identify != nil {
			var actor domain.Actor
			if actor, err = e.identify(r); err == nil {
				c.actor = e.fromHere(actor, c.addr)
			}
		}
		// Who shows no good token counts by address, so that guessing tokens is limited, too.
		if wait, ok := e.limits.take(c.addr, c.actor.ID); !ok {
			return Later(errTooMany, wait)
		}
		if err != nil {
			e.tell(r, err)
			return err
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// fromHere takes the admin role away where it may not be used.
func (e *Edge) fromHere(actor domain.Actor, addr netip.Addr) domain.Actor {
	if len(e.adminNetworks) > 0 && actor.Is(domain.RoleAdmin) && !trusted(addr, e.adminNetworks) {
		actor.Roles = slices.DeleteFunc(slices.Clone(actor.Roles), func(r domain.Role) bool { return r == domain.RoleAdmin })
	}
	return actor
}

func (e *Edge) isExempt(path string) bool {
	return slices.ContainsFunc(e.exempt, func(p string) bool {
		return p == path || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p)
	})
}

// routed runs once the route is known: it notes the route and sets the time that the request has.
func (e *Edge) routed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, route := callOf(r), mux.CurrentRoute(r)
		if template, err := route.GetPathTemplate(); err == nil {
			c.route = template
		}
		if _, streams := route.GetHandler().(Streaming); streams {
			e.stream(w, r)
			r, begun := e.beginning(w, r)
			defer begun()
			c.context = r.Context()
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), e.timeout, errTimeout)
		defer cancel()
		c.context = ctx
		r = r.WithContext(ctx)
		if r.Body != http.NoBody {
			r.Body = &body{ReadCloser: r.Body}
		}
		next.ServeHTTP(w, r)
	})
}

// limit gives the connection a little longer than the handler has, so that a refusal still gets through. It is for every
// request: the deadline of the one before, on the same connection, must not end this one.
func (e *Edge) limit(w http.ResponseWriter) {
	rc, end := http.NewResponseController(w), time.Now().Add(e.timeout+5*time.Second)
	_ = rc.SetReadDeadline(end) // recorders in tests have no deadlines
	_ = rc.SetWriteDeadline(end)
}

// stream lifts the deadlines of the whole, and sets one for each read and write instead.
func (e *Edge) stream(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	if a := answerOf(w); a != nil {
		a.rc, a.idle, a.multiplexed = rc, e.idle, r.ProtoMajor > 1
	}
	if r.Body != http.NoBody {
		r.Body = &body{ReadCloser: r.Body, rc: rc, idle: e.idle}
	}
}

// beginning ends a download that has not begun after the idle time: before its first byte a handler asks neighbours that may be silent.
// What comes behind the first byte has deadlines of its own. An upload is over when its sender says so, and then commands bound it.
func (e *Edge) beginning(w http.ResponseWriter, r *http.Request) (*http.Request, context.CancelFunc) {
	a := answerOf(w)
	if a == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return r, func() {}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	silence := time.AfterFunc(e.idle, func() { cancel(errTimeout) })
	a.begin = func() { silence.Stop(); a.begin = nil }
	return r.WithContext(ctx), func() { silence.Stop(); cancel(nil) }
}

// methodNotAllowed answers 405 and says which methods there are; OPTIONS gets the same list without a complaint.
func methodNotAllowed(router *mux.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			route := routeFor(router, r, m)
			if m == http.MethodHead && route == nil && heads(routeFor(router, r, http.MethodGet)) {
				allowed = append(allowed, m)
			}
			if route == nil {
				continue
			}
			allowed = append(allowed, m)
			if template, err := route.GetPathTemplate(); err == nil && callOf(r) != nil {
				callOf(r).route = template
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		p := problemMethod
		p.Detail = "accepted here: " + strings.Join(allowed, ", ")
		writeProblem(w, r, p)
	})
}
