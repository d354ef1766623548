package moderation

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `moderation-<case id>`.
const Category = "moderation"

// Event is a fact about one case. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Opened](),
	domain.TypeOf[Reported](),
	domain.TypeOf[ReachChanged](),
	domain.TypeOf[Assigned](),
	domain.TypeOf[Claimed](),
	domain.TypeOf[GivenBack](),
	domain.TypeOf[Escalated](),
	domain.TypeOf[Proposed](),
	domain.TypeOf[Confirmed](),
	domain.TypeOf[Declined](),
	domain.TypeOf[Decided](),
	domain.TypeOf[Appealed](),
	domain.TypeOf[AppealDecided](),
	domain.TypeOf[Reopened](),
	domain.TypeOf[Closed](),
}

// Origin is what opened a case.
type Origin string

// The origins.
const (
	FromReport   Origin = "report"   // a person
	FromDetector Origin = "detector" // the vault itself: screening, or a finding whose risk asks for it
	FromReferral Origin = "referral" // a moderator, by hand
)

// Action is what a decision does to the media.
type Action string

// The actions.
const (
	Approve    Action = "approve"    // nothing wrong: released, if it was held
	Restrict   Action = "restrict"   // only the owner and those it is shared with by name; links stop working
	Quarantine Action = "quarantine" // nobody but moderators gets the bytes
	Remove     Action = "remove"     // gone for everybody
)

// Outcome is how an appeal ends.
type Outcome string

// The outcomes.
const (
	Uphold   Outcome = "uphold"   // the decision stands
	Overturn Outcome = "overturn" // the decision falls: the media is what it was before
)

// Opened is the birth of a case. A media item has at most one case that is not closed.
type Opened struct {
	Case     domain.CaseID   `json:"case"`
	Media    domain.MediaID  `json:"media"`
	Owner    domain.UserID   `json:"owner"`
	Origin   Origin          `json:"origin"`
	By       domain.UserID   `json:"by"`
	Category string          `json:"category"` // from Categories
	Note     domain.Personal `json:"note,omitzero"`
	Score    int             `json:"score,omitempty"` // 0..100: how sure the detector is
	// Version is the one of the media that this is about; it stays evidence, whatever version comes later. 0: not known then.
	Version int `json:"version,omitempty"`
	// Reach is who could see the media then.
	Reach Reach `json:"reach,omitzero"`
	// Finding is what was found in the media, when that opened the case.
	Finding domain.FindingID `json:"finding,omitempty"`
}

// Reach is how many may see a media item besides its owner, by the shares that are alive.
type Reach struct {
	Users         int `json:"users,omitempty"`         // named one by one
	Organisations int `json:"organisations,omitempty"` // its own, and those it is shared with
	Links         int `json:"links,omitempty"`         // each for anyone who holds it
}

// Reported is one more report on media whose case is open already.
type Reported struct {
	Origin   Origin          `json:"origin"`
	By       domain.UserID   `json:"by"`
	Category string          `json:"category"`
	Note     domain.Personal `json:"note,omitzero"`
	Score    int             `json:"score,omitempty"`
	Version  int             `json:"version,omitempty"` // of the media; 0: not known then
	// Finding is what was found in the media, when that is the report.
	Finding domain.FindingID `json:"finding,omitempty"`
}

// ReachChanged is that others may see the media now than before, while the case is open.
type ReachChanged struct {
	Reach Reach `json:"reach"`
}

// Claimed puts a case into the hands of the moderator who took it, until then; said again by the same one it is later. When the
// time is over the case is nobody's, and nothing needs to be said.
type Claimed struct {
	Moderator domain.UserID `json:"moderator"`
	Until     time.Time     `json:"until"`
}

// GivenBack is a claim that its moderator ended early.
type GivenBack struct {
	Moderator domain.UserID `json:"moderator"`
}

// Escalated is a case that a moderator put before an admin: until it is decided, only an admin decides it.
type Escalated struct {
	By   domain.UserID   `json:"by"`
	Note domain.Personal `json:"note,omitzero"` // internal; about the owner
}

