package media

import "github.com/mediavault-io/mediavault/domain"

// Delete is the owner's soft deletion, and the vault's own where the owner is forgotten.
type Delete struct {
	By    domain.Actor
	Right Right
}

// Decide deletes a live item. What moderators hold may be deleted, too: its bytes stay until it is purged, and evidence
// cannot be purged.
func (c Delete) Decide(m State) ([]Event, error) {
	if err := m.owned(c.By, c.Right); err != nil && !c.By.Is(domain.RoleSystem) {
		return nil, err
	}
	switch m.Phase {
	case Live:
		return []Event{Deleted{By: c.By.ID}}, nil
	case Erasable:
		return nil, nil
	case Gone:
		return nil, ErrPurged
	default:
		return nil, ErrNotFound
	}
}

func (e Deleted) evolve(m State) State { m.Phase = Erasable; return m }

// Restore undoes Delete.
type Restore struct {
	By    domain.Actor
	Right Right
}

// Decide restores a deleted item, as it was.
func (c Restore) Decide(m State) ([]Event, error) {
	if err := m.owned(c.By, c.Right); err != nil {
		return nil, err
	}
	switch m.Phase {
	case Erasable:
		return []Event{Restored{By: c.By.ID}}, nil
	case Live:
		return nil, nil
	case Gone:
		return nil, ErrPurged
	default:
		return nil, ErrNotFound
	}
}

func (e Restored) evolve(m State) State { m.Phase = Live; return m }

// Purge destroys the bytes of all versions, for ever.
type Purge struct {
	By       domain.Actor
	Right    Right
	CaseOpen bool // a moderation case about the item is not closed: its evidence is frozen
}

// Decide purges a deleted item for its owner, an admin, or the vault itself (retention).
func (c Purge) Decide(m State) ([]Event, error) {
	if !c.By.Is(domain.RoleSystem, domain.RoleAdmin) {
		if err := m.owned(c.By, c.Right); err != nil {
			return nil, err
		}
	}
	switch m.Phase {
	case Erasable:
	case Live:
		return nil, ErrNotDeleted
	case Gone:
		return nil, nil
	default:
		return nil, ErrNotFound
	}
	if c.CaseOpen {
		return nil, ErrFrozen
	}
	return []Event{Purged{By: c.By.ID, Objects: m.Objects()}}, nil
}

func (e Purged) evolve(m State) State { m.Phase = Gone; return m }
