package reactors

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Poster sends a message to a webhook once. id names the message, the same however often it is sent.
type Poster interface {
	Post(ctx context.Context, url, id string, body []byte, secrets []string) error
}

// Webhooks sends people's notifications to their webhooks: each webhook in the order of the log, again for hours while it does not
// take one, and again from any position when its owner asks. What became of each attempt is recorded.
type Webhooks struct {
	notifications *commands.Notifications
	store         *eventstore.Store
	poster        Poster
	outbox        outbox
	now           func() time.Time
}

// NewWebhooks makes the reactor.
func NewWebhooks(pool *pgxpool.Pool, store *eventstore.Store, n *commands.Notifications, poster Poster, now func() time.Time) *Webhooks {
	w := &Webhooks{notifications: n, store: store, poster: poster, now: now}
	w.outbox = newOutbox(pool, w.Name())
	return w
}

// webhookWaits are the times between attempts: more than a day together.
func webhookWaits() []time.Duration {
	return []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}
}

// Name implements Reactor.
func (*Webhooks) Name() string { return "webhooks" }

// Types implements Reactor.
func (*Webhooks) Types() []string {
	return []string{notification.Sent{}.EventType(), recipient.EndpointRemoved{}.EventType(), recipient.ReplayRequested{}.EventType()}
}

// Tuning implements Tuned: a replay reads the log, and a receiver may take its time.
func (*Webhooks) Tuning() Tuning { return Tuning{Timeout: 5 * time.Minute} }

// Key implements Keyed: what one person is told comes to his webhooks in the order of the log.
func (*Webhooks) Key(rec eventstore.Recorded) string {
	switch e := rec.Event.(type) {
	case notification.Sent:
		return "person " + string(e.To)
	case recipient.EndpointRemoved:
		return "person " + string(e.Person)
	case recipient.ReplayRequested:
		return "person " + string(e.Person)
	default:
		return ""
	}
}

// React implements Reactor.
func (w *Webhooks) React(ctx context.Context, rec eventstore.Recorded) error {
	switch e := rec.Event.(type) {
	case notification.Sent:
		if e.Channel != domain.ChannelInApp {
			return nil
		}
		return w.queue(ctx, rec, e)
	case recipient.EndpointRemoved:
		return w.outbox.close(ctx, string(e.Endpoint))
	case recipient.ReplayRequested:
		return w.replay(ctx, rec, e)
	default:
		return nil
	}
}

func (w *Webhooks) queue(ctx context.Context, rec eventstore.Recorded, e notification.Sent) error {
	person, err := w.notifications.Recipient(ctx, e.To)
	if err != nil || len(person.Endpoints) == 0 {
		return err
	}
	if !person.Wants(domain.ChannelWebhook, e.About.Topic) {
		_, err := w.notifications.Tell(ctx, because(w, rec), e.Notification, notification.Tell{Channel: domain.ChannelWebhook, Outcome: notification.Suppressed})
		return err
	}
	state, err := w.notifications.Find(ctx, e.Notification)
	if err != nil {
		return err
	}
	for _, endpoint := range person.Endpoints {
		_, over := state.Over(domain.ChannelWebhook, string(endpoint.ID), 0)
		if over || !endpoint.Takes(e.About.Topic) {
			continue // over: the reactor was here before, and its checkpoint was lost
		}
		if err := w.outbox.put(ctx, letterOf(rec, e, string(endpoint.ID)), w.now()); err != nil {
			return err
		}
	}
	return nil
}

func letterOf(rec eventstore.Recorded, e notification.Sent, lane string) letter {
	return letter{lane: lane, position: rec.Position, person: e.To, notification: e.Notification, raised: rec.At}
}

// replay queues again what the webhook's person was told between a position and the request.
func (w *Webhooks) replay(ctx context.Context, asked eventstore.Recorded, e recipient.ReplayRequested) error {
	person, err := w.notifications.Recipient(ctx, e.Person)
	if err != nil {
		return err
	}
	endpoint, there := person.Endpoint(e.Endpoint)
	if !there {
		return nil
	}
	var letters []letter
	types := eventstore.Filter{Types: []string{notification.Sent{}.EventType()}}
	for rec, err := range w.store.ReadAll(ctx, eventstore.Read{After: eventstore.Position(e.After), Before: asked.Position, Filter: types}) {
		if err != nil {
			return err
		}
		sent, ok := rec.Event.(notification.Sent)
		if !ok || sent.To != e.Person || sent.Channel != domain.ChannelInApp || !person.Wants(domain.ChannelWebhook, sent.About.Topic) || !endpoint.Takes(sent.About.Topic) {
			continue
		}
		state, err := w.notifications.Find(ctx, sent.Notification)
		if err != nil {
			return err
		}
		if _, over := state.Over(domain.ChannelWebhook, string(e.Endpoint), int64(asked.Position)); over {
			continue
		}
		l := letterOf(rec, sent, string(e.Endpoint))
		l.replay = int64(asked.Position)
		letters = append(letters, l)
	}
	return w.outbox.putAgain(ctx, letters, w.now())
}

