package commands

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// CaseIndex finds cases and shares; a read model implements it. What it answers may be behind, and is checked against the
// streams.
type CaseIndex interface {
	// Waiting answers the cases that the moderator could claim, what is most urgent first.
	Waiting(ctx context.Context, moderator domain.Actor, most int) ([]domain.CaseID, error)
	// ClaimedBy answers the cases that the moderator ever claimed, what changed last first.
	ClaimedBy(ctx context.Context, moderator domain.UserID, most int) ([]domain.CaseID, error)
	// SharesOf answers all shares of an item, in any state.
	SharesOf(ctx context.Context, item domain.MediaID) ([]domain.ShareID, error)
}

// DefaultLease is how long a claim lasts unless it is configured.
const DefaultLease = 15 * time.Minute

// ErrQueueEmpty is nothing to claim.
var ErrQueueEmpty = domain.Refuse(domain.NotFound, "queue_empty", "no case waits that you may claim")

// Claimed is the receipt of a claim.
type Claimed struct {
	Receipt
	Media domain.MediaID
	Until time.Time // the case is the moderator's; zero: without an end, because it was assigned to him
}

func (m *Moderation) lease() time.Duration { return orLease(m.vault.Lease) }

func orLease(d time.Duration) time.Duration {
	if d <= 0 {
		return DefaultLease
	}
	return d
}

// Claim takes a case into the moderator's hands for a time.
func (m *Moderation) Claim(ctx context.Context, env Envelope, id domain.CaseID) (Claimed, error) {
	got, err := m.decide(ctx, env, "claim", id, nil, moderation.Claim{By: env.Actor, At: m.vault.Now(), For: m.lease()}.Decide)
	return claimed(got), err
}

// Renew makes a claim last longer, counted from now.
func (m *Moderation) Renew(ctx context.Context, env Envelope, id domain.CaseID) (Claimed, error) {
	got, err := m.decide(ctx, env, "renew", id, nil, moderation.Renew{By: env.Actor, At: m.vault.Now(), For: m.lease()}.Decide)
	return claimed(got), err
}

// GiveBack ends the moderator's claim.
func (m *Moderation) GiveBack(ctx context.Context, env Envelope, id domain.CaseID) (Receipt, error) {
	got, err := m.decide(ctx, env, "give_back", id, nil, moderation.GiveBack{By: env.Actor, At: m.vault.Now()}.Decide)
	return got.Receipt, err
}

// Escalate puts a case before an admin.
func (m *Moderation) Escalate(ctx context.Context, env Envelope, id domain.CaseID, note string) (Receipt, error) {
	got, err := m.decide(ctx, env, "escalate", id, note, func(s moderation.State) ([]moderation.Event, error) {
		return moderation.Escalate{By: env.Actor, Note: domain.NewPersonal(s.Owner, note), At: m.vault.Now()}.Decide(s)
	})
	return got.Receipt, err
}

// Confirm makes a proposal a decision, by another moderator than who proposed it. The item follows, as after Decide.
func (m *Moderation) Confirm(ctx context.Context, env Envelope, id domain.CaseID, number int) (Numbered, error) {
	got, err := m.decide(ctx, env, "confirm", id, number, moderation.Confirm{By: env.Actor, Number: number, At: m.vault.Now()}.Decide)
	m.follow(ctx, env, got)
	for _, e := range got.said {
		if d, ok := e.(moderation.Decided); ok {
			return Numbered{Receipt: got.Receipt, Number: d.Number}, err
		}
	}
	return Numbered{Receipt: got.Receipt, Number: len(got.state.Decisions)}, err
}

// Decline ends a proposal without a decision.
func (m *Moderation) Decline(ctx context.Context, env Envelope, id domain.CaseID, number int, reason string) (Receipt, error) {
	got, err := m.decide(ctx, env, "decline", id, []any{number, reason}, func(s moderation.State) ([]moderation.Event, error) {
		return moderation.Decline{By: env.Actor, Number: number, Reason: domain.NewPersonal(s.Owner, reason), At: m.vault.Now()}.Decide(s)
	})
	return got.Receipt, err
}

