package media

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `media-<id>`.
const Category = "media"

// Event is a fact about one media item. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[UploadRequested](),
	domain.TypeOf[UploadRefused](),
	domain.TypeOf[Uploaded](),
	domain.TypeOf[VersionAdded](),
	domain.TypeOf[RolledBack](),
	domain.TypeOf[Described](),
	domain.TypeOf[Inspected](),
	domain.TypeOf[Derived](),
	domain.TypeOf[MetadataChosen](),
	domain.TypeOf[DescriptionRequested](),
	domain.TypeOf[DescriptionSuggested](),
	domain.TypeOf[SuggestionAccepted](),
	domain.TypeOf[SuggestionRejected](),
	domain.TypeOf[Fingerprinted](),
	domain.TypeOf[Resembles](),
	domain.TypeOf[Screened](),
	domain.TypeOf[Restricted](),
	domain.TypeOf[Quarantined](),
	domain.TypeOf[Released](),
	domain.TypeOf[Removed](),
	domain.TypeOf[Deleted](),
	domain.TypeOf[Restored](),
	domain.TypeOf[Purged](),
}

// Way is how bytes came in.
type Way string

// The ways in.
const (
	WayForm   Way = "form"   // multipart form through the API
	WayBody   Way = "body"   // raw body through the API
	WaySigned Way = "signed" // signed URL straight to storage
)

// File is what is known of one version's bytes.
type File struct {
	Name     domain.Personal  `json:"name,omitzero"` // as sanitised, without folders; about the owner
	Type     string           `json:"type"`          // MIME type, judged by content
	Declared string           `json:"declared,omitempty"`
	Size     int64            `json:"size"` // bytes
	SHA256   domain.Digest    `json:"sha256"`
	Object   domain.ObjectKey `json:"object"`
	Way      Way              `json:"way"`
}

// UploadRequested is an upload that was announced: its bytes may be put to storage by signed URL until ExpiresAt.
type UploadRequested struct {
	Media     domain.MediaID   `json:"media"`
	Owner     domain.UserID    `json:"owner"`
	Org       domain.OrgID     `json:"org,omitempty"`
	Name      domain.Personal  `json:"name,omitzero"`
	Title     domain.Personal  `json:"title,omitzero"`
	Declared  string           `json:"declared,omitempty"`
	Size      int64            `json:"size"`
	SHA256    domain.Digest    `json:"sha256"`
	Object    domain.ObjectKey `json:"object"`
	Multipart string           `json:"multipart,omitempty"` // the storage's upload id, when the bytes come in parts
	PartSize  int64            `json:"part_size,omitempty"` // bytes
	ExpiresAt time.Time        `json:"expires_at"`
}

// UploadRefused is an upload, announced or attempted, that was not accepted. Nothing of its bytes is kept.
type UploadRefused struct {
	Media    domain.MediaID  `json:"media"`
	Owner    domain.UserID   `json:"owner"`
	Org      domain.OrgID    `json:"org,omitempty"`
	Name     domain.Personal `json:"name,omitzero"`
	Declared string          `json:"declared,omitempty"`
	Type     string          `json:"type,omitempty"` // as sniffed, when it came that far
	Size     int64           `json:"size,omitempty"`
	Reasons  []string        `json:"reasons"` // codes: type_not_accepted, name_not_accepted, size_mismatch, sha256_mismatch, too_large, empty, expired, missing
}

// Uploaded is the birth of an item: version 1, its bytes stored, compared and sniffed.
type Uploaded struct {
	Media domain.MediaID  `json:"media"`
	Owner domain.UserID   `json:"owner"`
	Org   domain.OrgID    `json:"org,omitempty"`
	Title domain.Personal `json:"title,omitzero"`
	File  File            `json:"file"`
}

// VersionAdded is a new version that becomes the current one. It is not deliverable before it is screened.
type VersionAdded struct {
	Version int  `json:"version"` // from 2
	File    File `json:"file"`
}

// RolledBack makes an earlier version the current one again.
type RolledBack struct {
	Version int `json:"version"` // current from now on
	From    int `json:"from"`    // current until now
}

