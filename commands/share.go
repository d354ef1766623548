package commands

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
)

// Shares is what people ask for about shares.
type Shares struct {
	vault *Vault
}

// NewShares makes the commands about shares.
func NewShares(vault *Vault) *Shares { return &Shares{vault: vault} }

// Grant is what is to be shared, with whom, and on which terms.
type Grant struct {
	Media        domain.MediaID
	User         domain.UserID // exactly one of User, Organisation and Link
	Organisation domain.OrgID
	Link         bool
	Permissions  []share.Permission // view is always among them
	ExpiresAt    time.Time          // zero: never
	Password     string             // of a link; empty: none
	MaxOpens     int                // 0: no limit
	// Through is the share that lets the actor share again; empty: found by the index, when he is not the owner.
	Through domain.ShareID
}

// Granted is a receipt with, for a link, its secret. The secret is answered once and stored nowhere: who asks again with the same
// idempotency key gets the receipt without it.
type Granted struct {
	Receipt
	Token string // 256 random bits, base64url; empty unless a link was just made
}

// Grant shares an item.
func (s *Shares) Grant(ctx context.Context, env Envelope, g Grant) (Granted, error) {
	id := domain.ShareID(s.vault.newThing(env, "share.grant"))
	asked := g
	asked.Password = map[bool]string{true: "given"}[g.Password != ""] // a fingerprint is no place for a password
	cmd := share.Grant{Share: id, Media: g.Media, By: env.Actor, At: s.vault.Now()}
	cmd.With = share.Grantee{User: g.User, Organisation: g.Organisation}
	token := ""
	switch {
	case g.Link:
		token = newToken()
		cmd.With.Kind, cmd.With.Token = share.WithLink, TokenDigest(token)
	case g.Organisation != "":
		cmd.With.Kind = share.WithOrganisation
	default:
		cmd.With.Kind = share.WithUser
	}
	cmd.Terms = share.Terms{Permissions: g.Permissions, ExpiresAt: g.ExpiresAt, MaxOpens: g.MaxOpens}
	item, err := s.vault.mediaState(ctx, g.Media)
	if err != nil {
		return Granted{}, err
	}
	if cmd.Chain, err = s.through(ctx, env.Actor, item, g.Through, cmd.At); err != nil {
		return Granted{}, err
	}
	cmd.Item = shareItem(item)
	hashed := false
	got, err := decide(ctx, s.vault, env, operation{name: "share.grant", asked: asked}, shareStream(id), share.Evolve,
		func(state share.State) ([]share.Event, error) {
			// Hashing is dear: it is done once the rest would be granted.
			if events, err := cmd.Decide(state); err != nil || len(events) == 0 || g.Password == "" || hashed {
				return events, err
			}
			if cmd.Terms.PasswordHash, err = s.vault.Passwords.Hash(ctx, g.Password); err != nil {
				return nil, err
			}
			hashed = true
			return cmd.Decide(state)
		})
	if err != nil {
		return Granted{}, err
	}
	if got.Repeated || got.Silent {
		token = ""
	}
	return Granted{Receipt: got.Receipt, Token: token}, nil
}

// through answers the chain of the share that lets the actor share an item that is not his own; none when he manages it.
func (s *Shares) through(ctx context.Context, by domain.Actor, item media.State, given domain.ShareID, at time.Time) ([]share.State, error) {
	if given == "" && share.Manages(by, item.Owner, item.Org) {
		return nil, nil
	}
	chains, err := s.vault.chains(ctx, by, item.ID, given)
	if err != nil || len(chains) == 0 {
		return nil, err
	}
	for _, c := range chains {
		use := share.Use{Media: item.ID, Viewer: by, Permission: share.Reshare, At: at, Chain: c[1:]}
		if use.Check(c[0]) == nil {
			return c, nil
		}
	}
	return chains[0], nil // the domain says why not
}

func shareItem(item media.State) share.Item {
	if !item.Known() {
		return share.Item{}
	}
	return share.Item{
		Owner: item.Owner, Org: item.Org, Restricted: item.Hold() == media.IsRestricted,
		Shareable: item.Phase == media.Live && item.Hold() != media.IsQuarantined && item.Hold() != media.IsRemoved,
	}
}

// Change is what of a share's terms is to be otherwise; nil leaves it as it is, a pointer to the zero value takes it away.
type Change struct {
	Permissions *[]share.Permission
	ExpiresAt   *time.Time
	Password    *string
	MaxOpens    *int
}

// Change changes a share's terms.
func (s *Shares) Change(ctx context.Context, env Envelope, id domain.ShareID, c Change) (Receipt, error) {
	asked := c
	if asked.Password != nil {
		said := map[bool]string{true: "given"}[*c.Password != ""]
		asked.Password = &said
	}
	hash := "" // made once, however often it is decided
	got, err := decide(ctx, s.vault, env, operation{name: "share.change", thing: string(id), asked: asked}, shareStream(id), share.Evolve,
		func(state share.State) ([]share.Event, error) {
			cmd, err := s.facts(ctx, env, state)
			if err != nil {
				return nil, err
			}
			cmd.Terms = state.Terms
			if c.Permissions != nil {
				cmd.Terms.Permissions = *c.Permissions
			}
			if c.ExpiresAt != nil {
				cmd.Terms.ExpiresAt = *c.ExpiresAt
			}
			if c.MaxOpens != nil {
				cmd.Terms.MaxOpens = *c.MaxOpens
			}
			// Hashing is dear: it is done once the rest would be changed.
			if events, err := cmd.Decide(state); err != nil || c.Password == nil {
				return events, err
			}
			if cmd.Terms.PasswordHash, err = s.newHash(ctx, state.Terms.PasswordHash, *c.Password, &hash); err != nil {
				return nil, err
			}
			return cmd.Decide(state)
		})
	return got.Receipt, err
}

// newHash is the hash of a password, or the one that is there when it is that password's already: saying it twice says nothing.
func (s *Shares) newHash(ctx context.Context, before, password string, made *string) (string, error) {
	if password == "" {
		return "", nil
	}
	if before != "" {
		if same, err := s.vault.Passwords.Match(ctx, before, password); err != nil || same {
			return before, err
		}
	}
	if *made == "" {
		var err error
		if *made, err = s.vault.Passwords.Hash(ctx, password); err != nil {
			return "", err
		}
	}
	return *made, nil
}

func (s *Shares) facts(ctx context.Context, env Envelope, state share.State) (share.Change, error) {
	cmd := share.Change{By: env.Actor, At: s.vault.Now()}
	if !state.Known() {
		return cmd, nil
	}
	item, err := s.vault.mediaState(ctx, state.Media)
	if err != nil {
		return cmd, err
	}
	cmd.Org = item.Org
	cmd.Chain, err = s.vault.chain(ctx, state.Through)
	return cmd, err
}

// Revoke ends a share at once, and with it those that came through it.
func (s *Shares) Revoke(ctx context.Context, env Envelope, id domain.ShareID) (Receipt, error) {
	got, err := decide(ctx, s.vault, env, operation{name: "share.revoke", thing: string(id)}, shareStream(id), share.Evolve,
		func(state share.State) ([]share.Event, error) {
			cmd, err := s.facts(ctx, env, state)
			if err != nil {
				return nil, err
			}
			return share.Revoke{By: env.Actor, Org: cmd.Org}.Decide(state)
		})
	return got.Receipt, err
}

// newToken is the secret of a link: 256 random bits.
func newToken() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(secret)
}

// TokenDigest is what is stored of a link's secret, and by which a read model finds the link.
func TokenDigest(token string) domain.Digest { return domain.DigestOf(token) }
