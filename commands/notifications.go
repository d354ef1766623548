package commands

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Notifications is telling people, and what they say about being told.
type Notifications struct {
	vault *Vault
	// Inbox finds what a person has not read; a read model implements it. nil finds nothing.
	Inbox Inbox
	// Public reports whether a webhook's address may be public, as far as it says so itself; nil: any may be asked.
	Public func(url string) bool
}

// Inbox finds notifications.
type Inbox interface {
	// Unread answers ids of the person's notifications that he has not read, oldest first, as many as one request may mark.
	Unread(ctx context.Context, person domain.UserID) ([]notification.ID, error)
}

// NewNotifications makes the commands about notifications.
func NewNotifications(vault *Vault, inbox Inbox) *Notifications {
	return &Notifications{vault: vault, Inbox: inbox}
}

func notificationStream(id notification.ID) eventstore.Stream {
	return eventstore.StreamOf(notification.Category, id)
}

// recipientStream is named by what follows from the person's id: those come from outside, and have any form.
func recipientStream(person domain.UserID) eventstore.Stream {
	return eventstore.StreamOf(recipient.Category, domain.Derive("recipient", string(person)).String())
}

// Recipient answers how a person wants to be told.
func (n *Notifications) Recipient(ctx context.Context, person domain.UserID) (recipient.State, error) {
	f, err := fold(ctx, n.vault, recipientStream(person), recipient.Evolve, nil)
	return f.state, err
}

// RecipientAt is Recipient as of a position, or, where that is negative, now; with the revision at which it is so, which is -1 where
// the person had said nothing yet.
func (n *Notifications) RecipientAt(ctx context.Context, person domain.UserID, at eventstore.Position) (recipient.State, eventstore.Revision, error) {
	if at < 0 {
		f, err := fold(ctx, n.vault, recipientStream(person), recipient.Evolve, nil)
		return f.state, f.revision, err
	}
	revision := eventstore.Revision(-1)
	s, err := foldWhile(ctx, n.vault, recipientStream(person), recipient.Evolve, func(rec eventstore.Recorded) bool {
		if rec.Position > at {
			return false
		}
		revision = rec.Revision
		return true
	})
	return s, revision, err
}

// Forgotten reports whether somebody is forgotten, or to be: nothing is sent to him any more.
func (n *Notifications) Forgotten(ctx context.Context, somebody domain.UserID) (bool, error) {
	f, err := fold(ctx, n.vault, personStream(somebody), person.Evolve, nil)
	return f.state.Phase != person.Remembered, err
}

// Owner answers whose item it is; empty when there is none.
func (n *Notifications) Owner(ctx context.Context, item domain.MediaID) (domain.UserID, error) {
	s, err := n.vault.mediaState(ctx, item)
	return s.Owner, err
}

// Giver answers who gave a share, of which item, and to whom.
func (n *Notifications) Giver(ctx context.Context, id domain.ShareID) (by domain.UserID, item domain.MediaID, err error) {
	s, err := n.vault.shareState(ctx, id)
	return s.By, s.Media, err
}

// CaseAt answers a case as it stood when it had the event at the revision: what it became later tells nobody of that event.
func (n *Notifications) CaseAt(ctx context.Context, id domain.CaseID, revision eventstore.Revision) (moderation.State, error) {
	return foldWhile(ctx, n.vault, caseStream(id), moderation.Evolve, func(rec eventstore.Recorded) bool { return rec.Revision <= revision })
}

// WithheldBefore reports whether the item, or its version, was withheld from people before a position.
func (n *Notifications) WithheldBefore(ctx context.Context, item domain.MediaID, version int, before eventstore.Position) (bool, error) {
	s, err := foldWhile(ctx, n.vault, mediaStream(item), media.Evolve, func(rec eventstore.Recorded) bool { return rec.Position < before })
	return s.Withheld(version), err
}

// Raise tells somebody of an event, once; for the vault itself.
func (n *Notifications) Raise(ctx context.Context, env Envelope, to domain.UserID, about notification.About) (Receipt, error) {
	person, err := n.Recipient(ctx, to)
	if err != nil {
		return Receipt{}, err
	}
	id := notification.IDOf(to, about.Topic, about.Cause)
	got, err := decide(ctx, n.vault, env, operation{name: "notification.raise", thing: string(id)}, notificationStream(id), notification.Evolve,
		notification.Raise{ID: id, To: to, About: about, Wanted: person.Wants(domain.ChannelInApp, about.Topic)}.Decide)
	return got.Receipt, err
}

// Tell records what became of telling it on another channel; for the vault itself.
func (n *Notifications) Tell(ctx context.Context, env Envelope, id notification.ID, t notification.Tell) (Receipt, error) {
	got, err := decide(ctx, n.vault, env, operation{name: "notification.tell", thing: string(id)}, notificationStream(id), notification.Evolve, t.Decide)
	return got.Receipt, err
}

// Find answers a notification as it stands.
func (n *Notifications) Find(ctx context.Context, id notification.ID) (notification.State, error) {
	f, err := fold(ctx, n.vault, notificationStream(id), notification.Evolve, nil)
	return f.state, err
}

