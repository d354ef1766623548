package readapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// Routes is the table of what can be asked and by whom. What a role opens, the viewer may still not see: a stranger's thing is
// a 404, which the queries decide.
func (s *Server) Routes() []web.Route {
	var (
		anybody    []domain.Role // guests too: a link is what identifies
		somebody   = []domain.Role{domain.RoleUser, domain.RolePartner, domain.RolePartnerAdmin, domain.RoleModerator, domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin}
		auditors   = []domain.Role{domain.RoleAuditor, domain.RoleAdmin}
		reviewers  = []domain.Role{domain.RoleModerator, domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin}
		consumers  = []domain.Role{domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin}
		operations = []domain.Role{domain.RoleAuditor, domain.RoleAnalyst, domain.RoleAdmin}
		admins     = []domain.Role{domain.RoleAdmin}
	)
	const get, head, post = http.MethodGet, http.MethodHead, http.MethodPost
	return s.remembered([]web.Route{
		{Method: get, Path: "/v1/media", Name: "listMedia", Roles: somebody, Handler: s.listMedia},
		{Method: get, Path: "/v1/media/{id}", Name: "getMedia", Roles: somebody, Handler: s.getMedia},
		{Method: get, Path: "/v1/media/{id}/content", Name: "getMediaContent", Roles: somebody, Handler: s.mediaContent, Streaming: true},
		{Method: head, Path: "/v1/media/{id}/content", Name: "headMediaContent", Roles: somebody, Handler: s.mediaContent, Streaming: true},
		{Method: get, Path: "/v1/media/{id}/thumbnail", Name: "getMediaThumbnail", Roles: somebody, Handler: s.mediaThumbnail, Streaming: true},
		{Method: get, Path: "/v1/media/{id}/history", Name: "getMediaHistory", Roles: somebody, Handler: s.mediaHistory},
		{Method: get, Path: "/v1/media/{id}/access", Name: "getMediaAccess", Roles: somebody, Handler: s.mediaAccess},
		{Method: get, Path: "/v1/media/{id}/duplicates", Name: "getMediaDuplicates", Roles: somebody, Handler: s.mediaDuplicates},
		{Method: get, Path: "/v1/media/{id}/suggestion", Name: "getMediaSuggestion", Roles: somebody, Handler: s.mediaSuggestion},
		{Method: get, Path: "/v1/media/{id}/moderation", Name: "getMediaModeration", Roles: somebody, Handler: s.mediaModeration},

		{Method: get, Path: "/v1/shares", Name: "listShares", Roles: somebody, Handler: s.listShares},
		{Method: get, Path: "/v1/shares/{id}", Name: "getShare", Roles: somebody, Handler: s.getShare},
		{Method: get, Path: "/v1/shared-with-me", Name: "listSharedWithMe", Roles: somebody, Handler: s.listSharedWithMe},
		{Method: get, Path: "/v1/public/{token}", Name: "getPublic", Roles: anybody, Handler: s.getPublic},
		{Method: get, Path: "/v1/public/{token}/content", Name: "getPublicContent", Roles: anybody, Handler: s.publicContent, Streaming: true},
		{Method: get, Path: "/v1/public/{token}/thumbnail", Name: "getPublicThumbnail", Roles: anybody, Handler: s.publicThumbnail, Streaming: true},
		{Method: head, Path: "/v1/public/{token}/content", Name: "headPublicContent", Roles: anybody, Handler: s.publicContent, Streaming: true},

		{Method: get, Path: "/v1/moderation/cases", Name: "listCases", Roles: somebody, Handler: s.listCases},
		{Method: get, Path: "/v1/moderation/statistics", Name: "getModerationStatistics", Roles: reviewers, Handler: s.moderationStatistics},
		{Method: get, Path: "/v1/moderation/cases/{id}", Name: "getCase", Roles: somebody, Handler: s.getCase},

		{Method: get, Path: "/v1/findings", Name: "listFindings", Roles: somebody, Handler: s.listFindings},
		{Method: get, Path: "/v1/findings/{id}", Name: "getFinding", Roles: somebody, Handler: s.getFinding},

		{Method: get, Path: "/v1/audit", Name: "getAudit", Roles: auditors, Handler: s.audit, Streaming: true},
		{Method: get, Path: "/v1/usage", Name: "getUsage", Roles: somebody, Handler: s.usage},
		{Method: get, Path: "/v1/streams/{stream}", Name: "getStream", Roles: somebody, Handler: s.stream, Streaming: true},
		{Method: get, Path: "/v1/events", Name: "getEvents", Roles: consumers, Handler: s.events, Streaming: true},

		{Method: get, Path: "/v1/projections", Name: "listProjections", Roles: operations, Handler: s.projections},
		{Method: post, Path: "/v1/projections/{name}/rebuild", Name: "rebuildProjection", Roles: admins, Handler: s.rebuild},
		{Method: get, Path: "/v1/notifications", Name: "listNotifications", Roles: somebody, Handler: s.listNotifications},
		{Method: get, Path: "/v1/notifications/preferences", Name: "getPreferences", Roles: somebody, Handler: s.getPreferences},
		{Method: get, Path: "/v1/webhooks", Name: "listWebhooks", Roles: somebody, Handler: s.listWebhooks},
		{Method: get, Path: "/v1/parked", Name: "listParked", Roles: admins, Handler: s.listParked},
		{Method: get, Path: "/v1/me", Name: "getMe", Roles: somebody, Handler: s.me},
	})
}
