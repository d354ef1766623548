package writeapi

import (
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/internal/web"
)

// granted is the answer to a grant; a link's secret is answered this once.
type granted struct {
	web.Written
	Token string `json:"token,omitempty"`
	URL   string `json:"url,omitempty"`
}

// sharedWith is with whom something is shared: exactly one of the three.
type sharedWith struct {
	User         *string `json:"user"`
	Organisation *string `json:"organisation"`
	Link         *bool   `json:"link"`
}

func (to sharedWith) into(g *commands.Grant) error {
	n := 0
	if to.User != nil {
		g.User = domain.UserID(*to.User)
		n++
	}
	if to.Organisation != nil {
		g.Organisation = domain.OrgID(*to.Organisation)
		n++
	}
	if to.Link != nil {
		g.Link = *to.Link
		n++
	}
	if n != 1 || g.User == "" && g.Organisation == "" && !g.Link {
		return domain.ErrInvalid.On("with").Because(`accepted is exactly one of {"user":"..."}, {"organisation":"..."} and {"link":true}`)
	}
	return nil
}

var errNoPermission = domain.ErrInvalid.On("permissions")

func (s *Server) grantShare(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		MediaID     string             `json:"media_id"`
		With        sharedWith         `json:"with"`
		Permissions []share.Permission `json:"permissions"`
		ExpiresAt   *time.Time         `json:"expires_at"`
		Password    *string            `json:"password"`
		MaxOpens    *int               `json:"max_opens"`
		Through     *string            `json:"through"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	if body.Permissions != nil && len(body.Permissions) == 0 {
		return errNoPermission.Because("accepted are one or more of view, download, edit, reshare; nothing said is view")
	}
	grant := commands.Grant{Permissions: body.Permissions}
	if grant.Media, err = domain.ParseMediaID(body.MediaID); err != nil {
		return err
	}
	if err := body.With.into(&grant); err != nil {
		return err
	}
	if body.ExpiresAt != nil {
		grant.ExpiresAt = *body.ExpiresAt
	}
	if body.Password != nil {
		if grant.Password = *body.Password; grant.Password == "" {
			return domain.ErrInvalid.On("password").Because("a password has 8 to 1,024 characters; null or nothing is none")
		}
		if !grant.Link {
			return domain.ErrInvalid.On("password").Because("only links have passwords")
		}
	}
	if grant.MaxOpens, err = fromOne(body.MaxOpens, "max_opens"); err != nil {
		return err
	}
	if body.Through != nil {
		if grant.Through, err = domain.ParseShareID(*body.Through); err != nil {
			return as(err, "through")
		}
	}
	got, err := s.Shares.Grant(r.Context(), env, grant)
	if err != nil {
		return err
	}
	answer := granted{Written: written(got.Receipt), Token: got.Token}
	if got.Token != "" {
		answer.URL = "/v1/public/" + got.Token
	}
	return wrote(w, http.StatusCreated, "/v1/shares/"+got.ID, got.Receipt, answer)
}

func (s *Server) changeShare(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		Permissions optional[[]share.Permission] `json:"permissions"`
		ExpiresAt   optional[time.Time]          `json:"expires_at"`
		Password    optional[string]             `json:"password"`
		MaxOpens    optional[int]                `json:"max_opens"`
	}](r, domain.ParseShareID)
	if err != nil {
		return err
	}
	change := commands.Change{
		Permissions: body.Permissions.pointer(), ExpiresAt: body.ExpiresAt.pointer(), Password: body.Password.pointer(), MaxOpens: body.MaxOpens.pointer(),
	}
	// The zero value takes a term away; who wants that says null.
	switch {
	case body.Permissions.given && len(body.Permissions.value) == 0:
		return errNoPermission.Because("accepted are one or more of view, download, edit, reshare; who wants none revokes the share")
	case body.ExpiresAt.given && !body.ExpiresAt.null && body.ExpiresAt.value.IsZero():
		return domain.ErrInvalid.On("expires_at").Because("the end lies in the past")
	case body.Password.given && !body.Password.null && body.Password.value == "":
		return domain.ErrInvalid.On("password").Because("a password has 8 to 1,024 characters; null takes it away")
	case body.MaxOpens.given && !body.MaxOpens.null:
		if _, err := fromOne(&body.MaxOpens.value, "max_opens"); err != nil {
			return err
		}
	}
	receipt, err := s.Shares.Change(r.Context(), env, id, change)
	return answer(w, receipt, err)
}

func (s *Server) revokeShare(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, domain.ParseShareID, s.Shares.Revoke)
}
