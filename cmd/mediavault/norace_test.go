//go:build !race

package main

// raceEnabled says that the tests, and so the binary that they run, look for races.
const raceEnabled = false
