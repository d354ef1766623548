// Package notification is one person told of one event, on one or more channels, and what became of it. It chooses nobody and
// sends nothing.
//
//	(nothing) --Raise--> unread --MarkRead--> read
//	                      `--Tell--> (on another channel)
package notification

import (
	"slices"
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

// tried is what became of telling it on a channel, at an endpoint.
type tried struct {
	channel  domain.Channel
	endpoint string
	times    int
	over     bool  // the last telling is over: delivered, suppressed or given up
	replay   int64 // the latest request to tell it again that is over
	last     Sent
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
	Replay   int64 // position of the request to tell it again; 0: it is told for the first time
}

// Decide records each attempt.
func (c Tell) Decide(s State) ([]Event, error) {
	if !s.Known() {
		return nil, ErrNotFound
	}
	return []Event{Sent{
		Notification: s.ID, To: s.To, About: s.About, Channel: c.Channel, Outcome: c.Outcome, Attempt: s.times(c.Channel, c.Endpoint) + 1,
		Endpoint: c.Endpoint, Digest: c.Digest, Code: c.Code, Final: c.Final, Replay: c.Replay,
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

// Over answers how telling it on the channel, at the endpoint, ended: at a request to tell it again, or for the first time when
// replay is 0. False: it has not ended, and there is something to send.
func (s State) Over(channel domain.Channel, endpoint string, replay int64) (Sent, bool) {
	i := s.tried(channel, endpoint)
	if i < 0 || !s.attempts[i].over || s.attempts[i].replay < replay {
		return Sent{}, false
	}
	return s.attempts[i].last, true
}

// times is how often it was told on a channel, at an endpoint.
func (s State) times(channel domain.Channel, endpoint string) int {
	if i := s.tried(channel, endpoint); i >= 0 {
		return s.attempts[i].times
	}
	return 0
}

func (s State) tried(channel domain.Channel, endpoint string) int {
	return slices.IndexFunc(s.attempts, func(t tried) bool { return t.channel == channel && t.endpoint == endpoint })
}

func (e Sent) evolve(s State) State {
	s.ID, s.To, s.About = e.Notification, e.To, e.About
	s.attempts = slices.Clone(s.attempts)
	i := s.tried(e.Channel, e.Endpoint)
	if i < 0 {
		i = len(s.attempts)
		s.attempts = append(s.attempts, tried{channel: e.Channel, endpoint: e.Endpoint})
	}
	at := &s.attempts[i]
	at.times = e.Attempt
	if e.Outcome != Failed || e.Final {
		at.over, at.replay, at.last = true, max(at.replay, e.Replay), e
	}
	return s
}

func (Read) evolve(s State) State { s.Read = true; return s }
