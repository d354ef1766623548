// Package media is one uploaded photo, video or document, from the announcement of its bytes to their destruction. It decides
// what may happen to an item and remembers what has; it touches no bytes, no clock and no other aggregate.
//
//	           RequestUpload            Upload (complete)
//	(nothing) ---------------> requested ----------------.
//	 |    |                        |                     v
//	 |    |  Upload                | RefuseUpload       live <----------------.
//	 |    `------------------------+------------------>  | AddVersion         |
//	 | RefuseUpload                v                     | RollBack           | Restore
//	 `-------------------------> refused                 | Describe, Screen   |
//	                                                     v Delete             |
//	                             purged <------------ deleted ----------------'
//	                                      Purge
//
// Beside the phase, what moderation and screening laid upon an item is a stack of holds, of which the last one counts:
//
//	(free) --Restrict--> restricted     links stop
//	(free) --Quarantine, Screen (blocked)--> quarantined     moderators only
//	(free) --Remove--> removed     nobody
//	Release, Screen (clean): the hold is lifted, and what was below it counts again
//
// A version can be delivered only when it was screened clean, or when a moderator cleared it after a verdict of review, and
// the item is live and neither quarantined nor removed.
package media

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change.
var (
	ErrNotFound      = domain.Refuse(domain.NotFound, "not_found", "there is no such item")
	ErrNotOwner      = domain.Refuse(domain.Forbidden, "not_owner", "only the item's owner may do this")
	ErrMayNotUpload  = domain.Refuse(domain.Forbidden, "may_not_upload", "the role does not allow uploads")
	ErrSystemOnly    = domain.Refuse(domain.Forbidden, "system_only", "only the vault itself does this")
	ErrExists        = domain.Refuse(domain.Conflict, "already_uploaded", "the item was uploaded already")
	ErrDeleted       = domain.Refuse(domain.Conflict, "deleted", "the item is deleted; restore it first")
	ErrNotDeleted    = domain.Refuse(domain.Conflict, "not_deleted", "only a deleted item can be purged")
	ErrPurged        = domain.Refuse(domain.Gone, "purged", "the item was purged")
	ErrQuarantined   = domain.Refuse(domain.Forbidden, "quarantined", "the item is in quarantine")
	ErrRemoved       = domain.Refuse(domain.Gone, "removed", "the item was removed by moderation")
	ErrFrozen        = domain.Refuse(domain.Conflict, "frozen", "the item is evidence in a moderation case")
	ErrNotScreened   = domain.Refuse(domain.Conflict, "not_screened", "the version has not been screened yet")
	ErrUnderReview   = domain.Refuse(domain.Conflict, "under_review", "the version waits for a person to look at it")
	ErrBlocked       = domain.Refuse(domain.Forbidden, "blocked", "screening blocked the version")
	ErrNoVersion     = domain.Refuse(domain.NotFound, "no_such_version", "the item has no such version")
	ErrTooManyOf     = domain.Refuse(domain.Conflict, "too_many_versions", "the item has as many versions as are kept")
	ErrNotRequested  = domain.Refuse(domain.Conflict, "not_requested", "no upload was announced under this id")
	ErrUnknownAction = domain.Refuse(domain.Invalid, "unknown_action", "the action is not one of approve, restrict, quarantine, remove")
)

// The refusals of an upload. Their codes are the reasons in UploadRefused.
var (
	ErrType     = domain.Refuse(domain.Unsupported, "type_not_accepted", "the content's type is not accepted")
	ErrName     = domain.Refuse(domain.Unprocessable, "name_not_accepted", "the file name is not accepted")
	ErrSize     = domain.Refuse(domain.Unprocessable, "size_mismatch", "the content has another size than was announced")
	ErrSHA256   = domain.Refuse(domain.Unprocessable, "sha256_mismatch", "the content has another SHA-256 than was announced")
	ErrTooLarge = domain.Refuse(domain.TooLarge, "too_large", "the content is larger than is accepted")
	ErrEmpty    = domain.Refuse(domain.Unprocessable, "empty", "the content is empty")
	ErrExpired  = domain.Refuse(domain.Gone, "expired", "the announced upload has expired")
	ErrMissing  = domain.Refuse(domain.Unprocessable, "missing", "the announced bytes are not in storage")
)

// TooLarge is ErrTooLarge with the limit, in bytes.
func TooLarge(most int64) *domain.Refusal {
	return ErrTooLarge.Because(fmt.Sprintf("the content is larger than the %d bytes that are accepted", most))
}

