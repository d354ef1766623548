package reactors

import (
	"runtime"
	"syscall"
	"time"
)

// threadTime is the CPU time of the thread that does it.
func threadTime(do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadUsage()
	do()
	return threadUsage() - before
}

func threadUsage() time.Duration {
	const thread = 1 // RUSAGE_THREAD, getrusage(2)
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
