package readapi

import (
	"net/http"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// The scopes of usage.
const (
	scopeOwn          = "own"
	scopeOrganisation = "organisation"
	scopeAll          = "all"
)

type usageAnswer struct {
	Scope        string                            `json:"scope"`
	Owner        domain.UserID                     `json:"owner,omitempty"`
	Organisation domain.OrgID                      `json:"organisation,omitempty"`
	Totals       projections.UsageTotals           `json:"totals"`
	Days         []projections.UsageDay            `json:"days"`
	Groups       *web.List[projections.UsageGroup] `json:"groups,omitempty"` // with ?by=
}

func (s *Server) usage(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	viewer := web.Actor(r)
	answer := usageAnswer{
		Scope: q.Enum("scope", scopeOwn, scopeOwn, scopeOrganisation, scopeAll),
		Owner: domain.UserID(q.String("owner", 255)), Organisation: domain.OrgID(q.String("organisation", 255)),
	}
	from, to := web.Parameter(q, "from", parseDay), web.Parameter(q, "to", parseDay)
	by := projections.UsageBy(q.Enum("by", "", string(projections.ByOwner), string(projections.ByOrganisation)))
	page := q.Page(pageSize, maxPageSize)
	m := asOf(q)
	scope := answer.scope(q, viewer)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.UsageName); err != nil {
		return err
	}
	ctx := r.Context()
	var err error
	if answer.Totals, err = s.usages.Totals(ctx, viewer, scope, m); err != nil {
		return err
	}
	if answer.Days, err = s.usages.Days(ctx, viewer, scope, from, to, m); err != nil {
		return err
	}
	if answer.Days == nil {
		answer.Days = []projections.UsageDay{}
	}
	if by != "" {
		groups, err := s.usages.Groups(ctx, viewer, scope, by, paging(page), m)
		if err != nil {
			return err
		}
		list := web.NewList(groups.Items, groups.Total, page, groups.Next)
		answer.Groups = &list
	}
	return web.JSON(w, http.StatusOK, answer)
}

// scope makes the query's scope, and completes the answer's.
func (a *usageAnswer) scope(q *web.Query, viewer domain.Actor) projections.UsageScope {
	switch a.Scope {
	case scopeOwn:
		if a.Owner != "" || a.Organisation != "" {
			q.Refuse("scope", "owner and organisation are accepted with scope=all, organisation also with scope=organisation")
		}
		a.Owner = viewer.ID
		return projections.UsageScope{}
	case scopeOrganisation:
		if a.Organisation == "" {
			a.Organisation = viewer.Org
		}
		if a.Organisation == "" {
			q.Refuse("scope", "you belong to no organisation")
		}
		return projections.UsageScope{Owner: a.Owner, Organisation: a.Organisation}
	default:
		return projections.UsageScope{All: a.Owner == "" && a.Organisation == "", Owner: a.Owner, Organisation: a.Organisation}
	}
}

func parseDay(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, domain.ErrInvalid.Because("accepted is a day such as 2026-01-31")
	}
	return day, nil
}
