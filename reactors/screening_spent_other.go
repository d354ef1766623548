//go:build !linux

package reactors

import "time"

// threadTime is how long it takes: what a thread uses is not known here.
func threadTime(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}
