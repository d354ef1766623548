package readapi

import (
	"net/http"

	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

func (s *Server) mediaDuplicates(w http.ResponseWriter, r *http.Request) error {
	id, m, err := s.question(w, r, web.NewQuery(r), projections.AccessName, projections.SharesName, projections.DuplicatesName)
	if err != nil {
		return err
	}
	found, err := s.duplicates.Of(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, web.Whole(found))
}

func (s *Server) mediaSuggestion(w http.ResponseWriter, r *http.Request) error {
	id, m, err := s.question(w, r, web.NewQuery(r), projections.SuggestionsName)
	if err != nil {
		return err
	}
	found, err := s.suggestions.Of(r.Context(), web.Actor(r), id, m)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, found)
}
