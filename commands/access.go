package commands

import (
	"context"
	"errors"
	"slices"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Access is who gets what. It looks at the streams themselves at the moment of the access, so that a revocation or a decision
// is effective at once, whatever the read models say.
type Access struct {
	vault    *Vault
	refusals *refusals
}

// NewAccess makes the recorder of what is served and refused. Close it to record what was counted.
func NewAccess(vault *Vault) *Access {
	return &Access{vault: vault, refusals: newRefusals(vault)}
}

// Close records the refusals that were only counted so far.
func (a *Access) Close(ctx context.Context) error { return a.refusals.flush(ctx, true) }

// Serving is content on its way to somebody.
type Serving struct {
	Media   domain.MediaID
	Version int    // from 1; 0: the current one
	What    string // access.Content, Download, Thumbnail; View for what is not bytes
	// Via is through which right; empty: the strongest that the actor has.
	Via   access.Via
	Share domain.ShareID // when it is through a share or link; for a share, empty: found by the index
	// Token is the secret of the link. Who has found the share by it already (TokenDigest) may leave it out; naming a link's
	// share is then taken for holding its secret, so that a share id from outside must never come here without its token.
	Token    string
	Password string // of the link
	From     int64  // first byte that was asked for
	Bytes    int64  // how many were asked for
	// Underway is asked again while bytes leave: the opening was counted, and the password was right, when it began.
	Underway bool
	// Object is where the bytes are that are to be delivered; they are refused when this actor gets others: the original, say,
	// where he gets a copy without place and names. Empty: not compared.
	Object domain.ObjectKey
	// Part: it is a part that is asked for. Ticket is what was answered with an open through a share with a limit (Delivery.Ticket); with
	// it, a part is no open of its own.
	Part   bool
	Ticket string
}

// Delivery is what may be served.
type Delivery struct {
	Receipt // zero when nothing was recorded
	// Ticket goes on with this open, through a share with a limit, until access.GoesOnFor is over; empty when it was no open of that kind.
	Ticket  string
	Media   domain.MediaID
	Version int
	File    media.File
	Via     access.Via
	Share   domain.ShareID
}

// Check says whether it may be served, and records nothing.
func (a *Access) Check(ctx context.Context, env Envelope, s Serving) (_ Delivery, err error) {
	ctx, cancel := a.vault.within(ctx)
	defer cancel()
	defer func() { err = slow(ctx, err) }()
	cmd, d, err := a.facts(ctx, env, s)
	if err != nil {
		return Delivery{}, err
	}
	state := access.State{}
	if cmd.MaxOpens > 0 {
		going, err := a.opened(ctx, s, cmd)
		if err != nil {
			return Delivery{}, err
		}
		if going.GoesOn(openerOf(s), a.vault.Now()) {
			cmd.MaxOpens = 0
		}
	}
	if cmd.MaxOpens > 0 {
		f, err := fold(ctx, a.vault, openings(cmd.Share), access.Evolve, nil)
		if err != nil {
			return Delivery{}, err
		}
		state = f.state
	}
	if _, err := cmd.Decide(state); err != nil {
		return Delivery{}, err
	}
	return d, nil
}

// Serve is Check, and then the record that it was served. Through a share with a limit of opens the record expects the exact
// count, so that openers at once never exceed it; whoever opened goes on with it by the Ticket that he got.
func (a *Access) Serve(ctx context.Context, env Envelope, s Serving) (_ Delivery, err error) {
	ctx, cancel := a.vault.within(ctx)
	defer cancel()
	defer func() { err = slow(ctx, err) }()
	cmd, d, err := a.facts(ctx, env, s)
	if err != nil {
		return Delivery{}, err
	}
	// Each delivery is one of its own: a repeated request gets the bytes again, and counts again.
	env = unconditional(env)
	if cmd.MaxOpens > 0 && s.Part && s.Ticket != "" {
		if d, err := a.goOn(ctx, env, s, cmd); !errors.Is(err, access.ErrOver) {
			return d, err
		}
	}
	if cmd.MaxOpens > 0 {
		return a.open(ctx, env, s, cmd.Share)
	}
	events, err := cmd.Decide(access.State{})
	if err != nil {
		return Delivery{}, err
	}
	d.Receipt, err = a.vault.record(ctx, env, eventstore.StreamOf(access.Category, s.Media), events)
	return d, err
}

// record appends without expecting a revision.
func (v *Vault) record(ctx context.Context, env Envelope, stream eventstore.Stream, events []access.Event) (_ Receipt, err error) {
	ctx, cancel := v.within(ctx)
	defer cancel()
	defer func() { err = slow(ctx, err) }()
	meta, err := v.metadata(env, operation{name: "access"})
	if err != nil {
		return Receipt{}, err
	}
	if !env.Started.IsZero() {
		meta.Took = max(0, v.Now().Sub(env.Started))
	}
	facts := make([]domain.Event, len(events))
	for i, e := range events {
		facts[i] = e
	}
	got, err := v.Store.Append(ctx, stream, eventstore.Any, meta, facts...)
	if errors.Is(err, domain.ErrForgotten) {
		if slices.ContainsFunc(events, func(e access.Event) bool { _, refused := e.(access.Refused); return !refused }) {
			return Receipt{}, ErrForgotten // nothing is handed to him
		}
		// That he was refused is recorded; from where he asked cannot be.
		meta.Address, meta.UserAgent, meta.Reason = domain.Personal{}, domain.Personal{}, domain.Personal{}
		got, err = v.Store.Append(ctx, stream, eventstore.Any, meta, facts...)
	}
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: stream.ID(), Stream: stream, Revision: got.Revision, Position: got.Position, At: got.At}, nil
}

