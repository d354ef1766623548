package projections

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// SharesName is the name of the read model.
const SharesName = "shares"

// The states of a share. Expired and exhausted follow from the terms, the count and the moment, recorded or not.
const (
	ShareActive    = "active"
	ShareExpired   = "expired"
	ShareExhausted = "exhausted"
	ShareRevoked   = "revoked"
	ShareSuspended = "suspended" // its item cannot be had for now
	ShareClosed    = "closed"    // its item is gone for good
)

// ShareRow is one share. The hash of its password is not in it, only whether there is one.
type ShareRow struct {
	Share        domain.ShareID `db:"share"`
	Media        domain.MediaID `db:"media"`
	Owner        domain.UserID  `db:"owner"` // of the media
	By           domain.UserID  `db:"granted_by"`
	Through      domain.ShareID `db:"through"`
	Kind         string         `db:"recipient"` // user, organisation, link
	User         domain.UserID  `db:"user_id"`
	Organisation domain.OrgID   `db:"organisation"`
	Token        domain.Digest  `db:"token"`
	Permissions  []string       `db:"permissions"`
	ExpiresAt    time.Time      `db:"expires_at"` // zero: never
	Password     bool           `db:"password"`
	MaxOpens     int            `db:"max_opens"` // 0: no limit
	Limited      bool           `db:"limited"`   // a limit of opens was ever set, so that opens are in a stream of their own
	Opens        int            `db:"opens"`
	OpenedAt     time.Time      `db:"opened_at"` // the last time
	Revoked      bool           `db:"revoked"`
	RevokedBy    domain.UserID  `db:"revoked_by"`
	RevokedAt    time.Time      `db:"revoked_at"`
	Suspended    share.Code     `db:"suspended"` // why; empty: it is not
	Closed       bool           `db:"closed"`
	GrantedAt    time.Time      `db:"granted_at"`
	UpdatedAt    time.Time      `db:"updated_at"` // of its terms, or its revocation
	Revision     int64          `db:"revision"`   // of the share's stream
}

// sharesModel is the projection.
type sharesModel struct{}

// SharesProjection makes the read model of shares, given and received.
func SharesProjection() Projection[ShareRow] { return sharesModel{} }

// Name implements Projection.
func (sharesModel) Name() string { return SharesName }

// Types implements Projection.
func (sharesModel) Types() []string {
	return append(typeNames(share.Types), access.Served{}.EventType())
}

// Table implements Projection.
func (sharesModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "owner, granted_at, key"},
		{On: "granted_by, granted_at, key"},
		{On: "user_id, granted_at, key", Where: "user_id <> ''"},
		{On: "organisation, granted_at, key", Where: "organisation <> ''"},
		{On: "media"},
		{On: "token", Where: "token <> ''"},
	}}
}

// Keys implements Projection.
func (sharesModel) Keys(rec eventstore.Recorded) []string {
	if rec.Stream.Category() == share.Category {
		return []string{rec.Stream.ID()}
	}
	if e, ok := rec.Event.(access.Served); ok && e.Share != "" && !e.Continued {
		return []string{string(e.Share)}
	}
	return nil
}

// Evolve implements Projection.
func (sharesModel) Evolve(_ string, row ShareRow, rec eventstore.Recorded) (ShareRow, bool) {
	switch e := rec.Event.(type) {
	case share.Granted:
		row.Share, row.Media, row.Owner, row.By, row.Through = e.Share, e.Media, e.Owner, e.By, e.Through
		row.Kind, row.User, row.Organisation, row.Token = string(e.With.Kind), e.With.User, e.With.Organisation, e.With.Token
		row.GrantedAt, row.UpdatedAt, row.Revision = rec.At, rec.At, int64(rec.Revision)
		row = onTerms(row, e.Terms)
	case share.Changed:
		row.UpdatedAt, row.Revision = rec.At, int64(rec.Revision)
		row = onTerms(row, e.Terms)
	case share.Revoked:
		row.Revoked, row.RevokedBy, row.RevokedAt = true, e.By, rec.At
		row.UpdatedAt, row.Revision = rec.At, int64(rec.Revision)
	case share.Suspended:
		row.Suspended, row.Revision = e.Code, int64(rec.Revision)
	case share.Resumed:
		row.Suspended, row.Revision = "", int64(rec.Revision)
	case share.Closed:
		row.Closed, row.Revision = true, int64(rec.Revision)
	case share.EndAnnounced, share.Expired, share.Exhausted:
		row.Revision = int64(rec.Revision)
	case access.Served:
		if e.Opens() {
			row.Opens++
			row.OpenedAt = rec.At
		}
	}
	return row, row.Share != ""
}

func onTerms(row ShareRow, t share.Terms) ShareRow {
	row.Permissions = permissionsOf(t)
	row.ExpiresAt, row.Password, row.MaxOpens = expiry(t), t.PasswordHash != "", t.MaxOpens
	row.Limited = row.Limited || t.MaxOpens > 0
	return row
}

func permissionsOf(t share.Terms) []string {
	p := make([]string, len(t.Permissions))
	for i := range t.Permissions {
		p[i] = string(t.Permissions[i])
	}
	return p
}

// status is what the share is at a time.
func (row ShareRow) status(at time.Time) string {
	switch {
	case row.Revoked:
		return ShareRevoked
	case row.Closed:
		return ShareClosed
	case !row.ExpiresAt.IsZero() && !at.Before(row.ExpiresAt):
		return ShareExpired
	case row.MaxOpens > 0 && row.Opens >= row.MaxOpens:
		return ShareExhausted
	case row.Suspended != "":
		return ShareSuspended
	default:
		return ShareActive
	}
}