// Proposed is a decision that needs a second moderator before it counts.
type Proposed struct {
	Number    int             `json:"number"` // of this proposal in this case, from 1
	Media     domain.MediaID  `json:"media"`
	Version   int             `json:"version,omitempty"`
	By        domain.UserID   `json:"by"`
	Action    Action          `json:"action"`
	Reason    domain.Personal `json:"reason,omitzero"`
	Policy    string          `json:"policy"`
	Statement domain.Personal `json:"statement,omitzero"`
}

// Confirmed is a proposal that a second moderator agreed with: it is decided.
type Confirmed struct {
	Number int           `json:"number"` // of the proposal
	By     domain.UserID `json:"by"`
}

// Declined is a proposal that comes to nothing: a second moderator did not agree, or its author withdrew it.
type Declined struct {
	Number int             `json:"number"` // of the proposal
	By     domain.UserID   `json:"by"`
	Reason domain.Personal `json:"reason,omitzero"` // internal; about the owner
}

// Assigned puts a case into one moderator's hands, without a time.
type Assigned struct {
	Moderator domain.UserID `json:"moderator"`
	By        domain.UserID `json:"by"`
}

// Decided is what a moderator decided, in the number's order; only an appeal or a later decision changes it.
type Decided struct {
	Number    int             `json:"number"` // of this decision in this case, from 1
	Media     domain.MediaID  `json:"media"`
	Version   int             `json:"version,omitempty"` // of the media, that was looked at
	By        domain.UserID   `json:"by"`
	Action    Action          `json:"action"`
	Reason    domain.Personal `json:"reason,omitzero"` // internal; about the owner
	Policy    string          `json:"policy"`          // reference of the rule that was applied
	Statement domain.Personal `json:"statement,omitzero"`
	// ConfirmedBy is the second moderator, where the decision needed one.
	ConfirmedBy domain.UserID `json:"confirmed_by,omitempty"`
}

// Appealed is the owner's objection to the last decision.
type Appealed struct {
	Number   int             `json:"number"`   // of this appeal in this case, from 1
	Decision int             `json:"decision"` // the decision it objects to
	By       domain.UserID   `json:"by"`
	Note     domain.Personal `json:"note,omitzero"`
}

// AppealDecided ends an appeal. It is never judged by who decided first.
type AppealDecided struct {
	Number    int             `json:"number"`             // of the appeal
	Decision  int             `json:"decision,omitempty"` // the decision that was appealed
	Version   int             `json:"version,omitempty"`  // of the media, that the decision was about
	Media     domain.MediaID  `json:"media"`
	By        domain.UserID   `json:"by"`
	Outcome   Outcome         `json:"outcome"`
	Overturns Action          `json:"overturns,omitempty"` // the action that falls, when it does
	Reason    domain.Personal `json:"reason,omitzero"`
	Statement domain.Personal `json:"statement,omitzero"`
}

// Closed ends a case. A later report opens another.
type Closed struct {
	By   domain.UserID `json:"by"`
	Code string        `json:"code"` // approved, appeal_decided, final, findings_closed
}

// EventType implements domain.Event.
func (Opened) EventType() string { return "moderation.opened" }

// EventType implements domain.Event.
func (Reported) EventType() string { return "moderation.reported" }

// EventType implements domain.Event.
func (Assigned) EventType() string { return "moderation.assigned" }

// EventType implements domain.Event.
func (Decided) EventType() string { return "moderation.decided" }

// EventType implements domain.Event.
func (Appealed) EventType() string { return "moderation.appealed" }

// EventType implements domain.Event.
func (AppealDecided) EventType() string { return "moderation.appeal_decided" }

// EventType implements domain.Event.
func (Closed) EventType() string { return "moderation.closed" }

// EventType implements domain.Event.
func (ReachChanged) EventType() string { return "moderation.reach_changed" }

// EventType implements domain.Event.
func (Claimed) EventType() string { return "moderation.claimed" }

// EventType implements domain.Event.
func (GivenBack) EventType() string { return "moderation.given_back" }

// EventType implements domain.Event.
func (Escalated) EventType() string { return "moderation.escalated" }

// EventType implements domain.Event.
func (Proposed) EventType() string { return "moderation.proposed" }

// EventType implements domain.Event.
func (Confirmed) EventType() string { return "moderation.confirmed" }

// EventType implements domain.Event.
func (Declined) EventType() string { return "moderation.declined" }
