//go:build unix

package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresOptions say how to run a private Postgres. Only Dir is needed.
type PostgresOptions struct {
	Dir      string            // holds the cluster, its log and its lock; made when missing
	Binaries *Binaries         // nil: FindPostgres
	Volatile bool              // true: fsync is off; an acknowledged write survives a killed process, not a power loss
	Settings map[string]string // over the settings of this package
	Log      *slog.Logger      // nil: slog.Default
}

// Postgres is a private Postgres cluster that this process owns. Nobody can reach it but through a unix socket in a folder
// that only its user (and root) may enter, so it needs no password.
//
// Killing the owner, the postmaster, or both with SIGKILL loses nothing that was committed; the next StartPostgres on the
// folder recovers.
type Postgres struct {
	dir    string // of everything
	data   string // the cluster
	socket string // folder of the unix socket
	opts   PostgresOptions
	who    identity
	bin    Binaries
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	lock    *folderLock
	running *process
	stopped bool
}

const (
	superuser      = "postgres" // of the cluster, not of the machine
	stopPatience   = 30 * time.Second
	orphanPatience = 30 * time.Second
	// maxSocketDir keeps the socket's path under the 104 bytes of macOS (108 on Linux) with "/.s.PGSQL.5432" at its end.
	maxSocketDir = 103 - len("/.s.PGSQL.5432")
)

// StartPostgres starts the cluster in o.Dir and returns when it answers. It makes the cluster when there is none. ErrInUse:
// another process has the folder. Recovery after a crash takes its time: ctx bounds it.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	// A child's working folder is reported without symbolic links.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	p := &Postgres{dir: dir, data: filepath.Join(dir, "data"), opts: o, log: o.Log}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.lock, err = lockFolder(dir); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if err := p.prepare(ctx); err != nil {
		p.lock.release()
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if err := p.start(ctx); err != nil {
		p.lock.release()
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return p, nil
}

func (p *Postgres) prepare(ctx context.Context) error {
	who, err := postgresIdentity(p.data)
	if err != nil {
		return err
	}
	p.who = who
	major, err := clusterMajor(p.data)
	if err != nil {
		return err
	}
	if p.opts.Binaries != nil {
		p.bin = *p.opts.Binaries
		if major != 0 && p.bin.Major != major {
			return wrongMajor(p.data, major, p.bin)
		}
	} else if p.bin, err = FindPostgres(ctx, FindOptions{Major: major, Folder: p.data, Log: p.log}); err != nil {
		return err
	}
	if p.who.other && !p.who.reaches(filepath.Join(p.bin.Dir, "x")) {
		// No capability helps here: initdb asks with access(2), which looks at the user alone.
		return fmt.Errorf("postgres refuses to run as root, and the user %d, as whom it would run instead, may not enter %s: move the "+
			"programs, or name a folder that everybody may enter in MEDIAVAULT_CACHE_DIR", p.who.uid, p.bin.Dir)
	}
	if p.socket, err = p.socketFolder(); err != nil {
		return err
	}
	if major != 0 {
		return nil
	}
	return p.initdb(ctx)
}

// clusterMajor is the major version that the cluster in the folder was made with; 0 when there is none.
func clusterMajor(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
			return 0, fmt.Errorf("%s is not empty and holds no Postgres cluster: name another folder", data)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %s/PG_VERSION says %q", data, text)
	}
	return major, nil
}

// socketFolder is where the socket lives: in our folder, unless its path is too long for a socket.
func (p *Postgres) socketFolder() (string, error) {
	dir := filepath.Join(p.dir, "run")
	if len(dir) <= maxSocketDir {
		return dir, p.who.makeFolder(dir)
	}
	var err error
	// The system's temporary folder may be long, too (macOS), and /tmp is always short.
	if dir, err = os.MkdirTemp("/tmp", "mediavault-"); err != nil {
		return "", fmt.Errorf("socket folder: %w", err)
	}
	return dir, p.who.makeFolder(dir)
}

// initdb makes the cluster beside and renames it when it is whole, so that a kill in the middle leaves no half cluster.
func (p *Postgres) initdb(ctx context.Context) error {
	if err := removeMatching(filepath.Join(p.dir, "init-*")); err != nil {
		// A grandchild of the killed one may write a moment longer; it is in nobody's way.
		p.log.Warn("the remains of a killed initdb stay until the next start", "error", err)
	}
	beside, err := os.MkdirTemp(p.dir, "init-")
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := p.who.makeFolder(beside); err != nil {
		return err
	}
	var failure error
	for _, locale := range p.bin.locales() {
		args := append([]string{"-D", beside, "-U", superuser, "-A", "trust", "-E", "UTF8"}, locale...)
		if p.opts.Volatile {
			args = append(args, "--no-sync")
		}
		cmd := p.command(context.WithoutCancel(ctx), "initdb", args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		child, err := startProcess(cmd, syscall.SIGKILL)
		if err != nil {
			return fmt.Errorf("initdb: %w", err)
		}
		select {
		case <-child.done:
		case <-ctx.Done():
			_ = child.kill()
			return fmt.Errorf("initdb: %w", ctx.Err())
		}
		if child.err == nil {
			failure = nil
			break
		}
		// The locale may be unknown to this system; the next is plainer. initdb empties the folder when it fails.
		failure = fmt.Errorf("initdb: %w: %s", child.err, lastLines(out.String(), 8))
	}
	if failure != nil {
		return failure
	}
	if err := os.Rename(beside, p.data); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return syncFolder(p.dir)
}

// command runs one of Postgres' programs as its user, with an environment that nothing of ours leaks into.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin.Dir, name), args...)
	cmd.Dir = "/" // ours may be out of its reach
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + p.bin.Dir + ":/usr/local/bin:/usr/bin:/bin", "HOME=/"}
	cmd.Env = append(cmd.Env, allocator...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	p.who.apply(cmd, filepath.Join(p.data, "x"), filepath.Join(p.socket, "x"), filepath.Join(p.bin.Dir, "x"))
	return cmd
}

// URL of a database of the cluster. It stays the same when the cluster starts again.
func (p *Postgres) URL(database string) string {
	query := url.Values{"host": {p.socket}, "port": {"5432"}, "user": {superuser}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Ensure makes the database unless it is there, and answers its URL.
func (p *Postgres) Ensure(ctx context.Context, database string) (string, error) {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return "", fmt.Errorf("make database %s: %w", database, err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42P04" { // it is there
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("make database %s: %w", database, err)
	}
	return p.URL(database), nil
}

// Done is closed when the postmaster is gone, for whatever reason. After Restart ask again: it is another channel.
func (p *Postgres) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running.done
}

// Pid of the postmaster.
func (p *Postgres) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running.pid()
}

// Restart starts the postmaster again after it is gone.
func (p *Postgres) Restart(ctx context.Context) error {
	p.mu.Lock()
	stopped, running := p.stopped, p.running
	p.mu.Unlock()
	if stopped {
		return errors.New("restart postgres: it was stopped")
	}
	if !running.exited() {
		return errors.New("restart postgres: it is running")
	}
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}

// Kill ends the postmaster as kill -9 does; for tests. Restart brings it back.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	return running.kill()
}

// Stop ends sessions, writes everything out and stops; after 30 s, or when ctx ends, it kills instead, which loses nothing
// committed. The folder is free again afterwards.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	err := p.running.stop(ctx, syscall.SIGINT, stopPatience)
	if !strings.HasPrefix(p.socket, p.dir) {
		_ = os.RemoveAll(p.socket)
	}
	p.lock.release()
	if err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	return nil
}