// aboutFile are the refusals whose codes are reasons in UploadRefused.
func aboutFile() []*domain.Refusal {
	return []*domain.Refusal{ErrType, ErrName, ErrSize, ErrSHA256, ErrTooLarge, ErrEmpty, ErrExpired, ErrMissing}
}

// RefusalOf is the refusal behind a reason of UploadRefused, also behind one that is not known here.
func RefusalOf(reason string) *domain.Refusal {
	for _, r := range aboutFile() {
		if r.Code == reason {
			return r
		}
	}
	return domain.Refuse(domain.Unprocessable, reason, "the upload was refused")
}

// Phase is how far an item's life got.
type Phase string

// The phases. The zero Phase is an item that nobody spoke of yet.
const (
	Nothing   Phase = ""
	Requested Phase = "requested"
	Refused   Phase = "refused"
	Live      Phase = "live"
	Erasable  Phase = "deleted" // softly deleted: restorable, purgeable
	Gone      Phase = "purged"
)

// HoldKind is what a hold does to an item.
type HoldKind string

// The kinds of hold. The zero HoldKind is no hold.
const (
	Free          HoldKind = ""
	IsRestricted  HoldKind = "restricted"
	IsQuarantined HoldKind = "quarantined"
	IsRemoved     HoldKind = "removed"
)

// Hold is what moderation or screening laid upon an item.
type Hold struct {
	Kind   HoldKind
	Source Source
	Code   string // of a quarantine: screening, moderation
}

// screening reports whether the hold came from screening, not from a person.
func (h Hold) screening() bool { return h.Source.Case == "" }

// Version is what deciding must remember of one version.
type Version struct {
	File     File
	Screened Screened // its zero Verdict: not screened yet
	Cleared  bool     // a moderator looked at it and let it pass

	Inspected   Inspected // its zero Version: not inspected
	Derivatives []Derivative
	Blurhash    string
	NoPicture   string // why there is no small picture; "": there is one, or none was made yet
}

// enforced is up to which decision of a case the item follows.
type enforced struct {
	Case   domain.CaseID
	Number int
}

