package readapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

type shareLister func(context.Context, domain.Actor, projections.ShareQuery, projections.Paging, projections.Moment) (projections.List[projections.Share], error)

func (s *Server) listShares(w http.ResponseWriter, r *http.Request) error {
	return s.sharesOf(w, r, s.shares.Given)
}

func (s *Server) listSharedWithMe(w http.ResponseWriter, r *http.Request) error {
	return s.sharesOf(w, r, s.shares.Received)
}

func (s *Server) sharesOf(w http.ResponseWriter, r *http.Request, list shareLister) error {
	q := web.NewQuery(r)
	page := q.Page(pageSize, maxPageSize)
	query := projections.ShareQuery{
		Media: web.Parameter(q, "media_id", domain.ParseMediaID),
		Status: q.Enum("status", "", projections.ShareActive, projections.ShareExpired, projections.ShareExhausted, projections.ShareRevoked,
			projections.ShareSuspended, projections.ShareClosed),
		Kind: q.Enum("with", "", "user", "organisation", "link"),
		Sort: q.Enum("sort", "", bothWays("granted_at", "updated_at", "opens")...),
	}
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.SharesName, projections.AccessName); err != nil {
		return err
	}
	found, err := list(r.Context(), web.Actor(r), query, paging(page), m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, web.NewList(found.Items, found.Total, page, found.Next).AtLeast(found.More))
}

func (s *Server) getShare(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	id, err := domain.ParseShareID(mux.Vars(r)["id"])
	if err != nil {
		return projections.ErrHidden
	}
	if err := s.ready(w, r, m, projections.SharesName, projections.AccessName); err != nil {
		return err
	}
	share, err := s.shares.Get(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	includes(w, share.Position)
	// For If-Match alone: opens are counted, and time passes, without a new revision, so that there is no 304.
	w.Header().Set("ETag", web.ETag(share.Revision))
	return web.JSON(w, http.StatusOK, share)
}

// link is what the holder of a link may know of the item that it leads to.
type link struct {
	MediaID     domain.MediaID `json:"media_id"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Filename    string         `json:"filename"`
	ContentType string         `json:"content_type"`
	Size        int64          `json:"size"`
	SHA256      domain.Digest  `json:"sha256"`
	Version     int            `json:"version"`
	Permissions []string       `json:"permissions"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty"`
	HasPassword bool           `json:"has_password"`
	WebVariant  *webVariant    `json:"web_variant,omitempty"`
}

// maxToken is the longest text that is looked at as a link's secret.
const maxToken = 200

// digestOf is what is stored of a link's secret; "" for what cannot be one.
func digestOf(token string) domain.Digest {
	if token == "" || len(token) > maxToken {
		return ""
	}
	return domain.DigestOf(token)
}

// followed is where a link leads.
type followed struct {
	share   projections.Share
	item    projections.Item
	serving Serving
}

// errPassword is a password that is too long to be one.
var errPassword = domain.ErrInvalid.On("Vault-Password").Because("a password has at most 1,024 bytes")

// follow finds where the link in the path leads. Whether it may be followed is still to be asked.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, q *web.Query) (followed, error) {
	m := asOf(q)
	if err := q.Done(); err != nil {
		return followed{}, err
	}
	password := r.Header.Get("Vault-Password")
	if len(password) > 1024 {
		return followed{}, errPassword
	}
	ctx, token := r.Context(), digestOf(mux.Vars(r)["token"])
	if token == "" {
		return followed{}, projections.ErrHidden
	}
	if err := s.ready(w, r, m, projections.SharesName, projections.LibraryName); err != nil {
		return followed{}, err
	}
	share, err := s.shares.ByToken(ctx, token, projections.Moment{})
	if err != nil {
		return followed{}, err
	}
	if !m.IsNow() {
		if _, err := s.shares.ByToken(ctx, token, m); err != nil {
			return followed{}, err // there was no such link then
		}
	}
	// What the link shows is the item as its owner has it; what of it is the holder's to know is chosen below.
	it, err := s.library.Item(ctx, domain.Actor{ID: share.Owner}, share.MediaID, m)
	if err != nil {
		return followed{}, err
	}
	includes(w, share.Position)
	includes(w, it.Position)
	return followed{
		share: share, item: it, serving: Serving{Via: "link", Share: share.ID, Token: mux.Vars(r)["token"], Password: password},
	}, nil
}

func (s *Server) getPublic(w http.ResponseWriter, r *http.Request) error {
	f, err := s.follow(w, r, web.NewQuery(r))
	if err != nil {
		return err
	}
	asked := f.serving
	asked.Caller, asked.Media, asked.Version, asked.What = callerOf(r), f.item.ID, f.item.Version, "view"
	if err := s.recorder.Check(r.Context(), asked); err != nil {
		return err
	}
	size, digest, variant := f.item.Size, f.item.SHA256, (*webVariant)(nil)
	if n := f.item.Version; n >= 1 && n <= len(f.item.Versions) {
		v := f.item.Versions[n-1]
		_, size, digest = f.item.Handed(v, false)
		variant = webVariantOf(v)
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.JSON(w, http.StatusOK, link{
		MediaID: f.item.ID, Title: f.item.Title, Description: f.item.Description, Filename: f.item.FileName, ContentType: f.item.Type,
		Size: size, SHA256: digest, Version: f.item.Version, Permissions: f.share.Permissions,
		ExpiresAt: f.share.ExpiresAt, HasPassword: f.share.HasPassword, WebVariant: variant,
	})
}

func (s *Server) publicContent(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	want := wants(q)
	f, err := s.follow(w, r, q)
	if err != nil {
		return err
	}
	return s.deliverItem(w, r, f.item, want, f.serving)
}
