//go:build unix && !race

package probe

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// nothing is a check that costs nothing, so that what is measured is the schedule.
type nothing struct{}

func (nothing) Probe(context.Context, string) error { return nil }

// scheduled runs that many schedules in a bubble for so many intervals, and returns what each check took of the processor, and what
// each schedule of memory.
func scheduled(t *testing.T, backends, intervals int) (perCheck time.Duration, perBackend int) {
	var took time.Duration
	checks, size := 0, 0
	synctest.Test(t, func(t *testing.T) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c, ends := NewCheckers(), make([]func(), backends)
		told := &Watcher{Report: func(time.Time, error) { checks++ }, Ended: func() {}}
		for i := range backends {
			w := *told
			w.Rand = func() *rand.Rand { return stream(uint64(i)) }
			hold, err := c.Watch(Schedule{}, nothing{}, strconv.Itoa(i), &w)
			require.NoError(t, err)
			hold.Begin()
			ends[i] = hold.End
		}
		time.Sleep(5 * time.Second) // all have begun
		checks = 0
		begun := processor(t)
		time.Sleep(time.Duration(intervals) * 5 * time.Second)
		took = processor(t) - begun
		runtime.GC()
		runtime.ReadMemStats(&after)
		size = int(after.HeapAlloc+after.StackInuse) - int(before.HeapAlloc+before.StackInuse)
		for _, end := range ends {
			end()
		}
		synctest.Wait()
	})
	require.InDelta(t, backends*intervals, checks, float64(backends*intervals)/10+10)
	return took / time.Duration(checks), size / backends
}

// processor is the time that this process has had of all processors.
func processor(t *testing.T) time.Duration {
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

var fleet = flag.Int("fleet", 20_000, "the most backends whose checks are measured; 100000 take 660 MB")

// Each backend's schedule is a timer in the runtime's heap, where what comes next costs the logarithm of their number. From a
// thousand to a hundred thousand that is two thirds more; the rest of what is seen here is memory that no cache holds.
func TestTheCostOfACheckHardlyGrowsWithTheNumberOfBackends(t *testing.T) {
	cost := map[int]time.Duration{}
	for _, n := range []int{10, 1_000, *fleet} {
		each, size := scheduled(t, n, max(2, 100_000/n))
		cost[n] = each
		t.Logf("%7d backends: %v of the processor for each check, %d bytes for each backend", n, each, size)
		if n >= 1_000 {
			require.Less(t, size, 16<<10)
		}
	}
	require.Less(t, cost[*fleet], 12*cost[1_000], "a hundred times as many would cost ten times as much by the square root")
}
