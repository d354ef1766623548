// Package readapi is read models to HTTP. It has no rules and no SQL: it parses what is asked, asks one query with the viewer as
// an argument, and answers. It writes nothing but what it served or refused, through a Recorder that it declares and commands
// implements.
package readapi

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of the API: openapi.yaml. Tests hold it against the routes and against real answers.
func OpenAPI() []byte { return openAPI }

// Parts are what the API asks. All but Log and Heartbeat are needed.
type Parts struct {
	Engine      *projections.Engine
	Library     *projections.Library
	Access      *projections.Access
	Shares      *projections.Shares
	Review      *projections.Review
	Findings    *projections.Findings
	Audit       *projections.Audit
	Usage       *projections.Usage
	History     *projections.History
	Duplicates  *projections.Duplicates
	Suggestions *projections.Suggestions
	Blobs       *blobs.S3
	Recorder    Recorder
	Rebuilder   Rebuilder
	Parked      ParkedLister
	// Notifications are what people were told; Recipients is how they want to be.
	Notifications *projections.Notifications
	Webhooks      *projections.Webhooks
	Recipients    Recipients
	// People are who was forgotten; without it nobody was.
	People    People
	Log       *slog.Logger  // for what cannot be answered to anybody; nil is slog.Default()
	Heartbeat time.Duration // of live streams; 0 is 15 s
}

// Server answers the routes of Routes.
type Server struct {
	engine      *projections.Engine
	library     *projections.Library
	access      *projections.Access
	shares      *projections.Shares
	review      *projections.Review
	findings    *projections.Findings
	auditLog    *projections.Audit
	usages      *projections.Usage
	history     *projections.History
	duplicates  *projections.Duplicates
	suggestions *projections.Suggestions
	blobs       *blobs.S3
	recorder    Recorder
	rebuilder   Rebuilder
	parked      ParkedLister
	told        *projections.Notifications
	webhooks    *projections.Webhooks
	recipients  Recipients
	people      People
	log         *slog.Logger
	beat        time.Duration
}

// New makes a server of its parts.
func New(p Parts) *Server {
	s := &Server{
		engine: p.Engine, library: p.Library, access: p.Access, shares: p.Shares, review: p.Review, findings: p.Findings, auditLog: p.Audit,
		usages: p.Usage, history: p.History, duplicates: p.Duplicates, suggestions: p.Suggestions, told: p.Notifications, webhooks: p.Webhooks, recipients: p.Recipients,
		blobs: p.Blobs, recorder: p.Recorder, rebuilder: p.Rebuilder, parked: p.Parked, people: p.People, log: p.Log, beat: p.Heartbeat,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.beat <= 0 {
		s.beat = 15 * time.Second
	}
	return s
}

// asOf reads as_of: the moment that the answer is about.
func asOf(q *web.Query) projections.Moment {
	return web.Parameter(q, "as_of", func(text string) (projections.Moment, error) {
		// A plus that nobody percent-encoded arrives as a space.
		return projections.ParseMoment(strings.Replace(text, " ", "+", 1))
	})
}

var errAfter = domain.ErrInvalid.On("Vault-After").Because("accepted is a position, as a write answered it in Vault-Position")

// ready waits until the read models have come as far as Vault-After says, and answers with Vault-Position how far they are: the
// answer includes everything up to there.
func (s *Server) ready(w http.ResponseWriter, r *http.Request, m projections.Moment, models ...string) error {
	ctx := r.Context()
	if text := r.Header.Get("Vault-After"); text != "" {
		after, err := strconv.ParseInt(text, 10, 64)
		if err != nil || after < 0 {
			return errAfter
		}
		if err := s.reached(ctx, projections.Position(after), models...); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Authorization, Vault-Password, Accept")
	if len(models) == 0 {
		return nil
	}
	position, err := s.position(ctx, m, models...)
	if err != nil {
		return err
	}
	h.Set("Vault-Position", strconv.FormatInt(int64(position), 10))
	return nil
}

// reached waits for the read models, or, where none is asked, for the log itself. When it takes too long the client learns how
// far they are.
func (s *Server) reached(ctx context.Context, after projections.Position, models ...string) error {
	for _, name := range models {
		err := s.engine.WaitFor(ctx, name, after)
		if !errors.Is(err, projections.ErrNotYet) {
			if err != nil {
				return err
			}
			continue
		}
		at, failed := s.engine.Position(ctx, name)
		if failed != nil {
			return failed
		}
		return web.Later(projections.ErrNotYet.Because("the read model "+name+" has come to position "+
			strconv.FormatInt(int64(at), 10)+"; ask again"), time.Second)
	}
	if len(models) > 0 {
		return nil
	}
	_, err := s.engine.Resolve(ctx, projections.AsOf(after))
	if errors.Is(err, projections.ErrFuture) {
		return web.Later(projections.ErrNotYet.Because("the log has not come that far; ask again"), time.Second)
	}
	return err
}

func (s *Server) position(ctx context.Context, m projections.Moment, models ...string) (projections.Position, error) {
	if !m.IsNow() {
		at, err := s.engine.Resolve(ctx, m, models...)
		return at.Position, err
	}
	least := projections.Forever
	for _, name := range models {
		at, err := s.engine.Position(ctx, name)
		if err != nil {
			return 0, err
		}
		least = min(least, at)
	}
	return least, nil
}

// The sizes of pages.
const (
	pageSize    = 50
	maxPageSize = 200
)

func paging(p web.Page) projections.Paging {
	return projections.Paging{Size: p.Size, Offset: p.Offset(), Cursor: p.Cursor}
}

// tagged sets ETag and answers whether the client has this revision already: 304 was answered then.
func tagged(w http.ResponseWriter, r *http.Request, revision int64) bool {
	tag := web.ETag(revision)
	w.Header().Set("ETag", tag)
	if !noneMatch(r.Header.Values("If-None-Match"), tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// includes raises Vault-Position to a position that the answer includes: between asking where the read models are and reading a
// row, the row may have moved on.
func includes(w http.ResponseWriter, position projections.Position) {
	if said, err := strconv.ParseInt(w.Header().Get("Vault-Position"), 10, 64); err == nil && int64(position) > said {
		w.Header().Set("Vault-Position", strconv.FormatInt(int64(position), 10))
	}
}

// noneMatch reports whether If-None-Match names the tag, by weak comparison (RFC 9110, section 13.1.2).
func noneMatch(said []string, tag string) bool {
	for part := range strings.SplitSeq(strings.Join(said, ","), ",") {
		if part = strings.TrimSpace(part); part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}
