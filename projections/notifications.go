package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/eventstore"
)

// NotificationsName is the name of the read model.
const NotificationsName = "notifications"

// NotificationRow is one person told of one event.
type NotificationRow struct {
	Person    domain.UserID  `db:"person"`
	Topic     domain.Topic   `db:"topic"`
	Media     domain.MediaID `db:"media"`
	Share     domain.ShareID `db:"share"`
	Case      domain.CaseID  `db:"case_id"`
	By        domain.UserID  `db:"by_whom"`
	Code      string         `db:"code"`
	Cause     int64          `db:"cause"`
	Policy    string         `db:"policy"`
	InApp     bool           `db:"in_app"` // wanted there
	Email     string         `db:"email"`  // outcome of the last attempt; empty: none
	Webhook   string         `db:"webhook"`
	CreatedAt time.Time      `db:"created_at"`
	ReadAt    time.Time      `db:"read_at"` // zero: not yet
}

// notificationsModel is the projection.
type notificationsModel struct{}

// NotificationsProjection makes the read model of what people were told.
func NotificationsProjection() Projection[NotificationRow] { return notificationsModel{} }

// Name implements Projection.
func (notificationsModel) Name() string { return NotificationsName }

// Types implements Projection.
func (notificationsModel) Types() []string { return typeNames(notification.Types) }

// Table implements Projection.
func (notificationsModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "person, created_at, key"},
		{On: "person, created_at", Where: "in_app and read_at is null", Scope: CurrentOnly},
	}}
}

// Keys implements Projection.
func (notificationsModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection.
func (notificationsModel) Evolve(_ string, row NotificationRow, rec eventstore.Recorded) (NotificationRow, bool) {
	switch e := rec.Event.(type) {
	case notification.Sent:
		switch e.Channel {
		case domain.ChannelInApp:
			row.Person, row.Topic, row.CreatedAt, row.InApp = e.To, e.About.Topic, rec.At, e.Outcome == notification.Delivered
			row.Media, row.Share, row.Case, row.By = e.About.Media, e.About.Share, e.About.Case, e.About.By
			row.Code, row.Cause, row.Policy = e.About.Code, e.About.Cause, e.About.Policy
		case domain.ChannelEmail:
			row.Email = string(e.Outcome)
		case domain.ChannelWebhook:
			row.Webhook = string(e.Outcome)
		}
	case notification.Read:
		row.ReadAt = rec.At
	}
	return row, row.Person != ""
}

// Notifications answers what people were told.
type Notifications struct {
	view View[NotificationRow]
}

// NewNotifications makes the queries. The engine must run NotificationsProjection.
func NewNotifications(e *Engine) (*Notifications, error) {
	view, err := ViewOf(e, NotificationsProjection())
	return &Notifications{view: view}, err
}

// Notification is one notification as its person sees it.
type Notification struct {
	ID        notification.ID     `json:"id"`
	Topic     domain.Topic        `json:"topic"`
	MediaID   domain.MediaID      `json:"media_id,omitempty"`
	ShareID   domain.ShareID      `json:"share_id,omitempty"`
	CaseID    domain.CaseID       `json:"case_id,omitempty"`
	By        domain.UserID       `json:"by,omitempty"`
	Code      string              `json:"code,omitempty"`
	Policy    string              `json:"policy,omitempty"` // reference of the rule that was applied
	Cause     int64               `json:"cause"`            // position of the event that it is about
	Email     string              `json:"email,omitempty"`
	Webhook   string              `json:"webhook,omitempty"`
	CreatedAt time.Time           `json:"created_at"`
	ReadAt    *time.Time          `json:"read_at,omitempty"`
	Position  eventstore.Position `json:"position"`
}

// Inbox is a page of notifications with how many of all are unread.
type Inbox struct {
	List[Notification]
	Unread int64
}

// List are the viewer's notifications in the app, the newest first; unread: only those that he has not read.
func (n *Notifications) List(ctx context.Context, viewer domain.Actor, unread bool, p Paging, m Moment) (Inbox, error) {
	if !viewer.Known() {
		return Inbox{}, ErrMayNotSee
	}
	at, err := n.view.Resolve(ctx, m)
	if err != nil {
		return Inbox{}, err
	}
	l := listing[NotificationRow]{view: n.view, from: "notifications s", paging: p, bound: fmt.Sprintf("notifications %s %v", viewer.ID, unread)}
	l.and(at.Where("s", &l.args))
	l.and("s.in_app and s.person = " + l.args.Add(string(viewer.ID)))
	if unread {
		l.and("s.read_at is null")
	}
	l.order = []sorted{{column: "s.created_at", sql: "timestamptz", down: true}, {column: "s.key", sql: "text", down: true}}
	l.place = func(v Version[NotificationRow]) []string { return []string{placeTime(v.Row.CreatedAt), v.Key} }
	rows, err := l.page(ctx)
	if err != nil {
		return Inbox{}, err
	}
	var found Inbox
	if found.List, err = shownAll(rows, func(v Version[NotificationRow]) (Notification, error) { return v.Row.shown(v), nil }); err != nil {
		return Inbox{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	sql := "select count(*) from notifications s where s.in_app and s.read_at is null and s.person = " + args.Add(string(viewer.ID)) + " and " + at.Where("s", &args)
	found.Unread, err = Value[int64](ctx, n.view, sql, &args)
	return found, err
}

// maxMarked is how many notifications one request marks as read at most.
const maxMarked = 500

// Unread answers ids of the person's unread notifications, oldest first, 500 at most.
func (n *Notifications) Unread(ctx context.Context, person domain.UserID) ([]notification.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	sql := "select " + n.view.Columns("n") + " from notifications n where n.in_app and n.read_at is null and n.person = " + args.Add(string(person)) +
		" and " + At{}.Where("n", &args) + " order by n.created_at limit " + args.Add(maxMarked)
	rows, err := n.view.Query(ctx, sql, &args)
	if err != nil {
		return nil, err
	}
	ids := make([]notification.ID, len(rows))
	for i, v := range rows {
		ids[i] = notification.ID(v.Key)
	}
	return ids, nil
}

func (row NotificationRow) shown(v Version[NotificationRow]) Notification {
	return Notification{
		ID: notification.ID(v.Key), Topic: row.Topic, MediaID: row.Media, ShareID: row.Share, CaseID: row.Case, By: row.By, Code: row.Code,
		Cause: row.Cause, Policy: row.Policy, Email: row.Email, Webhook: row.Webhook, CreatedAt: row.CreatedAt, ReadAt: optional(row.ReadAt), Position: v.From,
	}
}
