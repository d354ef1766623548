package media

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
)

// AddVersion says that bytes of another version are stored, compared and sniffed. It becomes the current one, and is not
// deliverable before it is screened.
type AddVersion struct {
	By       domain.Actor
	Right    Right
	File     File // as in Upload
	Expected Expected
	Policy   Policy
}

// Decide adds the version, unless its bytes are those of the current one.
func (c AddVersion) Decide(m State) ([]Event, error) {
	if err := m.Editable(c.By, c.Right); err != nil {
		return nil, err
	}
	file, err := c.Policy.accept(c.File, c.Expected, m.Owner)
	if err != nil {
		return nil, err
	}
	current := m.Versions[m.Current-1].File
	if current.SHA256 == file.SHA256 && current.Name.Same(file.Name) {
		return nil, nil
	}
	if len(m.Versions) >= c.Policy.MaxVersions {
		return nil, ErrTooManyOf
	}
	return []Event{VersionAdded{Version: len(m.Versions) + 1, File: file}}, nil
}

func (e VersionAdded) evolve(m State) State {
	m.Versions = append(slices.Clip(m.Versions), Version{File: e.File})
	m.Current = e.Version
	return m
}

// RollBack makes an earlier version the current one again.
type RollBack struct {
	By      domain.Actor
	Right   Right
	Version int // from 1
}

// Decide rolls back, except to bytes that screening blocked. Back on a clean version, a quarantine that screening laid on
// another one ends.
func (c RollBack) Decide(m State) ([]Event, error) {
	if err := m.Editable(c.By, c.Right); err != nil {
		return nil, err
	}
	v, ok := m.Version(c.Version)
	if !ok || c.Version == 0 {
		return nil, ErrNoVersion.On("version")
	}
	if c.Version == m.Current {
		return nil, nil
	}
	if v.Screened.Verdict == VerdictBlocked {
		return nil, ErrBlocked
	}
	events := []Event{RolledBack{Version: c.Version, From: m.Current}}
	if v.delivery() == nil {
		events = append(events, m.lift(Source{By: c.By.ID, Version: c.Version}, Hold.screening)...)
	}
	return events, nil
}

func (e RolledBack) evolve(m State) State { m.Current = e.Version; return m }

// Describe replaces what is said about an item. What is nil stays as it is.
type Describe struct {
	By          domain.Actor
	Right       Right
	Title       *domain.Personal
	Description *domain.Personal
	Tags        *[]domain.Personal
	// KeepMetadata says whether others get the place and names that the bytes carry; only the owner may say it.
	KeepMetadata *bool
	Policy       Policy
}

// Decide describes the item, when that says something new. An item always has a title: where it is cleared, the current file's name.
func (c Describe) Decide(m State) ([]Event, error) {
	if err := m.Editable(c.By, c.Right); err != nil {
		return nil, err
	}
	if c.KeepMetadata != nil && c.By.ID != m.Owner {
		return nil, ErrNotOwner
	}
	next := Described{Title: m.Title, Description: m.Description, Tags: m.Tags}
	if c.Title != nil {
		title, err := c.Policy.title(c.Title.Text(), m.fileName())
		if err != nil {
			return nil, err
		}
		next.Title = domain.NewPersonal(m.Owner, title)
	}
	if c.Description != nil {
		text, err := domain.CleanText("description", c.Description.Text(), c.Policy.MaxDescription, true)
		if err != nil {
			return nil, err
		}
		next.Description = domain.NewPersonal(m.Owner, text)
	}
	if c.Tags != nil {
		tags, err := c.Policy.tags(*c.Tags, m.Owner)
		if err != nil {
			return nil, err
		}
		next.Tags = tags
	}
	var events []Event
	if !next.Title.Same(m.Title) || !next.Description.Same(m.Description) || !slices.EqualFunc(next.Tags, m.Tags, domain.Personal.Same) {
		events = append(events, next)
	}
	if c.KeepMetadata != nil && *c.KeepMetadata != m.KeepMetadata {
		events = append(events, MetadataChosen{Keep: *c.KeepMetadata})
	}
	return events, nil
}

// fileName is the current version's; "" when it was forgotten.
func (m State) fileName() string {
	if m.Current < 1 || m.Current > len(m.Versions) {
		return ""
	}
	return m.Versions[m.Current-1].File.Name.Text()
}

func (e Described) evolve(m State) State {
	m.Title, m.Description, m.Tags = e.Title, e.Description, e.Tags
	return m
}
