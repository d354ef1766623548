package access

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// The refusals. Their codes never change. What the item's own state forbids is said in the media aggregate's words.
var (
	ErrNotFound   = domain.Refuse(domain.NotFound, "not_found", "there is no such item")
	ErrRestricted = domain.Refuse(domain.Forbidden, "restricted", "the item is restricted to its owner and those it is shared with by name")
	ErrExhausted  = domain.Refuse(domain.Gone, "share_exhausted", "the share was opened as often as it allows")
	ErrWhat       = domain.Refuse(domain.Invalid, "invalid", "what is asked for is not one of content, download, thumbnail, view")
)

// What can be served.
const (
	Content   = "content"
	Download  = "download"
	Thumbnail = "thumbnail"
	View      = "view" // what is said about the item: no bytes
)

// Opens reports whether serving this counts against a share's limit. A preview or a description does not; a request for bytes does, also
// for a part of them, because whoever may ask for parts without limit has everything. Who opened it goes on with it (GoOn).
func Opens(what string) bool { return what == Content || what == Download }

// Opens reports whether this was an open, and not another part of what was opened before.
func (e Served) Opens() bool { return Opens(e.What) && !e.Continued }

// State is what went through the stream's share, or what was gone on with in the stream of an open.
type State struct {
	Opens int
	Parts int
}

// Evolve is state + event -> state.
func Evolve(s State, e Event) State { return e.evolve(s) }

// Serve asks to hand out content. What the streams of the item and of the share said at this moment are its fields.
type Serve struct {
	Media   domain.MediaID
	Version int // as it will be served, from 1
	What    string
	Via     Via            // the right that was found; empty: none
	Share   domain.ShareID // when Via is share or link
	From    int64          // first byte that was asked for
	Bytes   int64          // how many were asked for

	Found      bool  // the item is there
	Restricted bool  // moderation narrowed it to its owner and those it is shared with by name
	Delivery   error // why the item's state forbids to deliver, or nil
	Right      error // why the right does not hold: the share's refusal, or nil
	MaxOpens   int   // of the share; 0: no limit
	// Opener and Until are what an open through a share with a limit is recorded with, for GoOn.
	Opener domain.Digest
	Until  time.Time
}

// Decide serves, or refuses. Without a right the item does not exist; with one, its state may be known.
func (c Serve) Decide(s State) ([]Event, error) {
	if !slices.Contains([]string{Content, Download, Thumbnail, View}, c.What) {
		return nil, ErrWhat.On("what")
	}
	switch {
	case !c.Found:
		return nil, ErrNotFound
	case c.Right != nil:
		return nil, c.Right
	case c.Via == "":
		return nil, ErrNotFound
	case (c.Via == ViaLink || c.Via == ViaOrganisation) && c.Restricted:
		return nil, ErrRestricted
	case c.Delivery != nil && !(c.What == View && (c.Via == ViaOwner || c.Via == ViaRole)):
		return nil, c.Delivery
	case c.MaxOpens > 0 && Opens(c.What) && s.Opens >= c.MaxOpens:
		return nil, ErrExhausted
	}
	served := Served{Media: c.Media, Version: c.Version, What: c.What, Via: c.Via, Share: c.Share, From: c.From, Bytes: c.Bytes}
	if c.MaxOpens > 0 && Opens(c.What) {
		served.Opener, served.Until = c.Opener, c.Until
	}
	return []Event{served}, nil
}

func (e Served) evolve(s State) State {
	switch {
	case e.Continued:
		s.Parts++
	case Opens(e.What):
		s.Opens++
	}
	return s
}

func (Refused) evolve(s State) State { return s }

// Refuse records that a request was refused.
type Refuse struct {
	Refused Refused
}

// Decide records it, always: asking twice was refused twice.
func (c Refuse) Decide(State) ([]Event, error) {
	if c.Refused.Code == "" {
		return nil, nil
	}
	return []Event{c.Refused}, nil
}
