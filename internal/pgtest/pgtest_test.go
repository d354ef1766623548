//go:build unix

package pgtest_test

import (
	"context"
	"testing"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "another", "a third"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			if _, err := pool.Exec(context.Background(), `CREATE TABLE mine (x int)`); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAnEmptyDatabaseHasNoTables(t *testing.T) {
	t.Parallel()
	var tables int
	if err := pgtest.New(t, pgtest.Empty()).QueryRow(context.Background(),
		`SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 0 {
		t.Errorf("%d tables in an empty database", tables)
	}
}

func TestADurableDatabaseWritesThrough(t *testing.T) {
	t.Parallel()
	var fsync string
	if err := pgtest.New(t, pgtest.Durable()).QueryRow(context.Background(), `SHOW fsync`).Scan(&fsync); err != nil {
		t.Fatal(err)
	}
	if fsync != "on" {
		t.Errorf("fsync is %s", fsync)
	}
}
