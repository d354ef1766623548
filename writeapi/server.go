package writeapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Bounds of JSON bodies, in bytes.
const (
	maxJSON  = 256 << 10 // two texts of 10,000 characters, however they are escaped
	maxParts = 2 << 20   // 10,000 parts with their tags
)

// Server serves the write API.
type Server struct {
	Media      *commands.Media
	Shares     *commands.Shares
	Moderation *commands.Moderation
	Findings   *commands.Findings
	Operations *commands.Operations
	// Notifications is what people say about being told.
	Notifications *commands.Notifications
	People        *commands.People
	// MaxFile bounds one file in bytes: the policy's.
	MaxFile int64
	// Refused is told of what the routes refuse; nil: nobody is told.
	Refused web.Refused
}

// Routes registers the API.
func (s *Server) Routes(r *mux.Router) { web.Mount(r, s.Table(), s.Refused) }

// Table is what there is and who may ask for it; the domain may still refuse.
func (s *Server) Table() []web.Route {
	owners := []domain.Role{domain.RoleUser, domain.RolePartner, domain.RolePartnerAdmin}
	purgers := append(slices.Clone(owners), domain.RoleAdmin)
	finders := append(slices.Clone(owners), domain.RoleModerator, domain.RoleAdmin)
	reporters := append(slices.Clone(owners), domain.RoleModerator)
	moderators := []domain.Role{domain.RoleModerator}
	admins := []domain.Role{domain.RoleAdmin}
	somebody := append(slices.Clone(owners), domain.RoleModerator, domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin)
	judges := []domain.Role{domain.RoleModerator, domain.RoleAdmin} // admins for what was escalated
	const (
		post, patch, del = http.MethodPost, http.MethodPatch, http.MethodDelete
		item             = "/v1/media/{id}"
		share            = "/v1/shares/{id}"
		cases            = "/v1/moderation/cases"
	)
	return []web.Route{
		{Method: post, Path: "/v1/media", Name: "uploadMedia", Roles: owners, Handler: s.uploadMedia, Streaming: true},
		{Method: patch, Path: item, Name: "describeMedia", Roles: owners, Handler: s.describeMedia},
		{Method: del, Path: item, Name: "deleteMedia", Roles: owners, Handler: s.deleteMedia},
		{Method: post, Path: item + "/versions", Name: "addVersion", Roles: owners, Handler: s.addVersion, Streaming: true},
		{Method: post, Path: item + "/rollback", Name: "rollBackMedia", Roles: owners, Handler: s.rollBackMedia},
		{Method: post, Path: item + "/restore", Name: "restoreMedia", Roles: owners, Handler: s.restoreMedia},
		{Method: post, Path: item + "/purge", Name: "purgeMedia", Roles: purgers, Handler: s.purgeMedia},
		{Method: post, Path: item + "/describe", Name: "requestDescription", Roles: owners, Handler: s.requestDescription},
		{Method: post, Path: item + "/suggestion/accept", Name: "acceptSuggestion", Roles: owners, Handler: s.acceptSuggestion},
		{Method: post, Path: item + "/suggestion/reject", Name: "rejectSuggestion", Roles: owners, Handler: s.rejectSuggestion},
		{Method: post, Path: item + "/reports", Name: "reportMedia", Roles: reporters, Handler: s.reportMedia},

		{Method: post, Path: "/v1/uploads", Name: "requestUpload", Roles: owners, Handler: s.requestUpload},
		{Method: post, Path: "/v1/uploads/{id}/complete", Name: "completeUpload", Roles: owners, Handler: s.completeUpload, Streaming: true},

		{Method: post, Path: "/v1/shares", Name: "grantShare", Roles: owners, Handler: s.grantShare},
		{Method: patch, Path: share, Name: "changeShare", Roles: owners, Handler: s.changeShare},
		{Method: del, Path: share, Name: "revokeShare", Roles: owners, Handler: s.revokeShare},

		{Method: post, Path: "/v1/notifications/read-all", Name: "readAllNotifications", Roles: somebody, Handler: s.readAllNotifications},
		{Method: post, Path: "/v1/notifications/{id}/read", Name: "readNotification", Roles: somebody, Handler: s.readNotification},
		{Method: http.MethodPut, Path: "/v1/notifications/preferences", Name: "setPreferences", Roles: somebody, Handler: s.setPreferences},
		{Method: post, Path: "/v1/webhooks", Name: "addWebhook", Roles: somebody, Handler: s.addWebhook},
		{Method: del, Path: "/v1/webhooks/{id}", Name: "removeWebhook", Roles: somebody, Handler: s.removeWebhook},
		{Method: post, Path: "/v1/webhooks/{id}/rotate", Name: "rotateWebhook", Roles: somebody, Handler: s.rotateWebhook},
		{Method: post, Path: "/v1/webhooks/{id}/replay", Name: "replayWebhook", Roles: somebody, Handler: s.replayWebhook},

		{Method: post, Path: "/v1/parked/{id}/retry", Name: "retryParked", Roles: admins, Handler: s.retryParked},
		{Method: del, Path: "/v1/parked/{id}", Name: "dropParked", Roles: admins, Handler: s.dropParked},

		{Method: post, Path: "/v1/people/{id}/erasure", Name: "requestErasure", Roles: admins, Handler: s.requestErasure},

		{Method: post, Path: "/v1/findings/{id}/status", Name: "setFindingStatus", Roles: finders, Handler: s.setFindingStatus},

		{Method: post, Path: cases, Name: "referMedia", Roles: moderators, Handler: s.referMedia},
		{Method: post, Path: "/v1/moderation/queue/next", Name: "claimNextCase", Roles: judges, Handler: s.claimNext},
		{Method: post, Path: cases + "/{id}/claim", Name: "claimCase", Roles: judges, Handler: s.claimCase},
		{Method: post, Path: cases + "/{id}/renew", Name: "renewCase", Roles: judges, Handler: s.renewCase},
		{Method: post, Path: cases + "/{id}/release", Name: "releaseCase", Roles: judges, Handler: s.releaseCase},
		{Method: post, Path: cases + "/{id}/escalate", Name: "escalateCase", Roles: judges, Handler: s.escalateCase},
		{Method: post, Path: cases + "/{id}/proposals/{number}/confirm", Name: "confirmProposal", Roles: judges, Handler: s.confirmProposal},
		{Method: post, Path: cases + "/{id}/proposals/{number}/decline", Name: "declineProposal", Roles: judges, Handler: s.declineProposal},
		{Method: post, Path: cases + "/{id}/assign", Name: "assignCase", Roles: judges, Handler: s.assignCase},
		{Method: post, Path: cases + "/{id}/decisions", Name: "decideCase", Roles: judges, Handler: s.decideCase},
		{Method: post, Path: cases + "/{id}/appeals", Name: "appealCase", Roles: owners, Handler: s.appealCase},
		{Method: post, Path: cases + "/{id}/appeals/{number}/decision", Name: "decideAppeal", Roles: judges, Handler: s.decideAppeal},
		{Method: post, Path: cases + "/{id}/close", Name: "closeCase", Roles: judges, Handler: s.closeCase},
	}
}

