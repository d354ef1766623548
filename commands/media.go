package commands

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

// Media is what people ask for about items, and what reactors find out about them.
type Media struct {
	vault *Vault
	blobs *blobs.S3
}

// NewMedia makes the commands about items, which keep bytes in the blob store. It raises the limit of how many first bytes
// mimetype looks at, which is the whole process's.
func NewMedia(vault *Vault, store *blobs.S3) *Media {
	raiseSniffLimit()
	return &Media{vault: vault, blobs: store}
}

// Description is what may be said about an item; nil leaves it as it is, a pointer to nothing clears it.
type Description struct {
	Title       *string   // cleared, it is the current file's name
	Description *string   // at most Policy.MaxDescription characters
	Tags        *[]string // at most Policy.MaxTags
	// KeepMetadata says whether others get the place and names that the bytes carry; only the owner may say it.
	KeepMetadata *bool
	// Share is the one that lets the actor edit, when he is not the owner; empty: found by the index.
	Share domain.ShareID
}

// Describe changes what is said about an item.
func (m *Media) Describe(ctx context.Context, env Envelope, id domain.MediaID, d Description) (Receipt, error) {
	cmd := media.Describe{By: env.Actor, KeepMetadata: d.KeepMetadata, Policy: m.vault.Policy}
	personal := func(text string) domain.Personal { return domain.NewPersonal(env.Actor.ID, text) }
	if d.Title != nil {
		p := personal(*d.Title)
		cmd.Title = &p
	}
	if d.Description != nil {
		p := personal(*d.Description)
		cmd.Description = &p
	}
	if d.Tags != nil {
		p := tagsOf(env.Actor.ID, *d.Tags)
		cmd.Tags = &p
	}
	return m.change(ctx, env, "describe", id, d, d.Share, func(s media.State, r media.Right) ([]media.Event, error) {
		cmd.Right = r
		return cmd.Decide(s)
	})
}

// RollBack makes an earlier version, from 1, the current one.
func (m *Media) RollBack(ctx context.Context, env Envelope, id domain.MediaID, version int) (Receipt, error) {
	return m.change(ctx, env, "roll_back", id, version, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.RollBack{By: env.Actor, Right: r, Version: version}.Decide(s)
	})
}

// Delete deletes an item softly.
func (m *Media) Delete(ctx context.Context, env Envelope, id domain.MediaID) (Receipt, error) {
	return m.change(ctx, env, "delete", id, nil, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.Delete{By: env.Actor, Right: r}.Decide(s)
	})
}

// Restore undoes Delete.
func (m *Media) Restore(ctx context.Context, env Envelope, id domain.MediaID) (Receipt, error) {
	return m.change(ctx, env, "restore", id, nil, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.Restore{By: env.Actor, Right: r}.Decide(s)
	})
}

// Purge says that a deleted item's bytes are to be destroyed; a reactor destroys them (DestroyObjects).
func (m *Media) Purge(ctx context.Context, env Envelope, id domain.MediaID) (Receipt, error) {
	latest, _, err := m.vault.caseOf(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	return m.change(ctx, env, "purge", id, nil, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.Purge{By: env.Actor, Right: r, CaseOpen: latest.Open()}.Decide(s)
	})
}

// change is about, for those who need no more than the receipt. The right comes through the share that is given, or any.
func (m *Media) change(ctx context.Context, env Envelope, name string, id domain.MediaID, asked any, through domain.ShareID,
	decision func(media.State, media.Right) ([]media.Event, error),
) (Receipt, error) {
	got, err := m.about(ctx, env, name, id, asked, through, decision)
	return got.Receipt, err
}

// about decides about an item that is there, with the actor's right to it, and answers all that came of it.
func (m *Media) about(ctx context.Context, env Envelope, name string, id domain.MediaID, asked any, through domain.ShareID,
	decision func(media.State, media.Right) ([]media.Event, error),
) (decided, error) {
	return decide(ctx, m.vault, env, operation{name: "media." + name, thing: string(id), asked: asked}, mediaStream(id), media.Evolve,
		func(s media.State) ([]media.Event, error) {
			right, err := m.vault.right(ctx, env.Actor, s, through)
			if err != nil {
				return nil, err
			}
			return decision(s, right)
		})
}

// Screening is how screening of one version ended.
type Screening struct {
	Version int // from 1
	Verdict media.Verdict
	Score   int // 0 (worst) to 100
	Stages  []media.Stage
	// MinScore is the threshold that was used; 0: none.
	MinScore int
	// Inspected and Derived are recorded with the result; nil: nothing.
	Inspected *media.Inspected
	Derived   *media.Derived
}

// RecordScreening records a result, for the reactor that screens; the envelope's actor is domain.System().
func (m *Media) RecordScreening(ctx context.Context, env Envelope, id domain.MediaID, s Screening) (Receipt, error) {
	// What was asked is which version: a second look takes another time, and must not look like another question.
	got, err := decide(ctx, m.vault, env, operation{name: "media.screen", thing: string(id), asked: s.Version}, mediaStream(id), media.Evolve,
		media.Screen{
			By: env.Actor, Version: s.Version, Verdict: s.Verdict, Score: s.Score, Stages: s.Stages, MinScore: s.MinScore,
			Inspected: s.Inspected, Derived: s.Derived,
		}.Decide)
	return got.Receipt, err
}

// Ruling is a moderator's decision that an item has to follow, or one that fell by appeal.
type Ruling struct {
	Case    domain.CaseID
	Number  int               // of the decision
	Action  moderation.Action // of a release: not needed
	By      domain.UserID     // who decided
	Version int               // that was looked at; 0: not known
}

// ApplyDecision makes an item follow moderation.Decided, for the reactor that enforces. Once per case and number; decisions of
// a case that come late, or again, change nothing.
func (m *Media) ApplyDecision(ctx context.Context, env Envelope, id domain.MediaID, r Ruling) (Receipt, error) {
	return m.enforce(ctx, env, "apply_decision", id, r, false)
}

// Release makes an item follow moderation.AppealDecided with the outcome overturn: the decision falls, and the item is what it
// was before. Number is that of the decision, not of the appeal.
func (m *Media) Release(ctx context.Context, env Envelope, id domain.MediaID, r Ruling) (Receipt, error) {
	return m.enforce(ctx, env, "release", id, r, true)
}

func (m *Media) enforce(ctx context.Context, env Envelope, name string, id domain.MediaID, r Ruling, overturn bool) (Receipt, error) {
	got, err := decide(ctx, m.vault, env, operation{name: "media." + name, thing: string(id), asked: r}, mediaStream(id), media.Evolve,
		media.Enforce{
			By: env.Actor, Action: media.Act(r.Action), Overturn: overturn,
			Source: media.Source{Case: r.Case, Number: r.Number, By: r.By, Version: r.Version},
		}.Decide)
	return got.Receipt, err
}

func tagsOf(subject domain.UserID, tags []string) []domain.Personal {
	var out []domain.Personal
	for _, t := range tags {
		out = append(out, domain.NewPersonal(subject, t))
	}
	return out
}

// cleanUp bounds what has to be done although the caller is gone.
const cleanUp = 30 * time.Second
