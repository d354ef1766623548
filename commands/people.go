package commands

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// SubjectKeys are the keys under which texts about people are sealed; the key ring implements it.
type SubjectKeys interface {
	// Known reports whether anything was ever sealed for the person.
	Known(ctx context.Context, person domain.UserID) (bool, error)
	// Destroy forgets the person, durably. Doing it again changes nothing.
	Destroy(ctx context.Context, person domain.UserID) error
	// Life is for how long a process may go on opening the texts of somebody who was forgotten.
	Life() time.Duration
}

// PeopleIndex finds what a person has; a read model implements it.
type PeopleIndex interface {
	// ItemsOf answers ids of the person's items that are not purged or refused yet, after an id and in their order, some at a time. With
	// no id to begin after, it is as new as the head of the log.
	ItemsOf(ctx context.Context, owner domain.UserID, after domain.MediaID) ([]domain.MediaID, error)
	// SharesTo answers ids of the shares that were given to the person by name and have not ended for good, in the same way.
	SharesTo(ctx context.Context, person domain.UserID, after domain.ShareID) ([]domain.ShareID, error)
}

// ErrOutlives is a reason, in somebody's own words, why a person is to be forgotten.
var ErrOutlives = domain.Refuse(domain.Invalid, "invalid",
	"what is written about somebody who is forgotten would outlive him; say a reason in the body").On("Vault-Reason")

// People is forgetting people.
type People struct {
	vault *Vault
	media *Media
	keys  SubjectKeys
	index PeopleIndex
	// Letters are what is on its way to people; nil: nothing ever is.
	Letters Letters
}

// Letters are what is on its way to people outside; reactors.Letters is.
type Letters interface {
	// TakeBack removes what is on its way to a person who is to be forgotten, which is recorded, and returns when nothing leaves any more.
	TakeBack(ctx context.Context, person domain.UserID) error
}

// NewPeople makes the commands about people. Without media and index it only takes requests.
func NewPeople(vault *Vault, m *Media, keys SubjectKeys, index PeopleIndex) *People {
	return &People{vault: vault, media: m, keys: keys, index: index}
}

// personStream is named by what follows from the person's id: those come from outside, and have any form.
func personStream(id domain.UserID) eventstore.Stream {
	return eventstore.StreamOf(person.Category, domain.Derive("person", string(id)).String())
}

// RequestErasure has a person forgotten. It cannot be undone. His key is destroyed before the answer, when that can be, and after the answer
// no mail and no message to a webhook of his leaves; the rest a reactor does. With an error it may be recorded, too: asking again says. An envelope with a reason is refused: about somebody who is forgotten nothing is to be written anew.
func (p *People) RequestErasure(ctx context.Context, env Envelope, subject domain.UserID, ground person.Ground) (Receipt, error) {
	if env.Reason != "" {
		return Receipt{}, ErrOutlives
	}
	known, err := p.keys.Known(ctx, subject)
	if err != nil {
		return Receipt{}, err
	}
	got, err := decide(ctx, p.vault, env, operation{name: "person.erase", thing: string(subject), asked: ground}, personStream(subject), person.Evolve,
		person.RequestErasure{Subject: subject, By: env.Actor, Ground: ground, Known: known}.Decide)
	if err != nil {
		return Receipt{}, err
	}
	if got.state.Phase != person.Remembered {
		_ = p.Forget(ctx, subject) // it was recorded: the reactor does it, if it could not be done now
		if p.Letters != nil {
			if err := p.Letters.TakeBack(ctx, subject); err != nil {
				return Receipt{}, err
			}
		}
	}
	return got.Receipt, nil
}

// Forget destroys a person's keys and drops what this process remembers of streams.
func (p *People) Forget(ctx context.Context, subject domain.UserID) error {
	if err := p.keys.Destroy(ctx, subject); err != nil {
		return err
	}
	p.vault.ForgetStates()
	return nil
}

// ForgetStates drops what this process remembers of streams: opened texts of people may be in it.
func (v *Vault) ForgetStates() { v.states.drop() }

// Settles is for how long after Forget some process may still know a text of the person, where it did not hear of it: from its
// keys, and from what it folded while it had those.
func (p *People) Settles() time.Duration { return p.keys.Life() + statesFor }

