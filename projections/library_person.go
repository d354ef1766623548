package projections

import (
	"context"
	"fmt"

	"github.com/mediavault-io/mediavault/domain"
)

// Belongings counts what a person has.
type Belongings struct {
	Items    int // that are not purged or refused
	Evidence int // of those, in cases that are not closed: they are kept until these are
	Shares   int // of his items, that are neither revoked nor closed
}

// BelongingsOf counts what a person has now, as far as the read models can be brought to now: nothing is to be decided by it.
func (l *Library) BelongingsOf(ctx context.Context, owner domain.UserID) (Belongings, error) {
	for _, name := range []string{LibraryName, ReviewName, SharesName} {
		if err := l.engine.catchUp(ctx, name); err != nil {
			return Belongings{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	gone := []string{string(StatusPurged), string(StatusRefused)}
	var b Belongings
	err := l.engine.pool.QueryRow(ctx, `
		with items as (select key from library_current where owner = $1 and status <> all($2))
		select (select count(*) from items),
			(select count(*) from items where exists (select from review_current s where s.media = items.key and s.status <> 'closed')),
			(select count(*) from shares_current s where s.owner = $1 and not s.revoked and not s.closed)`,
		string(owner), gone).Scan(&b.Items, &b.Evidence, &b.Shares)
	if err != nil {
		return Belongings{}, fmt.Errorf("count what a person has: %w", err)
	}
	return b, nil
}
