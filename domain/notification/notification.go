// Package notification is one person told of one event, on one or more channels, and what became of it. It chooses nobody and
// sends nothing.
//
//	(nothing) --Raise--> unread --MarkRead--> read
//	                      `--Tell--> (on another channel)
package notification

import (
	"strconv"

	"github.com/mediavault-io/mediavault/domain"
)

// ErrNotFound is a notification that is not there, or another person's.
var ErrNotFound = domain.Refuse(domain.NotFound, "not_found", "there is no such notification")

// State is what deciding about a notification must remember.
type State struct {
	ID       ID
	To       domain.UserID
	About    About
	Read     bool
	attempts []tried
}

type tried struct {
	channel  domain.Channel
	endpoint string
	times    int
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Known reports whether the notification was ever raised.
func (s State) Known() bool { return s.ID != "" }

// IDOf is the id of the notification of a person about the event at a position.
func IDOf(to domain.UserID, topic domain.Topic, cause int64) ID {
	return ID(domain.Derive("notification", string(to), string(topic), strconv.FormatInt(cause, 10)).String())
}

// Raise tells somebody in the app, or, when he does not want that, records it for the other channels.
type Raise struct {
	ID     ID
	To     domain.UserID
	About  About
	Wanted bool // in the app
}

// Decide raises it once.
func (c Raise) Decide(s State) ([]Event, error) {
	if s.Known() {
		return nil, nil
	}
	outcome := Delivered
	if !c.Wanted {
		outcome = Suppressed
	}
	return []Event{Sent{Notification: c.ID, To: c.To, About: c.About, Channel: domain.ChannelInApp, Outcome: outcome, Attempt: 1}}, nil
}

// Tell records what became of telling it on another channel.
type Tell struct {
	Channel  domain.Channel
	Endpoint string
	Outcome  Outcome
	Code     string
	Digest   string
	Final    bool
}

// Decide records each attempt.
func (c Tell) Decide(s State) ([]Event, error) {
	if !s.Known() {
		return nil, ErrNotFound
	}
	return []Event{Sent{
		Notification: s.ID, To: s.To, About: s.About, Channel: c.Channel, Outcome: c.Outcome, Attempt: s.tried(c.Channel, c.Endpoint) + 1,
		Endpoint: c.Endpoint, Digest: c.Digest, Code: c.Code, Final: c.Final,
	}}, nil
}

// MarkRead says that the person has seen it.
type MarkRead struct {
	By domain.UserID
}

// Decide marks it read, once, for the person alone.
func (c MarkRead) Decide(s State) ([]Event, error) {
	if !s.Known() || s.To != c.By {
		return nil, ErrNotFound
	}
	if s.Read {
		return nil, nil
	}
	return []Event{Read(c)}, nil
}

func (s State) tried(channel domain.Channel, endpoint string) int {
	for _, t := range s.attempts {
		if t.channel == channel && t.endpoint == endpoint {
			return t.times
		}
	}
	return 0
}

func (e Sent) evolve(s State) State {
	s.ID, s.To, s.About = e.Notification, e.To, e.About
	attempts := make([]tried, 0, len(s.attempts)+1)
	found := false
	for _, t := range s.attempts {
		if t.channel == e.Channel && t.endpoint == e.Endpoint {
			t.times, found = e.Attempt, true
		}
		attempts = append(attempts, t)
	}
	if !found {
		attempts = append(attempts, tried{e.Channel, e.Endpoint, e.Attempt})
	}
	s.attempts = attempts
	return s
}

func (Read) evolve(s State) State { s.Read = true; return s }
