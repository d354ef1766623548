package streamapi

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// organisations knows to whom the vault's own streams belong: to the organisation of the actor of their first event, which
// never changes, so that what was found out once is good for ever.
type organisations struct {
	log eventstore.Log

	mu    sync.Mutex // guards known
	known map[eventstore.Stream]domain.OrgID
}

const knownOrganisations = 100_000 // streams; then the memory is begun anew

func newOrganisations(log eventstore.Log) *organisations {
	return &organisations{log: log, known: map[eventstore.Stream]domain.OrgID{}}
}

// of answers "" for a stream that belongs to no organisation, or is not there yet.
func (o *organisations) of(ctx context.Context, stream eventstore.Stream) (domain.OrgID, error) {
	o.mu.Lock()
	org, ok := o.known[stream]
	o.mu.Unlock()
	if ok {
		return org, nil
	}
	for raw, err := range o.log.ReadStream(ctx, stream, eventstore.StreamRead{Limit: 1}) {
		if err != nil {
			return "", err
		}
		var meta struct {
			Actor struct {
				Org domain.OrgID `json:"org"`
			} `json:"actor"`
		}
		if err := json.Unmarshal(raw.Metadata, &meta); err == nil { // other metadata names no organisation
			org = meta.Actor.Org
		}
		o.mu.Lock()
		if len(o.known) >= knownOrganisations {
			clear(o.known)
		}
		o.known[stream] = org
		o.mu.Unlock()
	}
	return org, nil
}
