package netsim

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// Stuck is the verdict about a run that makes no progress although time could move on: most likely a
// goroutine waits for a mutex whose holder waits in virtual time, which a bubble can neither end nor
// report.
type Stuck struct {
	Seed     uint64        // of the run
	For      time.Duration // wall-clock time without progress
	Progress uint64        // network events, clock calls and notes before
	Stacks   []byte        // all goroutines
}

// String gives the verdict as text with all stacks.
func (v Stuck) String() string {
	return fmt.Sprintf("netsim: stuck: seed %d: nothing happened for %v of wall-clock time, after %d steps; "+
		"look for a goroutine that holds a lock while it waits\n\n%s", v.Seed, v.For, v.Progress, v.Stacks)
}

// exitStuck is the exit status of a process whose simulation is stuck.
const exitStuck = 3

func exitWhenStuck(v Stuck) {
	fmt.Fprintln(os.Stderr, v.String())
	os.Exit(exitStuck)
}

// watch looks after a run from outside its bubble until the returned function is called, which waits for
// the watching goroutine to end. Idle virtual time costs no wall-clock time, so it is never taken for a
// hang.
func watch(cfg Config) (stop func()) {
	onStuck := cfg.OnStuck
	if onStuck == nil {
		onStuck = exitWhenStuck
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if v, stuck := watchProgress(cfg, done); stuck {
			onStuck(v)
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

const watchSteps = 8 // looks per Config.StuckAfter

func watchProgress(cfg Config, done <-chan struct{}) (Stuck, bool) {
	last, idle := cfg.progress.Load(), 0
	for {
		timer := time.NewTimer(cfg.StuckAfter / watchSteps) // real: wall-clock time outside the bubble
		select {
		case <-done:
			timer.Stop()
			return Stuck{}, false
		case <-timer.C:
		}
		if now := cfg.progress.Load(); now != last {
			last, idle = now, 0
			continue
		}
		if idle++; idle >= watchSteps {
			return Stuck{Seed: cfg.Seed, For: cfg.StuckAfter, Progress: last, Stacks: allStacks()}, true
		}
	}
}

func allStacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= 64<<20 {
			return b[:n]
		}
	}
}
