package writeapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/internal/web"
)

func notificationID(s string) (notification.ID, error) {
	return domain.ParseID[notification.ID](s, "id")
}

func webhookID(s string) (recipient.EndpointID, error) {
	return domain.ParseID[recipient.EndpointID](s, "id")
}

func (s *Server) readNotification(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, notificationID, s.Notifications.MarkRead)
}

type marked struct {
	Count    int   `json:"count"`
	Position int64 `json:"position"` // of the last; 0: nothing was unread
}

func (s *Server) readAllNotifications(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	if _, err := web.Perhaps[struct{}](r, maxJSON); err != nil {
		return err
	}
	env.IdempotencyKey = "" // marking again marks nothing
	n, last, err := s.Notifications.MarkAllRead(r.Context(), env)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, marked{Count: n, Position: int64(last)})
}

func (s *Server) setPreferences(w http.ResponseWriter, r *http.Request) error {
	if err := web.NewQuery(r).Done(); err != nil {
		return err
	}
	env, err := envelope(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		Email *string `json:"email"`
		Off   []struct {
			Channel domain.Channel `json:"channel"`
			Topic   domain.Topic   `json:"topic"`
		} `json:"off"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	var p commands.Preferences
	for _, o := range body.Off {
		p.Off = append(p.Off, recipient.Off{Channel: o.Channel, Topic: o.Topic})
	}
	if body.Email != nil {
		p.Address = *body.Email
	}
	receipt, err := s.Notifications.SetPreferences(r.Context(), env, p)
	return answer(w, receipt, err)
}

// webhook is the answer where a secret is made; it is answered this once.
type webhook struct {
	web.Written
	Secret string `json:"secret,omitempty"`
}

// hooked is about the webhook, not about its owner, whose stream tells of it: the id is the one under which it is ended.
func hooked(receipt commands.Receipt, id recipient.EndpointID, secret string) webhook {
	about := written(receipt)
	about.ID = string(id)
	return webhook{Written: about, Secret: secret}
}

func (s *Server) addWebhook(w http.ResponseWriter, r *http.Request) error {
	env, err := anew(r)
	if err != nil {
		return err
	}
	body, err := web.Decode[struct {
		URL    string           `json:"url"`
		Format recipient.Format `json:"format"`
		Topics []domain.Topic   `json:"topics"`
	}](r, maxJSON)
	if err != nil {
		return err
	}
	id, secret, receipt, err := s.Notifications.AddWebhook(r.Context(), env, commands.Webhook{URL: body.URL, Format: body.Format, Topics: body.Topics})
	if err != nil {
		return err
	}
	return wrote(w, http.StatusCreated, "/v1/webhooks", receipt, hooked(receipt, id, secret))
}

func (s *Server) rotateWebhook(w http.ResponseWriter, r *http.Request) error {
	env, id, _, err := perhaps[struct{}](r, webhookID)
	if err != nil {
		return err
	}
	secret, receipt, err := s.Notifications.RotateWebhook(r.Context(), env, id)
	if err != nil {
		return err
	}
	return wrote(w, http.StatusOK, "", receipt, hooked(receipt, id, secret))
}

func (s *Server) removeWebhook(w http.ResponseWriter, r *http.Request) error {
	return simply(w, r, webhookID, s.Notifications.RemoveWebhook)
}

func (s *Server) replayWebhook(w http.ResponseWriter, r *http.Request) error {
	env, id, body, err := said[struct {
		After *int64 `json:"after"`
	}](r, webhookID)
	if err != nil {
		return err
	}
	if body.After == nil {
		return domain.ErrInvalid.On("after").Because("accepted is a position from 0")
	}
	receipt, err := s.Notifications.ReplayWebhook(r.Context(), env, id, *body.After)
	return answer(w, receipt, err)
}
