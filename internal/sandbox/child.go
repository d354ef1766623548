package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrRefused is work that the job said it cannot do.
var ErrRefused = errors.New("the job cannot do this")

// child is a process that does one piece of work at a time.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	outEnd io.Closer
	said   *tail // what it wrote to its standard error
	limits Limits
	done   chan struct{} // closed when it is gone and waited for
	works  int
}

func startChild(limits Limits) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	c := &child{cmd: exec.Command(self), said: &tail{}, limits: limits, done: make(chan struct{})} //nolint:gosec,noctx // ourselves; run and end kill it
	c.cmd.Env = []string{childVariable + "=" + kindPool, "GOMAXPROCS=2", "GOTRACEBACK=none"}
	c.cmd.Dir = "/"
	c.cmd.Stderr = c.said
	c.cmd.WaitDelay = time.Second
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	// Not StdoutPipe: Wait would close it while there is still something to be read.
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	c.cmd.Stdout, c.outEnd, c.out = childOut, out, bufio.NewReaderSize(out, chunkSize)
	if err := startBound(c.cmd, func(error) { close(c.done) }); err != nil {
		_, _ = out.Close(), childOut.Close()
		return nil, fmt.Errorf("start a child: %w", err)
	}
	_ = childOut.Close() // the child has it
	return c, nil
}

// startBound starts a process that dies with this one, and calls ended from a goroutine of its own when it is gone.
func startBound(cmd *exec.Cmd, ended func(error)) error {
	bind(cmd)
	started := make(chan error, 1)
	go func() { // ends with the process, for which whoever started it waits
		// The kernel means the death of the thread that forked, not of the process: the thread has to stay as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ended(cmd.Wait())
	}()
	return <-started
}

// gone reports whether the process has ended.
func (c *child) gone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *child) kill() { _ = killGroup(c.cmd) } // one that is gone needs no killing

// end kills the child and waits for it.
func (c *child) end() error {
	c.kill()
	<-c.done
	_ = c.in.Close()
	return c.outEnd.Close()
}

// shift is one piece of work of a child: it ends when the work is done or the child killed.
type shift struct {
	child *child
	timer *time.Timer

	mu    sync.Mutex // guards all below
	over  bool
	late  bool // killed because its time was up
	input error
}

// expire is called when the child's time is up.
func (s *shift) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.late = true
		s.child.kill()
	}
}

// finish makes sure that nothing of this shift kills the child any more, and reports why it was killed, if it was.
func (s *shift) finish() (late bool, input error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
	return s.late, s.input
}

func (s *shift) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// failInput notes that the input cannot be read; the child will never get all of it.
func (s *shift) failInput(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.input = err
	if !s.over {
		s.child.kill()
	}
}

// run does one piece of work. After an error other than ErrRefused the child is of no use.
func (c *child) run(ctx context.Context, t Task) (Done, error) {
	c.works++
	s := &shift{child: c}
	s.timer = time.AfterFunc(c.limits.Wall, s.expire)
	stop := context.AfterFunc(ctx, c.kill)
	var feeding sync.WaitGroup
	feeding.Go(func() { s.feed(t) })

	answer, step, errOut := c.listen()
	late, _ := s.finish()
	feeding.Wait()
	stopped := stop()
	_, errIn := s.finish()
	switch {
	case errIn != nil:
		return Done{}, errIn
	case !stopped && ctx.Err() != nil:
		return Done{}, fmt.Errorf("child stopped: %w", context.Cause(ctx))
	case errOut == nil, errors.Is(errOut, ErrRefused):
		return answer, errOut
	}
	var failure *Failure
	if errors.As(errOut, &failure) {
		failure.Step = step
		return Done{}, failure
	}
	c.kill()
	<-c.done
	return Done{}, c.verdict(step, late)
}

// feed hands the input over, and reads it to its end even when nobody wants it any more.
func (s *shift) feed(t Task) {
	in := s.child.in
	broken := writeFrame(in, jsonOf(start{Job: t.Job, Args: t.Args, Limits: s.child.limits})) != nil
	buffer := make([]byte, chunkSize)
	sent, closed := int64(0), false
	finish := func() {
		if !closed && !broken {
			broken = writeFrame(in, nil) != nil
			closed = true
		}
	}
	for {
		n, err := t.Input.Read(buffer)
		part := buffer[:min(int64(n), max(0, t.Send-sent))]
		if len(part) > 0 && !broken && !closed {
			if s.isOver() {
				finish()
			} else {
				s.timer.Reset(s.child.limits.Wall)
				broken = writeFrame(in, part) != nil
				sent += int64(len(part))
			}
		}
		if sent >= t.Send {
			finish()
		}
		if err == io.EOF { //nolint:errorlint // io.Reader's contract
			break
		}
		if err != nil {
			s.failInput(err)
			return
		}
		if !closed {
			s.timer.Reset(s.child.limits.Wall) // the time that the storage takes is not the child's
		}
	}
	finish()
	if !s.isOver() {
		s.timer.Reset(s.child.limits.Wall)
	}
}

// listen reads what the child answers.
func (c *child) listen() (done Done, step string, err error) {
	var answer bytes.Buffer
	for {
		kind, payload, err := readKind(c.out)
		if err != nil {
			return Done{}, step, err
		}
		switch kind {
		case kindStep:
			step = string(payload)
		case kindOutput:
			if int64(answer.Len()+len(payload)) > c.limits.Output {
				c.kill()
				return Done{}, step, &Failure{Code: TooMuch, Detail: "the answer is too long"}
			}
			answer.Write(payload)
		case kindDone, kindRefused:
			var last end
			if err := json.Unmarshal(payload, &last); err != nil {
				return Done{}, step, fmt.Errorf("read the child's last word: %w", err)
			}
			done := Done{Output: answer.Bytes(), CPU: time.Duration(last.CPU)}
			if kind == kindRefused {
				return done, step, fmt.Errorf("%w: %s", ErrRefused, last.Why)
			}
			return done, step, nil
		default:
			return Done{}, step, fmt.Errorf("the child said %q", kind)
		}
	}
}

// verdict says why the child, which is gone, broke off.
func (c *child) verdict(step string, late bool) *Failure {
	f := &Failure{Code: Crashed, Step: step, Detail: c.said.String()}
	state := c.cmd.ProcessState
	switch {
	case late, state != nil && (state.ExitCode() == exitCPU || cpuKilled(state)):
		f.Code = TimedOut
	case strings.Contains(f.Detail, "out of memory"), strings.Contains(f.Detail, "cannot allocate memory"),
		strings.Contains(f.Detail, "failed to allocate"), strings.Contains(f.Detail, "unable to mmap"):
		f.Code = OutOfMemory
	case state != nil && killed(state) && f.Detail == "":
		f.Code = Killed
	case state != nil && !strings.Contains(f.Detail, "panic:") && memoryOf(state) > c.limits.Memory/2:
		f.Code = OutOfMemory // with so much in hand: the runtime falls over in many ways when it gets no more
	}
	return f
}

// killed reports whether somebody ended a process that did not end by itself.
func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// tail keeps the first bytes of what is written to it: a Go program that dies says why at once.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailSize = 2 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[:min(len(p), tailSize-len(t.buf))]...)
	return len(p), nil
}

// String implements fmt.Stringer.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.buf), "?")
}
