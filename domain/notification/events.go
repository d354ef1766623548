package notification

import "github.com/mediavault-io/mediavault/domain"

// Category is the first part of the streams of this aggregate: `notification-<id>`.
const Category = "notification"

// Event is a fact about one notification. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Sent](),
	domain.TypeOf[Read](),
}

// ID names one notification: one person told of one event. It follows from both, so that nobody is told twice.
type ID string

// Outcome is what became of telling somebody.
type Outcome string

// The outcomes.
const (
	Delivered  Outcome = "delivered"  // the channel took it; of e-mail: the person's mail server, or the one before it
	Failed     Outcome = "failed"     // this attempt failed; see final
	Suppressed Outcome = "suppressed" // the person does not want it on this channel
)

// About is what a notification is about; what does not apply is empty.
type About struct {
	Topic domain.Topic   `json:"topic"`
	Media domain.MediaID `json:"media,omitempty"`
	Share domain.ShareID `json:"share,omitempty"`
	Case  domain.CaseID  `json:"case,omitempty"`
	By    domain.UserID  `json:"by,omitempty"`   // who did what it is about, where the person may know
	Code  string         `json:"code,omitempty"` // of what happened: a decision's action, an appeal's outcome, a refusal's reason
	Cause int64          `json:"cause"`          // position of the event that it is about
	// Policy is the reference of the rule that was applied; empty: none was named, or not known then.
	Policy string `json:"policy,omitempty"`
}

// Sent is one attempt to tell somebody on one channel, and what became of it. The first is the birth of the notification, on the
// channel in_app.
type Sent struct {
	Notification ID             `json:"notification"`
	To           domain.UserID  `json:"to"`
	About        About          `json:"about"`
	Channel      domain.Channel `json:"channel"`
	Outcome      Outcome        `json:"outcome"`
	Attempt      int            `json:"attempt"`            // on this channel and endpoint, from 1
	Endpoint     string         `json:"endpoint,omitempty"` // the webhook's
	Digest       string         `json:"digest,omitempty"`   // id of the e-mail that told it, with others
	Code         string         `json:"code,omitempty"`     // why it failed
	Final        bool           `json:"final,omitempty"`    // it failed, and is not tried again
	Replay       int64          `json:"replay,omitempty"`   // position of the request to tell it again; 0: the first telling
}

// Read says that the person has seen it.
type Read struct {
	By domain.UserID `json:"by"`
}

// EventType implements domain.Event.
func (Sent) EventType() string { return "notification.sent" }

// EventType implements domain.Event.
func (Read) EventType() string { return "notification.read" }
