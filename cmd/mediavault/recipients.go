package main

import (
	"context"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/readapi"
)

// recipients answers how people want to be told from their streams, for the read API.
type recipients struct{ *app }

// Recipient implements readapi.Recipients.
func (r recipients) Recipient(ctx context.Context, person domain.UserID, at int64) (readapi.Recipient, error) {
	s, revision, err := commands.NewNotifications(r.vault, nil).RecipientAt(ctx, person, eventstore.Position(at))
	if err != nil {
		return readapi.Recipient{}, err
	}
	found := readapi.Recipient{Email: s.Address().Text(), Revision: int64(revision)}
	switch {
	case s.Given.Text() != "":
		found.EmailFrom = "person"
	case found.Email != "":
		found.EmailFrom = "identity_provider"
	}
	for _, o := range s.Off {
		found.Off = append(found.Off, readapi.Muted{Channel: o.Channel, Topic: o.Topic})
	}
	for _, e := range s.Endpoints {
		hook := readapi.Webhook{ID: string(e.ID), URL: e.URL.Text(), Format: string(e.Format), Topics: append([]domain.Topic{}, e.Topics...)}
		if until := e.Until; !until.IsZero() && (at >= 0 || r.vault.Now().Before(until)) {
			hook.RotatingUntil = &until
		}
		found.Webhooks = append(found.Webhooks, hook)
	}
	return found, nil
}
