package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// childVariable says in the environment that this process is a child, and of which kind; internal/dev uses it, too.
const (
	childVariable = "MEDIAVAULT_CHILD"
	kindPool      = "sandbox"
	kindTool      = "sandbox-tool"
)

// Work is a piece of work as the job in the child sees it.
type Work struct {
	Args  []byte
	Input io.Reader

	out *bufio.Writer
}

// Write adds to the answer.
func (w *Work) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := writeKind(w.out, kindOutput, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Step says what is being done now: when the child fails, it failed at this.
func (w *Work) Step(name string) {
	_ = writeKind(w.out, kindStep, []byte(name)) // a parent that is gone is noticed at the end
	_ = w.out.Flush()
}

// Job does a piece of work in a child. An error means that it cannot, for a reason that the caller has to know.
type Job func(*Work) error

// MaybeChild has to be the first thing that main, and the TestMain of a package that uses a Pool, calls. In a child it does the
// child's work and never returns; in any other process it does nothing.
func MaybeChild(jobs map[string]Job) {
	var err error
	switch os.Getenv(childVariable) {
	case kindPool:
		err = serve(jobs)
	case kindTool:
		err = becomeTool(os.Args[1:])
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve does one piece of work after the other, until the parent hangs up.
func serve(jobs map[string]Job) error {
	in := bufio.NewReaderSize(os.Stdin, 2*chunkSize)
	out := bufio.NewWriterSize(os.Stdout, chunkSize)
	confined := false
	watchCPU()
	for {
		frame, err := readFrame(in)
		if err != nil {
			return nil //nolint:nilerr // the parent hung up: that is how a child ends
		}
		var s start
		if err := json.Unmarshal(frame, &s); err != nil {
			return fmt.Errorf("read what to do: %w", err)
		}
		if !confined {
			if err := confine(s.Limits.Memory * memoryFactor); err != nil {
				return err
			}
			debug.SetMemoryLimit(s.Limits.Memory / 4 * 3 * memoryFactor)
			confined = true
		}
		job := jobs[s.Job]
		if job == nil {
			return fmt.Errorf("there is no job %q", s.Job)
		}
		before := cpuTime()
		if err := limitCPU(before + s.Limits.CPU); err != nil {
			return err
		}
		input := &inputReader{r: in}
		refused := job(&Work{Args: s.Args, Input: input, out: out})
		last, kind := end{}, byte(kindDone)
		if refused != nil {
			last.Why, kind = refused.Error(), kindRefused
		}
		last.CPU = int64(cpuTime() - before)
		if err := writeKind(out, kind, jsonOf(last)); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, input); err != nil {
			return nil //nolint:nilerr // hung up
		}
		tidy()
	}
}

// tidy gives memory back after work that took a lot of it.
func tidy() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapSys-m.HeapReleased > 256<<20 {
		debug.FreeOSMemory()
	}
}

// exitCPU is how a child ends whose CPU time is up.
const exitCPU = 61

// seconds rounds up: the kernel counts no less.
func seconds(d time.Duration) uint64 {
	return uint64((d + time.Second - 1) / time.Second) //nolint:gosec // not negative
}