// State is what deciding about an item must remember.
type State struct {
	ID      domain.MediaID
	Owner   domain.UserID
	Org     domain.OrgID
	Phase   Phase
	Request UploadRequested // the announcement, when there was one
	Refusal UploadRefused   // why it was refused, in phase refused
	// Versions has version n at index n-1; Current counts from 1.
	Versions []Version
	Current  int

	Title       domain.Personal
	Description domain.Personal
	Tags        []domain.Personal
	// KeepMetadata: others get the place and names that the bytes carry, as the owner chose.
	KeepMetadata bool

	Suggestion   Suggestion      // of a description, that was asked for last
	Fingerprints []Fingerprinted // one per version and algorithm
	Resembling   []Resembles

	Holds    []Hold // the last one counts
	Enforced []enforced
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Known reports whether there is, or was, an item: an announcement alone is none to anybody but its owner.
func (s State) Known() bool { return s.Phase == Live || s.Phase == Erasable }

// Hold is the kind of hold that counts now.
func (s State) Hold() HoldKind {
	if len(s.Holds) == 0 {
		return Free
	}
	return s.Holds[len(s.Holds)-1].Kind
}

// Version is version n, or the current one for 0; false when there is none.
func (s State) Version(n int) (Version, bool) {
	if n == 0 {
		n = s.Current
	}
	if n < 1 || n > len(s.Versions) {
		return Version{}, false
	}
	return s.Versions[n-1], true
}

// Withheld reports whether a hold lies upon the item, or version n (0: the current one) waits for somebody to look at it.
func (s State) Withheld(n int) bool {
	return s.Hold() != Free || errors.Is(s.Delivery(n), ErrUnderReview)
}

// Deliverable reports whether the bytes of version n (0: the current one) may leave the vault for those who have a right to
// them. Whether a restriction stops links is asked by Hold.
func (s State) Deliverable(n int) bool { return s.Delivery(n) == nil }

// Delivery is Deliverable with the reason why not: a refusal, or nil.
func (s State) Delivery(n int) error {
	if err := s.live(); err != nil {
		return err
	}
	switch s.Hold() {
	case IsQuarantined:
		return ErrQuarantined
	case IsRemoved:
		return ErrRemoved
	}
	v, ok := s.Version(n)
	if !ok {
		return ErrNoVersion
	}
	return v.delivery()
}

// live refuses an item that is not, or not any more.
func (s State) live() error {
	switch s.Phase {
	case Live:
		return nil
	case Erasable:
		return ErrDeleted
	case Gone:
		return ErrPurged
	default:
		return ErrNotFound
	}
}

func (v Version) delivery() error {
	switch {
	case v.Screened.Verdict == VerdictClean:
		return nil
	case v.Screened.Verdict == VerdictReview && v.Cleared:
		return nil
	case v.Screened.Verdict == VerdictReview:
		return ErrUnderReview
	case v.Screened.Verdict == VerdictBlocked:
		return ErrBlocked
	default:
		return ErrNotScreened
	}
}

// Evidence is Delivery for a moderator with an open case about the item: what is held, deleted or under review can be looked at,
// and what was purged while the case was opened, for its bytes stay until the case is closed. What was not screened yet cannot.
func (s State) Evidence(n int) error {
	switch s.Phase {
	case Live, Erasable, Gone:
	default:
		return ErrNotFound
	}
	v, ok := s.Version(n)
	switch {
	case !ok:
		return ErrNoVersion
	case v.Screened.Verdict == "":
		return ErrNotScreened
	}
	return nil
}

// Objects are the keys of all versions' bytes and of what was made of them, each once.
func (s State) Objects() []domain.ObjectKey {
	var keys []domain.ObjectKey
	for _, v := range s.Versions {
		if !slices.Contains(keys, v.File.Object) {
			keys = append(keys, v.File.Object)
		}
		for _, d := range v.Derivatives {
			if !slices.Contains(keys, d.Object) {
				keys = append(keys, d.Object)
			}
		}
	}
	return keys
}

// Right is what the actor may do with an item that is not his own; commands gathers it from the shares' streams.
type Right string

// The rights. The zero Right is none: the item does not exist for the actor, unless it is his own.
const (
	RightNone Right = ""
	RightSee  Right = "see"
	RightEdit Right = "edit"
)

// Policy holds the owner's limits. It is configuration; the zero Policy accepts nothing.
type Policy struct {
	MaxSize        int64         // bytes of one file
	MaxName        int           // bytes of a sanitised file name
	MaxTitle       int           // characters
	MaxDescription int           // characters
	MaxTags        int           // tags of one item
	MaxTag         int           // characters of one tag
	MaxVersions    int           // versions of one item
	RequestFor     time.Duration // how long an announced upload may be completed
	Accepted       []string      // MIME types; empty: all that the vault knows (Types in types.go)
}

// DefaultPolicy is the owner's policy as it was handed over.
func DefaultPolicy() Policy {
	return Policy{
		MaxSize:        5 << 30,
		MaxName:        255,
		MaxTitle:       512,
		MaxDescription: 16 << 10,
		MaxTags:        50,
		MaxTag:         64,
		MaxVersions:    1000,
		RequestFor:     time.Hour,
	}
}

// owned lets the owner through, tells those who can see the item that it is not theirs, and strangers that there is none.
func (s State) owned(by domain.Actor, right Right) error {
	switch {
	case s.Owner == "":
		return ErrNotFound
	case by.Known() && by.ID == s.Owner:
		return nil
	case s.Known() && (right != RightNone || by.MemberOf(s.Org)):
		return ErrNotOwner
	default:
		return ErrNotFound
	}
}

// Editable lets the owner and those with RightEdit through, when the item is live and not held by a moderator.
func (s State) Editable(by domain.Actor, right Right) error {
	if err := s.owned(by, right); err != nil && (right != RightEdit || s.Phase != Live) {
		if errors.Is(err, ErrNotOwner) && s.Phase == Live {
			return ErrNotOwner.Because("only the item's owner, or who holds a share of it with the edit permission, may do this")
		}
		return err
	}
	if err := s.live(); err != nil {
		return err
	}
	return s.unheld()
}

// unheld refuses while a moderator holds the item: what he looks at must not change under his eyes. What screening
// quarantined may be mended by its owner, by another version.
func (s State) unheld() error {
	for _, h := range s.Holds {
		switch {
		case h.Kind == IsRemoved:
			return ErrRemoved
		case h.Kind == IsQuarantined && !h.screening():
			return ErrQuarantined
		}
	}
	return nil
}
