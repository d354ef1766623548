//go:build unix

package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrInUse is a folder that another running process has taken.
var ErrInUse = errors.New("folder is in use")

// folderLock keeps a second process out of a folder. The kernel lets go of it when its holder dies, so there is no stale lock.
type folderLock struct{ file *os.File }

// lockFolder takes the folder for this process, or answers ErrInUse with the pid of who has it.
func lockFolder(dir string) (*folderLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := io.ReadAll(io.LimitReader(file, 32))
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is taken by process %s", ErrInUse, dir, strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock folder %s: %w", dir, err)
	}
	if err := file.Truncate(0); err == nil {
		// Only for the other's error message: the lock itself is the kernel's.
		_, _ = fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	return &folderLock{file: file}, nil
}

// waitFolder takes the folder, waiting for as long as somebody else has it.
func waitFolder(ctx context.Context, dir string) (*folderLock, error) {
	for {
		lock, err := lockFolder(dir)
		if err == nil || !errors.Is(err, ErrInUse) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// release lets go of the folder.
func (l *folderLock) release() { l.file.Close() }
