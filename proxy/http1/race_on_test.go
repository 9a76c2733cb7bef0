//go:build race

package http1

// raceEnabled: under the race detector sync.Pool drops values at random, so that allocations cannot be
// counted.
const raceEnabled = true
