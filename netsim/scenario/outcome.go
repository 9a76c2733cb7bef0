package scenario

import (
	"math"
	"slices"
	"time"
)

// failedRequest is what is remembered of a request that failed, as offsets from the beginning.
type failedRequest struct{ began, ended time.Duration }

// outcome is what a run gave. While it runs, run.mu guards it.
type outcome struct {
	requests, answered int
	failed             map[string]int // by reason
	latencies          []time.Duration
	failures           []failedRequest

	failover, recovery float64 // seconds; NaN where the scenario has no such thing
	reuse              float64
	retries, repeated  uint64
	clientRetries      int // tries of clients beyond the first of each request
	leaks, broken      int
}

// successRate is the share of the requests that were answered; without requests there is none.
func (o *outcome) successRate() float64 {
	if o.requests == 0 {
		return math.NaN()
	}
	return float64(o.answered) / float64(o.requests)
}

// quantile is the nearest-rank quantile of the answered requests' durations, in seconds.
func (o *outcome) quantile(q float64) float64 {
	n := len(o.latencies)
	if n == 0 {
		return math.NaN()
	}
	i := min(max(int(math.Ceil(q*float64(n)))-1, 0), n-1)
	return o.latencies[i].Seconds()
}

// finish sorts what the quantiles need.
func (o *outcome) finish() { slices.Sort(o.latencies) }

// failoverOf is the longest time, over all faults, from a fault's beginning to the end of the last failed
// request that began while the fault lasted; 0 where none failed.
func failoverOf(faults []Fault, total time.Duration, failures []failedRequest) float64 {
	if len(faults) == 0 {
		return math.NaN()
	}
	var worst time.Duration
	for i := range faults {
		from, to := faults[i].window(faults, total)
		for _, f := range failures {
			if f.began >= from && f.began < to {
				worst = max(worst, f.ended-from)
			}
		}
	}
	return worst.Seconds()
}

// window is the time in which failures are laid at the fault's door. An instant fault has no length, so its
// window goes on to the next fault, or to the end of the scenario.
func (f *Fault) window(all []Fault, total time.Duration) (from, to time.Duration) {
	end, ends := f.ends()
	switch {
	case !ends:
		return f.At, total
	case end > f.At:
		return f.At, end
	}
	to = total
	for i := range all {
		if at := all[i].At; at > f.At {
			to = min(to, at)
		}
	}
	return f.At, to
}

// lastEnd is when the last fault that ends has ended; false when none does.
func lastEnd(faults []Fault) (time.Duration, bool) {
	var last time.Duration
	any := false
	for i := range faults {
		if end, ends := faults[i].ends(); ends {
			last, any = max(last, end), true
		}
	}
	return last, any
}
