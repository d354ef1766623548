package projections

import "github.com/mediavault-io/mediavault/eventstore"

// Position is the event store's word, for the read API: it asks projections, and may not know the event store.
type Position = eventstore.Position
