// Package access is who got, or was refused, which content. Its events are appended without expecting a revision, in streams
// of their own, except through a share with a limit of opens: there the count is the share's access stream itself, so that
// two openers at once can never exceed it.
//
// Streams: `access-<media id>` for an item's content, `access-<share id>` for what went through a share with max_opens,
// `access-<actor id>` for refusals that concern no item, `access-anonymous` where nobody is known.
//
//	(nothing) --Serve, Refuse--> recorded
//
//	of a share with a limit:
//	n opens --Serve (content, download)--> n+1 opens --...--> max_opens: nothing is served any more
//	Serve (thumbnail), Refuse: recorded, and not counted
//
// `access-<share id>-<revision>` is how the open at that revision of `access-<share id>` was gone on with (GoOn).
package access

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `access-<id>`.
const Category = "access"

// Event is a fact about one access. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Served](),
	domain.TypeOf[Refused](),
}

// Via is through which right somebody got at an item.
type Via string

// The rights.
const (
	ViaOwner        Via = "owner"
	ViaOrganisation Via = "organisation" // the item belongs to the viewer's organisation
	ViaShare        Via = "share"        // shared with the viewer, or with the viewer's organisation
	ViaLink         Via = "link"
	ViaRole         Via = "role" // a moderator with a case, an auditor, an admin
)

// Served is content that was handed out. Who got it is the event's actor.
type Served struct {
	Media   domain.MediaID `json:"media"`
	Version int            `json:"version"`
	What    string         `json:"what"` // content, download, thumbnail
	Via     Via            `json:"via"`
	Share   domain.ShareID `json:"share,omitempty"` // when Via is share or link
	From    int64          `json:"from,omitempty"`  // first byte that was asked for
	Bytes   int64          `json:"bytes"`           // how many were asked for
	// Opener is the digest of what whoever opened it through a share with a limit shows to go on with it, and of what was opened;
	// Until is how long he may.
	Opener    domain.Digest `json:"opener,omitempty"`
	Until     time.Time     `json:"until,omitzero"`
	Continued bool          `json:"continued,omitempty"` // another part of what was opened before: no open of its own
}

// Refused is a request that was refused: what was asked for, and why not.
type Refused struct {
	Action   string         `json:"action"`             // method and route, such as `GET /v1/media/{id}/content`
	Resource string         `json:"resource,omitempty"` // the id that was asked for
	Media    domain.MediaID `json:"media,omitempty"`    // when it concerns an item that exists
	Share    domain.ShareID `json:"share,omitempty"`
	Code     string         `json:"code"`   // of the refusal
	Status   int            `json:"status"` // HTTP
	// Count is for how many refusals this one stands: those of guests are counted together, so that a flood of them cannot
	// fill the log. 0: one.
	Count int `json:"count,omitempty"`
}

// EventType implements domain.Event.
func (Served) EventType() string { return "access.served" }

// EventType implements domain.Event.
func (Refused) EventType() string { return "access.refused" }