// MarkRead says that the actor has seen it.
func (n *Notifications) MarkRead(ctx context.Context, env Envelope, id notification.ID) (Receipt, error) {
	got, err := decide(ctx, n.vault, env, operation{name: "notification.read", thing: string(id)}, notificationStream(id), notification.Evolve,
		notification.MarkRead{By: env.Actor.ID}.Decide)
	return got.Receipt, err
}

// MarkAllRead says that the actor has seen what the inbox holds, and answers how many those were and the position of the last.
func (n *Notifications) MarkAllRead(ctx context.Context, env Envelope) (count int, last eventstore.Position, err error) {
	if n.Inbox == nil {
		return 0, 0, nil
	}
	ids, err := n.Inbox.Unread(ctx, env.Actor.ID)
	if err != nil {
		return 0, 0, err
	}
	for _, id := range ids {
		got, err := n.MarkRead(ctx, env, id)
		if err != nil {
			return count, last, err
		}
		last = max(last, got.Position)
		count++
	}
	return count, last, nil
}

// Preferences are how a person wants to be told.
type Preferences struct {
	Off     []recipient.Off
	Address string // empty: the one that the identity provider says
}

// SetPreferences says how the actor wants to be told.
func (n *Notifications) SetPreferences(ctx context.Context, env Envelope, p Preferences) (Receipt, error) {
	me := env.Actor.ID
	return n.change(ctx, env, "recipient.prefer", p, recipient.SetPreferences{Person: me, Off: p.Off, Address: domain.NewPersonal(me, p.Address)}.Decide)
}

// LearnAddress notes the e-mail address that the identity provider says a person has.
func (n *Notifications) LearnAddress(ctx context.Context, person domain.UserID, address string) error {
	_, err := n.change(ctx, Envelope{Actor: domain.Actor{ID: person}}, "recipient.learn", nil,
		recipient.LearnAddress{Person: person, Address: domain.NewPersonal(person, address)}.Decide)
	return err
}

// Webhook is an endpoint that is to be added.
type Webhook struct {
	URL    string
	Format recipient.Format // empty: standard
	Topics []domain.Topic   // empty: all
}

// ErrNotPublic is a webhook that could never be delivered to.
var ErrNotPublic = domain.Refuse(domain.Invalid, "address_not_allowed",
	"the host is this one or an address of a private network, which webhooks may not ask here (MEDIAVAULT_WEBHOOKS_PRIVATE)").On("url")

// AddWebhook adds a webhook of the actor's own, and answers its secret, this once: who asks again with the same idempotency key gets the
// receipt without it.
func (n *Notifications) AddWebhook(ctx context.Context, env Envelope, w Webhook) (id recipient.EndpointID, secret string, r Receipt, err error) {
	if n.Public != nil && !n.Public(w.URL) {
		return "", "", Receipt{}, ErrNotPublic
	}
	me := env.Actor.ID
	id = recipient.EndpointID(n.vault.newThing(env, "recipient.endpoint"))
	if w.Format == "" {
		w.Format = recipient.Standard
	}
	secret = newSecret()
	r, err = n.change(ctx, env, "recipient.add_endpoint", w, recipient.AddEndpoint{
		Person: me, Endpoint: id, URL: domain.NewPersonal(me, w.URL), Format: w.Format, Secret: domain.NewPersonal(me, secret), Topics: w.Topics,
	}.Decide)
	if err != nil || r.Repeated || r.Silent {
		secret = ""
	}
	return id, secret, r, err
}

// RotateWebhook gives a webhook a new secret, and answers it this once. The one before signs, too, for a day.
func (n *Notifications) RotateWebhook(ctx context.Context, env Envelope, id recipient.EndpointID) (secret string, r Receipt, err error) {
	me := env.Actor.ID
	secret = newSecret()
	r, err = n.change(ctx, env, "recipient.rotate", id, recipient.RotateSecret{
		Person: me, Endpoint: id, Secret: domain.NewPersonal(me, secret), At: n.vault.Now(),
	}.Decide)
	if err != nil || r.Repeated {
		secret = ""
	}
	return secret, r, err
}

// RemoveWebhook ends a webhook.
func (n *Notifications) RemoveWebhook(ctx context.Context, env Envelope, id recipient.EndpointID) (Receipt, error) {
	return n.change(ctx, env, "recipient.remove_endpoint", id, recipient.RemoveEndpoint{Person: env.Actor.ID, Endpoint: id}.Decide)
}

// ReplayWebhook has a webhook told again what its person was told after a position.
func (n *Notifications) ReplayWebhook(ctx context.Context, env Envelope, id recipient.EndpointID, after int64) (Receipt, error) {
	return n.change(ctx, env, "recipient.replay", []any{id, after}, recipient.Replay{Person: env.Actor.ID, Endpoint: id, After: after}.Decide)
}

func (n *Notifications) change(ctx context.Context, env Envelope, name string, asked any, decision func(recipient.State) ([]recipient.Event, error)) (Receipt, error) {
	got, err := decide(ctx, n.vault, env, operation{name: name, thing: string(env.Actor.ID), asked: asked}, recipientStream(env.Actor.ID), recipient.Evolve, decision)
	return got.Receipt, err
}

// newSecret is a webhook's secret as the Standard Webhooks specification writes it: whsec_ and 32 random bytes in base64.
func newSecret() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}