// openings is the stream of what went through a share with a limit.
func openings(id domain.ShareID) eventstore.Stream { return eventstore.StreamOf(access.Category, id) }

// facts gathers what deciding about an access needs.
func (a *Access) facts(ctx context.Context, env Envelope, s Serving) (access.Serve, Delivery, error) {
	item, err := a.vault.mediaState(ctx, s.Media)
	if err != nil {
		return access.Serve{}, Delivery{}, err
	}
	cmd := access.Serve{
		Media: s.Media, Version: s.Version, What: s.What, From: max(0, s.From), Bytes: max(0, s.Bytes),
		Found: item.Known() || item.Phase == media.Gone, Restricted: item.Hold() == media.IsRestricted, Delivery: item.Delivery(s.Version),
	}
	if cmd.Version == 0 {
		cmd.Version = item.Current
	}
	if err := a.grantRight(ctx, env.Actor, item, s, &cmd); err != nil {
		return access.Serve{}, Delivery{}, err
	}
	if s.Underway {
		cmd.MaxOpens = 0
	}
	if item.Phase != media.Live && cmd.Via != access.ViaOwner && cmd.Via != access.ViaRole {
		cmd.Found = false // what its owner deleted is gone for everybody else
	}
	if s.Object != "" && cmd.Delivery == nil {
		own := cmd.Via == access.ViaOwner || cmd.Via == access.ViaRole
		cmd.Delivery = item.Handed(cmd.Version, s.Object, s.What == access.Thumbnail, own)
	}
	d := Delivery{Media: s.Media, Version: cmd.Version, Via: cmd.Via, Share: cmd.Share}
	if v, ok := item.Version(cmd.Version); ok {
		d.File = v.File
	}
	return cmd, d, nil
}

// grantRight finds the right through which the actor gets at the item: the one that is asked for, or the strongest.
func (a *Access) grantRight(ctx context.Context, by domain.Actor, item media.State, s Serving, cmd *access.Serve) error {
	wants := func(v access.Via) bool { return s.Via == v || s.Via == "" && s.Token == "" }
	switch {
	case !cmd.Found:
		return nil
	case wants(access.ViaOwner) && by.Known() && by.ID == item.Owner:
		cmd.Via = access.ViaOwner
		return nil
	case wants(access.ViaOrganisation) && by.MemberOf(item.Org):
		cmd.Via = access.ViaOrganisation
		return nil
	case s.Via == access.ViaLink, s.Token != "":
		return a.byLink(ctx, s, cmd)
	}
	if wants(access.ViaShare) {
		if err := a.byShare(ctx, by, s, cmd); err != nil {
			return err
		}
		if cmd.Via != "" && cmd.Right == nil {
			return nil
		}
	}
	if wants(access.ViaRole) {
		return a.byRole(ctx, by, item, s, cmd)
	}
	return nil
}

