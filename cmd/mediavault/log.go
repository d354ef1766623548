package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/esdb"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/config"
)

// eventLog is the log that the configuration chose.
type eventLog interface {
	eventstore.Log
	Close()
	// counts are what this process did since it began.
	counts() appendCounts
}

type appendCounts struct {
	events  int64
	batches int64 // transactions, or calls of a server
	retries int64 // of them, after a lost connection
}

// onPostgres is whether the events are in the database of the read models.
func onPostgres(cfg config.Config) bool { return cfg.EventStore == "" || cfg.EventStore == "postgres" }

// commitTime is how long a batch of appends may take at most.
const commitTime = 5 * time.Second

// openLog opens the log that the configuration names: in the database, or on an EventStoreDB.
func openLog(ctx context.Context, cfg config.Config, pool *pgxpool.Pool, log *slog.Logger) (eventLog, error) {
	if onPostgres(cfg) {
		var options []postgres.Option
		if t := cfg.CommandTimeout; t > 0 && t < commitTime {
			options = append(options, postgres.WithTimeout(t)) // a command that may not wait longer does not
		}
		l, err := postgres.Open(ctx, pool, options...)
		if err != nil {
			return nil, err
		}
		return postgresLog{l}, nil
	}
	settings, err := esdb.Parse(cfg.EventStore, cfg.EventStoreUser, cfg.EventStorePassword)
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_EVENTSTORE: %w", err)
	}
	l, err := esdb.Open(ctx, settings, esdb.WithLogger(log))
	if err != nil {
		return nil, err
	}
	return esdbLog{l}, nil
}

type postgresLog struct{ *postgres.Log }

func (l postgresLog) counts() appendCounts {
	s := l.Stats()
	return appendCounts{events: s.Events, batches: s.Batches, retries: s.Retries}
}

type esdbLog struct{ *esdb.Log }

func (l esdbLog) counts() appendCounts {
	s := l.Stats()
	return appendCounts{events: s.Events, batches: s.Appends, retries: s.Retries}
}
