package projections

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// UsageName is the name of the read model.
const UsageName = "usage"

// UsageRow counts what one item takes and gives. An item has one row without a day, that knows whose it is and what is
// stored now, and one row per day (UTC) on which something flowed. Most events say which item they are about but not whose
// it is; so owners and organisations are sums over items, asked for by the row without a day.
type UsageRow struct {
	Media domain.MediaID `db:"media"`
	Day   string         `db:"day"` // 2006-01-02, or empty

	// Of the row without a day: what there is.
	Owner    domain.UserID `db:"owner"`
	Org      domain.OrgID  `db:"org"`
	Items    int           `db:"items"`    // 1 until purged
	Deleted  int           `db:"deleted"`  // 1 while deleted
	Versions int           `db:"versions"` // stored
	Bytes    int64         `db:"bytes"`    // stored

	// Of the rows with a day: what happened on it.
	Uploads       int   `db:"uploads"`
	Refused       int   `db:"refused"`
	UploadedBytes int64 `db:"uploaded_bytes"`
	Shares        int   `db:"shares"` // granted
	Opens         int   `db:"opens"`  // requests for bytes that were served, downloads among them; thumbnails are not counted
	Downloads     int   `db:"downloads"`
	ServedBytes   int64 `db:"served_bytes"`
}

// usageKey is a row's key.
func usageKey(id domain.MediaID, day string) string {
	if day == "" {
		return string(id)
	}
	return string(id) + "|" + day
}

func dayOf(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// usageModel is the projection.
type usageModel struct{}

// UsageProjection makes the read model of what is stored, shared and served.
func UsageProjection() Projection[UsageRow] { return usageModel{} }

// Name implements Projection.
func (usageModel) Name() string { return UsageName }

// Types implements Projection.
func (usageModel) Types() []string {
	return []string{
		media.Uploaded{}.EventType(), media.VersionAdded{}.EventType(), media.UploadRefused{}.EventType(), media.Deleted{}.EventType(),
		media.Restored{}.EventType(), media.Purged{}.EventType(), share.Granted{}.EventType(), access.Served{}.EventType(),
	}
}

// Table implements Projection.
func (usageModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "owner", Where: "day = ''"},
		{On: "org", Where: "day = ''"},
		{On: "media, day"},
	}}
}

// Keys implements Projection.
func (usageModel) Keys(rec eventstore.Recorded) []string {
	day := dayOf(rec.At)
	switch e := rec.Event.(type) {
	case media.Uploaded:
		return []string{usageKey(e.Media, ""), usageKey(e.Media, day)}
	case media.VersionAdded:
		id := domain.MediaID(rec.Stream.ID())
		return []string{usageKey(id, ""), usageKey(id, day)}
	case media.UploadRefused:
		return []string{usageKey(e.Media, ""), usageKey(e.Media, day)}
	case media.Deleted, media.Restored, media.Purged:
		return []string{rec.Stream.ID()}
	case share.Granted:
		return []string{usageKey(e.Media, day)}
	case access.Served:
		return []string{usageKey(e.Media, day)}
	default:
		return nil
	}
}

// Evolve implements Projection; key says in which of its rows the event is counted.
func (usageModel) Evolve(key string, row UsageRow, rec eventstore.Recorded) (UsageRow, bool) {
	id, day, total := usageParts(key)
	row.Media, row.Day = id, day
	if total {
		return stored(row, rec.Event), true
	}
	switch e := rec.Event.(type) {
	case media.Uploaded:
		row.Uploads++
		row.UploadedBytes += e.File.Size
	case media.VersionAdded:
		row.Uploads++
		row.UploadedBytes += e.File.Size
	case media.UploadRefused:
		row.Refused++
	case share.Granted:
		row.Shares++
	case access.Served:
		if e.Opens() {
			row.Opens++
		}
		row.ServedBytes += e.Bytes
		if e.What == access.Download && !e.Continued {
			row.Downloads++
		}
	}
	return row, true
}

func usageParts(key string) (id domain.MediaID, day string, total bool) {
	if n := len(key) - len("|2006-01-02"); n > 0 && key[n] == '|' {
		return domain.MediaID(key[:n]), key[n+1:], false
	}
	return domain.MediaID(key), "", true
}

func stored(row UsageRow, e domain.Event) UsageRow {
	switch e := e.(type) {
	case media.Uploaded:
		row.Owner, row.Org = e.Owner, e.Org
		row.Items, row.Versions, row.Bytes = 1, 1, e.File.Size
	case media.VersionAdded:
		row.Versions++
		row.Bytes += e.File.Size
	case media.UploadRefused:
		row.Owner, row.Org = e.Owner, e.Org
	case media.Deleted:
		row.Deleted = 1
	case media.Restored:
		row.Deleted = 0
	case media.Purged:
		row.Items, row.Deleted, row.Versions, row.Bytes = 0, 0, 0, 0
	}
	return row
}
