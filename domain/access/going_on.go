package access

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// A player fetches a film in parts, and leaps about in it: whoever opened something through a share with a limit goes on with it for so
// long, and for so many parts, without opening it again. Both count from the open, so that going on prolongs nothing.
const (
	GoesOnFor = 4 * time.Hour
	MostParts = 1000
)

// ErrOver is an open that nobody goes on with any more, or not with this. To ask for more is to open it again.
var ErrOver = domain.Refuse(domain.Gone, "opening_over", "what was opened cannot be gone on with")

// GoOn asks for another part of what was opened, by whoever shows that it was he. It is recorded in a stream of the open, in order, so
// that parts that are asked for at once never exceed MostParts. All but the count of opens holds as for any other.
type GoOn struct {
	Serve  Serve         // of the part
	Opened Served        // as it was recorded
	Opener domain.Digest // of what is shown for it, and of what is asked for
	At     time.Time
}

// Decide serves the part, or refuses.
func (c GoOn) Decide(s State) ([]Event, error) {
	part := c.Serve
	part.MaxOpens = 0 // it was counted
	if _, err := part.Decide(s); err != nil {
		return nil, err
	}
	if !c.Opened.GoesOn(c.Opener, c.At) || c.Opened.Share != part.Share || c.Opened.Media != part.Media || s.Parts >= MostParts {
		return nil, ErrOver
	}
	return []Event{Served{
		Media: part.Media, Version: part.Version, What: part.What, Via: part.Via, Share: part.Share, From: part.From, Bytes: part.Bytes, Continued: true,
	}}, nil
}

// GoesOn reports whether the open may be gone on with at a moment by whoever has what was digested.
func (e Served) GoesOn(opener domain.Digest, at time.Time) bool {
	return e.Opens() && e.Opener != "" && e.Opener == opener && at.Before(e.Until)
}
