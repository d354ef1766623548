package sandbox

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitTool limits what the tool may use.
func limitTool(t toolStart) error {
	for what, most := range map[int]uint64{unix.RLIMIT_FSIZE: uint64(t.Output), unix.RLIMIT_NOFILE: 64} { //nolint:gosec // positive
		if err := setLimit(what, most); err != nil {
			return fmt.Errorf("limit a tool: %w", err)
		}
	}
	// At the soft limit the kernel says why; a program that does not listen is killed a second later.
	if err := syscall.Setrlimit(unix.RLIMIT_CPU, &syscall.Rlimit{Cur: t.Seconds, Max: t.Seconds + 1}); err != nil {
		return fmt.Errorf("limit a tool: %w", err)
	}
	return renounce()
}

// through is how the tool is started, so that its address space is limited as well: these programs are not Go. This one is, and has reserved
// more than the limit leaves, so that it could not even become the other; the shell in between can.
func through(t toolStart) []string {
	return append([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$0" "$@"`, t.Memory>>10), t.Path}, t.Args...)
}
