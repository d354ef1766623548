package projections

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
)

// WebhooksName is the name of the read model.
const WebhooksName = "webhooks"

// WebhookRow is what became of the last delivery to one webhook. Neither its address nor a secret stands in it.
type WebhookRow struct {
	Person       domain.UserID   `db:"person"`
	Notification notification.ID `db:"notification"`
	Outcome      string          `db:"outcome"` // delivered, failed
	Code         string          `db:"code"`    // why it failed
	Attempt      int             `db:"attempt"` // which it was, of that notification
	Final        bool            `db:"final"`   // it failed, and that notification is not sent again
	At           time.Time       `db:"at"`
	Failures     int             `db:"failures"`     // attempts since the last one that was taken
	DeliveredAt  time.Time       `db:"delivered_at"` // of the last one that was taken; zero: none was
}

// webhooksModel is the projection.
type webhooksModel struct{}

// WebhooksProjection makes the read model of what became of deliveries to webhooks.
func WebhooksProjection() Projection[WebhookRow] { return webhooksModel{} }

// Name implements Projection.
func (webhooksModel) Name() string { return WebhooksName }

// Types implements Projection.
func (webhooksModel) Types() []string {
	return []string{notification.Sent{}.EventType(), recipient.EndpointRemoved{}.EventType()}
}

// Table implements Projection.
func (webhooksModel) Table() Table {
	return Table{Indexes: []Index{{On: "person, key", Scope: CurrentOnly}}}
}

// Keys implements Projection. What was not sent, because it is not wanted, is no delivery.
func (webhooksModel) Keys(rec eventstore.Recorded) []string {
	switch e := rec.Event.(type) {
	case notification.Sent:
		if e.Channel == domain.ChannelWebhook && e.Endpoint != "" && e.Outcome != notification.Suppressed {
			return []string{e.Endpoint}
		}
	case recipient.EndpointRemoved:
		return []string{string(e.Endpoint)}
	}
	return nil
}

// Evolve implements Projection. The row of a webhook that was removed ends.
func (webhooksModel) Evolve(_ string, row WebhookRow, rec eventstore.Recorded) (WebhookRow, bool) {
	e, ok := rec.Event.(notification.Sent)
	if !ok {
		return row, false
	}
	row.Person, row.Notification, row.Outcome, row.Code, row.Attempt = e.To, e.Notification, string(e.Outcome), e.Code, e.Attempt
	row.Final, row.At = e.Final, rec.At
	if e.Outcome == notification.Delivered {
		row.Failures, row.DeliveredAt = 0, rec.At
	} else {
		row.Failures++
	}
	return row, true
}

// Webhooks answers what became of deliveries.
type Webhooks struct {
	view View[WebhookRow]
}

// NewWebhooks makes the queries. The engine must run WebhooksProjection.
func NewWebhooks(e *Engine) (*Webhooks, error) {
	view, err := ViewOf(e, WebhooksProjection())
	return &Webhooks{view: view}, err
}

// Delivery is the last attempt to send something to a webhook.
type Delivery struct {
	Position     eventstore.Position `json:"position"` // of the event that recorded it
	At           time.Time           `json:"at"`
	Notification notification.ID     `json:"notification_id"`
	Outcome      string              `json:"outcome"`          // delivered, failed
	Status       int                 `json:"status,omitempty"` // of the answer, when it was another than 2xx
	Code         string              `json:"code,omitempty"`   // why it failed
	Attempt      int                 `json:"attempt"`          // of this notification, from 1
	GivenUp      bool                `json:"given_up"`         // this notification is not sent again, unless it is replayed
	Failures     int                 `json:"failures"`         // attempts in a row that failed, this one counted
	DeliveredAt  *time.Time          `json:"last_delivered_at,omitempty"`
}

// Last answers the last delivery to each of the person's webhooks to which something was sent, by the webhook's id.
func (w *Webhooks) Last(ctx context.Context, person domain.UserID, m Moment) (map[string]Delivery, error) {
	at, err := w.view.Resolve(ctx, m)
	if err != nil {
		return nil, err
	}
	var args Args
	rows, err := w.view.Query(ctx, "select "+w.view.Columns("s")+" from webhooks s where s.person = "+args.Add(string(person))+" and "+at.Where("s", &args), &args)
	if err != nil {
		return nil, understood(err)
	}
	all := make(map[string]Delivery, len(rows))
	for _, v := range rows {
		d := Delivery{
			Position: v.From, At: v.Row.At, Notification: v.Row.Notification, Outcome: v.Row.Outcome, Code: v.Row.Code, Attempt: v.Row.Attempt,
			GivenUp: v.Row.Final, Failures: v.Row.Failures, DeliveredAt: optional(v.Row.DeliveredAt),
		}
		if number, ok := strings.CutPrefix(d.Code, "status_"); ok {
			d.Status, _ = strconv.Atoi(number) // what is no number says none
		}
		all[v.Key] = d
	}
	return all, nil
}
