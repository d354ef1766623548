// Package recipient is how one person wants to be told: on which channels of which topics, at which e-mail address, at which
// webhooks. Only the person himself says so. It sends nothing.
//
//	(nothing) --SetPreferences, LearnAddress--> as he wants it, replaced each time
//	a webhook: (nothing) --AddEndpoint--> there --RemoveEndpoint--> removed, for ever
//	                                      `--' RotateSecret, Replay
package recipient

import (
	"cmp"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrNoEndpoint = domain.Refuse(domain.NotFound, "not_found", "there is no such webhook")
	ErrTooMany    = domain.Refuse(domain.Conflict, "too_many_webhooks", "a person has at most 10 webhooks")
)

// MaxEndpoints is how many webhooks a person may have.
const MaxEndpoints = 10

// Overlap is how long a secret that was replaced still signs, beside the new one.
const Overlap = 24 * time.Hour

// State is how a person wants to be told.
type State struct {
	Person    domain.UserID
	Off       []Off
	Given     domain.Personal // the address that the person gave
	Learned   domain.Personal // the address that the identity provider says
	Endpoints []Endpoint
	removed   []EndpointID
}

// Endpoint is one webhook.
type Endpoint struct {
	ID     EndpointID
	URL    domain.Personal
	Format Format
	Secret domain.Personal
	Before domain.Personal // the secret before
	Until  time.Time       // how long that one still signs
	Topics []domain.Topic  // empty: all
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Wants reports whether the person wants to be told of the topic on the channel.
func (s State) Wants(channel domain.Channel, topic domain.Topic) bool {
	return !slices.Contains(s.Off, Off{Channel: channel, Topic: topic})
}

// Address is where the person's e-mail goes: as given, or else as learned.
func (s State) Address() domain.Personal {
	if s.Given.Text() != "" {
		return s.Given
	}
	return s.Learned
}

// Endpoint finds a webhook.
func (s State) Endpoint(id EndpointID) (Endpoint, bool) {
	i := slices.IndexFunc(s.Endpoints, func(e Endpoint) bool { return e.ID == id })
	if i < 0 {
		return Endpoint{}, false
	}
	return s.Endpoints[i], true
}

// Takes reports whether the webhook is told of the topic.
func (e Endpoint) Takes(topic domain.Topic) bool {
	return len(e.Topics) == 0 || slices.Contains(e.Topics, topic)
}

// Secrets are those that sign at a moment, the newest first.
func (e Endpoint) Secrets(at time.Time) []string {
	all := []string{e.Secret.Text()}
	if before := e.Before.Text(); before != "" && at.Before(e.Until) {
		all = append(all, before)
	}
	return all
}

// SetPreferences says how a person wants to be told.
type SetPreferences struct {
	Person  domain.UserID
	Off     []Off
	Address domain.Personal
}

// Decide replaces the preferences.
func (c SetPreferences) Decide(s State) ([]Event, error) {
	off := slices.Clone(c.Off)
	for _, o := range off {
		if !o.Channel.Known() {
			return nil, domain.NotOneOf("off.channel", domain.Channels())
		}
		if !o.Topic.Known() {
			return nil, domain.NotOneOf("off.topic", domain.Topics())
		}
	}
	slices.SortFunc(off, func(a, b Off) int { return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Topic, b.Topic)) })
	off = slices.Compact(off)
	if err := checkAddress(c.Address.Text()); err != nil {
		return nil, err
	}
	if slices.Equal(off, s.Off) && c.Address.Text() == s.Given.Text() {
		return nil, nil
	}
	return []Event{PreferencesChanged{Person: c.Person, Off: off, Address: c.Address}}, nil
}

