// Command foreign runs the test suite of KurrentDB's own Go client, unmodified, against this vault, and prints what passed, what
// failed and what is not for a vault. It fetches the suite through the Go proxy; nothing of it is kept.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const suite = "github.com/kurrent-io/KurrentDB-Client-Go@v1.1.0"

// The addresses that the suite dials. They are its own, and the only fixed ones in this repository.
const addresses = "plain://127.0.0.1:2114,tls://127.0.0.1:2115,tls://127.0.0.1:2111,tls://127.0.0.1:2112,tls://127.0.0.1:2113"

func main() {
	var o options
	flag.StringVar(&o.binary, "mediavault", "", "the program to test; built from this repository when not named")
	flag.StringVar(&o.only, "run", "", "only the tests that this regular expression matches")
	flag.BoolVar(&o.verbose, "v", false, "show what the suite prints")
	flag.DurationVar(&o.patience, "timeout", 6*time.Minute, "for the whole suite")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

type options struct {
	binary, only string
	verbose      bool
	patience     time.Duration
}

func run(ctx context.Context, o options) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "mediavault-foreign-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	client := filepath.Join(dir, "client")
	if err := fetch(ctx, client); err != nil {
		return 0, err
	}
	if err := certificates(filepath.Join(client, "certs")); err != nil {
		return 0, err
	}
	if o.binary == "" {
		o.binary = filepath.Join(dir, "mediavault")
		if err := command(ctx, filepath.Join("..", ".."), "go", "build", "-o", o.binary, "./cmd/mediavault"); err != nil {
			return 0, err
		}
	}
	stop, err := serve(ctx, o.binary, dir, filepath.Join(client, "certs", "node1"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	results, err := test(ctx, client, o)
	if err != nil {
		return 0, err
	}
	return table(os.Stdout, results), nil
}

// fetch copies the suite to dir.
func fetch(ctx context.Context, dir string) error {
	c := exec.CommandContext(ctx, "go", "mod", "download", "-json", suite)
	c.Dir = filepath.Dir(dir)
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("fetch %s: %w: %s", suite, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return fmt.Errorf("copy the suite: %w", err)
	}
	// What the proxy gives is read-only; the certificates are replaced, and go writes sums.
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
}

// certificates makes those that the suite dials with.
func certificates(dir string) error {
	a, err := newAuthority(filepath.Join(dir, "ca"), "Media Vault foreign tests")
	if err != nil {
		return err
	}
	if _, err := newAuthority(filepath.Join(dir, "untrusted-ca"), "somebody else"); err != nil {
		return err
	}
	return a.node(filepath.Join(dir, "node1"), "node")
}

// serve starts a vault and answers how to stop it.
func serve(ctx context.Context, binary, dir, certificate string) (stop func() error, err error) {
	c := exec.Command(binary, "dev", "--data", filepath.Join(dir, "data"), "--addr", "127.0.0.1:0")
	c.Env = append(os.Environ(), "MEDIAVAULT_STREAM_ADDR="+addresses, "MEDIAVAULT_STREAM_INSECURE=true",
		"MEDIAVAULT_STREAM_TLS_CERT="+filepath.Join(certificate, "node.crt"), "MEDIAVAULT_STREAM_TLS_KEY="+filepath.Join(certificate, "node.key"))
	said, err := os.Create(filepath.Join(dir, "vault.log"))
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, said.Close())
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }() // stop waits for it
	stop = func() error {
		defer said.Close()
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case err := <-exited:
			return err
		case <-time.After(30 * time.Second):
			return errors.Join(errors.New("the vault does not stop"), c.Process.Kill(), <-exited)
		}
	}
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		if conn, err := net.DialTimeout("tcp", "127.0.0.1:2113", time.Second); err == nil {
			return stop, conn.Close()
		}
		select {
		case err := <-exited:
			exited <- nil
			log, _ := os.ReadFile(said.Name())
			return nil, errors.Join(fmt.Errorf("the vault ended: %w\n%s", err, log), stop())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), stop())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.Join(errors.New("the vault does not listen"), stop())
}

// result is what became of one test.
type result struct {
	name    string
	outcome string // pass, fail or skip
	output  []string
	took    float64
}

// again are tests that run others once more.
const again = "TestStreams TestPersistentSubscriptions TestMisc TestProjections"

// test runs the suite, each of its top tests in a process of its own: one that panics takes no other with it. A test that never
// ended counts as failed.
func test(ctx context.Context, dir string, o options) ([]*result, error) {
	binary := filepath.Join(dir, "client.test")
	environ := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "KURRENTDB_DOCKER_TAG=ci")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./test")
	build.Dir, build.Env, build.Stderr = dir, environ, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the suite: %w", err)
	}
	pattern := o.only
	if pattern == "" {
		pattern = "."
	}
	top, _, _ := strings.Cut(pattern, "/")
	list := exec.CommandContext(ctx, binary, "-test.list", top)
	list.Dir = filepath.Join(dir, "test")
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the suite: %w", err)
	}
	var all []*result
	for name := range strings.FieldsSeq(string(names)) {
		if slices.Contains(strings.Fields(again), name) {
			continue
		}
		if ctx.Err() != nil {
			all = append(all, &result{name: name, outcome: "fail", output: []string{"there was no time left to run it\n"}})
			continue
		}
		if slices.Contains(neverRun, name) {
			all = append(all, &result{name: name, outcome: "skip"})
			continue
		}
		begun := time.Now()
		run := "^" + name + "$"
		if _, inside, ok := strings.Cut(pattern, "/"); ok {
			run += "/" + inside
		}
		c := exec.CommandContext(ctx, "go", "tool", "test2json", binary, "-test.v=test2json", "-test.timeout", "3m", "-test.run", run)
		c.Dir, c.Env, c.Stderr = filepath.Join(dir, "test"), environ, os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := c.Start(); err != nil {
			return nil, err
		}
		results, err := parse(out, o.verbose)
		_ = c.Wait() // fails when a test does, which the results say
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", name, time.Since(begun).Seconds())
		all = append(all, results...)
	}
	if len(all) == 0 {
		return nil, errors.New("the suite did not run: see above")
	}
	return all, nil
}

// parse reads what `go test -json` says.
func parse(r io.Reader, verbose bool) ([]*result, error) {
	byName := map[string]*result{}
	var list []*result
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(os.Stderr, lines.Text())
			continue
		}
		if verbose {
			fmt.Print(e.Output)
		}
		if e.Test == "" {
			if !verbose && strings.Contains(e.Output, "panic:") {
				fmt.Print(e.Output)
			}
			continue
		}
		t := byName[e.Test]
		if t == nil {
			t = &result{name: e.Test, outcome: "fail"}
			byName[e.Test] = t
			list = append(list, t)
		}
		switch e.Action {
		case "pass", "fail", "skip":
			t.outcome, t.took = e.Action, e.Elapsed
		case "output":
			t.output = append(t.output, e.Output)
		}
	}
	return leaves(list), lines.Err()
}

// leaves are the tests that have no others inside.
func leaves(list []*result) []*result {
	var kept []*result
	for _, t := range list {
		leaf := true
		for _, other := range list {
			leaf = leaf && !strings.HasPrefix(other.name, t.name+"/")
		}
		if leaf {
			kept = append(kept, t)
		}
	}
	return kept
}

func command(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdout, c.Stderr = dir, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}
