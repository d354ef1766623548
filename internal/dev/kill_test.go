//go:build unix

package dev_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/internal/dev"
)

// ownerVariable makes this test binary an owner that a test kills: it starts everything in the folder that it names, says
// where, and waits.
const ownerVariable = "MEDIAVAULT_TEST_OWNER"

type owned struct {
	DatabaseURL string
	Postgres    int // pid
	S3          int // pid
}

func maybeOwner() {
	dir := os.Getenv(ownerVariable)
	if dir == "" {
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	d, err := dev.Start(ctx, dev.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(owned{DatabaseURL: d.DatabaseURL, Postgres: d.Postgres().Pid(), S3: d.S3Server().Pid()})
	if err := d.Wait(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := d.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// startOwner starts an owner in a process of its own, and answers when everything runs.
func startOwner(t *testing.T, dir string) (*exec.Cmd, owned) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(withTimeout(t), self)
	cmd.Env = append(os.Environ(), ownerVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var o owned
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&o); err != nil {
		t.Fatal(err)
	}
	return cmd, o
}

func TestWhicheverProcessesAreKilledTheNextStartGoesOn(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	dir := t.TempDir()
	kept := 0
	for name, victims := range map[string]func(owner int, o owned) []int{
		"the owner":                  func(owner int, _ owned) []int { return []int{owner} },
		"the owner and postgres":     func(owner int, o owned) []int { return []int{owner, o.Postgres} },
		"postgres and the owner":     func(owner int, o owned) []int { return []int{o.Postgres, owner} },
		"everything":                 func(owner int, o owned) []int { return []int{o.S3, o.Postgres, owner} },
		"the owner, with a backend":  func(owner int, _ owned) []int { return []int{owner} },
		"the owner, politely (TERM)": nil,
	} {
		cmd, o := startOwner(t, dir)
		execute(ctx, t, o.DatabaseURL, `CREATE TABLE IF NOT EXISTS kept (x int)`)
		if n := query(ctx, t, o.DatabaseURL, `SELECT count(*) FROM kept`); n != kept {
			t.Errorf("before %s is killed: %d rows of %d", name, n, kept)
		}
		execute(ctx, t, o.DatabaseURL, `INSERT INTO kept VALUES (1)`)
		kept++
		if name == "the owner, with a backend" {
			// A session that is at work when everything ends.
			conn, err := pgx.Connect(ctx, o.DatabaseURL)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(ctx, `BEGIN; INSERT INTO kept VALUES (2)`); err != nil {
				t.Fatal(err)
			}
		}
		if victims == nil {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("an owner that was asked to stop: %v", err)
			}
			for _, pid := range []int{o.Postgres, o.S3} {
				if err := syscall.Kill(pid, 0); err == nil {
					t.Errorf("process %d is left", pid)
				}
			}
			continue
		}
		for _, pid := range victims(cmd.Process.Pid, o) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait()
	}
	cmd, o := startOwner(t, dir)
	if n := query(ctx, t, o.DatabaseURL, `SELECT count(*) FROM kept`); n != kept {
		t.Errorf("%d rows of %d", n, kept)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
