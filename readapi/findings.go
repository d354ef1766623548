package readapi

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

func (s *Server) listFindings(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	page, viewer := q.Page(pageSize, maxPageSize), web.Actor(r)
	query := projections.FindingQuery{
		Media: web.Parameter(q, "media_id", domain.ParseMediaID), Type: q.Strings("type", 50),
		Place:    q.Enum("place", "", "name", "title", "description", "tags", "content"),
		Exposure: q.Enum("exposure", "", "private", "organisation", "partner", "anyone"),
		Owner:    domain.UserID(q.String("owner", 255)),
		Sort:     q.Enum("sort", "", bothWays("risk", "raised_at", "updated_at")...),
		Status:   q.Strings("status", 20, "open", "accepted", "resolved", "false_positive"),
		Level:    q.Enum("level", "", "low", "medium", "high", "urgent"),
	}
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	if err := s.ready(w, r, m, projections.FindingsName); err != nil {
		return err
	}
	found, err := s.findings.List(r.Context(), viewer, query, paging(page), m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, web.NewList(found.Items, found.Total, page, found.Next).AtLeast(found.More))
}

func (s *Server) getFinding(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	m := asOf(q)
	if err := q.Done(); err != nil {
		return err
	}
	id, err := domain.ParseFindingID(mux.Vars(r)["id"])
	if err != nil {
		return projections.ErrHidden
	}
	if err := s.ready(w, r, m, projections.FindingsName); err != nil {
		return err
	}
	found, err := s.findings.Get(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	includes(w, found.Position)
	if tagged(w, r, found.Revision) {
		return nil
	}
	return web.JSON(w, http.StatusOK, found)
}
