//go:build !linux

package sandbox

import (
	"os"
	"os/exec"
	"time"
)

// Where there is no Linux, the limits are those that the Go runtime and the clock can hold: the memory limit of the garbage
// collector, and wall time.

func bind(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func confine(int64) error { return nil }

func renounce() error { return nil }

func watchCPU() {}

func limitCPU(time.Duration) error { return nil }

func cpuTime() time.Duration { return 0 }

func cpuKilled(*os.ProcessState) bool { return false }

func memoryOf(*os.ProcessState) int64 { return 0 }
