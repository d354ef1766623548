package media

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals about suggestions.
var (
	ErrNoSuggestion   = domain.Refuse(domain.NotFound, "no_suggestion", "there is no such suggestion")
	ErrSuggestionOver = domain.Refuse(domain.Conflict, "suggestion_over", "the suggestion was accepted or rejected already")
)

// Caption is what a describer says about a picture.
type Caption struct {
	Text     string
	Provider string
	Model    string
	Failed   []string // the providers that were asked before, as `name: code`
}

// ByMetadata is the provider of descriptions that were made without looking at the picture.
const ByMetadata = "metadata"

// Suggestion is the last description that the owner asked for.
type Suggestion struct {
	Number   int // 0: none was asked for
	Version  int
	Made     bool // there is a text
	Text     domain.Personal
	Over     bool // accepted or rejected
	Accepted bool
}

// RequestDescription asks for a description of a version.
type RequestDescription struct {
	By      domain.Actor
	Right   Right
	Version int // 0: the current one
}

// Decide asks, for the owner alone, and for bytes that may be delivered alone: others are shown to nobody. While a suggestion
// waits, for its text or for the owner, asking again says nothing.
func (c RequestDescription) Decide(m State) ([]Event, error) {
	if err := m.owned(c.By, c.Right); err != nil {
		return nil, err
	}
	if err := m.Editable(c.By, c.Right); err != nil {
		return nil, err
	}
	if err := m.Delivery(c.Version); err != nil {
		return nil, err
	}
	version := c.Version
	if version == 0 {
		version = m.Current
	}
	if s := m.Suggestion; s.Number > 0 && !s.Over && s.Version == version {
		return nil, nil
	}
	return []Event{DescriptionRequested{Number: m.Suggestion.Number + 1, Version: version, By: c.By.ID}}, nil
}

func (e DescriptionRequested) evolve(m State) State {
	m.Suggestion = Suggestion{Number: e.Number, Version: e.Version}
	return m
}

// SuggestDescription records the text that was asked for. Only the vault itself does.
type SuggestDescription struct {
	By      domain.Actor
	Number  int
	Caption Caption
	Policy  Policy
}

// Decide suggests, once, what was asked for last. What a program said is cut to what a description may be.
func (c SuggestDescription) Decide(m State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem) {
		return nil, ErrSystemOnly
	}
	s := m.Suggestion
	text := tame(c.Caption.Text, c.Policy.MaxDescription)
	if c.Number != s.Number || s.Made || s.Over || m.Phase == Gone || text == "" {
		return nil, nil
	}
	return []Event{DescriptionSuggested{
		Number: s.Number, Version: s.Version, Text: domain.NewPersonal(m.Owner, text), Provider: clip(c.Caption.Provider, 200),
		Model: clip(c.Caption.Model, 200), Failed: c.Caption.Failed,
	}}, nil
}

// tame takes from a program's text what a description may not hold.
func tame(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == utf8.RuneError, domain.Unprintable(r):
			return -1
		}
		return r
	}, text)
	if said := []rune(strings.TrimSpace(text)); len(said) > limit {
		text = string(said[:limit])
	}
	return strings.TrimSpace(text)
}

func (e DescriptionSuggested) evolve(m State) State {
	m.Suggestion.Made, m.Suggestion.Text = true, e.Text
	return m
}

// AcceptSuggestion makes a suggestion the description.
type AcceptSuggestion struct {
	By     domain.Actor
	Right  Right
	Number int              // 0: the last one
	Text   *domain.Personal // the owner's own words instead; nil: as it was suggested
	Policy Policy
}

