//go:build unix

package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that this process owns. It does not outlive its owner: where the kernel can do that (Linux), it sends
// the child a signal when the owner dies in whatever way.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child is gone and waited for
	err  error         // how it ended; read after done
}

// startProcess starts cmd and waits for it in a goroutine of its own. lastWish is the signal that the kernel sends to the
// child when this process dies.
func startProcess(cmd *exec.Cmd, lastWish syscall.Signal) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	bindToOwner(cmd, lastWish)
	started := make(chan error, 1)
	go func() {
		// The kernel means the death of the thread that forked, not of the process: the thread has to stay as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// pid of the child; it may be gone already.
func (p *process) pid() int { return p.cmd.Process.Pid }

// exited reports whether the child is gone.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the child to end, and kills it when ctx ends or patience runs out first. It returns when the child is gone.
func (p *process) stop(ctx context.Context, ask os.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(ask); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.pid(), err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	if err := p.kill(); err != nil {
		return err
	}
	return fmt.Errorf("process %d did not stop when asked and was killed", p.pid())
}

// kill ends the child at once, as kill -9 does, and returns when it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", p.pid(), err)
	}
	<-p.done
	return nil
}
