package projections

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// DuplicatesName is the name of the read model.
const DuplicatesName = "duplicates"

// DuplicateRow is by what an item can be recognised.
type DuplicateRow struct {
	Media     domain.MediaID  `db:"media"`
	Owner     domain.UserID   `db:"owner"`
	SHA256    domain.Digest   `db:"sha256"` // of the current version
	Version   int             `db:"version"`
	Digests   []domain.Digest `db:"digests,json"` // of version n at n-1
	Print     int             `db:"print_version"`
	Algorithm string          `db:"algorithm"` // empty: it has no fingerprint
	Hash      int64           `db:"hash"`
	Hidden    bool            `db:"hidden"` // deleted
	Created   time.Time       `db:"created_at"`
}

type duplicatesModel struct{}

// DuplicatesProjection makes the read model of what items can be recognised by.
func DuplicatesProjection() Projection[DuplicateRow] { return duplicatesModel{} }

// Name implements Projection.
func (duplicatesModel) Name() string { return DuplicatesName }

// Types implements Projection.
func (duplicatesModel) Types() []string {
	return typeNames([]domain.Type{
		domain.TypeOf[media.Uploaded](), domain.TypeOf[media.VersionAdded](), domain.TypeOf[media.RolledBack](),
		domain.TypeOf[media.Fingerprinted](), domain.TypeOf[media.Deleted](), domain.TypeOf[media.Restored](), domain.TypeOf[media.Purged](),
	})
}

// Table implements Projection.
func (duplicatesModel) Table() Table {
	return Table{Indexes: []Index{{On: "owner, sha256, key"}, {On: "owner, algorithm, hash, key"}}}
}

