//go:build unix

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// becomeTool makes this process the other program, under its limits.
func becomeTool(args []string) error {
	if len(args) != 1 {
		return errors.New("no tool")
	}
	var t toolStart
	if err := json.Unmarshal([]byte(args[0]), &t); err != nil {
		return fmt.Errorf("read which tool: %w", err)
	}
	runtime.LockOSThread() // what is renounced belongs to the thread that becomes the tool
	if err := limitTool(t); err != nil {
		return err
	}
	argv := through(t)
	return fmt.Errorf("run %s: %w", t.Path, syscall.Exec(argv[0], argv, []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"})) //nolint:gosec // the parent chose it
}
