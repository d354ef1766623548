package commands

import (
	"context"
	"errors"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
)

// Moderation is what people ask for about cases.
type Moderation struct {
	vault *Vault
}

// NewModeration makes the commands about cases.
func NewModeration(vault *Vault) *Moderation { return &Moderation{vault: vault} }

// Report is what is said to be wrong with an item. Who reports through a share or link shows it.
type Report struct {
	Media    domain.MediaID
	Category string // one of moderation.Categories
	Note     string
	Score    int              // 0..100: of a detector
	Version  int              // of the item, that it is about; 0: the current one
	Share    domain.ShareID   // through which the reporter sees the item; empty: found by the index
	Token    string           // of the link, when Share is one
	Password string           // of the link, when it has one
	Finding  domain.FindingID // what was found in the item; of the vault itself
}

// Report reports an item that the actor can see; the vault itself (domain.System) reports as a detector. Reports of one item
// meet in one case until it is closed. The receipt's ID is the case's.
func (m *Moderation) Report(ctx context.Context, env Envelope, r Report) (Receipt, error) {
	origin := moderation.FromReport
	if env.Actor.Is(domain.RoleSystem) {
		origin = moderation.FromDetector
	}
	return m.report(ctx, env, r, origin)
}

// Refer opens a case by a moderator's hand.
func (m *Moderation) Refer(ctx context.Context, env Envelope, r Report) (Receipt, error) {
	return m.report(ctx, env, r, moderation.FromReferral)
}

func (m *Moderation) report(ctx context.Context, env Envelope, r Report, origin moderation.Origin) (Receipt, error) {
	item, err := m.vault.mediaState(ctx, r.Media)
	if err != nil {
		return Receipt{}, err
	}
	visible, err := m.visible(ctx, env.Actor, item, r)
	if err != nil {
		return Receipt{}, err
	}
	asked := r
	asked.Password, asked.Token = "", ""
	op := operation{name: "moderation." + string(origin), thing: string(r.Media), asked: asked}
	if receipt, found, err := m.before(ctx, env, op, r.Media); found || err != nil {
		return receipt, err
	}
	cmd := moderation.Report{
		Media: r.Media, Visible: visible, By: env.Actor, Origin: origin, Category: r.Category,
		Note: domain.NewPersonal(env.Actor.ID, r.Note), Score: r.Score, Version: r.Version, Finding: r.Finding,
	}
	if item.Known() {
		cmd.Owner = item.Owner
		if cmd.Version == 0 {
			cmd.Version = item.Current
		}
		if cmd.Reach, err = m.vault.reach(ctx, item, ""); err != nil {
			return Receipt{}, err
		}
	}
	for range attempts {
		_, next, err := m.vault.caseOf(ctx, r.Media)
		if err != nil {
			return Receipt{}, err
		}
		cmd.Case = next
		got, err := decide(ctx, m.vault, env, op, caseStream(next), moderation.Evolve, cmd.Decide)
		if errors.Is(err, moderation.ErrClosed) {
			continue // closed in this moment: the next case is another
		}
		return got.Receipt, err
	}
	return Receipt{}, ErrBusy
}

// before looks for the same command in all cases about the item: the one in which it left its mark may be closed by now.
func (m *Moderation) before(ctx context.Context, env Envelope, op operation, item domain.MediaID) (Receipt, bool, error) {
	if env.IdempotencyKey == "" {
		return Receipt{}, false, nil
	}
	meta, err := m.vault.metadata(env, op)
	if err != nil {
		return Receipt{}, false, err
	}
	for generation := 1; ; generation++ {
		f, err := fold(ctx, m.vault, caseStream(caseID(item, generation)), moderation.Evolve, &meta)
		if err != nil || !f.state.Known() {
			return Receipt{}, false, err
		}
		if got, ok, err := f.original(); ok || err != nil {
			return got.Receipt, ok, err
		}
	}
}

// visible reports whether the reporter can see the item: his organisation's, or shared with him, or by the link that he shows.
func (m *Moderation) visible(ctx context.Context, by domain.Actor, item media.State, r Report) (bool, error) {
	if item.Phase != media.Live {
		return false, nil
	}
	if by.Known() && by.ID == item.Owner || by.MemberOf(item.Org) {
		return true, nil
	}
	right, err := m.vault.right(ctx, by, item, "")
	if err != nil || right != media.RightNone {
		return right != media.RightNone, err
	}
	if r.Share == "" {
		return false, nil
	}
	chain, err := m.vault.chain(ctx, r.Share)
	if err != nil {
		return false, err
	}
	use := share.Use{Media: item.ID, Viewer: by, Permission: share.View, At: m.vault.Now(), Chain: chain[1:]}
	if r.Token != "" {
		use.Token = TokenDigest(r.Token)
	}
	if use.Password, err = m.vault.Passwords.check(ctx, chain[0].Terms.PasswordHash, r.Password); err != nil {
		return false, err
	}
	return use.Check(chain[0]) == nil, nil
}

