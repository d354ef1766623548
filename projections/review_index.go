package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
)

// CaseIndex finds cases and shares for commands, as near to now as the read models can be.
type CaseIndex struct {
	review *Review
	shares *Shares
}

// NewCaseIndex makes the index.
func NewCaseIndex(review *Review, shares *Shares) *CaseIndex {
	return &CaseIndex{review: review, shares: shares}
}

// Waiting answers the cases that the moderator could claim, what is most urgent first: what waits, is in nobody else's hands,
// is not his own, and was not decided or proposed by himself. Escalated cases are for admins, and those alone.
func (c *CaseIndex) Waiting(ctx context.Context, moderator domain.Actor, most int) ([]domain.CaseID, error) {
	r := c.review
	if err := r.engine.catchUp(ctx, ReviewName); err != nil {
		return nil, err
	}
	var args Args
	id, now := args.Add(string(moderator.ID)), args.Add(r.engine.now().UTC())
	may := "not s.escalated"
	switch {
	case !moderator.Is(domain.RoleModerator):
		may = "s.escalated"
	case moderator.Is(domain.RoleAdmin):
		may = "true"
	}
	return r.ids(ctx, "s.waits and "+may+" and s.owner <> "+id+" and not ("+id+" = any (s.barred)) and (s.moderator = '' or s.lease <= "+now+
		" or s.moderator = "+id+" and s.lease is null) order by s.urgency desc, s.opened_at, s.key limit "+args.Add(most), &args)
}

// ClaimedBy answers the cases that the moderator ever claimed, what changed last first.
func (c *CaseIndex) ClaimedBy(ctx context.Context, moderator domain.UserID, most int) ([]domain.CaseID, error) {
	if err := c.review.engine.catchUp(ctx, ReviewName); err != nil {
		return nil, err
	}
	var args Args
	return c.review.ids(ctx, args.Add(string(moderator))+" = any (s.claimers) order by s.updated_at desc limit "+args.Add(most), &args)
}

// SharesOf answers all shares of an item, in any state, 10,000 at most.
func (c *CaseIndex) SharesOf(ctx context.Context, item domain.MediaID) ([]domain.ShareID, error) {
	return c.shares.SharesOf(ctx, item)
}

func (r *Review) ids(ctx context.Context, where string, args *Args) ([]domain.CaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := r.view.Query(ctx, "select "+r.view.Columns("s")+" from review s where "+At{}.Where("s", args)+" and "+where, args)
	if err != nil {
		return nil, err
	}
	ids := make([]domain.CaseID, len(rows))
	for i, row := range rows {
		ids[i] = row.Row.Case
	}
	return ids, nil
}

// openCase is the event that opened the item's case, when it is not closed.
func (e *Engine) openCase(ctx context.Context, id domain.MediaID, at At) (Cause, error) {
	var args Args
	sql := "select s.opened_position, s.opened_at from review s where s.media = " + args.Add(string(id)) + " and s.status <> 'closed' and " +
		at.Where("s", &args) + " order by s.opened_position limit 1"
	c := Cause{Type: moderation.Opened{}.EventType()}
	err := e.pool.QueryRow(ctx, sql, args.Values()...).Scan(&c.Position, &c.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return Cause{}, nil
	}
	if err != nil {
		return Cause{}, fmt.Errorf("open case of an item: %w", err)
	}
	c.At = c.At.UTC()
	return c, nil
}

// catchUp waits until the read model has what the log has now. What it cannot reach in time is answered as it is: the index
// gives hints.
func (e *Engine) catchUp(ctx context.Context, name string) error {
	head, err := e.source.Head(ctx)
	if err != nil {
		return err
	}
	if err := e.WaitFor(ctx, name, head); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}
