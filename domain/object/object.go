// Package object is the stored bytes of one content of one owner: they are stored once, however often he uploads them, and
// destroyed when the last item that needs them is. Bytes are named by their SHA-256; who needs them holds a reference.
//
//	(nothing) --Keep--> stored --Keep--> stored, referenced once more
//	               stored --Release--> stored, or, with the last reference, destroyed
//	               destroyed --Keep--> stored, at another place
package object

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Category is the first part of the streams of this aggregate: `object-<id that follows from owner and digest>`.
const Category = "object"

// Event is a fact about one content. The interface is sealed: an event without its evolve does not compile.
type Event interface {
	domain.Event
	evolve(State) State
}

// Types are all events of this aggregate.
var Types = []domain.Type{
	domain.TypeOf[Stored](),
	domain.TypeOf[Referenced](),
	domain.TypeOf[Released](),
	domain.TypeOf[Destroyed](),
	domain.TypeOf[Swept](),
}

// Stored is that the bytes are at a place.
type Stored struct {
	Owner  domain.UserID    `json:"owner"`
	SHA256 domain.Digest    `json:"sha256"`
	Size   int64            `json:"size"` // bytes
	Object domain.ObjectKey `json:"object"`
}

// Referenced is that an upload needs the bytes: for an item that is there, or is about to be.
type Referenced struct {
	// Upload is the place at which this upload had put its own copy; it names the reference.
	Upload domain.ObjectKey `json:"upload"`
	Media  domain.MediaID   `json:"media"`
}

// Released is that the bytes are not needed by these uploads any more.
type Released struct {
	Media   domain.MediaID     `json:"media"`
	Uploads []domain.ObjectKey `json:"uploads"`
}

// Destroyed is that nobody needs the bytes: they are to be destroyed.
type Destroyed struct {
	Object domain.ObjectKey `json:"object"`
}

// Swept is that bytes which nobody needs were found in storage, and are to be destroyed: an upload was cut off between storing them and
// saying so, or a process between saying that they go and destroying them. It stands in a stream of the vault's own.
type Swept struct {
	Objects []Litter `json:"objects"`
}

// Litter is bytes that nobody needs.
type Litter struct {
	Object   domain.ObjectKey `json:"object"`
	Size     int64            `json:"size"` // bytes
	StoredAt time.Time        `json:"stored_at"`
	Why      Why              `json:"why"`
}

// Why says which kind of litter it is.
type Why string

// The kinds.
const (
	Unnamed   Why = "unnamed"   // no event ever named them
	Abandoned Why = "abandoned" // an upload said that it needs them, and came to nothing
	Announced Why = "announced" // they were put to an announced place that is of no use any more
)

// EventType implements domain.Event.
func (Swept) EventType() string { return "object.swept" }

// EventType implements domain.Event.
func (Stored) EventType() string { return "object.stored" }

// EventType implements domain.Event.
func (Referenced) EventType() string { return "object.referenced" }

// EventType implements domain.Event.
func (Released) EventType() string { return "object.released" }

// EventType implements domain.Event.
func (Destroyed) EventType() string { return "object.destroyed" }

// Reference is one upload's need of the bytes.
type Reference struct {
	Upload domain.ObjectKey
	Media  domain.MediaID
}

// State is what deciding about a content must remember.
type State struct {
	Object     domain.ObjectKey // where the bytes are, or were
	Size       int64
	Live       bool // they are there
	References []Reference
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

func (s State) referenced(upload domain.ObjectKey) bool {
	return slices.ContainsFunc(s.References, func(r Reference) bool { return r.Upload == upload })
}

// Keep says that an upload put its bytes to a place and needs them. After it, State.Object is where the item's bytes are: the
// upload's own copy is not needed when that is another place.
type Keep struct {
	Owner  domain.UserID
	SHA256 domain.Digest
	Size   int64
	Upload domain.ObjectKey // where this upload's copy is
	Media  domain.MediaID
}

// Decide stores the bytes, or references those that are stored already.
func (c Keep) Decide(s State) ([]Event, error) {
	referenced := Referenced{Upload: c.Upload, Media: c.Media}
	switch {
	case s.Live && s.referenced(c.Upload):
		return nil, nil
	case s.Live:
		return []Event{referenced}, nil
	}
	return []Event{Stored{Owner: c.Owner, SHA256: c.SHA256, Size: c.Size, Object: c.Upload}, referenced}, nil
}

func (e Stored) evolve(s State) State {
	s.Object, s.Size, s.Live, s.References = e.Object, e.Size, true, nil
	return s
}

func (e Referenced) evolve(s State) State {
	s.References = append(slices.Clip(s.References), Reference(e))
	return s
}

// Release ends references of one item: that of one upload, or all.
type Release struct {
	Media  domain.MediaID
	Upload domain.ObjectKey // empty: all of the item's
}

// Decide releases what is referenced; with the last reference the bytes are destroyed.
func (c Release) Decide(s State) ([]Event, error) {
	if !s.Live {
		return nil, nil
	}
	released := Released{Media: c.Media}
	for _, r := range s.References {
		if r.Media == c.Media && (c.Upload == "" || r.Upload == c.Upload) {
			released.Uploads = append(released.Uploads, r.Upload)
		}
	}
	switch len(released.Uploads) {
	case 0:
		return nil, nil
	case len(s.References):
		return []Event{released, Destroyed{Object: s.Object}}, nil
	default:
		return []Event{released}, nil
	}
}

func (e Released) evolve(s State) State {
	s.References = slices.DeleteFunc(slices.Clone(s.References), func(r Reference) bool { return slices.Contains(e.Uploads, r.Upload) })
	return s
}

func (e Destroyed) evolve(s State) State { s.Live = false; return s }

func (e Swept) evolve(s State) State { return s }
