// Package share is one grant of access to a media item: to a user, to a partner organisation, or to whoever holds a link. It
// decides who may grant what, and whether a share may be used at a moment; it serves nothing and counts no opens itself.
//
//	(nothing) --Grant--> active --Revoke--> revoked
//	                      |  ^    `--Settle--> closed (the item was purged)
//	                      `--' Change, Settle
//
// What becomes of a share by itself - it expired, it is exhausted, its item was taken away or came back - is recorded by Settle,
// for those who read the history; whether a share may be used is asked at every use, and does not wait for that record.
//
// An active share cannot be used before or after its terms allow: expired (time), exhausted (opens) or locked (password).
// Neither can one whose giver lost the right to give: a share that came through another holds only while that one does.
package share

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrNotFound      = domain.Refuse(domain.NotFound, "not_found", "there is no such item or share")
	ErrNotOwner      = domain.Refuse(domain.Forbidden, "not_owner", "only the item's owner, or who granted the share, may do this")
	ErrNoReshare     = domain.Refuse(domain.Forbidden, "no_reshare", "the share does not allow to share again")
	ErrMoreThanHeld  = domain.Refuse(domain.Forbidden, "more_than_held", "nobody can give more, or for longer, than he has")
	ErrTooDeep       = domain.Refuse(domain.Conflict, "reshared_too_often", "the item was passed on too often")
	ErrExists        = domain.Refuse(domain.Conflict, "already_shared", "the share exists already")
	ErrNotShareable  = domain.Refuse(domain.Conflict, "not_shareable", "the item cannot be shared in its state")
	ErrRestricted    = domain.Refuse(domain.Conflict, "restricted", "a restricted item cannot be shared by link")
	ErrRevoked       = domain.Refuse(domain.Gone, "share_revoked", "the share was revoked")
	ErrClosed        = domain.Refuse(domain.Gone, "share_closed", "the item that was shared is gone")
	ErrExpired       = domain.Refuse(domain.Gone, "share_expired", "the share has expired")
	ErrExhausted     = domain.Refuse(domain.Gone, "share_exhausted", "the share was opened as often as it allows")
	ErrPassword      = domain.Refuse(domain.Unauthenticated, "password_required", "the link needs a password")
	ErrWrongPassword = domain.Refuse(domain.Forbidden, "password_wrong", "the password is not the link's")
	ErrNotAllowed    = domain.Refuse(domain.Forbidden, "not_permitted", "the share does not allow this")
)

// MaxDepth is how often an item may be passed on from share to share.
const MaxDepth = 8

// State is what deciding about a share must remember.
type State struct {
	ID      domain.ShareID
	Media   domain.MediaID
	Owner   domain.UserID // of the media
	By      domain.UserID // who granted
	With    Grantee
	Terms   Terms
	Through domain.ShareID
	Revoked bool

	// What Settle has recorded; a change of the terms makes the first three open questions again.
	Expired   bool `json:",omitempty"`
	Exhausted bool `json:",omitempty"`
	Announced bool `json:",omitempty"` // its end
	Suspended Code `json:",omitempty"`
	Closed    bool `json:",omitempty"`
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Known reports whether the share was ever granted.
func (s State) Known() bool { return s.ID != "" }

// Allows reports whether the terms include the permission.
func (t Terms) Allows(p Permission) bool { return slices.Contains(t.Permissions, p) }

// Same reports whether both terms say the same.
func (t Terms) Same(u Terms) bool {
	return slices.Equal(t.Permissions, u.Permissions) && t.ExpiresAt.Equal(u.ExpiresAt) &&
		t.PasswordHash == u.PasswordHash && t.MaxOpens == u.MaxOpens
}

// For reports whether the share is meant for the actor by name: the user himself, or a member of the organisation.
func (s State) For(actor domain.Actor) bool {
	switch s.With.Kind {
	case WithUser:
		return actor.Known() && s.With.User == actor.ID
	case WithOrganisation:
		return actor.MemberOf(s.With.Organisation)
	default:
		return false
	}
}

// Use asks whether a share may be used for something at a moment. It is a question, not a command: what was served is a
// fact of the access aggregate.
type Use struct {
	Media      domain.MediaID
	Viewer     domain.Actor
	Token      domain.Digest // SHA-256 of the link's secret, when one was shown
	Permission Permission
	At         time.Time
	Opens      int  // so far
	Opening    bool // this use counts as one more open
	Password   Password
	// Chain are the shares that this one came through, from its giver's up to one that the owner gave.
	Chain []State
}

// Password is what was found when the link's password was compared.
type Password int

// The outcomes. The zero Password is that none was shown.
const (
	PasswordMissing Password = iota
	PasswordWrong
	PasswordRight
)

// Check answers nil, or why not. To those for whom the share is not meant it does not exist.
func (c Use) Check(s State) error {
	if !s.Known() || s.Media != c.Media {
		return ErrNotFound
	}
	if s.With.Kind == WithLink {
		if c.Token == "" || c.Token != s.With.Token {
			return ErrNotFound
		}
	} else if !s.For(c.Viewer) {
		return ErrNotFound
	}
	if err := s.holds(c.At, c.Chain); err != nil {
		return err
	}
	if s.Terms.MaxOpens > 0 && c.Opening && c.Opens >= s.Terms.MaxOpens {
		return ErrExhausted
	}
	if s.Terms.PasswordHash != "" {
		switch c.Password {
		case PasswordMissing:
			return ErrPassword
		case PasswordWrong:
			return ErrWrongPassword
		case PasswordRight:
		}
	}
	if c.Permission == "" {
		return nil
	}
	for _, link := range append([]State{s}, c.Chain...) {
		if !link.Terms.Allows(c.Permission) {
			return ErrNotAllowed
		}
	}
	return nil
}

// Alive reports whether a share, given with those that it came through behind it, lets somebody in at a moment: neither it nor one of
// them is revoked or over, and each giver may still give.
func Alive(chain []State, at time.Time) bool {
	return len(chain) > 0 && chain[0].holds(at, chain[1:]) == nil
}

// holds answers whether the share, and each that it came through, is neither revoked nor expired, and each giver may still
// give.
func (s State) holds(at time.Time, chain []State) error {
	if err := s.active(at); err != nil {
		return err
	}
	child := s
	for _, parent := range chain {
		if child.Through != parent.ID {
			return ErrRevoked
		}
		if err := parent.active(at); err != nil {
			return err
		}
		if !parent.Terms.Allows(Reshare) {
			return ErrRevoked
		}
		child = parent
	}
	if child.Through != "" {
		return ErrRevoked
	}
	return nil
}

func (s State) active(at time.Time) error {
	switch {
	case !s.Known():
		return ErrRevoked
	case s.Revoked:
		return ErrRevoked
	case !s.Terms.ExpiresAt.IsZero() && !at.Before(s.Terms.ExpiresAt):
		return ErrExpired
	}
	return nil
}