func checkAddress(address string) error {
	if address == "" {
		return nil
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Name != "" || parsed.Address != address || len(address) > 254 {
		return domain.ErrInvalid.On("email").Because("accepted is one address such as alice@example.org")
	}
	return nil
}

// LearnAddress notes what the identity provider says.
type LearnAddress struct {
	Person  domain.UserID
	Address domain.Personal
}

// Decide notes an address that is new; what is none is passed over.
func (c LearnAddress) Decide(s State) ([]Event, error) {
	text := c.Address.Text()
	if text == "" || checkAddress(text) != nil || text == s.Learned.Text() {
		return nil, nil
	}
	return []Event{AddressLearned(c)}, nil
}

// AddEndpoint adds a webhook.
type AddEndpoint struct {
	Person   domain.UserID
	Endpoint EndpointID
	URL      domain.Personal
	Format   Format
	Secret   domain.Personal
	Topics   []domain.Topic
}

// port reports whether the address has a port that there is, or none.
func port(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

// Decide adds it. Whether its host may be asked is found out when it is.
func (c AddEndpoint) Decide(s State) ([]Event, error) {
	if _, there := s.Endpoint(c.Endpoint); there {
		return nil, nil
	}
	u, err := url.Parse(c.URL.Text())
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || !port(u) || u.User != nil || u.Fragment != "" || len(c.URL.Text()) > 2000 {
		return nil, domain.ErrInvalid.On("url").Because("accepted is an http or https address without a user and a fragment, of at most 2,000 bytes")
	}
	if c.Format != Standard && c.Format != Slack {
		return nil, domain.ErrInvalid.On("format").Because("accepted are standard and slack")
	}
	topics := slices.Clone(c.Topics)
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if slices.ContainsFunc(topics, func(t domain.Topic) bool { return !t.Known() }) {
		return nil, domain.NotOneOf("topics", domain.Topics())
	}
	if len(s.Endpoints) >= MaxEndpoints {
		return nil, ErrTooMany
	}
	c.Topics = topics
	return []Event{EndpointAdded(c)}, nil
}

// RotateSecret gives a webhook a new secret.
type RotateSecret struct {
	Person   domain.UserID
	Endpoint EndpointID
	Secret   domain.Personal
	At       time.Time
}

// Decide replaces the secret; the one before goes on signing for Overlap.
func (c RotateSecret) Decide(s State) ([]Event, error) {
	at, there := s.Endpoint(c.Endpoint)
	if !there {
		return nil, ErrNoEndpoint
	}
	if at.Secret.Text() == c.Secret.Text() {
		return nil, nil
	}
	return []Event{EndpointRotated{Person: c.Person, Endpoint: c.Endpoint, Secret: c.Secret, Until: c.At.Add(Overlap).UTC()}}, nil
}

// RemoveEndpoint ends a webhook.
type RemoveEndpoint struct {
	Person   domain.UserID
	Endpoint EndpointID
}

// Decide removes it.
func (c RemoveEndpoint) Decide(s State) ([]Event, error) {
	if slices.Contains(s.removed, c.Endpoint) {
		return nil, nil
	}
	if _, there := s.Endpoint(c.Endpoint); !there {
		return nil, ErrNoEndpoint
	}
	return []Event{EndpointRemoved(c)}, nil
}

// Replay has a webhook told again.
type Replay struct {
	Person   domain.UserID
	Endpoint EndpointID
	After    int64
}

// Decide asks for it.
func (c Replay) Decide(s State) ([]Event, error) {
	if _, there := s.Endpoint(c.Endpoint); !there {
		return nil, ErrNoEndpoint
	}
	if c.After < 0 {
		return nil, domain.ErrInvalid.On("after").Because("accepted is a position from 0")
	}
	return []Event{ReplayRequested(c)}, nil
}

func (e PreferencesChanged) evolve(s State) State {
	s.Person, s.Off, s.Given = e.Person, e.Off, e.Address
	return s
}

func (e AddressLearned) evolve(s State) State {
	s.Person, s.Learned = e.Person, e.Address
	return s
}

func (e EndpointAdded) evolve(s State) State {
	s.Person = e.Person
	s.Endpoints = append(slices.Clone(s.Endpoints), Endpoint{ID: e.Endpoint, URL: e.URL, Format: e.Format, Secret: e.Secret, Topics: e.Topics})
	return s
}

func (e EndpointRotated) evolve(s State) State {
	s.Endpoints = slices.Clone(s.Endpoints)
	for i := range s.Endpoints {
		if at := &s.Endpoints[i]; at.ID == e.Endpoint {
			at.Before, at.Until, at.Secret = at.Secret, e.Until, e.Secret
		}
	}
	return s
}

func (e EndpointRemoved) evolve(s State) State {
	s.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), func(at Endpoint) bool { return at.ID == e.Endpoint })
	s.removed = append(slices.Clone(s.removed), e.Endpoint)
	return s
}

func (ReplayRequested) evolve(s State) State { return s }
