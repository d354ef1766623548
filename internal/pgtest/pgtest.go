//go:build unix

// Package pgtest gives each test a fresh, migrated Postgres database of its own. It is for tests only.
//
// The first database that a test process asks for starts a private cluster, which lives as long as the process and is removed
// with it, however the process ends. Nothing is shared between processes, so packages may be tested in parallel; nothing
// needs root, a fixed port or an installed server that runs. Where no server programs are installed internal/dev fetches them.
//
// That cluster runs with fsync off: what was committed survives a killed process, not a power loss. Measurements of durable
// writes ask for the option Durable.
//
// MEDIAVAULT_TEST_DATABASE_URL names a server to use instead; its user has to be allowed to create databases.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/migrations"
)

// Option changes which database a test gets.
type Option func(*choice)

type choice struct {
	durable bool
	empty   bool
}

// Durable asks for a cluster with fsync on, as in production: for tests that measure.
func Durable() Option { return func(c *choice) { c.durable = true } }

// Empty asks for a database without migrations.
func Empty() Option { return func(c *choice) { c.empty = true } }

const patience = 3 * time.Minute // to start a cluster, on a machine that is busy or has to fetch the programs first

// New answers a pool on a fresh, migrated database that goes away with the test.
func New(t testing.TB, options ...Option) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool, err := pgxpool.New(ctx, URL(t, options...))
	if err != nil {
		t.Fatalf("a pool on the test's database: %v", err)
	}
	// Before the database's own cleanup, which was registered earlier.
	t.Cleanup(pool.Close)
	return pool
}

// URL answers the address of a fresh, migrated database that goes away with the test. Other processes of the same user may
// connect to it, too.
func URL(t testing.TB, options ...Option) string {
	t.Helper()
	var c choice
	for _, option := range options {
		option(&c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := serverFor(c)
	if err != nil {
		t.Fatalf("a Postgres for the test: %v", err)
	}
	name, err := s.create(ctx, c.empty)
	if err != nil {
		t.Fatalf("a database for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return s.url(name)
}

// Cluster answers a private, durable, empty cluster for a test that kills or restarts it. It goes away with the test.
func Cluster(t testing.TB) *dev.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir.path, Settings: small})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stop the test's cluster: %v", err)
		}
		dir.remove()
	})
	return p
}

// server is where databases are made: a cluster of this process, or one that was named.
type server struct {
	url      func(database string) string
	template string // a migrated database to copy; "" makes an empty one and migrates it

	// Kept for as long as the process lives: collecting them as garbage would close the pipe to the reaper.
	cluster *dev.Postgres
	folder  *folder
}

const (
	prefix   = "vaulttest_" // of the databases' names, followed by the Unix time of making
	template = "vaulttest_template"
	maxAge   = 6 * time.Hour // of a database that a killed test has left on a named server
)

// create makes a database and answers its name.
func (s *server) create(ctx context.Context, empty bool) (string, error) {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	name := prefix + strconv.FormatInt(time.Now().Unix(), 10) + "_" + hex.EncodeToString(random)
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if s.template != "" && !empty {
		statement += " TEMPLATE " + pgx.Identifier{s.template}.Sanitize()
	}
	if err := s.exec(ctx, statement); err != nil {
		return "", err
	}
	if s.template == "" && !empty {
		if err := migrations.Up(ctx, s.url(name)); err != nil {
			return "", err
		}
	}
	return name, nil
}

func (s *server) drop(ctx context.Context, name string) error {
	return s.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (s *server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// named answers the server of MEDIAVAULT_TEST_DATABASE_URL, after removing what killed tests have left there.
func named(ctx context.Context, address string) (*server, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_TEST_DATABASE_URL has to be a postgres:// URL: %w", err)
	}
	s := &server{url: func(database string) string {
		other := *parsed
		other.Path = "/" + database
		return other.String()
	}}
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_TEST_DATABASE_URL: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, prefix)
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_TEST_DATABASE_URL: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("MEDIAVAULT_TEST_DATABASE_URL: %w", err)
	}
	for _, name := range names {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "_")
		seconds, err := strconv.ParseInt(made, 10, 64)
		if err == nil && time.Since(time.Unix(seconds, 0)) > maxAge {
			if err := s.drop(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func serverFor(c choice) (*server, error) {
	if os.Getenv("MEDIAVAULT_TEST_DATABASE_URL") != "" {
		return external()
	}
	if c.durable {
		return durable()
	}
	return volatile()
}
