package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// result is what became of one test.
type result struct {
	name    string // with the mode before it, where the suite has several
	outcome string // pass, fail or skip
	output  []string
	took    float64
}

// test runs the suite in all its modes.
func (s suite) test(ctx context.Context, dir string, o options) (all []*result, err error) {
	temporary, err := os.MkdirTemp("", "mediavault-foreign-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	if err := os.Chmod(temporary, 0o777); err != nil { //nolint:gosec // a private Postgres may run as another user
		return nil, err
	}
	binary := filepath.Join(temporary, s.name+".test")
	environ := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod="+cmp.Or(s.mod, "mod"), "CGO_ENABLED=0")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./"+s.folder)
	build.Dir, build.Env, build.Stderr = dir, environ, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the suite: %w", err)
	}
	environ = append(environ, "TMPDIR="+temporary, "MEDIAVAULT="+o.binary)
	for _, m := range s.modes {
		results, err := s.testIn(ctx, binary, filepath.Join(dir, s.folder), append(environ, m.env...), m, o)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			r.name = m.name + r.name
		}
		all = append(all, results...)
	}
	if len(all) == 0 && o.only == "" {
		return nil, errors.New("the suite did not run: see above")
	}
	return all, nil
}

// testIn runs each of the suite's top tests in a process of its own: one that panics takes no other with it. A test that never ended
// counts as failed.
func (s suite) testIn(ctx context.Context, binary, dir string, environ []string, m mode, o options) ([]*result, error) {
	pattern := o.only
	if pattern == "" {
		pattern = "."
	}
	top, _, _ := strings.Cut(pattern, "/")
	list := exec.CommandContext(ctx, binary, "-test.list", top)
	list.Dir = dir
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the suite: %w", err)
	}
	var all []*result
	for name := range strings.FieldsSeq(string(names)) {
		switch {
		case slices.Contains(s.again, name) || (m.only != nil && !slices.Contains(m.only, name)):
			continue
		case ctx.Err() != nil:
			all = append(all, &result{name: name, outcome: "fail", output: []string{"there was no time left to run it\n"}})
			continue
		case slices.Contains(s.neverRun, name):
			all = append(all, &result{name: name, outcome: "skip"})
			continue
		}
		begun := time.Now()
		run := "^" + name + "$"
		if _, inside, ok := strings.Cut(pattern, "/"); ok {
			run += "/" + inside
		}
		results, err := s.one(ctx, dir, environ, o.verbose, "go", "tool", "test2json", binary, "-test.v=test2json", "-test.timeout", "4m", "-test.run", run)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s%s: %.1f s\n", m.name, name, time.Since(begun).Seconds())
		all = append(all, results...)
	}
	return all, nil
}

// one runs one test. What it started itself ends with it, however it ends.
func (s suite) one(ctx context.Context, dir string, environ []string, verbose bool, name string, args ...string) ([]*result, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env, c.Stderr = dir, environ, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	results, err := parse(out, verbose)
	_ = c.Wait()                                      // fails when a test does, which the results say
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM) // mostly there is nobody left
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return results, nil
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
