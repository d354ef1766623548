package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/eventstore"
)

// message-db (https://github.com/message-db/message-db) is the best known event store that is nothing but Postgres. Its package
// carries the SQL that its own install script loads, in this order.
const messageDB = "@eventide/message-db@1.3.1"

var messageDBFiles = []string{
	"schema/message-store", "extensions/pgcrypto", "tables/messages",
	"types/message", "functions/message-store-version", "functions/hash-64", "functions/acquire-lock", "functions/category",
	"functions/is-category", "functions/id", "functions/cardinal-id", "functions/stream-version", "functions/write-message",
	"functions/get-stream-messages", "functions/get-category-messages", "functions/get-last-stream-message",
	"indexes/messages-id", "indexes/messages-stream", "indexes/messages-category",
	"benchmark_write",
}

const (
	messageDBName     = "bench_message_db"
	messageDBCycles   = 10_000
	messageDBWriteSQL = `SELECT message_store.write_message($1::varchar, $2::varchar, $3::varchar, $4::jsonb, $5::jsonb, $6::bigint)`
)

// messageDB measures message-db on the same Postgres with the same events, where npm can fetch it, and compares ours.
func (b *storeBench) messageDB(prepared []eventstore.Entry, one, ten figures) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		fmt.Fprintln(b.w, "peer: message-db is not measured: npm, which fetches it, is not installed")
		return nil
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fetching, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(fetching, npm, "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", messageDB) //nolint:gosec // npm, by us
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(b.w, "peer: message-db is not measured: npm could not fetch it: %v: %s\n", err, out)
		return nil
	}
	address, drop, err := b.messageDBDatabase(filepath.Join(dir, "node_modules", "@eventide", "message-db", "database"))
	if err != nil {
		return fmt.Errorf("bench: message-db: %w", err)
	}
	defer drop()
	own, err := messageDBOwn(b.ctx, address)
	if err != nil {
		return fmt.Errorf("bench: message-db: %w", err)
	}
	rate, err := b.messageDBWrites(address, prepared)
	if err != nil {
		return fmt.Errorf("bench: message-db: %w", err)
	}
	fmt.Fprintf(b.w, "peer: %s, write_message from %d connections: %.0f ev/s (ours x 1: %.1f times, x 10: %.1f times); "+
		"its own benchmark, all in one transaction: %.0f ev/s\n", messageDB, b.Callers, rate, one.perSecond/rate, ten.perSecond/rate, own)
	return nil
}

// messageDBDatabase makes a database beside ours and loads message-db into it.
func (b *storeBench) messageDBDatabase(sql string) (address string, drop func(), err error) {
	parsed, err := url.Parse(b.url)
	if err != nil {
		return "", nil, err
	}
	parsed.Path = "/" + messageDBName
	query := parsed.Query()
	query.Set("search_path", "message_store,public")
	parsed.RawQuery = query.Encode()
	if _, err := b.pool.Exec(b.ctx, `DROP DATABASE IF EXISTS `+messageDBName); err != nil {
		return "", nil, err
	}
	if _, err := b.pool.Exec(b.ctx, `CREATE DATABASE `+messageDBName); err != nil {
		return "", nil, err
	}
	drop = func() { _, _ = b.pool.Exec(b.ctx, `DROP DATABASE `+messageDBName+` WITH (FORCE)`) }
	if err := loadMessageDB(b.ctx, parsed.String(), sql); err != nil {
		drop()
		return "", nil, err
	}
	return parsed.String(), drop, nil
}

func loadMessageDB(ctx context.Context, address, sql string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, name := range messageDBFiles {
		text, err := os.ReadFile(filepath.Join(sql, filepath.FromSlash(name)+".sql"))
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, string(text), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// messageDBOwn runs the benchmark that comes with message-db.
func messageDBOwn(ctx context.Context, address string) (float64, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	start := time.Now()
	_, err = conn.Exec(ctx, `SELECT benchmark_write($1::varchar, $2::int)`, "testStream-"+uuid.NewString(), messageDBCycles)
	return messageDBCycles / time.Since(start).Seconds(), err
}

// messageDBWrites writes as appends are measured: each caller to streams of its own with twenty events, and expecting the
// right version.
func (b *storeBench) messageDBWrites(address string, prepared []eventstore.Entry) (float64, error) {
	const perStream = 20
	conns := make([]*pgx.Conn, b.Callers)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close(b.ctx)
			}
		}
	}()
	for i := range conns {
		var err error
		if conns[i], err = pgx.Connect(b.ctx, address); err != nil {
			return 0, err
		}
	}
	var written atomic.Int64
	start := time.Now()
	g, ctx := errgroup.WithContext(b.ctx)
	for i, conn := range conns {
		g.Go(func() error {
			stream := newStream()
			for n := 0; time.Since(start) < b.For; n++ {
				if n > 0 && n%perStream == 0 {
					stream = newStream()
				}
				e := prepared[(i*7919+n)%len(prepared)]
				if _, err := conn.Exec(ctx, messageDBWriteSQL,
					uuid.NewString(), string(stream), e.Type, string(e.Data), string(e.Metadata), n%perStream-1); err != nil {
					return err
				}
				written.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	if written.Load() == 0 {
		err = errors.Join(err, errors.New("nothing was written"))
	}
	return float64(written.Load()) / time.Since(start).Seconds(), err
}
