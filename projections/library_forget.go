package projections

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
)

// SubjectColumn implements Forgetter: all texts of an item are about its owner.
func (libraryModel) SubjectColumn() string { return "owner" }

// Forget implements Forgetter. What is left is what Evolve makes of events whose texts are erased.
func (libraryModel) Forget(m Media) Media {
	m.Erased = m.Erased || m.FileName != "" || m.Title != "" || len(m.Versions) > 0 // each version has a name
	m.Title, m.Description, m.Tags, m.FileName = "", "", nil, ""
	m.Versions = slices.Clone(m.Versions)
	for i := range m.Versions {
		v := &m.Versions[i]
		v.Name = ""
		if v.Seen != nil {
			seen := *v.Seen
			seen.Place, seen.Author = "", ""
			v.Seen = &seen
		}
	}
	m.lookUp()
	return m
}

var _ interface {
	Projection[Media]
	Forgetter[Media]
} = libraryModel{}

// ownedBatch is how many ids ItemsOf answers at once.
const ownedBatch = 500

// ItemsOf answers ids of what a person has in the library and is not purged or refused, after an id and in the order of ids; none: that
// was all. The first time it waits until the read model has come to the head of the log. Errors: ErrNotYet.
func (l *Library) ItemsOf(ctx context.Context, owner domain.UserID, after domain.MediaID) ([]domain.MediaID, error) {
	if after == "" {
		head, err := l.engine.source.Head(ctx)
		if err != nil {
			return nil, err
		}
		if err := l.engine.WaitFor(ctx, LibraryName, head); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := l.engine.pool.Query(ctx, `select key from library_current where owner = $1 and key > $2 and status <> all($3) order by key limit $4`,
		string(owner), string(after), []string{string(StatusPurged), string(StatusRefused)}, ownedBatch)
	if err != nil {
		return nil, fmt.Errorf("items of a person: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[domain.MediaID])
}