func (a *Access) byLink(ctx context.Context, s Serving, cmd *access.Serve) error {
	if s.Share == "" {
		return nil
	}
	chain, err := a.vault.chain(ctx, s.Share)
	if err != nil {
		return err
	}
	use := share.Use{Media: s.Media, Token: TokenDigest(s.Token), Permission: permission(s.What), At: a.vault.Now(), Chain: chain[1:]}
	if s.Token == "" {
		use.Token = chain[0].With.Token
	}
	if chain[0].With.Kind != share.WithLink {
		return nil
	}
	if s.Underway {
		use.Password = share.PasswordRight
	} else if use.Password, err = a.vault.Passwords.check(ctx, chain[0].Terms.PasswordHash, s.Password); err != nil {
		return err
	}
	cmd.Via, cmd.Share, cmd.MaxOpens = access.ViaLink, s.Share, limit(chain[0], s.What)
	cmd.Right = use.Check(chain[0])
	return nil
}

// byShare looks for a share that lets the actor have it; of several that do not, one that says why not.
func (a *Access) byShare(ctx context.Context, by domain.Actor, s Serving, cmd *access.Serve) error {
	chains, err := a.vault.chains(ctx, by, s.Media, s.Share)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		use := share.Use{Media: s.Media, Viewer: by, Permission: permission(s.What), At: a.vault.Now(), Chain: chain[1:]}
		if chain[0].With.Kind == share.WithLink || errors.Is(use.Check(chain[0]), share.ErrNotFound) {
			continue
		}
		why := use.Check(chain[0])
		if cmd.Via != "" && why != nil {
			continue
		}
		cmd.Via, cmd.Share, cmd.Right, cmd.MaxOpens = access.ViaShare, chain[0].ID, why, limit(chain[0], s.What)
		if why == nil && cmd.MaxOpens == 0 {
			return nil
		}
	}
	return nil
}

// byRole lets a moderator look at the bytes of an item about which there is a case, and moderators, auditors and admins at
// what is said about any item.
func (a *Access) byRole(ctx context.Context, by domain.Actor, item media.State, s Serving, cmd *access.Serve) error {
	if s.What == access.View {
		if by.Is(domain.RoleModerator, domain.RoleAuditor, domain.RoleAdmin) {
			cmd.Via, cmd.Share, cmd.Right, cmd.MaxOpens = access.ViaRole, "", nil, 0
		}
		return nil
	}
	if !by.Is(domain.RoleModerator) {
		return nil
	}
	latest, _, err := a.vault.caseOf(ctx, item.ID)
	if err != nil || !latest.Open() {
		return err
	}
	cmd.Via, cmd.Share, cmd.Right, cmd.MaxOpens = access.ViaRole, "", nil, 0
	cmd.Delivery = item.Evidence(s.Version)
	return nil
}

// limit is the share's limit of opens where what is asked for counts against it.
func limit(s share.State, what string) int {
	if access.Opens(what) {
		return s.Terms.MaxOpens
	}
	return 0
}

// permission is what serving something needs.
func permission(what string) share.Permission {
	if what == access.Download {
		return share.Download
	}
	return share.View
}

// Refused records that a request was refused. Those of known actors are recorded one by one. Those of guests are counted
// together by address and code, and recorded at most once a minute each, and at most 300 a minute altogether: the record's
// Count says for how many it stands.
func (a *Access) Refused(ctx context.Context, env Envelope, r access.Refused) error {
	r.Action, r.Resource = clip(r.Action, 200), clip(r.Resource, 200)
	events, err := access.Refuse{Refused: r}.Decide(access.State{})
	if err != nil || len(events) == 0 {
		return err
	}
	env = unconditional(env)
	env.Reason = clip(env.Reason, maxReason)
	if !env.Actor.Known() {
		return a.refusals.add(ctx, env, r)
	}
	_, err = a.vault.record(ctx, env, refusalStream(env, r), events)
	return err
}

// refusalStream is where a refusal is recorded: with the item that exists, else with who asked.
func refusalStream(env Envelope, r access.Refused) eventstore.Stream {
	switch {
	case r.Media != "":
		return eventstore.StreamOf(access.Category, r.Media)
	case env.Actor.Known():
		return eventstore.StreamOf(access.Category, domain.UserID(clip(string(env.Actor.ID), 200)))
	default:
		return eventstore.StreamOf(access.Category, anonymous)
	}
}
