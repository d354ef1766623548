package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Tool is one run of another program (ffmpeg, pdftoppm) on untrusted bytes, under the same limits as a child.
type Tool struct {
	Path   string
	Args   []string
	Files  []*os.File // the program has them as /dev/fd/3 and on; nobody has to be able to open them
	Limits Limits     // Output also limits each file that it writes
}

// toolStart is what the process that becomes the tool is told.
type toolStart struct {
	Path    string   `json:"path"`
	Args    []string `json:"args"`
	Memory  int64    `json:"memory"`
	Seconds uint64   `json:"seconds"`
	Output  int64    `json:"output"`
}

// RunTool runs another program and answers its standard output. Errors: *Failure, also when the program says that it failed;
// the context's.
func RunTool(ctx context.Context, t Tool) ([]byte, error) {
	l := t.Limits.orDefaults()
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", t.Path, err)
	}
	within, cancel := context.WithTimeout(ctx, l.Wall)
	defer cancel()
	said, answer := &tail{}, &bounded{most: l.Output, full: cancel}
	cmd := exec.Command(self, string(jsonOf(toolStart{ //nolint:gosec,noctx // ourselves; killed below
		Path: t.Path, Args: t.Args, Memory: l.Memory, Seconds: seconds(l.CPU), Output: l.Output,
	})))
	cmd.Env, cmd.Dir = []string{childVariable + "=" + kindTool}, "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = answer, said, t.Files, time.Second
	ended := make(chan error, 1)
	if err := startBound(cmd, func(err error) { ended <- err }); err != nil {
		return nil, fmt.Errorf("run %s: %w", t.Path, err)
	}
	stop := context.AfterFunc(within, func() { _ = killGroup(cmd) })
	err = <-ended
	stop()
	_ = killGroup(cmd) // what the program may have left running
	switch {
	case err == nil && !answer.over:
		return answer.buf.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("run %s: %w", t.Path, context.Cause(ctx))
	}
	f := &Failure{Code: Crashed, Step: t.Path, Detail: said.String()}
	switch {
	case answer.over:
		f.Code = TooMuch
	case errors.Is(within.Err(), context.DeadlineExceeded), cmd.ProcessState != nil && cpuKilled(cmd.ProcessState):
		f.Code = TimedOut
	case cmd.ProcessState != nil && killed(cmd.ProcessState):
		f.Code = Killed
	}
	return nil, f
}

// bounded is an answer of limited length.
type bounded struct {
	buf  bytes.Buffer
	most int64
	full func()
	over bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if int64(b.buf.Len()+len(p)) > b.most {
		b.over = true
		b.full()
		return 0, io.ErrShortWrite
	}
	return b.buf.Write(p)
}
