//go:build race

package scenario

// underRace says that the race detector is on, which makes a run ten times as long.
const underRace = true
