package eventstore

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of one append, the same for every log.
const (
	MaxEntries   = 10_000
	MaxEntrySize = 8 << 20  // bytes of data and metadata of one entry
	MaxAppend    = 64 << 20 // bytes of all entries together
	MaxStream    = 255      // bytes of a stream's name; the stream that tells about it, $$ and its name, has as many more
	MaxType      = 255      // bytes of a type's name
)

// CheckAppend is what every log asks of an append before anything else, so that all refuse the same: ErrInvalid,
// ErrTooLarge, or ErrIDReused for an id that comes twice.
func CheckAppend(stream Stream, expected Expected, entries []Entry) error {
	name := string(stream)
	if about, ok := strings.CutPrefix(name, "$$"); ok && about != "" {
		name = about
	}
	if err := checkName("stream", name, MaxStream); err != nil {
		return err
	}
	if expected < Any {
		return fmt.Errorf("%w: expected revision %d", ErrInvalid, expected)
	}
	if len(entries) == 0 {
		return fmt.Errorf("%w: no entries", ErrInvalid)
	}
	if len(entries) > MaxEntries {
		return fmt.Errorf("%w: %d entries, at most %d", ErrTooLarge, len(entries), MaxEntries)
	}
	total := 0
	for i, e := range entries {
		if err := checkName("type", e.Type, MaxType); err != nil {
			return err
		}
		size := len(e.Data) + len(e.Metadata)
		if size > MaxEntrySize {
			return fmt.Errorf("%w: entry %d has %d bytes, at most %d", ErrTooLarge, i, size, MaxEntrySize)
		}
		total += size
	}
	if total > MaxAppend {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, total, MaxAppend)
	}
	return checkIDs(entries)
}

func checkIDs(entries []Entry) error {
	if len(entries) == 1 {
		return nil
	}
	if len(entries) <= 16 { // comparing is cheaper than a map, and allocates nothing
		for i := range entries {
			for j := range i {
				if entries[i].ID == entries[j].ID {
					return fmt.Errorf("%w: %s comes twice", ErrIDReused, entries[i].ID)
				}
			}
		}
		return nil
	}
	seen := make(map[uuid.UUID]struct{}, len(entries))
	for _, e := range entries {
		if _, twice := seen[e.ID]; twice {
			return fmt.Errorf("%w: %s comes twice", ErrIDReused, e.ID)
		}
		seen[e.ID] = struct{}{}
	}
	return nil
}

func checkName(what, name string, most int) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the %s has no name", ErrInvalid, what)
	case len(name) > most:
		return fmt.Errorf("%w: the %s's name has %d bytes, at most %d", ErrInvalid, what, len(name), most)
	case !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: the %s's name is not text", ErrInvalid, what)
	}
	return nil
}