func claimed(got outcome[moderation.State, moderation.Event]) Claimed {
	c := Claimed{Receipt: got.Receipt, Media: got.state.Media, Until: got.state.Lease}
	for _, e := range got.said { // a repeated request is told what it got then
		if e, ok := e.(moderation.Claimed); ok {
			c.Until = e.Until
		}
	}
	return c
}

// candidates is of how many waiting cases Next tries to get one: others claim at the same time.
const candidates = 50

// Next claims the most urgent case that waits. Two who ask at once get two cases. With an idempotency key, asking again answers
// the case that was got then.
func (m *Moderation) Next(ctx context.Context, env Envelope) (Claimed, error) {
	if !env.Actor.Is(domain.RoleModerator, domain.RoleAdmin) {
		return Claimed{}, moderation.ErrNotModerator
	}
	if m.vault.Cases == nil {
		return Claimed{}, ErrQueueEmpty
	}
	env.IfMatch = nil
	op := operation{name: "moderation.next"}
	if before, found, err := m.claimedBefore(ctx, env, op); found || err != nil {
		return before, err
	}
	for range 3 { // a whole page of candidates was claimed by others meanwhile: look again
		ids, err := m.vault.Cases.Waiting(ctx, env.Actor, candidates)
		if err != nil {
			return Claimed{}, err
		}
		for _, id := range ids {
			claim := moderation.Claim{By: env.Actor, At: m.vault.Now(), For: m.lease()}
			got, err := decide(ctx, m.vault, env, op, caseStream(id), moderation.Evolve, claim.Decide)
			if _, no := domain.AsRefusal(err); no {
				continue // claimed, decided or escalated since the index saw it
			}
			if err == nil && got.Silent && !got.state.Lease.IsZero() {
				continue // his already, by a claim: next is another one
			}
			return claimed(got), err
		}
		if len(ids) < candidates {
			break
		}
	}
	return Claimed{}, ErrQueueEmpty
}

// claimedBefore looks for the same request among the cases that the moderator claimed.
func (m *Moderation) claimedBefore(ctx context.Context, env Envelope, op operation) (Claimed, bool, error) {
	if env.IdempotencyKey == "" {
		return Claimed{}, false, nil
	}
	meta, err := m.vault.metadata(env, op)
	if err != nil {
		return Claimed{}, false, err
	}
	ids, err := m.vault.Cases.ClaimedBy(ctx, env.Actor.ID, 1000)
	if err != nil {
		return Claimed{}, false, err
	}
	for _, id := range ids {
		f, err := fold(ctx, m.vault, caseStream(id), moderation.Evolve, &meta)
		if err != nil {
			return Claimed{}, false, err
		}
		if got, ok, err := f.original(); ok || err != nil {
			return claimed(got), ok, err
		}
	}
	return Claimed{}, false, nil
}

// follow makes the item follow what was just decided, with the same key as the reactor that enforces: whoever is first does it,
// and the other finds it done. What fails here is not lost, so that nobody has to be told.
func (m *Moderation) follow(ctx context.Context, env Envelope, got outcome[moderation.State, moderation.Event]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followTime)
	defer cancel()
	items := &Media{vault: m.vault}
	for i, e := range got.said {
		// Positions of one append are contiguous, and the receipt has the last one.
		position := got.Position - eventstore.Position(len(got.said)-1-i)
		_ = items.Follow(ctx, FollowEnvelope(position, env.Correlation, uuid.Nil), domain.CaseID(got.ID), e)
	}
}

// followTime bounds how long a decision's answer waits until the item follows.
const followTime = 5 * time.Second

// FollowEnvelope is the envelope of what follows from a decision at a position.
func FollowEnvelope(position eventstore.Position, correlation, causation uuid.UUID) Envelope {
	return Envelope{
		Actor: domain.System(), Correlation: correlation, Causation: causation,
		IdempotencyKey: "enforcement-" + strconv.FormatInt(int64(position), 10),
	}
}

