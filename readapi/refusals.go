package readapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// recordTime bounds how long recording a refusal takes; the client waits for it.
const recordTime = 5 * time.Second

// Refused records a refusal; it is what web.Mount is given for the routes of both APIs, and the edge for those who are not let in.
// When it cannot be recorded the refusal stands, and the log says so.
func (s *Server) Refused(r *http.Request, rt web.Route, refusal *domain.Refusal) {
	if refusal.Code == errNoThumbnail.Code {
		return
	}
	// Whoever hangs up right after trying is recorded all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTime)
	defer cancel()
	said := Refusal{Caller: callerOf(r), Action: rt.Action(), Code: refusal.Code, Status: web.Status(refusal.Kind)}
	s.concerning(ctx, &said, r, rt)
	if err := s.recorder.Refused(ctx, said); err != nil {
		s.log.ErrorContext(ctx, "refusal not recorded", "action", said.Action, "code", said.Code, "request_id", said.Caller.RequestID, "error", err.Error())
	}
}

// concerning says what the request was about.
func (s *Server) concerning(ctx context.Context, said *Refusal, r *http.Request, rt web.Route) {
	vars := mux.Vars(r)
	if token := digestOf(vars["token"]); token != "" {
		// The secret itself is written nowhere; the share that it belongs to is.
		if share, err := s.shares.ByToken(ctx, token, projections.Moment{}); err == nil {
			said.Resource, said.Share, said.Media = string(share.ID), share.ID, share.MediaID
		}
		return
	}
	for _, name := range []string{"id", "stream", "name"} {
		if vars[name] != "" {
			said.Resource = clip(vars[name])
		}
	}
	if !said.Caller.Actor.Known() {
		return // those of guests are counted together, whatever they asked for: a flood of them must not ask the database
	}
	switch {
	case strings.HasPrefix(rt.Path, "/v1/media/"):
		if id, err := domain.ParseMediaID(vars["id"]); err == nil && s.exists(ctx, id) {
			said.Media = id
		}
	case strings.HasPrefix(rt.Path, "/v1/shares/"):
		if id, err := domain.ParseShareID(vars["id"]); err == nil {
			if share, err := s.shares.Get(ctx, asAuditor(), id, projections.Moment{}); err == nil {
				said.Share, said.Media = id, share.MediaID
			}
		}
	}
}

// exists reports whether there is such an item, whoever may know of it.
func (s *Server) exists(ctx context.Context, id domain.MediaID) bool {
	_, err := s.access.Right(ctx, asAuditor(), id, projections.Moment{})
	return err == nil
}

// asAuditor is whom a question is asked as whose answer nobody sees.
func asAuditor() domain.Actor {
	return domain.Actor{ID: domain.System().ID, Roles: []domain.Role{domain.RoleAuditor}}
}

// maxResource bounds, in bytes, what is kept of an id that somebody made up.
const maxResource = 255

func clip(text string) string {
	if len(text) > maxResource {
		text = text[:maxResource]
	}
	return strings.ToValidUTF8(text, "")
}
