// Command foreign runs the test suites of KurrentDB's and EventStoreDB's own Go clients, unmodified, against this vault, and prints
// what passed, what failed and what is not for a vault. It fetches the suites through the Go proxy; nothing of them is kept.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "mediavault", "", "the program to test; built from this repository when not named")
	flag.StringVar(&o.suite, "suite", "", "only the suites whose name has this in it")
	flag.StringVar(&o.only, "run", "", "only the tests that this regular expression matches")
	flag.BoolVar(&o.verbose, "v", false, "show what the suite prints")
	flag.DurationVar(&o.patience, "timeout", 10*time.Minute, "for all of it")
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
	binary, suite, only string
	verbose             bool
	patience            time.Duration
}

func run(ctx context.Context, o options) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "mediavault-foreign-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary == "" {
		o.binary = filepath.Join(dir, "mediavault")
		if err := command(ctx, filepath.Join("..", ".."), "go", "build", "-o", o.binary, "./cmd/mediavault"); err != nil {
			return 0, err
		}
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return 0, err
	}
	ran := 0
	for _, s := range suites {
		if !strings.Contains(s.name, o.suite) {
			continue
		}
		ran++
		more, err := s.run(ctx, filepath.Join(dir, s.name), o)
		if err != nil {
			return failed, fmt.Errorf("%s: %w", s.name, err)
		}
		failed += more
	}
	if ran == 0 {
		return 0, fmt.Errorf("there is no suite %q", o.suite)
	}
	return failed, nil
}

// run fetches a suite, serves what it dials, runs it and tells what became of it.
func (s suite) run(ctx context.Context, dir string, o options) (failed int, err error) {
	client := filepath.Join(dir, "client")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	if err := fetch(ctx, s.module, client); err != nil {
		return 0, err
	}
	if err := s.prepare(ctx, client); err != nil {
		return 0, err
	}
	if s.addresses != "" {
		stop, err := serve(ctx, o.binary, dir, s.addresses, filepath.Join(client, "certs", "node1"))
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	results, err := s.test(ctx, client, o)
	if err != nil {
		return 0, err
	}
	failed = s.tell(results)
	if s.then == nil {
		return failed, nil
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return failed, err
	}
	if results, err = s.then.test(ctx, root, o); err != nil {
		return failed, err
	}
	return failed + s.then.tell(results), nil
}

func (s suite) tell(results []*result) (failed int) {
	fmt.Printf("\n%s\n\n", s.module)
	return s.table(os.Stdout, results)
}

// fetch copies the suite to dir.
func fetch(ctx context.Context, suite, dir string) error {
	c := exec.CommandContext(ctx, "go", "mod", "download", "-json", suite)
	c.Dir = filepath.Dir(dir)
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("fetch: %w: %s", err, out)
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

// serve starts a vault and answers how to stop it.
func serve(ctx context.Context, binary, dir, addresses, certificate string) (stop func() error, err error) {
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

func command(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdout, c.Stderr = dir, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}