// Described replaces title, description and tags by what the owner says; it carries all three, changed or not.
type Described struct {
	Title       domain.Personal   `json:"title,omitzero"`
	Description domain.Personal   `json:"description,omitzero"`
	Tags        []domain.Personal `json:"tags,omitempty"` // lower case, sorted, each once
}

// Verdict is how screening ended.
type Verdict string

// The verdicts.
const (
	VerdictClean   Verdict = "clean"   // deliverable
	VerdictReview  Verdict = "review"  // deliverable only after a person said so
	VerdictBlocked Verdict = "blocked" // never deliverable as it is
)

// Stage is what one stage of screening said.
type Stage struct {
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Verdict  Verdict       `json:"verdict"`
	Codes    []string      `json:"codes,omitempty"`
	Duration time.Duration `json:"duration,omitempty"` // nanoseconds
	Measured []Measure     `json:"measured,omitempty"`
	Model    string        `json:"model,omitempty"` // the hash of the model that judged, when one did
}

// Screened is the result of looking at one version's bytes.
type Screened struct {
	Version int     `json:"version"`
	Verdict Verdict `json:"verdict"`
	Score   int     `json:"score"` // security score, 0 (worst) to 100
	Stages  []Stage `json:"stages"`
	// MinScore is the threshold below which the score asks for a person to look; 0: not known then, or none.
	MinScore int `json:"min_score,omitempty"`
}

// Source says who took an item out of, or back into, circulation.
type Source struct {
	Case   domain.CaseID `json:"case,omitempty"`   // the moderation case, when it was one
	Number int           `json:"number,omitempty"` // of the decision in its case
	By     domain.UserID `json:"by"`
	// Version is the one that was looked at; a release or restriction by a case lets a version under review pass. 0: none.
	Version int `json:"version,omitempty"`
}

// Quarantined takes an item out of circulation until it is released; only the owner's listing and moderators know of it.
type Quarantined struct {
	Source Source `json:"source"`
	Code   string `json:"code"` // screening, moderation
}

// Restricted narrows an item to its owner and those it is shared with by name; links stop working until it is released.
type Restricted struct {
	Source Source `json:"source"`
}

// Released ends a restriction, a quarantine or a removal: the item is what it was before.
type Released struct {
	Source Source `json:"source"`
}

// Removed takes an item out of circulation for good by a moderation decision; only an overturned appeal releases it.
type Removed struct {
	Source Source `json:"source"`
}

// Deleted is the owner's soft deletion: restorable until purged.
type Deleted struct {
	By domain.UserID `json:"by"`
}

// Restored undoes Deleted.
type Restored struct {
	By domain.UserID `json:"by"`
}

// Purged is the end: the bytes of all versions are to be destroyed. Its objects are listed so that whoever destroys them
// needs no state.
type Purged struct {
	By      domain.UserID      `json:"by"`
	Objects []domain.ObjectKey `json:"objects"`
}

// EventType implements domain.Event.
func (UploadRequested) EventType() string { return "media.upload_requested" }

// EventType implements domain.Event.
func (UploadRefused) EventType() string { return "media.upload_refused" }

// EventType implements domain.Event.
func (Uploaded) EventType() string { return "media.uploaded" }

// EventType implements domain.Event.
func (VersionAdded) EventType() string { return "media.version_added" }

// EventType implements domain.Event.
func (RolledBack) EventType() string { return "media.rolled_back" }

// EventType implements domain.Event.
func (Described) EventType() string { return "media.described" }

// EventType implements domain.Event.
func (Screened) EventType() string { return "media.screened" }

// EventType implements domain.Event.
func (Restricted) EventType() string { return "media.restricted" }

// EventType implements domain.Event.
func (Quarantined) EventType() string { return "media.quarantined" }

// EventType implements domain.Event.
func (Released) EventType() string { return "media.released" }

// EventType implements domain.Event.
func (Removed) EventType() string { return "media.removed" }

// EventType implements domain.Event.
func (Deleted) EventType() string { return "media.deleted" }

// EventType implements domain.Event.
func (Restored) EventType() string { return "media.restored" }

// EventType implements domain.Event.
func (Purged) EventType() string { return "media.purged" }
