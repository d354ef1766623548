package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is the user with no rights to anything, by convention of Linux.
const nobody = 65534

// bind makes the child a group of its own, which dies with its parent.
func bind(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// confine gives up what a child does not need. Data, not address space, is limited: Go reserves far more than it uses.
func confine(memory int64) error {
	if err := setLimit(unix.RLIMIT_DATA, uint64(memory)); err != nil { //nolint:gosec // positive
		return fmt.Errorf("limit memory: %w", err)
	}
	return renounce()
}

// renounce makes the process nobody, who can never become anybody else, can write no file and leaves no core behind.
func renounce() error {
	// It is a matter of each thread; a program with C in it cannot reach them all at once.
	if _, _, no := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); no != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("renounce new privileges: %w", err)
		}
	}
	if err := setLimit(unix.RLIMIT_CORE, 0); err != nil {
		return fmt.Errorf("limit core: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	// A root without the capability to become another user is none to be afraid of.
	err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody))
	if err != nil && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("become nobody: %w", err)
	}
	// Changing the user clears it.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0)
}

func setLimit(what int, most uint64) error {
	return syscall.Setrlimit(what, &syscall.Rlimit{Cur: most, Max: most})
}

// watchCPU ends the process when limitCPU's time is up.
func watchCPU() {
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGXCPU)
	go func() { // as long as the process
		<-over
		os.Exit(exitCPU)
	}()
}

// limitCPU ends the process when it has used so much CPU time in all.
func limitCPU(all time.Duration) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_CPU, &now); err != nil {
		return fmt.Errorf("limit CPU time: %w", err)
	}
	now.Cur = min(now.Max, seconds(all))
	if err := syscall.Setrlimit(unix.RLIMIT_CPU, &now); err != nil {
		return fmt.Errorf("limit CPU time: %w", err)
	}
	return nil
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuKilled reports whether the kernel ended a process because its CPU time was up.
func cpuKilled(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGXCPU
}

// memoryOf is the most memory that a process had at once, bytes.
func memoryOf(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
