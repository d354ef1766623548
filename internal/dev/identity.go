//go:build unix

package dev

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// identity is who a child runs as. The zero identity is this process's own.
type identity struct {
	uid, gid uint32
	other    bool // another user than this process's
}

// postgresIdentity chooses who runs Postgres, which refuses to run as root: the owner of the data folder when there is one,
// else the user postgres, else nobody. Anybody but root runs it as themselves.
func postgresIdentity(data string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{}, nil
	}
	info, err := os.Stat(data)
	switch {
	case err == nil:
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return identity{uid: stat.Uid, gid: stat.Gid, other: true}, nil
		}
		return identity{}, fmt.Errorf("the data folder %s belongs to root, whom Postgres refuses: give it to another user (chown -R)", data)
	case !errors.Is(err, os.ErrNotExist):
		return identity{}, fmt.Errorf("who runs postgres: %w", err)
	}
	for _, name := range []string{"postgres", "nobody", "daemon"} {
		// initdb looks the user up, so a bare number would not do.
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			return identity{uid: uint32(uid), gid: uint32(gid), other: true}, nil
		}
	}
	return identity{}, errors.New("postgres refuses to run as root, and there is no user postgres, nobody or daemon to run it as")
}

// apply makes cmd run as this identity, able to reach the paths.
func (i identity) apply(cmd *exec.Cmd, paths ...string) {
	if !i.other {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// No supplementary groups: root's must not be passed on.
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: i.uid, Gid: i.gid, Groups: []uint32{}}
	for _, path := range paths {
		if !i.reaches(path) {
			allowSearch(cmd)
			return
		}
	}
}

// reaches reports whether the identity may walk through every folder above path.
func (i identity) reaches(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		mode := info.Mode().Perm()
		switch {
		case !ok:
			return false
		case stat.Uid == i.uid:
			mode >>= 6
		case stat.Gid == i.gid:
			mode >>= 3
		}
		if mode&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// makeFolder makes a 0700 folder that belongs to the identity; one that is there already has to be just that.
func (i identity) makeFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	mine := ok && info.IsDir() && (int(stat.Uid) == os.Geteuid() || (i.other && stat.Uid == i.uid))
	if !mine {
		return fmt.Errorf("make folder: %s is there and belongs to somebody else", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if i.other && stat.Uid != i.uid {
		if err := os.Chown(dir, int(i.uid), int(i.gid)); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return nil
}
