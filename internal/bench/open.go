package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/adapters/keys"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
)

// opened is the event store of a migrated database, with keys of its own making.
type opened struct {
	pool  *pgxpool.Pool
	ring  *keys.Ring
	log   *postgres.Log
	codec *eventstore.Codec
	store *eventstore.Store
	cpu   *cpuMeter
}

func openStore(ctx context.Context, url string, types []domain.Type) (_ *opened, err error) {
	o := &opened{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.pool, err = pgxpool.New(ctx, url); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	masters, err := keys.ParseMasters(keys.NewMaster())
	if err != nil {
		return nil, err
	}
	if o.ring, err = keys.Open(ctx, o.pool, masters); err != nil {
		return nil, err
	}
	if o.log, err = postgres.Open(ctx, o.pool); err != nil {
		return nil, err
	}
	if o.codec, err = eventstore.NewCodec(o.ring, types); err != nil {
		return nil, err
	}
	o.store, o.cpu = eventstore.New(o.log, o.codec), newCPUMeter(ctx, o.pool)
	return o, nil
}

func (o *opened) close() {
	if o.log != nil {
		o.log.Close()
	}
	if o.ring != nil {
		o.ring.Close()
	}
	if o.pool != nil {
		o.pool.Close()
	}
}
