//go:build race

package sandbox

// memoryFactor: the race detector needs many times the memory of what it watches.
const memoryFactor = 10
