package streamapi

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"

	"github.com/mediavault-io/mediavault/eventstore"
)

// ErrUnauthenticated is what an Authenticator answers when it does not believe what it was shown.
var ErrUnauthenticated = errors.New("not authenticated")

// Authenticator says who a consumer is. Errors: ErrUnauthenticated; any other is a neighbour that does not answer.
type Authenticator interface {
	// Basic is asked with what a connection string has before the @.
	Basic(ctx context.Context, login, password string) (Principal, error)
	Bearer(ctx context.Context, token string) (Principal, error)
	// Nobody is asked when a call shows no credentials.
	Nobody(ctx context.Context) (Principal, error)
}

// Everything among what a principal is granted grants all of it.
const Everything = "*"

// Principal is a consumer and what it is granted. The zero Principal may do nothing.
type Principal struct {
	ID    string
	Roles []string // matched with the $acl of streams, beside ID; $admins passes every $acl
	// Categories that may be read, the vault's own and free ones alike.
	Categories []string
	// Organisations of which the vault's own streams may be read. A stream is of the organisation of who began it.
	Organisations []string
	// Opened shows personal texts as text; otherwise they are sealed.
	Opened    bool
	WriteFree bool // may append to free streams
	WriteOwn  bool // may append to the vault's own streams
}

// Admin reports whether the principal may do what is not about one stream's events.
func (p Principal) Admin() bool { return slices.Contains(p.Roles, "$admins") }

func granted(list []string, one string) bool {
	return slices.Contains(list, Everything) || slices.Contains(list, one)
}

type callerKey struct{}

// caller is who calls, and where it can be asked again whether it still is.
type caller struct {
	principal Principal
	door      *door // nil: it is not asked again
}

// called is the context of a call, with who calls in it: one value for both, because there is one for every event that is appended.
type called struct {
	context.Context //nolint:containedctx // a context with a value is one in another
	caller          caller
}

// Value implements context.Context.
func (c *called) Value(key any) any {
	if _, ok := key.(callerKey); ok {
		return &c.caller
	}
	return c.Context.Value(key)
}

// callerOf answers who calls, which must not be changed.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

func principalOf(ctx context.Context) Principal { return callerOf(ctx).principal }

// identify finds out who calls. What clients ask when they connect, before they know whom they talk to, is answered to anybody.
func (d *door) identify(ctx context.Context, method string) (caller, error) {
	if method == serverfeatures.ServerFeatures_GetSupportedMethods_FullMethodName || method == gossip.Gossip_Read_FullMethodName {
		return caller{}, nil
	}
	if err := d.server.answering(ctx); err != nil {
		return caller{}, err
	}
	p, err := d.ask(ctx)
	switch {
	case err == nil:
		return caller{principal: p, door: d}, nil
	case errors.Is(err, ErrUnauthenticated):
		return caller{}, unauthenticated("Not Authenticated")
	default:
		return caller{}, d.server.fault(ctx, err)
	}
}

// ask asks who shows what a call brought.
func (d *door) ask(ctx context.Context) (Principal, error) {
	shown := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(shown) == 0 {
		return d.who.Nobody(ctx)
	}
	scheme, value, _ := strings.Cut(strings.TrimSpace(shown[0]), " ")
	value = strings.TrimSpace(value)
	switch {
	case len(shown) > 1:
		return Principal{}, ErrUnauthenticated
	case strings.EqualFold(scheme, "Basic"):
		decoded, err := base64.StdEncoding.DecodeString(value)
		login, password, ok := strings.Cut(string(decoded), ":")
		if err != nil || !ok {
			return Principal{}, ErrUnauthenticated
		}
		return d.who.Basic(ctx, login, password)
	case strings.EqualFold(scheme, "Bearer"):
		return d.who.Bearer(ctx, value)
	default:
		return Principal{}, ErrUnauthenticated
	}
}

// subject is the stream that a $$ stream tells about; other streams are about themselves.
func subject(stream eventstore.Stream) eventstore.Stream {
	if about, ok := strings.CutPrefix(string(stream), "$$"); ok && about != "" {
		return eventstore.Stream(about)
	}
	return stream
}

// mayRead says no to who is not granted the stream's category, its organisation, or by its $acl.
func (s *Server) mayRead(ctx context.Context, p Principal, stream eventstore.Stream) error {
	about := subject(stream)
	if !s.sees(p, about) {
		return accessDenied()
	}
	ok, err := s.ofGrantedOrganisation(ctx, p, about)
	if err != nil {
		return err
	}
	if !ok {
		return accessDenied()
	}
	said, err := s.metas.of(ctx, about)
	if err != nil {
		return err
	}
	acl := said.acl
	if about != stream {
		return denied(acl.allows(acl.MetaRead, p))
	}
	return denied(acl.allows(acl.Read, p))
}

func denied(ok bool) error {
	if ok {
		return nil
	}
	return accessDenied()
}

// sees reports whether the category of a stream is granted. What begins with $ is EventStoreDB's own, for admins.
func (s *Server) sees(p Principal, stream eventstore.Stream) bool {
	if strings.HasPrefix(string(stream), "$") {
		return p.Admin()
	}
	return granted(p.Categories, stream.Category())
}

// mayWrite says no to who may not append to the stream, or close it. Of the vault's own streams who is bound to organisations
// writes those that are theirs, and begins none.
func (s *Server) mayWrite(ctx context.Context, p Principal, stream eventstore.Stream, closing bool) error {
	about := subject(stream)
	if _, virtual := viewOf(about); virtual || about == usersStream || about == "$all" {
		return accessDenied() // there is nothing to write to
	}
	switch {
	case s.own[about.Category()]:
		if !p.WriteOwn || !granted(p.Categories, about.Category()) {
			return accessDenied()
		}
		if ok, err := s.ofGrantedOrganisation(ctx, p, about); err != nil || !ok {
			return errors.Join(err, denied(ok))
		}
	case strings.HasPrefix(string(about), "$"):
		if !p.Admin() {
			return accessDenied()
		}
	case !p.WriteFree || !granted(p.Categories, about.Category()):
		return accessDenied()
	}
	said, err := s.metas.of(ctx, about)
	if err != nil {
		return err
	}
	acl := said.acl
	switch {
	case about != stream:
		return denied(acl.allows(acl.MetaWrite, p))
	case closing:
		return denied(acl.allows(acl.Delete, p))
	default:
		return denied(acl.allows(acl.Write, p))
	}
}

// ofGrantedOrganisation reports whether the principal may know of a stream by whom it belongs to. Free streams belong to
// nobody.
func (s *Server) ofGrantedOrganisation(ctx context.Context, p Principal, stream eventstore.Stream) (bool, error) {
	if !s.own[stream.Category()] || slices.Contains(p.Organisations, Everything) {
		return true, nil
	}
	org, err := s.orgs.of(ctx, stream)
	return err == nil && org != "" && slices.Contains(p.Organisations, string(org)), err
}
