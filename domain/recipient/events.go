package recipient

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `recipient-<id>`, where the id follows from the person's.
const Category = "recipient"

// Event is a fact about how one person wants to be told. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[PreferencesChanged](),
	domain.TypeOf[AddressLearned](),
	domain.TypeOf[EndpointAdded](),
	domain.TypeOf[EndpointRotated](),
	domain.TypeOf[EndpointRemoved](),
	domain.TypeOf[ReplayRequested](),
}

// Off is a topic that a person does not want on a channel.
type Off struct {
	Channel domain.Channel `json:"channel"`
	Topic   domain.Topic   `json:"topic"`
}

// Format is what a webhook gets.
type Format string

// The formats.
const (
	Standard Format = "standard" // the Standard Webhooks specification: type, timestamp, data
	Slack    Format = "slack"    // {"text": ...}, as Slack's incoming webhooks take it
)

// EndpointID names one webhook.
type EndpointID string

// PreferencesChanged replaces how a person wants to be told; it carries all of it.
type PreferencesChanged struct {
	Person  domain.UserID   `json:"person"`
	Off     []Off           `json:"off,omitempty"`  // sorted; what is not in it is wanted
	Address domain.Personal `json:"email,omitzero"` // as the person gave it; none: the one that the identity provider says
}

// AddressLearned is the e-mail address that the identity provider says the person has.
type AddressLearned struct {
	Person  domain.UserID   `json:"person"`
	Address domain.Personal `json:"email,omitzero"`
}

// EndpointAdded is a webhook of a person's own: he is told there of what he wants to be told on the channel webhook.
type EndpointAdded struct {
	Person   domain.UserID   `json:"person"`
	Endpoint EndpointID      `json:"endpoint"`
	URL      domain.Personal `json:"url,omitzero"`
	Format   Format          `json:"format"`
	Secret   domain.Personal `json:"secret,omitzero"`  // whsec_ and base64: signs what is sent
	Topics   []domain.Topic  `json:"topics,omitempty"` // empty: all
}

// EndpointRotated gives a webhook a new secret. The one before signs, too, until its time is over.
type EndpointRotated struct {
	Person   domain.UserID   `json:"person"`
	Endpoint EndpointID      `json:"endpoint"`
	Secret   domain.Personal `json:"secret,omitzero"`
	Until    time.Time       `json:"until"` // of the secret before
}

// EndpointRemoved ends a webhook.
type EndpointRemoved struct {
	Person   domain.UserID `json:"person"`
	Endpoint EndpointID    `json:"endpoint"`
}

// ReplayRequested has everything sent to a webhook again that its person was told after a position.
type ReplayRequested struct {
	Person   domain.UserID `json:"person"`
	Endpoint EndpointID    `json:"endpoint"`
	After    int64         `json:"after"`
}

// EventType implements domain.Event.
func (PreferencesChanged) EventType() string { return "recipient.preferences_changed" }

// EventType implements domain.Event.
func (AddressLearned) EventType() string { return "recipient.address_learned" }

// EventType implements domain.Event.
func (EndpointAdded) EventType() string { return "recipient.endpoint_added" }

// EventType implements domain.Event.
func (EndpointRotated) EventType() string { return "recipient.endpoint_rotated" }

// EventType implements domain.Event.
func (EndpointRemoved) EventType() string { return "recipient.endpoint_removed" }

// EventType implements domain.Event.
func (ReplayRequested) EventType() string { return "recipient.replay_requested" }