// EndShares ends every share that was given to a person by name, and with each those that came through it. Doing it again does no harm.
func (p *People) EndShares(ctx context.Context, env Envelope, subject domain.UserID) error {
	env = unconditional(env)
	env.Actor = domain.System()
	for after := domain.ShareID(""); ; {
		ids, err := p.index.SharesTo(ctx, subject, after)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			_, err := decide(ctx, p.vault, env, operation{name: "share.revoke", thing: string(id)}, shareStream(id), share.Evolve,
				func(state share.State) ([]share.Event, error) {
					if state.Closed {
						return nil, nil
					}
					return share.Revoke{By: env.Actor, Code: share.GranteeForgotten}.Decide(state)
				})
			if err != nil {
				return fmt.Errorf("end share %s: %w", id, err)
			}
		}
		after = ids[len(ids)-1]
	}
}

// erasesAtOnce is how many items are erased at once.
const erasesAtOnce = 8

// EraseItems deletes and purges all items of a person, and ends his uploads. Items that are evidence in an open case are deleted,
// and not purged: it answers how many those are. Doing it again does no harm.
func (p *People) EraseItems(ctx context.Context, env Envelope, subject domain.UserID) (kept int, err error) {
	var frozen atomic.Int64
	for after := domain.MediaID(""); ; {
		ids, err := p.index.ItemsOf(ctx, subject, after)
		if err != nil || len(ids) == 0 {
			return int(frozen.Load()), err
		}
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(erasesAtOnce)
		for _, id := range ids {
			group.Go(func() error {
				kept, err := p.eraseItem(within, env, subject, id)
				if err != nil {
					return fmt.Errorf("erase item %s: %w", id, err)
				}
				if kept {
					frozen.Add(1)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return int(frozen.Load()), err
		}
		after = ids[len(ids)-1]
	}
}

// eraseItem takes the way that every item takes that is deleted and purged.
func (p *People) eraseItem(ctx context.Context, env Envelope, subject domain.UserID, id domain.MediaID) (kept bool, err error) {
	env = unconditional(env)
	env.Actor = domain.System()
	item, err := p.vault.mediaState(ctx, id)
	if err != nil || item.Owner != subject {
		return false, err
	}
	if item.Phase == media.Requested {
		if _, err = p.media.endUpload(ctx, env, id, func(media.State) bool { return true }); err != nil {
			return false, err
		}
		if item, err = p.vault.mediaState(ctx, id); err != nil { // it may have been completed meanwhile
			return false, err
		}
	}
	if item.Phase == media.Live {
		if _, err := p.media.Delete(ctx, env, id); err != nil {
			return false, err
		}
		item.Phase = media.Erasable
	}
	if item.Phase != media.Erasable {
		return false, nil
	}
	_, err = p.media.Purge(ctx, env, id)
	if errors.Is(err, media.ErrFrozen) {
		return true, nil
	}
	return false, err
}

// CaseClosed purges what was kept of somebody who is forgotten because it was evidence in the case.
func (p *People) CaseClosed(ctx context.Context, env Envelope, id domain.CaseID) error {
	item, err := p.media.OfCase(ctx, id)
	if err != nil || item == "" {
		return err
	}
	state, err := p.vault.mediaState(ctx, item)
	if err != nil || state.Phase != media.Erasable {
		return err
	}
	owner, err := p.State(ctx, state.Owner)
	if err != nil || owner.Phase == person.Remembered {
		return err
	}
	_, err = p.eraseItem(ctx, env, state.Owner, item)
	return err
}

// State answers how far forgetting a person is.
func (p *People) State(ctx context.Context, subject domain.UserID) (person.State, error) {
	f, err := fold(ctx, p.vault, personStream(subject), person.Evolve, nil)
	return f.state, err
}

// FinishErasure records that a person is forgotten; for the vault itself, no sooner than Settles after Forget.
func (p *People) FinishErasure(ctx context.Context, env Envelope, subject domain.UserID, kept int) (Receipt, error) {
	env.Actor = domain.System()
	got, err := decide(ctx, p.vault, env, operation{name: "person.erased", thing: string(subject)}, personStream(subject), person.Evolve,
		person.FinishErasure{Kept: kept}.Decide)
	return got.Receipt, err
}
