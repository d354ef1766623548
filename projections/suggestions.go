package projections

import (
	"context"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// SuggestionsName is the name of the read model.
const SuggestionsName = "suggestions"

// SuggestionRow is the last description of an item that its owner asked for. The text stays sealed in the table.
type SuggestionRow struct {
	Owner    domain.UserID   `db:"owner"`
	Number   int             `db:"number"` // of the request; 0: none was asked for
	Version  int             `db:"version"`
	Status   string          `db:"status"` // requested, suggested, accepted, rejected
	Text     domain.Personal `db:"text,json"`
	Provider string          `db:"provider"`
	Model    string          `db:"model"`
	Failed   []string        `db:"failed"`
	At       time.Time       `db:"at"` // of the last change
}

type suggestionsModel struct{}

// SuggestionsProjection makes the read model of suggested descriptions.
func SuggestionsProjection() Projection[SuggestionRow] { return suggestionsModel{} }

// Name implements Projection.
func (suggestionsModel) Name() string { return SuggestionsName }

// Types implements Projection.
func (suggestionsModel) Types() []string {
	return typeNames([]domain.Type{
		domain.TypeOf[media.Uploaded](), domain.TypeOf[media.DescriptionRequested](), domain.TypeOf[media.DescriptionSuggested](),
		domain.TypeOf[media.SuggestionAccepted](), domain.TypeOf[media.SuggestionRejected](), domain.TypeOf[media.Purged](),
	})
}

// Table implements Projection.
func (suggestionsModel) Table() Table { return Table{} }

// Keys implements Projection.
func (suggestionsModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection.
func (suggestionsModel) Evolve(_ string, row SuggestionRow, rec eventstore.Recorded) (SuggestionRow, bool) {
	switch e := rec.Event.(type) {
	case media.Uploaded:
		return SuggestionRow{Owner: e.Owner}, true
	case media.DescriptionRequested:
		row = SuggestionRow{Owner: row.Owner, Number: e.Number, Version: e.Version, Status: "requested"}
	case media.DescriptionSuggested:
		row.Status, row.Text, row.Provider, row.Model, row.Failed = "suggested", e.Text, e.Provider, e.Model, e.Failed
	case media.SuggestionAccepted:
		row.Status = "accepted"
	case media.SuggestionRejected:
		row.Status = "rejected"
	case media.Purged:
		return SuggestionRow{}, false
	}
	row.At = rec.At
	return row, row.Owner != ""
}

// Suggestions answers suggested descriptions, to owners alone.
type Suggestions struct {
	view View[SuggestionRow]
	keys Opener
}

// NewSuggestions makes the queries. The engine must run SuggestionsProjection.
func NewSuggestions(e *Engine, keys Opener) (*Suggestions, error) {
	view, err := ViewOf(e, SuggestionsProjection())
	return &Suggestions{view: view, keys: keys}, err
}

// Suggestion is a description that is suggested.
type Suggestion struct {
	MediaID  domain.MediaID `json:"media_id"`
	Number   int            `json:"number"`
	Version  int            `json:"version"`
	Status   string         `json:"status"`
	Text     string         `json:"text,omitempty"`
	Provider string         `json:"provider,omitempty"` // metadata: nobody has looked at the picture
	Model    string         `json:"model,omitempty"`
	Failed   []string       `json:"failed,omitempty"`
	At       time.Time      `json:"at"`
}

// ErrNoSuggestion is that the owner asked for none.
var ErrNoSuggestion = domain.Refuse(domain.NotFound, "no_suggestion", "no description was asked for")

// Of answers the last suggestion. Errors: ErrHidden for everybody but the owner; ErrNoSuggestion.
func (s *Suggestions) Of(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (Suggestion, error) {
	at, err := s.view.Resolve(ctx, m)
	if err != nil {
		return Suggestion{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	v, ok, err := s.view.Find(ctx, at, string(id))
	switch {
	case err != nil:
		return Suggestion{}, understood(err)
	case !ok || !viewer.Known() || v.Row.Owner != viewer.ID:
		return Suggestion{}, ErrHidden
	case v.Row.Number == 0:
		return Suggestion{}, ErrNoSuggestion
	}
	text, err := reveal(ctx, s.keys, v.Row.Text)
	return Suggestion{
		MediaID: id, Number: v.Row.Number, Version: v.Row.Version, Status: v.Row.Status, Text: text, Provider: v.Row.Provider,
		Model: v.Row.Model, Failed: v.Row.Failed, At: v.Row.At.UTC(),
	}, err
}