// Follow makes the item of a case follow what was decided there: a decision is applied, one that fell on appeal is lifted, and
// from any other event nothing follows.
func (m *Media) Follow(ctx context.Context, env Envelope, id domain.CaseID, e domain.Event) error {
	r := Ruling{Case: id}
	var err error
	switch d := e.(type) {
	case moderation.Decided:
		r.Number, r.Action, r.By, r.Version = d.Number, d.Action, d.By, d.Version
		_, err = m.ApplyDecision(ctx, env, d.Media, r)
	case moderation.AppealDecided:
		if d.Outcome == moderation.Overturn {
			r.Number, r.Action, r.By, r.Version = d.Decision, d.Overturns, d.By, d.Version
			_, err = m.Release(ctx, env, d.Media, r)
		}
	}
	return err
}

// Flag opens or joins a case for the item's current version when screening said that a person has to look at it, and none has;
// for the vault itself. Otherwise it says nothing.
func (m *Moderation) Flag(ctx context.Context, env Envelope, id domain.MediaID) (Receipt, error) {
	item, err := m.vault.mediaState(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	v, ok := item.Version(0)
	if !ok || !item.Known() || v.Screened.Verdict != media.VerdictReview || v.Cleared {
		return Receipt{ID: string(id), Silent: true}, nil
	}
	return m.Report(ctx, env, Report{
		Media: id, Version: item.Current, Category: categoryOf(v.Screened), Score: max(1, 100-v.Screened.Score),
	})
}

// FlagAfter flags the item of a case that was closed, when its current version is another than the one that was decided about last: what
// screening doubts of that joined the case, and was decided by nobody. For the vault itself.
func (m *Moderation) FlagAfter(ctx context.Context, env Envelope, id domain.CaseID) error {
	f, err := fold(ctx, m.vault, caseStream(id), moderation.Evolve, nil)
	if err != nil || !f.state.Closed {
		return err
	}
	item, err := m.vault.mediaState(ctx, f.state.Media)
	if err != nil {
		return err
	}
	if n := len(f.state.Decisions); n > 0 && f.state.Decisions[n-1].Version == item.Current {
		return nil // the item may not follow yet
	}
	_, err = m.Flag(ctx, env, f.state.Media)
	return err
}

// categoryOf is what a screening's doubt is about, by the stage that has it.
func categoryOf(s media.Screened) string {
	about := map[string]string{"nsfw": "nudity", "pii": "privacy", "malware": "malware"}
	for _, stage := range s.Stages {
		if c, ok := about[stage.Name]; ok && stage.Verdict == media.VerdictReview {
			return c
		}
	}
	return "screening"
}

// Spread notes in the open case about a share's item who may see it now; for the vault itself.
func (m *Moderation) Spread(ctx context.Context, env Envelope, id domain.ShareID) (Receipt, error) {
	s, err := m.vault.shareState(ctx, id)
	if err != nil || !s.Known() {
		return Receipt{}, err
	}
	latest, _, err := m.vault.caseOf(ctx, s.Media)
	if err != nil || !latest.Open() {
		return Receipt{}, err
	}
	item, err := m.vault.mediaState(ctx, s.Media)
	if err != nil {
		return Receipt{}, err
	}
	reach, err := m.vault.reach(ctx, item, id)
	if err != nil {
		return Receipt{}, err
	}
	got, err := m.decide(ctx, env, "spread", latest.ID, reach, moderation.Spread{By: env.Actor, Reach: reach}.Decide)
	return got.Receipt, err
}

// reach counts who may see an item, by its shares as their streams stand. also is one that the index may not know yet.
func (v *Vault) reach(ctx context.Context, item media.State, also domain.ShareID) (moderation.Reach, error) {
	var r moderation.Reach
	if item.Org != "" {
		r.Organisations++
	}
	var ids []domain.ShareID
	if v.Cases != nil {
		var err error
		if ids, err = v.Cases.SharesOf(ctx, item.ID); err != nil {
			return r, err
		}
	}
	if also != "" && !slices.Contains(ids, also) {
		ids = append(ids, also)
	}
	now := v.Now()
	for _, id := range ids {
		chain, err := v.chain(ctx, id)
		if err != nil {
			return r, err
		}
		if !share.Alive(chain, now) {
			continue
		}
		switch chain[0].With.Kind {
		case share.WithUser:
			r.Users++
		case share.WithOrganisation:
			r.Organisations++
		case share.WithLink:
			r.Links++
		}
	}
	return r, nil
}
