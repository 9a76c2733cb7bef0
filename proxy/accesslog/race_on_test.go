//go:build race

package accesslog

// raceEnabled: under the race detector sync.Pool drops values at random, so that allocations cannot be
// counted.
const raceEnabled = true
