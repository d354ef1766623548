//go:build unix

package dev_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/internal/dev"
)

func start(t *testing.T, dir string) *dev.Dev {
	t.Helper()
	d, err := dev.Start(withTimeout(t), dev.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func query(ctx context.Context, t *testing.T, url, sql string) int {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var n int
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func execute(ctx context.Context, t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// eventually tries until it works: what was killed is being started again by its owner.
func eventually(ctx context.Context, t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func TestAKilledPartIsStartedAgainAndNothingIsLost(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	d := start(t, t.TempDir())
	execute(ctx, t, d.DatabaseURL, `CREATE TABLE kept (x int)`)
	for round := range 3 {
		execute(ctx, t, d.DatabaseURL, `INSERT INTO kept VALUES (1)`)
		if err := d.Postgres().Kill(); err != nil {
			t.Fatal(err)
		}
		if err := d.S3Server().Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(ctx, t, func() error {
			conn, err := pgx.Connect(ctx, d.DatabaseURL)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		})
		eventually(ctx, t, func() error {
			_, err := client(t, d.S3Server()).ListBuckets(ctx)
			return err
		})
		if n := query(ctx, t, d.DatabaseURL, `SELECT count(*) FROM kept`); n != round+1 {
			t.Errorf("%d rows after round %d", n, round+1)
		}
	}
	if err := d.Err(); err != nil {
		t.Error(err)
	}
}

func TestStartingAgainGoesOnWithTheData(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	first := start(t, dir)
	execute(ctx, t, first.DatabaseURL, `CREATE TABLE kept AS SELECT generate_series(1, 10) AS x`)
	if err := client(t, first.S3Server()).MakeBucket(ctx, "kept", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir)
	if n := query(ctx, t, second.DatabaseURL, `SELECT count(*) FROM kept`); n != 10 {
		t.Errorf("%d rows", n)
	}
	if there, err := client(t, second.S3Server()).BucketExists(ctx, "kept"); err != nil || !there {
		t.Errorf("the bucket is gone: %v", err)
	}
}

func TestASecondInstanceIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, dir)
	_, err := dev.Start(withTimeout(t), dev.Options{Dir: dir})
	if !errors.Is(err, dev.ErrInUse) {
		t.Errorf("a second instance: %v", err)
	}
}

func TestAStalePidFileOfAnotherProcessIsNoObstacle(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	// After a restart of the machine any process may have the number; this one surely runs.
	file := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n/nowhere\n1\n5432\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAHalfMadeClusterIsThrownAway(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	half := filepath.Join(dir, "init-123", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(ctx)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half cluster is still there: %v", err)
	}
}

func TestALongPathStillGetsASocket(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := filepath.Join(t.TempDir(), "a-folder-with-quite-a-long-name-in-it", "another-folder-with-quite-a-long-name-in-it", "x y")
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(ctx)
	if n := query(ctx, t, p.URL("postgres"), `SELECT 1`); n != 1 {
		t.Errorf("got %d", n)
	}
}

func TestDataOfAnotherMajorVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	version := filepath.Join(dir, "data", "PG_VERSION")
	if err := os.MkdirAll(filepath.Dir(version), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Dir(version), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	found, err := dev.FindPostgres(ctx, dev.FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir, Binaries: &found})
	if err == nil {
		t.Fatal("it started on data of Postgres 9")
	}
	t.Log(err)
	if text, err := os.ReadFile(version); err != nil || string(text) != "9\n" {
		t.Errorf("the data was touched: %q, %v", text, err)
	}
}

func TestASocketHasToBeReachableByItsOwnerAlone(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(ctx)
	for _, folder := range []string{"run", "data"} {
		info, err := os.Stat(filepath.Join(dir, folder))
		if errors.Is(err, os.ErrNotExist) && folder == "run" {
			continue // the path was too long, and the socket stands elsewhere
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s is open to others: %v", folder, info.Mode())
		}
	}
}
