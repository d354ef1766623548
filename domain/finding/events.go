package finding

import "github.com/mediavault-io/mediavault/domain"

// Category is the first part of the streams of this aggregate: `finding-<id>`.
const Category = "finding"

// Event is a fact about one finding. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Raised](),
	domain.TypeOf[Rescored](),
	domain.TypeOf[StatusChanged](),
	domain.TypeOf[Referred](),
}

// Place is where in an item something was found.
type Place string

// The places.
const (
	InName        Place = "name" // of the file
	InTitle       Place = "title"
	InDescription Place = "description"
	InTags        Place = "tags"
	InContent     Place = "content" // the text of a document
)

// Detector says by what something was found.
type Detector struct {
	Name      string `json:"name"`                // pii
	Version   string `json:"version"`             // of the patterns: the first 12 digits of their SHA-256
	Threshold int    `json:"threshold,omitempty"` // in percent: the confidence that had to be reached
}

// Raised says that something of one type was found in one place. Said again, it replaces what was said before: another count,
// version or confidence.
type Raised struct {
	Finding domain.FindingID `json:"finding"`
	Media   domain.MediaID   `json:"media"`
	Owner   domain.UserID    `json:"owner"`
	Org     domain.OrgID     `json:"org,omitempty"`
	Version int              `json:"version,omitempty"` // of the media; 0: what it says is not in a version's bytes or name
	Type    string           `json:"type"`              // ssn, credit_card, iban, ...
	Place   Place            `json:"place"`
	Count   int              `json:"count"` // different values
	// Confidence is that of the surest, in percent; Sensitivity is from 1 to 10.
	Confidence  int `json:"confidence"`
	Sensitivity int `json:"sensitivity"`
	// Sample is the surest with most of it masked; the value itself is nowhere stored.
	Sample   domain.Personal `json:"sample,omitzero"`
	Detector Detector        `json:"detector"`
	Exposure Exposure        `json:"exposure"`
	Risk     int             `json:"risk"` // 1 to 100
}

// Rescored is another risk, because others may see the item now than before.
type Rescored struct {
	Exposure Exposure `json:"exposure"`
	Risk     int      `json:"risk"`
	Before   int      `json:"before"` // the risk until now
}

// StatusChanged is what a person, or the vault itself when the thing is gone or back, says of a finding.
type StatusChanged struct {
	By   domain.UserID   `json:"by"`
	From Status          `json:"from"`
	To   Status          `json:"to"`
	Code string          `json:"code,omitempty"` // gone, back, approved: of the vault itself
	Note domain.Personal `json:"note,omitzero"`  // why; about the owner of the item
}

// Referred is that the finding was put before people, in a case about its item: its risk asked for that.
type Referred struct {
	Media domain.MediaID `json:"media"`
	Owner domain.UserID  `json:"owner"`
	Case  domain.CaseID  `json:"case"`
	Type  string         `json:"type"`  // of what was found
	Risk  int            `json:"risk"`  // then
	Least int            `json:"least"` // the risk from which people look: a threshold that is configured
}

// EventType implements domain.Event.
func (Raised) EventType() string { return "finding.raised" }

// EventType implements domain.Event.
func (Rescored) EventType() string { return "finding.rescored" }

// EventType implements domain.Event.
func (StatusChanged) EventType() string { return "finding.status_changed" }

// EventType implements domain.Event.
func (Referred) EventType() string { return "finding.referred" }