// Assign puts a case into a moderator's hands; empty: the actor's own.
func (m *Moderation) Assign(ctx context.Context, env Envelope, id domain.CaseID, moderator domain.UserID) (Receipt, error) {
	if moderator == "" {
		moderator = env.Actor.ID
	}
	got, err := m.decide(ctx, env, "assign", id, moderator, moderation.Assign{
		By: env.Actor, Moderator: moderator, At: m.vault.Now(),
	}.Decide)
	return got.Receipt, err
}

// Decision is what a moderator decides.
type Decision struct {
	Action    moderation.Action
	Reason    string // internal; needed unless the action is approve
	Policy    string // reference of the rule; likewise
	Statement string // to the owner; likewise
	Version   int    // of the item, that was looked at; 0: the current one, when nothing else was reported
}

// Numbered is a receipt with the number of what it made, within its case.
type Numbered struct {
	Receipt
	Number int // from 1
	// Proposed: it is a proposal that waits for a second moderator, and the number is the proposal's.
	Proposed bool
}

// Decide decides a case, or proposes a removal that needs a second moderator. The item follows before Decide returns; should
// that fail, the reactor that enforces makes it follow.
func (m *Moderation) Decide(ctx context.Context, env Envelope, id domain.CaseID, d Decision) (Numbered, error) {
	got, err := m.decide(ctx, env, "decide", id, d, func(s moderation.State) ([]moderation.Event, error) {
		cmd := moderation.Decide{
			By: env.Actor, Action: d.Action, Policy: d.Policy, Version: d.Version, FourEyes: m.vault.FourEyes, At: m.vault.Now(),
			Reason: domain.NewPersonal(s.Owner, d.Reason), Statement: domain.NewPersonal(s.Owner, d.Statement),
		}
		if s.Known() {
			item, err := m.vault.mediaState(ctx, s.Media)
			if err != nil {
				return nil, err
			}
			looked, ok := item.Version(d.Version)
			if !ok && d.Version != 0 {
				return nil, media.ErrNoVersion.On("version")
			}
			cmd.Current = item.Current
			cmd.Blocked = looked.Screened.Verdict == media.VerdictBlocked
		}
		return cmd.Decide(s)
	})
	m.follow(ctx, env, got)
	for _, e := range got.said {
		switch e := e.(type) {
		case moderation.Decided:
			return Numbered{Receipt: got.Receipt, Number: e.Number}, err
		case moderation.Proposed:
			return Numbered{Receipt: got.Receipt, Number: e.Number, Proposed: true}, err
		}
	}
	if n := len(got.state.Proposals); n > 0 && !got.state.Proposals[n-1].Over {
		return Numbered{Receipt: got.Receipt, Number: n, Proposed: true}, err
	}
	return Numbered{Receipt: got.Receipt, Number: len(got.state.Decisions)}, err
}

// Appeal is the owner's objection to a case's last decision. The receipt has the appeal's number.
func (m *Moderation) Appeal(ctx context.Context, env Envelope, id domain.CaseID, note string) (Numbered, error) {
	got, err := m.decide(ctx, env, "appeal", id, note, moderation.Appeal{By: env.Actor, Note: domain.NewPersonal(env.Actor.ID, note)}.Decide)
	for _, e := range got.said {
		if appealed, ok := e.(moderation.Appealed); ok {
			return Numbered{Receipt: got.Receipt, Number: appealed.Number}, err
		}
	}
	return Numbered{Receipt: got.Receipt, Number: len(got.state.Appeals)}, err
}

// Verdict is how an appeal ends.
type Verdict struct {
	Outcome   moderation.Outcome
	Reason    string // internal
	Statement string // to the owner; may be empty
}

// DecideAppeal ends an appeal, by another person than who decided first.
func (m *Moderation) DecideAppeal(ctx context.Context, env Envelope, id domain.CaseID, number int, v Verdict) (Receipt, error) {
	got, err := m.decide(ctx, env, "decide_appeal", id, []any{number, v}, func(s moderation.State) ([]moderation.Event, error) {
		return moderation.DecideAppeal{
			By: env.Actor, At: m.vault.Now(), Number: number, Outcome: v.Outcome,
			Reason: domain.NewPersonal(s.Owner, v.Reason), Statement: domain.NewPersonal(s.Owner, v.Statement),
		}.Decide(s)
	})
	m.follow(ctx, env, got)
	return got.Receipt, err
}

// Close ends a case whose last decision stands.
func (m *Moderation) Close(ctx context.Context, env Envelope, id domain.CaseID) (Receipt, error) {
	got, err := m.decide(ctx, env, "close", id, nil, moderation.Close{By: env.Actor}.Decide)
	return got.Receipt, err
}

func (m *Moderation) decide(ctx context.Context, env Envelope, name string, id domain.CaseID, asked any,
	decision func(moderation.State) ([]moderation.Event, error),
) (outcome[moderation.State, moderation.Event], error) {
	return decide(ctx, m.vault, env, operation{name: "moderation." + name, thing: string(id), asked: asked}, caseStream(id), moderation.Evolve, decision)
}
