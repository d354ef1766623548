package commands

import (
	"context"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Requested is the receipt of a request for a description.
type Requested struct {
	Receipt
	Number int // of the request, from 1
}

// RequestDescription asks for a description of a version (0: the current one); a reactor has it made, and the owner accepts it.
func (m *Media) RequestDescription(ctx context.Context, env Envelope, id domain.MediaID, version int) (Requested, error) {
	got, err := m.about(ctx, env, "request_description", id, version, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.RequestDescription{By: env.Actor, Right: r, Version: version}.Decide(s)
	})
	for _, e := range got.said {
		if e, ok := e.(media.DescriptionRequested); ok {
			return Requested{Receipt: got.Receipt, Number: e.Number}, err
		}
	}
	return Requested{Receipt: got.Receipt, Number: got.state.Suggestion.Number}, err
}

// SuggestDescription records what a describer said, for the reactor that asks it; the envelope's actor is domain.System().
func (m *Media) SuggestDescription(ctx context.Context, env Envelope, id domain.MediaID, number int, said media.Caption) (Receipt, error) {
	return m.change(ctx, env, "suggest_description", id, number, "", func(s media.State, _ media.Right) ([]media.Event, error) {
		return media.SuggestDescription{By: env.Actor, Number: number, Caption: said, Policy: m.vault.Policy}.Decide(s)
	})
}

// AcceptSuggestion makes a suggestion (0: the last one) the item's description; text, when it is not nil, in the owner's words.
func (m *Media) AcceptSuggestion(ctx context.Context, env Envelope, id domain.MediaID, number int, text *string) (Receipt, error) {
	cmd := media.AcceptSuggestion{By: env.Actor, Number: number, Policy: m.vault.Policy}
	if text != nil {
		own := domain.NewPersonal(env.Actor.ID, *text)
		cmd.Text = &own
	}
	return m.change(ctx, env, "accept_suggestion", id, []any{number, text}, "", func(s media.State, r media.Right) ([]media.Event, error) {
		cmd.Right = r
		return cmd.Decide(s)
	})
}

// RejectSuggestion ends a suggestion (0: the last one).
func (m *Media) RejectSuggestion(ctx context.Context, env Envelope, id domain.MediaID, number int) (Receipt, error) {
	return m.change(ctx, env, "reject_suggestion", id, number, "", func(s media.State, r media.Right) ([]media.Event, error) {
		return media.RejectSuggestion{By: env.Actor, Right: r, Number: number}.Decide(s)
	})
}

// RecordFingerprint records what a version looks like, for the reactor that computes it.
func (m *Media) RecordFingerprint(ctx context.Context, env Envelope, id domain.MediaID, version int, algorithm, hash string) (Receipt, error) {
	return m.change(ctx, env, "fingerprint", id, []any{version, algorithm, hash}, "", func(s media.State, _ media.Right) ([]media.Event, error) {
		return media.Fingerprint{By: env.Actor, Version: version, Algorithm: algorithm, Hash: hash}.Decide(s)
	})
}

// RecordResemblances records that a version looks like other items, for the reactor that finds them. Nothing is merged.
func (m *Media) RecordResemblances(ctx context.Context, env Envelope, id domain.MediaID, seen []media.Resembles) (Receipt, error) {
	return m.change(ctx, env, "compare", id, nil, "", func(s media.State, _ media.Right) ([]media.Event, error) {
		var all []media.Event
		for _, r := range seen {
			events, err := media.Compare{By: env.Actor, Seen: r}.Decide(s)
			if err != nil {
				return nil, err
			}
			all = append(all, events...)
		}
		return all, nil
	})
}
