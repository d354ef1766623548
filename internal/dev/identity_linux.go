package dev

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// bindToOwner makes the kernel send signal to the child when this process dies. A group of its own keeps a terminal's Ctrl-C
// from the child: its owner stops things in order.
func bindToOwner(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = signal
	cmd.SysProcAttr.Setpgid = true
}

// Capabilities of linux/capability.h.
const (
	capDACOverride   = 1
	capDACReadSearch = 2
)

// allowSearch lets the child of another user walk through folders that only this process may walk through, such as root's
// home. It gives the weakest capability there is for that; a container may have only the stronger one, or none.
func allowSearch(cmd *exec.Cmd) {
	held := permittedCapabilities()
	for _, capability := range []uint{capDACReadSearch, capDACOverride} {
		if held&(1<<capability) != 0 {
			cmd.SysProcAttr.AmbientCaps = []uintptr{uintptr(capability)}
			return
		}
	}
}

func permittedCapabilities() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapPrm:"); ok {
			held, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return held
		}
	}
	return 0
}

// worksIn reports whether the process has dir as its working folder; a postmaster has its data folder.
func worksIn(pid int, dir string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && cwd == dir
}
