package media

import "github.com/mediavault-io/mediavault/domain"

// DescriptionRequested is that the owner asked for a description of what a version shows.
type DescriptionRequested struct {
	Number  int           `json:"number"` // of this request, from 1
	Version int           `json:"version"`
	By      domain.UserID `json:"by"`
}

// DescriptionSuggested is a text that somebody's program, or the vault from the metadata alone, suggests. It describes nothing
// before the owner accepts it.
type DescriptionSuggested struct {
	Number   int             `json:"number"` // of the request
	Version  int             `json:"version"`
	Text     domain.Personal `json:"text,omitzero"`
	Provider string          `json:"provider"` // metadata: the vault itself, without looking at the picture
	Model    string          `json:"model,omitempty"`
	// Failed are the providers that were asked before and did not answer, as `name: code`, and why nobody was asked.
	Failed []string `json:"failed,omitempty"`
}

// SuggestionAccepted is that the owner made a suggestion, as it was or edited, the item's description.
type SuggestionAccepted struct {
	Number int           `json:"number"` // of the request
	By     domain.UserID `json:"by"`
	Edited bool          `json:"edited,omitempty"`
}

// SuggestionRejected is that the owner did not want a suggestion.
type SuggestionRejected struct {
	Number int           `json:"number"` // of the request
	By     domain.UserID `json:"by"`
}

// Fingerprinted is what a version looks like, as a perceptual hash: pictures that look alike have hashes that differ in few bits.
type Fingerprinted struct {
	Version   int           `json:"version"`
	Owner     domain.UserID `json:"owner"`
	Algorithm string        `json:"algorithm"` // phash64-1
	Hash      string        `json:"hash"`      // 16 hexadecimal digits
}

// Resembles is that the version looks like another item's. Nothing follows from it by itself.
type Resembles struct {
	Version   int            `json:"version"`
	Other     domain.MediaID `json:"other"`
	Of        int            `json:"of"`       // the other item's version
	Distance  int            `json:"distance"` // bits in which the hashes differ, from 0
	Algorithm string         `json:"algorithm"`
}

// EventType implements domain.Event.
func (DescriptionRequested) EventType() string { return "media.description_requested" }

// EventType implements domain.Event.
func (DescriptionSuggested) EventType() string { return "media.description_suggested" }

// EventType implements domain.Event.
func (SuggestionAccepted) EventType() string { return "media.suggestion_accepted" }

// EventType implements domain.Event.
func (SuggestionRejected) EventType() string { return "media.suggestion_rejected" }

// EventType implements domain.Event.
func (Fingerprinted) EventType() string { return "media.fingerprinted" }

// EventType implements domain.Event.
func (Resembles) EventType() string { return "media.resembles" }
