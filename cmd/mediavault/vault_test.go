package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/internal/demo"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// binary is the real program, built once for all tests of the package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mediavault-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "mediavault")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	sandbox.MaybeChild(analyzers.Jobs()) // the doctor runs a child
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// vault is a running `mediavault dev`.
type vault struct {
	t    *testing.T
	dir  string
	base string
	cmd  *exec.Cmd
	log  *syncBuffer
	done chan struct{} // closed when the process has ended
	// enter is what runs other commands where the vault sees its folder; nil: everybody sees it
	enter []string
}

const startTime = 3 * time.Minute // on a machine that is busy, or has to fetch Postgres first

// startVault runs the real binary on the data folder and returns when it answers.
func startVault(t *testing.T, dir string, args ...string) *vault {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, dir, exec.Command(path, append([]string{"dev", "--data", dir, "--addr", "127.0.0.1:0"}, args...)...))
}

// startCommand runs a command that serves, and returns when it says where.
func startCommand(t *testing.T, dir string, cmd *exec.Cmd) *vault {
	t.Helper()
	v := &vault{t: t, dir: dir, cmd: cmd, log: &syncBuffer{}, done: make(chan struct{})}
	v.cmd.Stderr = v.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.end)
	base := make(chan string, 1)
	go func() { // ends with the process
		defer close(v.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(v.log, lines.Text())
			if _, at, ok := strings.Cut(lines.Text(), "Media Vault is at "); ok {
				base <- strings.TrimSpace(at)
			}
		}
		_ = v.cmd.Wait()
	}()
	select {
	case v.base = <-base:
	case <-v.done:
		t.Fatalf("the vault ended before it was ready:\n%s", v.log)
	case <-time.After(startTime):
		t.Fatalf("the vault was not ready in %v:\n%s", startTime, v.log)
	}
	return v
}

// kill ends the vault as a crash does.
func (v *vault) kill() {
	_ = v.cmd.Process.Kill()
	<-v.done
}

// end kills the vault and waits for its children, which write to its folder until they have ended, too.
func (v *vault) end() {
	children := childrenOf(v.cmd.Process.Pid)
	v.kill()
	deadline := time.After(10 * time.Second)
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			select {
			case <-deadline:
				return // the folder's removal will say
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// zombie says whether a process has ended, and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := bytes.Cut(stat, []byte(") "))
	return err != nil || ok && bytes.HasPrefix(after, []byte("Z"))
}

// stop ends the vault as Ctrl-C does, and fails the test when it does not end well.
func (v *vault) stop() {
	v.t.Helper()
	_ = v.cmd.Process.Signal(os.Interrupt)
	select {
	case <-v.done:
	case <-time.After(time.Minute):
		v.t.Fatalf("the vault did not stop in a minute:\n%s", v.log)
	}
	if code := v.cmd.ProcessState.ExitCode(); code != 0 {
		v.t.Fatalf("the vault ended with %d:\n%s", code, v.log)
	}
}

// killPart kills a child of the vault: postgres or the S3 server.
func (v *vault) killPart(name string) {
	for _, pid := range childrenOf(v.cmd.Process.Pid) {
		cmdline, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
		isPostgres := bytes.Contains(cmdline, []byte("postgres"))
		if isPostgres == (name == "postgres") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func childrenOf(parent int) []int {
	var pids []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, file := range tasks {
		list, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(list)) {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// run runs another command of the binary on the same data folder and answers what it printed.
func (v *vault) run(args ...string) (string, error) {
	v.t.Helper()
	path, err := binary()
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), startTime)
	defer cancel()
	argv := slices.Concat(v.enter, []string{path}, args, []string{"--data", v.dir})
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = v.cmd.Env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// as is a client with a token for the user.
func (v *vault) as(user, role string, more ...string) *demo.Client {
	v.t.Helper()
	out, err := v.run(append([]string{"token", "--user", user, "--role", role, "--ttl", "12h"}, more...)...)
	if err != nil {
		v.t.Fatalf("token: %v\n%s", err, out)
	}
	return &demo.Client{Base: v.base, Token: strings.TrimSpace(out), HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// syncBuffer is a buffer that a process writes while a test reads.
type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is the end of what was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.buf.String()
	return s[max(0, len(s)-8000):]
}

var _ io.Writer = (*syncBuffer)(nil)