// How much, and for how long, is sent to one webhook before the others get their turn.
const (
	webhookTurn    = 20
	webhookTurnFor = 30 * time.Second
	webhookAtMost  = 20 * time.Second // of one letter: a little more than one attempt of adapters/notify
)

func webhooksAbreast() abreast { return abreast{well: 64, ill: 64} }

// Due implements Clocked.
func (w *Webhooks) Due(ctx context.Context, _ time.Time) error {
	return w.outbox.each(ctx, w.now, webhooksAbreast(), w.turn)
}

// turn sends a lane's letters in order, until one is not taken.
func (w *Webhooks) turn(ctx context.Context, lane string) error {
	began := time.Now()
	letters, err := w.outbox.of(ctx, lane, webhookTurn)
	if err != nil {
		return err
	}
	for _, l := range letters {
		taken, err := w.send(ctx, l)
		if err != nil || !taken || time.Since(began) > webhookTurnFor {
			return err
		}
	}
	return nil
}

// send sends a letter, unless that was done, or is not wanted any more; taken: the next one may go.
func (w *Webhooks) send(ctx context.Context, l letter) (taken bool, err error) {
	person, err := w.notifications.Recipient(ctx, l.person)
	if err != nil {
		return false, err
	}
	endpoint, there := person.Endpoint(recipient.EndpointID(l.lane))
	if !there {
		return false, w.outbox.close(ctx, l.lane)
	}
	state, err := w.notifications.Find(ctx, l.notification)
	if err != nil {
		return false, err
	}
	url, readable := endpoint.URL.Reveal()
	if !readable || !state.Known() {
		return false, w.outbox.close(ctx, l.lane) // the person was forgotten
	}
	if _, over := state.Over(domain.ChannelWebhook, l.lane, l.replay); over {
		return true, w.outbox.gone(ctx, l) // the process was killed before it could forget it
	}
	told := notification.Tell{Channel: domain.ChannelWebhook, Endpoint: l.lane, Replay: l.replay, Outcome: notification.Suppressed}
	if person.Wants(domain.ChannelWebhook, state.About.Topic) {
		body, err := webhookBody(endpoint.Format, state, l)
		if err != nil {
			return false, err
		}
		failed, err := w.outbox.leave(ctx, l, w.notifications, webhookAtMost, func(ctx context.Context) error {
			return w.poster.Post(ctx, url, string(l.notification), body, endpoint.Secrets(w.now()))
		})
		if errors.Is(err, errTakenBack) {
			return true, w.outbox.gone(ctx, l)
		}
		if err != nil {
			return false, err
		}
		told.Outcome, told.Code, told.Final = verdict(failed, l.attempts, webhookWaits())
	}
	ctx, cancel := recording(ctx)
	defer cancel()
	if _, err := w.notifications.Tell(ctx, commands.Envelope{Actor: domain.System()}, l.notification, told); err != nil {
		return false, err
	}
	if told.Outcome == notification.Failed && !told.Final {
		return false, w.outbox.failed(ctx, l, after(w.now(), l.attempts, webhookWaits()))
	}
	return true, w.outbox.gone(ctx, l)
}

// slackText is a text as Slack takes it: what would be a command there (<!channel>, a link under another name) is text again.
// https://docs.slack.dev/messaging/formatting-message-text
func slackText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// webhookBody is the message in the endpoint's format; without personal text.
func webhookBody(format recipient.Format, s notification.State, l letter) ([]byte, error) {
	if format == recipient.Slack {
		return json.Marshal(map[string]string{"text": slackText(sentence(s.About))})
	}
	return json.Marshal(struct {
		Type      domain.Topic `json:"type"`
		Timestamp time.Time    `json:"timestamp"`
		Data      any          `json:"data"`
	}{s.About.Topic, l.raised.UTC(), struct {
		Notification notification.ID `json:"notification"`
		Position     int64           `json:"position"` // of the notification: replay from here to get what came after
		To           domain.UserID   `json:"to"`
		Text         string          `json:"text"`
		notification.About
	}{l.notification, int64(l.position), l.person, sentence(s.About), s.About}})
}
