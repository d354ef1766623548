package projections

import (
	"context"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// mediaQuestion is one question while its SQL is put together.
type mediaQuestion struct {
	viewer  domain.Actor
	at      At
	time    time.Time // what the clock says at the moment
	shares  bool
	args    *Args
	filter  []string
	visible string // the condition on the moment, once it is known
}

func (l *Library) question(ctx context.Context, viewer domain.Actor, m Moment) (*mediaQuestion, error) {
	q := &mediaQuestion{viewer: viewer, args: &Args{}, shares: l.engine.find(SharesName) != nil}
	names := []string{LibraryName}
	if q.shares {
		names = append(names, SharesName)
	}
	var err error
	if q.at, err = l.engine.Resolve(ctx, m, names...); err != nil {
		return nil, err
	}
	q.time, err = l.clock(ctx, m)
	return q, err
}

// clock is what the clock said at a moment. Of a position that never changes.
func (l *Library) clock(ctx context.Context, m Moment) (time.Time, error) {
	if m.kind != momentPosition {
		return timeOfMoment(ctx, l.engine, l.log, m)
	}
	l.mu.Lock()
	at, known := l.times[m.position]
	l.mu.Unlock()
	if known {
		return at, nil
	}
	at, err := timeOfMoment(ctx, l.engine, l.log, m)
	if err != nil {
		return at, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.times) >= rememberedTimes {
		clear(l.times)
	}
	l.times[m.position] = at
	return at, nil
}

func (q *mediaQuestion) filters(f MediaQuery) {
	for _, word := range strings.Fields(foldText(f.Text)) {
		q.filter = append(q.filter, "m.search like "+q.args.Add("%"+likeEscaper.Replace(word)+"%"))
	}
	if major := strings.TrimSuffix(f.Type, "/"); major != "" {
		if strings.Contains(major, "/") {
			q.filter = append(q.filter, "m.type = "+q.args.Add(strings.ToLower(major)))
		} else {
			q.filter = append(q.filter, "m.type like "+q.args.Add(likeEscaper.Replace(strings.ToLower(major))+"/%"))
		}
	}
	if f.Tag != "" {
		q.filter = append(q.filter, "m.tags @> array["+q.args.Add(strings.ToLower(f.Tag))+"]::text[]")
	}
	if f.Status != "" {
		q.filter = append(q.filter, "m.status = "+q.args.Add(string(f.Status)))
	}
	if f.Owner != "" {
		q.filter = append(q.filter, "m.owner = "+q.args.Add(string(f.Owner)))
	}
	if !f.From.IsZero() {
		q.filter = append(q.filter, "m.created_at >= "+q.args.Add(f.From))
	}
	if !f.To.IsZero() {
		q.filter = append(q.filter, "m.created_at < "+q.args.Add(f.To))
	}
	if q.at.Past {
		// Follows from the moment, and lets the index of creation begin there.
		q.filter = append(q.filter, "m.created_at <= "+q.args.Add(q.time))
	}
}

// likeEscaper makes a text match itself.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// where is the whole condition of a branch.
func (q *mediaQuestion) where(branch string) string {
	if q.visible == "" {
		q.visible = q.at.Where("m", q.args)
	}
	return strings.Join(append([]string{branch, q.visible}, q.filter...), " and ")
}

// branches are the reasons for which the viewer may know of items, as conditions of which no two hold for the same item.
// anyStatus shows owners and staff also what a list leaves out until it is asked for.
func (q *mediaQuestion) branches(anyStatus bool) []string {
	own := func() string {
		if anyStatus {
			return "true"
		}
		return q.oneOf(shown())
	}
	if q.staff() {
		return []string{own()}
	}
	if !q.viewer.Known() {
		return nil
	}
	me := q.args.Add(string(q.viewer.ID))
	all := []string{"m.owner = " + me + " and " + own()}
	organisation := "false"
	if q.viewer.MemberOf(q.viewer.Org) {
		organisation = "m.org = " + q.args.Add(string(q.viewer.Org)) + " and " + q.oneOf(common(false))
		all = append(all, organisation+" and m.owner <> "+me)
	}
	if q.shares {
		all = append(all, "m.key = any("+sharedItems(q.viewer, q.at, q.time, q.args)+") and m.owner <> "+me+" and "+q.oneOf(common(true))+" and not ("+organisation+")")
	}
	return all
}

func (q *mediaQuestion) oneOf(statuses []MediaStatus) string {
	return "m.status = any(" + q.args.Add(statuses) + "::text[])"
}

// itemsOfOrganisation is, for another model's query, the array of the items that belong to an organisation at a moment.
func itemsOfOrganisation(org domain.OrgID, at At, args *Args) string {
	return "array(select i.key from library i where i.org <> '' and i.org = " + args.Add(string(org)) + " and " + at.Where("i", args) + ")"
}
