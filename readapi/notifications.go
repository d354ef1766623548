package readapi

import (
	"context"
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// Recipients knows how people want to be told.
type Recipients interface {
	// Recipient answers it as of a position, or, where that is negative, as it is at this moment.
	Recipient(ctx context.Context, person domain.UserID, at int64) (Recipient, error)
}

// Recipient is how one person wants to be told.
type Recipient struct {
	Off       []Muted
	Email     string
	EmailFrom string // person, identity_provider, or "" for none
	Webhooks  []Webhook
	Revision  int64 // of what he said; -1: nothing yet
}

// Muted is a topic that a person does not want on a channel.
type Muted struct {
	Channel domain.Channel `json:"channel"`
	Topic   domain.Topic   `json:"topic"`
}

// Webhook is one of a person's webhooks, without its secret.
type Webhook struct {
	ID            string         `json:"id"`
	URL           string         `json:"url"`
	Format        string         `json:"format"`
	Topics        []domain.Topic `json:"topics"` // none: all
	RotatingUntil *time.Time     `json:"rotating_until,omitempty"`

	Last *projections.Delivery `json:"last_delivery,omitempty"` // none: nothing was sent there yet
}

type inbox struct {
	web.List[projections.Notification]
	Unread int64 `json:"unread"`
}

func (s *Server) listNotifications(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	page, unread := q.Page(pageSize, maxPageSize), q.Bool("unread", false)
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.NotificationsName); err != nil {
		return err
	}
	found, err := s.told.List(r.Context(), web.Actor(r), unread, paging(page), m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, inbox{List: web.NewList(found.Items, found.Total, page, found.Next).AtLeast(found.More), Unread: found.Unread})
}

type preferences struct {
	Off       []Muted          `json:"off"`
	Email     string           `json:"email"`
	EmailFrom string           `json:"email_from"`
	Topics    []domain.Topic   `json:"topics"` // that there are
	Channels  []domain.Channel `json:"channels"`
}

// recipient is how the viewer wants, or wanted, to be told; models are those from which the rest of the answer comes.
func (s *Server) recipient(w http.ResponseWriter, r *http.Request, models ...string) (found Recipient, m projections.Moment, err error) {
	q := web.NewQuery(r)
	m = asOf(q)
	if err := q.Done(); err != nil {
		return Recipient{}, m, err
	}
	if err := s.ready(w, r, m, models...); err != nil {
		return Recipient{}, m, err
	}
	at := int64(-1)
	if !m.IsNow() {
		then, err := s.engine.Resolve(r.Context(), m)
		if err != nil {
			return Recipient{}, m, err
		}
		at = int64(then.Position)
	}
	w.Header().Set("Cache-Control", "no-store")
	found, err = s.recipients.Recipient(r.Context(), web.Actor(r).ID, at)
	return found, m, err
}

func (s *Server) getPreferences(w http.ResponseWriter, r *http.Request) error {
	found, _, err := s.recipient(w, r)
	if err != nil {
		return err
	}
	if found.Revision >= 0 {
		w.Header().Set("ETag", web.ETag(found.Revision))
	}
	return web.JSON(w, http.StatusOK, preferences{
		Off: append([]Muted{}, found.Off...), Email: found.Email, EmailFrom: found.EmailFrom, Topics: domain.Topics(), Channels: domain.Channels(),
	})
}

func (s *Server) listWebhooks(w http.ResponseWriter, r *http.Request) error {
	found, m, err := s.recipient(w, r, projections.WebhooksName)
	if err != nil {
		return err
	}
	last, err := s.webhooks.Last(r.Context(), web.Actor(r).ID, m)
	if err != nil {
		return err
	}
	items := append([]Webhook{}, found.Webhooks...)
	for i := range items {
		if d, ok := last[items[i].ID]; ok {
			items[i].Last = &d
		}
	}
	return web.JSON(w, http.StatusOK, web.Whole(items))
}
