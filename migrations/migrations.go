// Package migrations is the shape of the database: numbered SQL files, embedded, that only ever go forward. It runs them; it
// knows nothing of what they hold.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// A file is named NNNN_what.sql and is written in goose's format (https://pressly.github.io/goose/documentation/annotations/):
// `-- +goose Up` first, `-- +goose StatementBegin` and `-- +goose StatementEnd` around a statement that has semicolons inside.
// There is no Down: what went wrong is put right by the next file.
//
//go:embed *.sql
var folder embed.FS

// lockID is the key of the advisory lock that lets one process migrate while the others wait: "media" in ASCII.
const lockID = 0x6d65646961

// Files are the embedded migrations, sorted by name.
func Files() ([]string, error) {
	names, err := fs.Glob(folder, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	return names, nil
}

// Up brings the database at url to the newest shape. Several processes may call it at once: one does the work, the others wait
// for it (up to 5 minutes, or until ctx ends). A database that is newer than this binary is left as it is.
func Up(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("migrate: database URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	return up(ctx, db, folder)
}

// Pending reports whether the database at url lacks a migration that this binary has. It writes nothing.
func Pending(ctx context.Context, url string) (bool, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return false, fmt.Errorf("pending migrations: database URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := newProvider(db, folder)
	if errors.Is(err, goose.ErrNoMigrations) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	pending, err := provider.HasPending(ctx)
	if err != nil {
		return false, fmt.Errorf("pending migrations: %w", err)
	}
	return pending, nil
}

func up(ctx context.Context, db *sql.DB, files fs.FS) error {
	provider, err := newProvider(db, files)
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func newProvider(db *sql.DB, files fs.FS) (*goose.Provider, error) {
	// A try every second, 300 times: goose counts in whole seconds.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return provider, nil
}
