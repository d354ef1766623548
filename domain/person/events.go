package person

import "github.com/mediavault-io/mediavault/domain"

// Category is the first part of the streams of this aggregate: `person-<id that follows from the person's>`.
const Category = "person"

// Event is a fact about one person. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[ErasureRequested](),
	domain.TypeOf[Erased](),
}

// Ground is why somebody is forgotten, as article 17(1) of the GDPR lists it. It is a code and no text: text about a person who
// is forgotten would outlive him.
type Ground string

// The grounds.
const (
	NotNeeded  Ground = "no_longer_needed"  // (a)
	Withdrawn  Ground = "consent_withdrawn" // (b)
	Objected   Ground = "objected"          // (c)
	Unlawful   Ground = "unlawful"          // (d)
	Obligation Ground = "legal_obligation"  // (e)
	Child      Ground = "child"             // (f)
	Closed     Ground = "account_closed"    // the owner of the vault keeps data until then
)

// Grounds are all of them.
func Grounds() []Ground {
	return []Ground{NotNeeded, Withdrawn, Objected, Unlawful, Obligation, Child, Closed}
}

// ErasureRequested is that a person has to be forgotten. It cannot be taken back: from here on nobody is shown his texts.
type ErasureRequested struct {
	Subject domain.UserID `json:"subject"`
	By      domain.UserID `json:"by"`
	Ground  Ground        `json:"ground"`
}

// Erased is that a person was forgotten: his key is destroyed, no process remembers it, and his items are purged, but for those
// that are evidence in an open case.
type Erased struct {
	Subject domain.UserID `json:"subject"`
	Kept    int           `json:"kept"` // items that are evidence: deleted, and purged when their case is closed
}

// EventType implements domain.Event.
func (ErasureRequested) EventType() string { return "person.erasure_requested" }

// EventType implements domain.Event.
func (Erased) EventType() string { return "person.erased" }
