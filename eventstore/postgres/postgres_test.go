package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func open(t testing.TB, pool *pgxpool.Pool, opts ...postgres.Option) *postgres.Log {
	t.Helper()
	log, err := postgres.Open(context.Background(), pool, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) eventstore.Log { return open(t, pgtest.New(t)) })
}

// TestPostgresOverlapping begins each batch while the one before is being committed, whenever anything waits.
func TestPostgresOverlapping(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) eventstore.Log { return open(t, pgtest.New(t), postgres.WithOverlap(1)) })
}

func TestTwoProcessesOverlapping(t *testing.T) {
	t.Parallel()
	storetest.RunTogether(t, func(t *testing.T) (eventstore.Log, eventstore.Log) {
		pool := pgtest.New(t)
		return open(t, pool, postgres.WithOverlap(1)), open(t, pool, postgres.WithOverlap(1))
	})
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	storetest.RunTogether(t, func(t *testing.T) (eventstore.Log, eventstore.Log) {
		pool := pgtest.New(t)
		return open(t, pool), open(t, pool)
	})
}
