//go:build unix

package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// start runs the postmaster and returns when it answers.
func (p *Postgres) start(ctx context.Context) error {
	if err := p.clearOrphan(ctx); err != nil {
		return err
	}
	// The socket has a pid file, too, and the folder is nobody else's.
	if err := removeMatching(filepath.Join(p.socket, ".s.PGSQL.*")); err != nil {
		return fmt.Errorf("remove a stale socket: %w", err)
	}
	for {
		child, logged, err := p.launch(ctx)
		if err == nil {
			p.mu.Lock()
			p.running = child
			p.mu.Unlock()
			return nil
		}
		// Backends of a killed postmaster hold its shared memory until they notice.
		if !strings.Contains(logged, "shared memory block") || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *Postgres) launch(ctx context.Context) (*process, string, error) {
	logFile, from, err := openLog(filepath.Join(p.dir, "postgres.log"))
	if err != nil {
		return nil, "", err
	}
	defer logFile.Close()
	args := []string{"-D", p.data}
	for name, value := range p.settings() {
		args = append(args, "-c", name+"="+value)
	}
	// The child must outlive ctx, which is only for starting.
	cmd := p.command(context.WithoutCancel(ctx), "postgres", args...)
	// A file and not a pipe: the postmaster goes on writing when its owner is gone.
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// Fast shutdown when the owner dies: a clean end, and no recovery at the next start.
	child, err := startProcess(cmd, syscall.SIGINT)
	if err != nil {
		return nil, "", fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	err = p.awaitReady(ctx, child)
	if err == nil {
		return child, "", nil
	}
	logged := readFrom(logFile.Name(), from)
	if !child.exited() {
		_ = child.kill()
	}
	return nil, logged, fmt.Errorf("%w\n%s", err, lastLines(logged, 12))
}

// awaitReady returns when the postmaster takes connections, or is gone.
func (p *Postgres) awaitReady(ctx context.Context, child *process) error {
	config, err := pgx.ParseConfig(p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("await postgres: %w", err)
	}
	for {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn.Close(ctx)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code != "57P03" && refused.Code != "53300" { // starting up, too many connections
			return fmt.Errorf("await postgres: %w", err)
		}
		select {
		case <-child.done:
			return fmt.Errorf("postgres ended at its start: %w", exitError(child.err))
		case <-ctx.Done():
			return fmt.Errorf("await postgres: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// clearOrphan stops a postmaster that outlived its owner, and removes the pid file of one that is gone: its number may
// belong to somebody else by now, at which plain postgres refuses to start.
func (p *Postgres) clearOrphan(ctx context.Context) error {
	file := filepath.Join(p.data, "postmaster.pid")
	deadline := time.Now().Add(orphanPatience)
	for asked := false; ; {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the postmaster's pid: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || pid <= 1 || !worksIn(pid, p.data) {
			// Ours by the folder's lock, so nobody else is about to write it.
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove a stale pid file: %w", err)
			}
			return nil
		}
		if !asked {
			asked = true
			p.log.Info("stopping a postgres that outlived its owner", "pid", pid)
			_ = syscall.Kill(pid, syscall.SIGINT)
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			deadline = time.Now().Add(orphanPatience)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop a postgres that outlived its owner (pid %d): %w", pid, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
