//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/migrations"
)

// One server of a kind per test process, started when the first test asks.
var (
	volatile = sync.OnceValues(func() (*server, error) { return start(true) })
	durable  = sync.OnceValues(func() (*server, error) { return start(false) })
	external = sync.OnceValues(func() (*server, error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return named(ctx, os.Getenv("MEDIAVAULT_TEST_DATABASE_URL"))
	})
)

// small keeps several clusters at once, one per package under test, cheap.
var small = map[string]string{"shared_buffers": "64MB", "min_wal_size": "32MB"}

func start(volatile bool) (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := newFolder()
	if err != nil {
		return nil, err
	}
	settings := small
	if !volatile {
		settings = nil // as in production: it is for measuring
	}
	p, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir.path, Volatile: volatile, Settings: settings})
	if err != nil {
		return nil, err
	}
	address, err := p.Ensure(ctx, template)
	if err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, address); err != nil {
		return nil, err
	}
	return &server{url: p.URL, template: template, cluster: p, folder: dir}, nil
}

// folder is where a cluster of this process lives. It is removed when the process ends, in whatever way.
type folder struct {
	path   string
	held   *os.File       // flocked as long as the process lives
	reaper *exec.Cmd      // removes the folder when the pipe to it breaks
	pipe   io.WriteCloser // to the reaper
}

const folderPrefix = "mediavault-pgtest-"

// reap waits until its owner is gone (its input ends), then for the cluster to be gone, and removes the folder. A Go test has no
// hook that runs after the last test, still less one that survives kill -9.
const reap = `cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
fi
rm -rf "$1"`

func newFolder() (*folder, error) {
	removeLeftovers()
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("folder for a test's cluster: %w", err)
	}
	f := &folder{path: path}
	if f.held, err = hold(path); err != nil {
		return nil, err
	}
	f.reaper = exec.Command("/bin/sh", "-c", reap, "reap", path)
	f.reaper.Dir = "/"
	// Away from the terminal's Ctrl-C, which ends the test and not its cleaning up.
	f.reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if f.pipe, err = f.reaper.StdinPipe(); err != nil {
		return nil, fmt.Errorf("folder for a test's cluster: %w", err)
	}
	if err := f.reaper.Start(); err != nil {
		return nil, fmt.Errorf("folder for a test's cluster: %w", err)
	}
	return f, nil
}

// remove removes the folder before the process ends.
func (f *folder) remove() {
	f.pipe.Close()
	_ = f.reaper.Wait()
	f.held.Close()
}

func hold(path string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(path, "held"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("folder for a test's cluster: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("folder for a test's cluster: %w", err)
	}
	return file, nil
}

// removeLeftovers removes the folders whose process and reaper were both killed: those that nobody holds.
func removeLeftovers() {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range left {
		// A young one may be between its making and its flock; one without the file is another user's.
		if info, err := os.Lstat(path); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		file, err := os.OpenFile(filepath.Join(path, "held"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		file.Close()
	}
}