// Keys implements Projection.
func (duplicatesModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection.
func (duplicatesModel) Evolve(key string, row DuplicateRow, rec eventstore.Recorded) (DuplicateRow, bool) {
	switch e := rec.Event.(type) {
	case media.Uploaded:
		row.Media, row.Owner, row.Created = domain.MediaID(key), e.Owner, rec.At
		row.Digests, row.Version = []domain.Digest{e.File.SHA256}, 1
	case media.VersionAdded:
		row.Digests, row.Version = append(row.Digests, e.File.SHA256), e.Version
	case media.RolledBack:
		row.Version = e.Version
	case media.Fingerprinted:
		hash, err := strconv.ParseUint(e.Hash, 16, 64)
		if err == nil {
			row.Print, row.Algorithm, row.Hash = e.Version, e.Algorithm, int64(hash) //nolint:gosec // its bits count
		}
	case media.Deleted:
		row.Hidden = true
	case media.Restored:
		row.Hidden = false
	case media.Purged:
		return DuplicateRow{}, false
	}
	if row.Version >= 1 && row.Version <= len(row.Digests) {
		row.SHA256 = row.Digests[row.Version-1]
	}
	return row, row.Media != ""
}

// Duplicates answers which of an owner's items are the same, or look alike.
type Duplicates struct {
	view   View[DuplicateRow]
	access *Access
}

// NewDuplicates makes the queries. The engine must run DuplicatesProjection.
func NewDuplicates(e *Engine, a *Access) (*Duplicates, error) {
	view, err := ViewOf(e, DuplicatesProjection())
	return &Duplicates{view: view, access: a}, err
}

// Duplicate is another item of the same owner.
type Duplicate struct {
	MediaID   domain.MediaID `json:"media_id"`
	Version   int            `json:"version"`
	Kind      string         `json:"kind"`     // exact: the same bytes; near: it looks alike
	Distance  int            `json:"distance"` // bits in which the fingerprints differ; 0 for the same bytes
	CreatedAt time.Time      `json:"created_at"`
}

// The bounds of what looks alike.
const (
	nearDistance  = 8  // bits of 64
	maxDuplicates = 50 // of each kind
)

// Of answers the duplicates of an item for its owner and staff, the same bytes first, then what looks most alike. Errors:
// ErrHidden; ErrMayNotSee for who sees the item by another right.
func (d *Duplicates) Of(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) ([]Duplicate, error) {
	right, err := d.access.Right(ctx, viewer, id, m)
	if err != nil {
		return nil, err
	}
	if right.Via != access.ViaOwner && !isStaff(viewer) {
		return nil, ErrMayNotSee
	}
	at, err := d.view.Resolve(ctx, m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	v, ok, err := d.view.Find(ctx, at, string(id))
	if err != nil {
		return nil, understood(err)
	}
	if !ok {
		return []Duplicate{}, nil
	}
	var args Args
	rows, err := d.view.Query(ctx, "select "+d.view.Columns("s")+" from duplicates s where s.owner = "+args.Add(string(v.Row.Owner))+
		" and s.sha256 = "+args.Add(string(v.Row.SHA256))+" and s.key <> "+args.Add(string(id))+" and not s.hidden and "+at.Where("s", &args)+
		" order by s.created_at, s.key limit "+args.Add(maxDuplicates), &args)
	if err != nil {
		return nil, understood(err)
	}
	found := make([]Duplicate, 0, len(rows))
	for _, r := range rows {
		found = append(found, Duplicate{MediaID: r.Row.Media, Version: r.Row.Version, Kind: "exact", CreatedAt: r.Row.Created.UTC()})
	}
	if v.Row.Algorithm == "" {
		return found, nil
	}
	near, err := d.near(ctx, at, v.Row.Owner, id, v.Row.Algorithm, v.Row.Hash)
	for _, r := range near {
		if !slices.ContainsFunc(found, func(f Duplicate) bool { return f.MediaID == r.row.Media }) {
			found = append(found, Duplicate{
				MediaID: r.row.Media, Version: r.row.Print, Kind: "near", Distance: r.distance, CreatedAt: r.row.Created.UTC(),
			})
		}
	}
	return found, understood(err)
}

type lookalike struct {
	row      DuplicateRow
	distance int
}

// near compares with all fingerprints of the owner: a few nanoseconds each.
func (d *Duplicates) near(ctx context.Context, at At, owner domain.UserID, but domain.MediaID, algorithm string, hash int64) ([]lookalike, error) {
	var args Args
	differs := "bit_count((s.hash # " + args.Add(hash) + "::bigint)::bit(64))"
	rows, err := d.view.Query(ctx, "select "+d.view.Columns("s")+" from duplicates s where s.owner = "+args.Add(string(owner))+
		" and s.algorithm = "+args.Add(algorithm)+" and s.key <> "+args.Add(string(but))+" and not s.hidden and "+at.Where("s", &args)+
		" and "+differs+" <= "+args.Add(nearDistance)+" order by "+differs+", s.created_at, s.key limit "+args.Add(maxDuplicates), &args)
	if err != nil {
		return nil, fmt.Errorf("find what looks alike: %w", err)
	}
	all := make([]lookalike, len(rows))
	for i, r := range rows {
		all[i] = lookalike{row: r.Row, distance: bits.OnesCount64(uint64(r.Row.Hash ^ hash))}
	}
	return all, nil
}

// Near implements the index of the reactor that finds what looks alike.
func (d *Duplicates) Near(ctx context.Context, owner domain.UserID, but domain.MediaID, algorithm, hash string, after eventstore.Position) ([]media.Resembles, error) {
	print, err := strconv.ParseUint(hash, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("fingerprint %q: %w", hash, err)
	}
	if err := d.view.engine.WaitFor(ctx, DuplicatesName, after); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	found, err := d.near(ctx, At{}, owner, but, algorithm, int64(print)) //nolint:gosec // its bits count
	if err != nil {
		return nil, err
	}
	near := make([]media.Resembles, len(found))
	for i, f := range found {
		near[i] = media.Resembles{Other: f.row.Media, Of: f.row.Print, Distance: f.distance}
	}
	return near, nil
}
