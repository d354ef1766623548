package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/postgres"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// TestAStandInForAFullDisk answers as a Postgres without room does; a disk that is full is tried with the whole vault.
func TestAStandInForAFullDisk(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := pgtest.New(t)
	log := open(t, pool, postgres.WithTimeout(30*time.Second)) // it is told at once, not after that
	before, during := entry(1), entry(2)
	if _, err := log.Append(ctx, "test-1", eventstore.NoStream, before); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION full_disk()`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 {
		if _, err := log.Append(ctx, "test-1", eventstore.Exactly(0), during); !errors.Is(err, eventstore.ErrFull) || !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("append: %v", err)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	if r, err := log.Append(ctx, "test-1", eventstore.NoStream, before); err != nil || !r.Repeated || r.Position != 1 {
		t.Errorf("what is there already needs no room: %+v, %v", r, err)
	}
	if _, err := pool.Exec(ctx, `DROP TRIGGER full_disk ON events`); err != nil {
		t.Fatal(err)
	}
	if r, err := log.Append(ctx, "test-1", eventstore.Exactly(0), during); err != nil || r.Repeated || r.Position != 2 {
		t.Errorf("append once there is room: %+v, %v", r, err)
	}
}
