package projections

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// SharesWith answers the ids of an item's shares that name the actor or his organisation, those alive before the revoked,
// oldest first, 100 at most: a hint for who checks each against its stream. Before it answers that there is none, to who may see the item by
// nothing else, it waits a little for what happened until now: who was just given one may use it.
func (s *Shares) SharesWith(ctx context.Context, item domain.MediaID, actor domain.Actor) ([]domain.ShareID, error) {
	if !actor.Known() {
		return nil, nil
	}
	ids, err := s.sharesWith(ctx, item, actor)
	if err != nil || len(ids) > 0 || isStaff(actor) || actor.Org != "" {
		return ids, err
	}
	head, err := s.engine.source.Head(ctx)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, shareWait)
	defer cancel()
	if s.engine.WaitFor(wait, SharesName, head) != nil {
		return nil, ctx.Err() // a hint is not worth more
	}
	return s.sharesWith(ctx, item, actor)
}

// shareWait is how long SharesWith waits at most.
const shareWait = 2 * time.Second

func (s *Shares) sharesWith(ctx context.Context, item domain.MediaID, actor domain.Actor) ([]domain.ShareID, error) {
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
	return idsOfShares(rows), nil
}

// SharesOf answers the ids of all shares of an item, in any state, those alive before the revoked, the newest first, 10,000 at most.
func (s *Shares) SharesOf(ctx context.Context, item domain.MediaID) ([]domain.ShareID, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	rows, err := s.view.Query(ctx, "select "+s.view.Columns("s")+" from shares s where s.media = "+args.Add(string(item))+" and "+
		At{}.Where("s", &args)+" order by s.revoked, s.granted_at desc limit 10000", &args)
	if err != nil {
		return nil, err
	}
	return idsOfShares(rows), nil
}

// SharesTo answers ids of the shares that were given to a person by name and are neither revoked nor closed, after an id and in the order
// of ids; none: that was all. The first time it waits until the read model has come to the head of the log. Errors: ErrNotYet.
func (s *Shares) SharesTo(ctx context.Context, person domain.UserID, after domain.ShareID) ([]domain.ShareID, error) {
	if after == "" {
		head, err := s.engine.source.Head(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.engine.WaitFor(ctx, SharesName, head); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var args Args
	rows, err := s.view.Query(ctx, "select "+s.view.Columns("s")+" from shares s where s.user_id <> '' and s.user_id = "+args.Add(string(person))+
		" and s.key > "+args.Add(string(after))+" and not s.revoked and not s.closed and "+At{}.Where("s", &args)+" order by s.key limit 1000", &args)
	if err != nil {
		return nil, err
	}
	return idsOfShares(rows), nil
}

func idsOfShares(rows []Version[ShareRow]) []domain.ShareID {
	ids := make([]domain.ShareID, len(rows))
	for i, r := range rows {
		ids[i] = r.Row.Share
	}
	return ids
}

// sharedItems is, for another model's query, the array of the items that are shared with the viewer by name, or with the viewer's
// organisation, at a moment, when the clock said now.
func sharedItems(viewer domain.Actor, at At, now time.Time, args *Args) string {
	with := "s.user_id = " + args.Add(string(viewer.ID))
	if viewer.MemberOf(viewer.Org) {
		with = "(" + with + " or s.organisation = " + args.Add(string(viewer.Org)) + ")"
	}
	return "array(select s.media from shares s where " + with + " and " + at.Where("s", args) +
		" and not s.revoked and (s.expires_at is null or s.expires_at > " + args.Add(now) + ") and (s.max_opens = 0 or s.opens < s.max_opens)" +
		" and (s.through = '' or " + shareStatus(at, now, args) + " = 'active'))" // what came through a share ends with it
}