// envelope is what comes with every command of this request.
func envelope(r *http.Request) (commands.Envelope, error) {
	env := commands.Envelope{
		Actor: web.Actor(r), Address: web.ClientAddr(r), UserAgent: web.UserAgent(r), Correlation: web.Correlation(r), Started: time.Now(),
	}
	var err error
	if env.Reason, err = web.Reason(r); err != nil {
		return env, err
	}
	if env.IdempotencyKey, err = web.IdempotencyKey(r); err != nil {
		return env, err
	}
	revision, given, err := web.IfMatch(r)
	if err != nil {
		return env, err
	}
	if given {
		expect(&env.IfMatch, revision)
	}
	return env, nil
}

// expect sets a revision that is expected, whatever type the event store gives it: this package does not know the store.
func expect[R ~int64](expected **R, revision int64) {
	r := R(revision)
	*expected = &r
}

// on reads the envelope and the id in the path; every route about one thing begins with it.
func on[ID any](r *http.Request, parse func(string) (ID, error)) (commands.Envelope, ID, error) {
	return of(r, parse, web.NewQuery(r))
}

func of[ID any](r *http.Request, parse func(string) (ID, error), q *web.Query) (commands.Envelope, ID, error) {
	id, err := parse(mux.Vars(r)["id"])
	if err != nil {
		return commands.Envelope{}, id, as(err, "id")
	}
	if err := q.Done(); err != nil {
		return commands.Envelope{}, id, err
	}
	env, err := envelope(r)
	return env, id, err
}

