//go:build unix

package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a made-up one: folders with programs that are copies of /bin/echo's kind of answer.
type machine struct {
	t    *testing.T
	root string
	path []string
	env  map[string]string
	euid int
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	root := t.TempDir()
	return &machine{t: t, root: root, env: map[string]string{"MEDIAVAULT_CACHE_DIR": filepath.Join(root, "cache")}, euid: 1000}
}

func (m *machine) write(path, content string) string {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// install makes a folder that looks like Postgres' programs. The server must not be a script, so this very test binary plays
// it: asked for its --version it says the major that stands in its name's folder.
func (m *machine) install(dir string, major int) {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(filepath.Join(dir, "initdb"), "#!/bin/sh\n")
	server := filepath.Join(m.root, dir, "postgres")
	if os.Link(self, server) != nil { // on another file system, then
		content, err := os.ReadFile(self)
		if err != nil {
			m.t.Fatal(err)
		}
		m.write(filepath.Join(dir, "postgres"), string(content))
	}
	m.write(filepath.Join(dir, "major"), fmt.Sprint(major))
}

func (m *machine) onPath(dir string) { m.path = append(m.path, filepath.Join(m.root, dir)) }

func (m *machine) find(major int) (Binaries, error) {
	return FindPostgres(context.Background(), FindOptions{
		Major: major, Folder: "/data", root: m.root, Log: slog.New(slog.DiscardHandler),
		euid: func() int { return m.euid },
		Getenv: func(name string) string {
			if name == "PATH" {
				return strings.Join(m.path, string(os.PathListSeparator))
			}
			return m.env[name]
		},
	})
}

func (m *machine) finds(major int, dir string) {
	m.t.Helper()
	found, err := m.find(major)
	if err != nil {
		m.t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(filepath.Join(m.root, dir))
	if err != nil {
		m.t.Fatal(err)
	}
	if found.Dir != want {
		m.t.Errorf("found %s, wanted %s", found.Dir, want)
	}
}

func TestTheNamedFolderComesBeforePath(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.install("named", 16)
	m.install("bin", 17)
	m.onPath("bin")
	m.finds(0, "bin")
	m.env["MEDIAVAULT_POSTGRES_BIN"] = filepath.Join(m.root, "named")
	m.finds(0, "named")
	m.env["MEDIAVAULT_POSTGRES_BIN"] = filepath.Join(m.root, "nothing")
	if _, err := m.find(0); err == nil {
		t.Error("a named folder without Postgres was passed over")
	}
}

func TestPathComesBeforeTheUsualPlacesUnlessItIsTooOld(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.install("bin", 15)
	m.onPath("bin")
	m.install("usr/lib/postgresql/16/bin", 16)
	m.install("usr/lib/postgresql/17/bin", 17)
	m.finds(0, "bin")
	m.finds(16, "usr/lib/postgresql/16/bin")
	m.path = nil
	m.finds(0, "usr/lib/postgresql/17/bin")
	m.install("old", 12)
	m.onPath("old")
	m.finds(0, "usr/lib/postgresql/17/bin")
}

func TestALinkOnPathLeadsToTheRealFolder(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.install("opt/pg/bin", 17)
	if err := os.Mkdir(filepath.Join(m.root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(m.root, "opt/pg/bin/postgres"), filepath.Join(m.root, "bin/postgres")); err != nil {
		t.Fatal(err)
	}
	m.onPath("bin")
	m.finds(0, "opt/pg/bin")
}

func TestAWrapperScriptIsNotTheServer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("bin/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 17.1'\n")
	m.write("bin/initdb", "#!/bin/sh\n")
	m.onPath("bin")
	m.install("usr/pgsql-16/bin", 16)
	m.finds(0, "usr/pgsql-16/bin")
	// pg_config beside the wrapper knows better.
	m.install("somewhere", 17)
	m.write("bin/pg_config", "#!/bin/sh\necho "+filepath.Join(m.root, "somewhere")+"\n")
	m.finds(0, "somewhere")
}

func TestDataOfAnotherMajorVersionIsSaidSo(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.install("bin", 15)
	m.onPath("bin")
	_, err := m.find(13)
	if err == nil || !strings.Contains(err.Error(), "/data was made by Postgres 13") || !strings.Contains(err.Error(), "15 in") {
		t.Errorf("got %v", err)
	}
}

func TestAMachineWithoutPostgresIsToldWhatToInstall(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	_, err := m.find(0)
	if !errors.Is(err, ErrNoPostgres) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"apt-get install postgresql", "dnf install", "apk add", "brew install", "MEDIAVAULT_DATABASE_URL", "npm is not on PATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q:\n%v", want, err)
		}
	}
}

func TestAPTIsForRootAloneAndMakesNoCluster(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("etc/debian_version", "12\n")
	m.install("prepared", 15)
	record := filepath.Join(m.root, "record")
	m.write("bin/apt-get", fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s
case "$*" in *install*)
  cat %[2]s/etc/postgresql-common/createcluster.d/mediavault.conf >>%[1]s
  mkdir -p %[2]s/usr/lib/postgresql/15 && mv %[2]s/prepared %[2]s/usr/lib/postgresql/15/bin
esac
`, record, m.root))
	m.onPath("bin")
	if _, err := m.find(0); !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "only root") {
		t.Errorf("somebody else than root: %v", err)
	}
	m.euid = 0
	m.finds(0, "usr/lib/postgresql/15/bin")
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("create_main_cluster = false")) || !bytes.Contains(text, []byte("install --yes --no-install-recommends postgresql\n")) {
		t.Errorf("apt-get was called so:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(m.root, "etc/postgresql-common/createcluster.d/mediavault.conf")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the machine's settings were left changed")
	}
}

func TestAnArchiveThatIsNotTheKnownOneIsRefused(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("bin/npm", "#!/bin/sh\necho forged >forged.tgz\n")
	m.onPath("bin")
	_, err := m.find(0)
	if err == nil || !strings.Contains(err.Error(), "not the one we know") {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "cache", "fetch-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
