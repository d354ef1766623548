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

// The kinds of recipient.
const (
	WithUser         Kind = "user"
	WithOrganisation Kind = "organisation"
	WithLink         Kind = "link" // anyone who holds the link
)

// Recipient is with whom: exactly the field that Kind names is set.
type Recipient struct {
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
	With  Recipient      `json:"with"`
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
	By domain.UserID `json:"by"`
}

// EventType implements domain.Event.
func (Granted) EventType() string { return "share.granted" }

// EventType implements domain.Event.
func (Changed) EventType() string { return "share.changed" }

// EventType implements domain.Event.
func (Revoked) EventType() string { return "share.revoked" }
