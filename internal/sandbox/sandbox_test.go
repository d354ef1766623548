package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mediavault-io/mediavault/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.MaybeChild(map[string]sandbox.Job{
		"count": func(w *sandbox.Work) error {
			n, err := io.Copy(io.Discard, w.Input)
			fmt.Fprintf(w, "%s %d", w.Args, n)
			return err
		},
		"early":  func(w *sandbox.Work) error { _, err := io.WriteString(w, "early"); return err },
		"refuse": func(*sandbox.Work) error { return errors.New("not that") },
		"end": func(w *sandbox.Work) error { // as the kernel ends what takes the last of the memory
			w.Step("ending")
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still here"))
		},
		"panic": func(w *sandbox.Work) error { w.Step("falling"); panic("down") },
		"spin": func(w *sandbox.Work) error {
			w.Step("spinning")
			for n := 0; ; n++ {
				if n < 0 {
					return nil
				}
			}
		},
		"hang": func(w *sandbox.Work) error { w.Step("hanging"); select {} },
		"eat": func(w *sandbox.Work) error {
			w.Step("eating")
			var all [][]byte
			for {
				b := make([]byte, 16<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				all = append(all, b)
				runtime.KeepAlive(all)
			}
		},
		"shout": func(w *sandbox.Work) error {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		},
		"look": func(w *sandbox.Work) error {
			fmt.Fprintf(w, "uid %d env %d", os.Getuid(), len(os.Environ()))
			return nil
		},
	})
	os.Exit(m.Run())
}

func pool(t *testing.T, l sandbox.Limits) *sandbox.Pool {
	t.Helper()
	p := sandbox.NewPool(sandbox.Options{Children: 2, Limits: l})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func run(t *testing.T, p *sandbox.Pool, job string, in io.Reader, send int64) (string, error) {
	t.Helper()
	done, err := p.Run(t.Context(), sandbox.Task{Job: job, Args: []byte("args"), Input: in, Send: send})
	return string(done.Output), err
}

func TestAChildDoesItsWork(t *testing.T) {
	t.Parallel()
	p := pool(t, sandbox.Limits{})
	for range 3 {
		if got, err := run(t, p, "count", strings.NewReader(strings.Repeat("x", 1<<20)), 1<<30); err != nil || got != "args 1048576" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	t.Run("and is given no more than it may have, while the rest is read", func(t *testing.T) {
		in := strings.NewReader(strings.Repeat("x", 1<<20))
		if got, err := run(t, p, "count", in, 1000); err != nil || got != "args 1000" || in.Len() != 0 {
			t.Fatalf("got %q, %v, %d left", got, err, in.Len())
		}
	})
	t.Run("and may answer before it has read all", func(t *testing.T) {
		for range 5 {
			in := strings.NewReader(strings.Repeat("x", 4<<20))
			if got, err := run(t, p, "early", in, 1<<30); err != nil || got != "early" || in.Len() != 0 {
				t.Fatalf("got %q, %v, %d left", got, err, in.Len())
			}
		}
	})
	t.Run("or say that it cannot", func(t *testing.T) {
		if _, err := run(t, p, "refuse", strings.NewReader("x"), 10); !errors.Is(err, sandbox.ErrRefused) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("as nobody, without an environment", func(t *testing.T) {
		got, err := run(t, p, "look", strings.NewReader(""), 10)
		if err != nil || os.Getuid() == 0 && runtime.GOOS == "linux" && !strings.Contains(got, "uid 65534") || !strings.Contains(got, "env 3") {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestWhatAChildDoesWrongIsAFinding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		job, code, step string
		limits          sandbox.Limits
	}{
		{"panic", sandbox.Crashed, "falling", sandbox.Limits{}},
		{"end", sandbox.Killed, "ending", sandbox.Limits{}},
		{"spin", sandbox.TimedOut, "spinning", sandbox.Limits{CPU: time.Second}},
		{"hang", sandbox.TimedOut, "hanging", sandbox.Limits{Wall: 300 * time.Millisecond}},
		{"eat", sandbox.OutOfMemory, "eating", sandbox.Limits{Memory: 256 << 20}},
		{"shout", sandbox.TooMuch, "", sandbox.Limits{Output: 1 << 20}},
	} {
		t.Run(c.job, func(t *testing.T) {
			t.Parallel()
			p := pool(t, c.limits)
			in := bytes.NewReader(make([]byte, 3<<20))
			_, err := run(t, p, c.job, in, 1<<30)
			var f *sandbox.Failure
			if !errors.As(err, &f) || f.Code != c.code || f.Step != c.step {
				t.Fatalf("got %v", err)
			}
			if in.Len() != 0 {
				t.Errorf("%d bytes of the input were not read", in.Len())
			}
			if got, err := run(t, p, "count", strings.NewReader("abc"), 10); err != nil || got != "args 3" {
				t.Errorf("after it: %q, %v", got, err)
			}
		})
	}
}

func TestAnInputThatBreaksIsTheInputsFault(t *testing.T) {
	t.Parallel()
	p := pool(t, sandbox.Limits{})
	broken := errors.New("the storage is gone")
	_, err := run(t, p, "count", io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), 1<<20)
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, sandbox.Task{Job: "hang", Input: strings.NewReader("")}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestAToolRunsUnderLimits(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("bytes"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Chmod(0o644), os.Remove(file.Name())); err != nil {
		t.Fatal(err)
	}
	got, err := sandbox.RunTool(t.Context(), sandbox.Tool{Path: sh, Args: []string{"-c", "cat /dev/fd/3"}, Files: []*os.File{file}})
	if err != nil || string(got) != "bytes" {
		t.Fatalf("got %q, %v", got, err)
	}
	small := sandbox.Tool{Path: sh, Args: []string{"-c", "ulimit -v"}, Limits: sandbox.Limits{Memory: 64 << 20}}
	if got, err := sandbox.RunTool(t.Context(), small); runtime.GOOS == "linux" && (err != nil || string(got) != "65536\n") {
		t.Errorf("of 64 MiB a tool has %q KiB, %v", got, err)
	}
	for script, code := range map[string]string{"exit 3": sandbox.Crashed, "kill -KILL $$": sandbox.Killed, "while :; do :; done": sandbox.TimedOut, "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done": sandbox.TooMuch} {
		_, err := sandbox.RunTool(t.Context(), sandbox.Tool{Path: sh, Args: []string{"-c", script}, Limits: sandbox.Limits{CPU: time.Second, Output: 1 << 16}})
		var f *sandbox.Failure
		if !errors.As(err, &f) || f.Code != code {
			t.Errorf("%s: got %v", script, err)
		}
	}
}
