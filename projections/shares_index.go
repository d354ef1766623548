package projections

import (
	"context"

	"github.com/mediavault-io/mediavault/domain"
)

// SharesWith answers the ids of an item's shares that name the actor or his organisation, those alive before the revoked,
// oldest first, 100 at most: a hint for who checks each against its stream.
func (s *Shares) SharesWith(ctx context.Context, item domain.MediaID, actor domain.Actor) ([]domain.ShareID, error) {
	if !actor.Known() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	at, err := s.view.Resolve(ctx, Moment{})
	if err != nil {
		return nil, err
	}
	var args Args
	named := "s.recipient = 'user' and s.user_id = " + args.Add(string(actor.ID))
	if actor.MemberOf(actor.Org) {
		named += " or s.recipient = 'organisation' and s.organisation = " + args.Add(string(actor.Org))
	}
	rows, err := s.view.Query(ctx, "select "+s.view.Columns("s")+" from shares s where s.media = "+args.Add(string(item))+
		" and ("+named+") and "+at.Where("s", &args)+" order by s.revoked, s.granted_at limit 100", &args)
	if err != nil {
		return nil, err
	}
	ids := make([]domain.ShareID, len(rows))
	for i, r := range rows {
		ids[i] = r.Row.Share
	}
	return ids, nil
}
