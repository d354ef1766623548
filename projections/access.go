package projections

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// AccessName is the name of the read model.
const AccessName = "access"

// AccessRow is one reason why somebody may see an item: the item itself, which says whose it is and what state it is in, or
// one of its shares. Both stand in one table, so that one question at one moment finds all that decides. They are kept as the
// domain's own states, without personal texts and secrets, so that the domain's rules answer and not a copy of them.
type AccessRow struct {
	Media    domain.MediaID `db:"media"`
	Item     *media.State   `db:"item,json"`  // nil in the row of a share
	Share    *share.State   `db:"share,json"` // nil in the row of an item
	Password bool           `db:"password"`   // of a share: it has one
	Opens    int            `db:"opens"`      // of a share

	// Because of which events: the birth of the row, the last change of its terms, and what put it in its present state.
	Born    Cause `db:"born,json"`
	Changed Cause `db:"changed,json"`
	State   Cause `db:"state,json"`
}

// Cause is the event because of which something is as it is.
type Cause struct {
	Position eventstore.Position `json:"position"`
	Type     string              `json:"type"`
	At       time.Time           `json:"at"`
	By       domain.UserID       `json:"by,omitempty"` // empty where the reader may not know
}

// IsZero reports whether there is no such event.
func (c Cause) IsZero() bool { return c.Position == 0 }

func causeOf(rec eventstore.Recorded) Cause {
	return Cause{Position: rec.Position, Type: rec.Type, At: rec.At, By: rec.Metadata.Actor.ID}
}

// accessModel is the projection.
type accessModel struct{}

// AccessProjection makes the read model of who may see what.
func AccessProjection() Projection[AccessRow] { return accessModel{} }

// Name implements Projection.
func (accessModel) Name() string { return AccessName }

// Types implements Projection.
func (accessModel) Types() []string {
	types := append(typeNames(media.Types), typeNames(share.Types)...)
	types = slices.DeleteFunc(types, func(name string) bool { return name == media.Described{}.EventType() }) // changes nobody's access
	return append(types, access.Served{}.EventType())
}

// Table implements Projection.
func (accessModel) Table() Table {
	return Table{Indexes: []Index{{On: "media, key"}}}
}

// Keys implements Projection. A row of an item and a row of a share never have the same key: both are UUIDs, made once.
func (accessModel) Keys(rec eventstore.Recorded) []string {
	switch rec.Stream.Category() {
	case media.Category, share.Category:
		return []string{rec.Stream.ID()}
	}
	if e, ok := rec.Event.(access.Served); ok && e.Share != "" && !e.Continued {
		return []string{string(e.Share)}
	}
	return nil
}

// Evolve implements Projection.
func (accessModel) Evolve(_ string, row AccessRow, rec eventstore.Recorded) (AccessRow, bool) {
	switch e := rec.Event.(type) {
	case media.Event:
		row = evolveItem(row, e)
	case share.Event:
		row = evolveGrant(row, e, rec)
	case access.Served:
		if e.Opens() {
			row.Opens++
		}
		return row, row.Share != nil
	}
	if row.Born.IsZero() {
		row.Born = causeOf(rec)
	}
	row.State = causeOf(rec)
	return row, row.Item != nil || row.Share != nil
}

func evolveItem(row AccessRow, e media.Event) AccessRow {
	var s media.State
	if row.Item != nil {
		s = *row.Item
	}
	s = media.Evolve(s, e)
	// What says who may see an item is its phase, its holds and how each version was screened. The rest is not for this table.
	kept := media.State{ID: s.ID, Owner: s.Owner, Org: s.Org, Phase: s.Phase, Current: s.Current, Holds: s.Holds}
	for _, v := range s.Versions {
		kept.Versions = append(kept.Versions, media.Version{
			Screened: media.Screened{Version: v.Screened.Version, Verdict: v.Screened.Verdict}, Cleared: v.Cleared,
		})
	}
	row.Item, row.Media = &kept, kept.ID
	return row
}

func evolveGrant(row AccessRow, e share.Event, rec eventstore.Recorded) AccessRow {
	var s share.State
	if row.Share != nil {
		s = *row.Share
	}
	s = share.Evolve(s, e)
	switch e := e.(type) {
	case share.Granted:
		row.Password = e.Terms.PasswordHash != ""
	case share.Changed:
		row.Password = e.Terms.PasswordHash != ""
		row.Changed = causeOf(rec)
	}
	s.Terms.PasswordHash = ""
	row.Share, row.Media = &s, s.Media
	return row
}

func expiry(t share.Terms) time.Time {
	if t.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return t.ExpiresAt.UTC().Truncate(time.Microsecond)
}

// typeNames are the stored names of event types.
func typeNames(types []domain.Type) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return names
}
