package readapi

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

func (s *Server) listCases(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	page, viewer := q.Page(pageSize, maxPageSize), web.Actor(r)
	var names []string
	for _, status := range projections.CaseStatuses() {
		names = append(names, string(status))
	}
	query := projections.CaseQuery{
		Media: web.Parameter(q, "media_id", domain.ParseMediaID), Moderator: domain.UserID(q.String("moderator", 255)),
		Category: q.String("category", 100), Origin: q.Enum("origin", "", "report", "detector", "referral"),
		Owner: domain.UserID(q.String("owner", 255)),
		Sort:  q.Enum("sort", "", bothWays("priority", "score", "reports", "opened_at", "updated_at")...),
	}
	for _, status := range q.Strings("status", 20, names...) {
		query.Status = append(query.Status, projections.CaseStatus(status))
	}
	if query.Moderator == "me" {
		query.Moderator = viewer.ID
	}
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.ReviewName); err != nil {
		return err
	}
	found, err := s.review.Queue(r.Context(), viewer, query, paging(page), m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, web.NewList(found.Items, found.Total, page, found.Next).AtLeast(found.More))
}

func (s *Server) getCase(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	id, err := domain.ParseCaseID(mux.Vars(r)["id"])
	if err != nil {
		return projections.ErrHidden
	}
	if err := s.ready(w, r, m, projections.ReviewName); err != nil {
		return err
	}
	found, err := s.review.Get(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	if found.Lapses {
		r.Header.Del("If-None-Match") // a claim ends without a new revision
	}
	includes(w, found.Position)
	if tagged(w, r, found.Revision) {
		return nil
	}
	return web.JSON(w, http.StatusOK, found)
}

func (s *Server) mediaModeration(w http.ResponseWriter, r *http.Request) error {
	id, m, err := s.question(w, r, web.NewQuery(r), projections.AccessName, projections.SharesName, projections.ReviewName)
	if err != nil {
		return err
	}
	found, err := s.history.Chain(r.Context(), s.review, web.Actor(r), id, m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, found)
}

func (s *Server) moderationStatistics(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	from, to, m := q.Time("from"), q.Time("to"), asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.ReviewName); err != nil {
		return err
	}
	found, err := s.review.Statistics(r.Context(), web.Actor(r), from, to, m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, found)
}
