//go:build unix && !linux

package dev

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// bindToOwner gives the child a group of its own, away from the terminal's Ctrl-C. There is no death signal on this system:
// what an owner that was killed has left running is found and stopped by the next start.
func bindToOwner(cmd *exec.Cmd, _ syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// allowSearch can do nothing on this system.
func allowSearch(*exec.Cmd) {}

// worksIn reports whether the process was started on dir, by its command line.
func worksIn(pid int, dir string) bool {
	out, err := exec.Command("ps", "-ww", "-p", strconv.Itoa(pid), "-o", "command=").Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), dir)
}
