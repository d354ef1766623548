package share

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `share-<id>`.
const Category = "share"

// Event is a fact about one share. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Granted](),
	domain.TypeOf[Changed](),
	domain.TypeOf[Revoked](),
	domain.TypeOf[EndAnnounced](),
	domain.TypeOf[Expired](),
	domain.TypeOf[Exhausted](),
	domain.TypeOf[Suspended](),
	domain.TypeOf[Resumed](),
	domain.TypeOf[Closed](),
}

// Permission is what a share allows.
type Permission string

// The permissions. Each includes view.
const (
	View     Permission = "view"     // see metadata, thumbnails and content in the browser
	Download Permission = "download" // take the bytes away as a file
	Edit     Permission = "edit"     // describe, add versions
	Reshare  Permission = "reshare"  // grant again, never more than one has
)

// Kind is with whom media is shared.
type Kind string

// The kinds of grantee.
const (
	WithUser         Kind = "user"
	WithOrganisation Kind = "organisation"
	WithLink         Kind = "link" // anyone who holds the link
)

// Grantee is with whom: exactly the field that Kind names is set.
type Grantee struct {
	Kind         Kind          `json:"kind"`
	User         domain.UserID `json:"user,omitempty"`
	Organisation domain.OrgID  `json:"organisation,omitempty"`
	Token        domain.Digest `json:"token,omitempty"` // SHA-256 of the link's secret, which is nowhere stored
}

// Terms are what a share allows, and how long.
type Terms struct {
	Permissions  []Permission `json:"permissions"` // sorted, each once, always with view
	ExpiresAt    time.Time    `json:"expires_at,omitzero"`
	PasswordHash string       `json:"password_hash,omitempty"` // argon2id, PHC string; links only
	MaxOpens     int          `json:"max_opens,omitempty"`     // 0: no limit
}

// Granted is the birth of a share.
type Granted struct {
	Share domain.ShareID `json:"share"`
	Media domain.MediaID `json:"media"`
	Owner domain.UserID  `json:"owner"` // of the media
	By    domain.UserID  `json:"by"`    // who granted: the owner, or somebody with reshare
	With  Grantee        `json:"with"`
	Terms Terms          `json:"terms"`
	// Through is the share that gave the right to grant, when By is not the owner.
	Through domain.ShareID `json:"through,omitempty"`
}

// Changed replaces the terms; it carries all of them.
type Changed struct {
	By    domain.UserID `json:"by"`
	Terms Terms         `json:"terms"`
}

// Revoked ends a share at once.
type Revoked struct {
	By   domain.UserID `json:"by"`
	Code Code          `json:"code,omitempty"` // why the vault itself ended it; empty: a person did
}

// EndAnnounced says that a share is about to end: exactly one of its fields is set. It is said once for the same terms.
type EndAnnounced struct {
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	OpensLeft int       `json:"opens_left,omitempty"`
}

// Expired records that a share's time is over. Nobody could use it from that moment on, whenever this was recorded.
type Expired struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// Exhausted records that a share was opened as often as it allows.
type Exhausted struct {
	Opens int `json:"opens"`
}

// Suspended records that the share's item cannot be had for now: a share that is suspended is resumed when the item comes back.
type Suspended struct {
	Code Code `json:"code"`
}

// Resumed ends a suspension: the item is there again.
type Resumed struct {
	Code Code `json:"code"` // of the suspension that ended
}

// Closed ends a share for good, because its item is gone for good.
type Closed struct {
	Code Code `json:"code"`
}

// Code says what became of a share's item, or of whom it was for.
type Code string

// The codes.
const (
	ItemDeleted     Code = "deleted"     // by its owner, who may restore it
	ItemQuarantined Code = "quarantined" // by screening or a moderator, until it is released
	ItemRemoved     Code = "removed"     // by a moderator; an appeal may bring it back
	ItemPurged      Code = "purged"      // for good

	GranteeForgotten Code = "recipient_forgotten" // the person to whom it was given was forgotten
)

// EventType implements domain.Event.
func (Granted) EventType() string { return "share.granted" }

// EventType implements domain.Event.
func (Changed) EventType() string { return "share.changed" }

// EventType implements domain.Event.
func (Revoked) EventType() string { return "share.revoked" }

// EventType implements domain.Event.
func (EndAnnounced) EventType() string { return "share.end_announced" }

// EventType implements domain.Event.
func (Expired) EventType() string { return "share.expired" }

// EventType implements domain.Event.
func (Exhausted) EventType() string { return "share.exhausted" }

// EventType implements domain.Event.
func (Suspended) EventType() string { return "share.suspended" }

// EventType implements domain.Event.
func (Resumed) EventType() string { return "share.resumed" }

// EventType implements domain.Event.
func (Closed) EventType() string { return "share.closed" }