// edit is on for an item that somebody may edit through a share, which he may name.
func edit(r *http.Request) (commands.Envelope, domain.MediaID, domain.ShareID, error) {
	q := web.NewQuery(r)
	through := web.Parameter(q, "share", domain.ParseShareID)
	env, id, err := of(r, domain.ParseMediaID, q)
	return env, id, through, err
}

// said is on for a route whose JSON body says what is asked for.
func said[Body, ID any](r *http.Request, parse func(string) (ID, error)) (env commands.Envelope, id ID, body Body, err error) {
	if env, id, err = on(r, parse); err == nil {
		body, err = web.Decode[Body](r, maxJSON)
	}
	return env, id, body, err
}

// perhaps is said where no body is needed. An empty struct for a Body takes none: what is said in a body that nobody reads would be
// lost.
func perhaps[Body, ID any](r *http.Request, parse func(string) (ID, error)) (env commands.Envelope, id ID, body Body, err error) {
	if env, id, err = on(r, parse); err == nil {
		body, err = web.Perhaps[Body](r, maxJSON)
	}
	return env, id, body, err
}

// anew reads the envelope of a route that makes something new.
func anew(r *http.Request) (commands.Envelope, error) {
	if err := web.NewQuery(r).Done(); err != nil {
		return commands.Envelope{}, err
	}
	env, err := envelope(r)
	if err == nil && env.IfMatch != nil {
		err = domain.ErrInvalid.On("If-Match").Because("what is made here has no revision yet")
	}
	return env, err
}

// simply serves a route about one thing that says nothing more.
func simply[ID any](w http.ResponseWriter, r *http.Request, parse func(string) (ID, error),
	command func(context.Context, commands.Envelope, ID) (commands.Receipt, error),
) error {
	env, id, _, err := perhaps[struct{}](r, parse)
	if err != nil {
		return err
	}
	receipt, err := command(r.Context(), env, id)
	return answer(w, receipt, err)
}

// as is the refusal of a value, naming the field as this route does.
func as(err error, field string) error {
	if refusal, ok := domain.AsRefusal(err); ok {
		return refusal.On(field)
	}
	return err
}

// fromOne reads what counts from 1 and may be left out; 0 is then the answer.
func fromOne(n *int, field string) (int, error) {
	switch {
	case n == nil:
		return 0, nil
	case *n < 1:
		return 0, domain.ErrInvalid.On(field).Because("accepted is a number from 1, or null or nothing")
	}
	return *n, nil
}

// answer answers the receipt of a command that was carried out, or its error.
func answer(w http.ResponseWriter, receipt commands.Receipt, err error) error {
	if err != nil {
		return err
	}
	return wrote(w, http.StatusOK, "", receipt, nil)
}

// wrote answers a command's receipt.
func wrote(w http.ResponseWriter, status int, location string, receipt commands.Receipt, body any) error {
	return web.Wrote(w, status, location, written(receipt), body)
}

func written(receipt commands.Receipt) web.Written {
	return web.Written{
		ID: receipt.ID, Stream: string(receipt.Stream), Revision: int64(receipt.Revision), Position: int64(receipt.Position),
	}
}
