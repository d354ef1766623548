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

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	storetest.RunTogether(t, func(t *testing.T) (eventstore.Log, eventstore.Log) {
		pool := pgtest.New(t)
		return open(t, pool), open(t, pool)
	})
}