// Decide accepts, and describes the item.
func (c AcceptSuggestion) Decide(m State) ([]Event, error) {
	s, err := m.suggestion(c.By, c.Right, c.Number)
	if err != nil {
		return nil, err
	}
	if err := m.Editable(c.By, c.Right); err != nil {
		return nil, err
	}
	text := s.Text
	if c.Text != nil {
		text = domain.NewPersonal(m.Owner, strings.TrimSpace(c.Text.Text()))
	}
	if s.Accepted && text.Same(m.Description) {
		return nil, nil
	}
	if s.Over {
		return nil, ErrSuggestionOver
	}
	described, err := Describe{By: c.By, Right: c.Right, Description: &text, Policy: c.Policy}.Decide(m)
	if err != nil {
		return nil, err
	}
	accepted := SuggestionAccepted{Number: s.Number, By: c.By.ID, Edited: !text.Same(s.Text)}
	return append([]Event{accepted}, described...), nil
}

// suggestion finds a suggestion that was made, for the owner.
func (s State) suggestion(by domain.Actor, right Right, number int) (Suggestion, error) {
	if err := s.owned(by, right); err != nil {
		return Suggestion{}, err
	}
	if !s.Suggestion.Made || number != 0 && number != s.Suggestion.Number {
		return Suggestion{}, ErrNoSuggestion
	}
	return s.Suggestion, nil
}

func (e SuggestionAccepted) evolve(m State) State {
	m.Suggestion.Over, m.Suggestion.Accepted = true, true
	return m
}

// RejectSuggestion ends a suggestion.
type RejectSuggestion struct {
	By     domain.Actor
	Right  Right
	Number int // 0: the last one
}

// Decide rejects.
func (c RejectSuggestion) Decide(m State) ([]Event, error) {
	s, err := m.suggestion(c.By, c.Right, c.Number)
	switch {
	case err != nil:
		return nil, err
	case s.Accepted:
		return nil, ErrSuggestionOver
	case s.Over:
		return nil, nil
	}
	return []Event{SuggestionRejected{Number: s.Number, By: c.By.ID}}, nil
}

func (e SuggestionRejected) evolve(m State) State { m.Suggestion.Over = true; return m }

// Fingerprint records what a version looks like. Only the vault itself does.
type Fingerprint struct {
	By        domain.Actor
	Version   int
	Algorithm string
	Hash      string
}

// Decide records it when it is new.
func (c Fingerprint) Decide(m State) ([]Event, error) {
	if err := m.noted(c.By, c.Version); err != nil || m.Phase == Gone {
		return nil, err
	}
	if len(c.Hash) != 16 || strings.Trim(c.Hash, "0123456789abcdef") != "" || c.Algorithm == "" {
		return nil, domain.ErrInvalid.On("hash").Because("a hash has 16 hexadecimal digits")
	}
	said := Fingerprinted{Version: c.Version, Owner: m.Owner, Algorithm: c.Algorithm, Hash: c.Hash}
	if slices.Contains(m.Fingerprints, said) {
		return nil, nil
	}
	return []Event{said}, nil
}

func (s State) noted(by domain.Actor, version int) error {
	if !by.Is(domain.RoleSystem) {
		return ErrSystemOnly
	}
	if _, ok := s.Version(version); !ok || version == 0 {
		return ErrNoVersion.On("version")
	}
	return nil
}

func (e Fingerprinted) evolve(m State) State {
	m.Fingerprints = slices.DeleteFunc(slices.Clone(m.Fingerprints), func(f Fingerprinted) bool {
		return f.Version == e.Version && f.Algorithm == e.Algorithm
	})
	m.Fingerprints = append(m.Fingerprints, e)
	return m
}

// Compare records that a version looks like another item's. Only the vault itself does.
type Compare struct {
	By   domain.Actor
	Seen Resembles
}

// Decide records it once.
func (c Compare) Decide(m State) ([]Event, error) {
	if err := m.noted(c.By, c.Seen.Version); err != nil || m.Phase == Gone {
		return nil, err
	}
	if c.Seen.Other == m.ID || slices.Contains(m.Resembling, c.Seen) {
		return nil, nil
	}
	return []Event{c.Seen}, nil
}

func (e Resembles) evolve(m State) State {
	m.Resembling = append(slices.Clip(m.Resembling), e)
	return m
}
