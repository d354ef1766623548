// Package catalog lists every event that the vault stores. It is the one place that knows all aggregates.
package catalog

import (
	"slices"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/domain/parked"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/domain/share"
)

// Types are all events, by aggregate.
func Types() []domain.Type {
	return slices.Concat(media.Types, share.Types, moderation.Types, access.Types, object.Types, parked.Types, notification.Types, recipient.Types, finding.Types, person.Types)
}

// Categories are those of the streams in which the vault keeps them. Streams of other categories are other programs'.
func Categories() []string {
	return []string{media.Category, share.Category, moderation.Category, access.Category, object.Category, parked.Category, notification.Category, recipient.Category, finding.Category, person.Category}
}
