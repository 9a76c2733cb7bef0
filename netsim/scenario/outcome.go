package scenario

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// failedRequest is what is remembered of a request that failed, as offsets from the beginning.
type failedRequest struct{ began, ended time.Duration }

// request is what is remembered of every request.
type request struct {
	began, took time.Duration // its beginning as an offset from that of the run
	client      int32         // its client's place in the scenario
	failure     string        // "" for an answer
	retries     int32         // tries of the client beyond the first
}

// outcome is what a run gave, or one part of it. While a run goes on, run.mu guards it.
type outcome struct {
	requests, answered int
	failed             map[string]int // by reason
	latencies          []time.Duration
	failures           []failedRequest

	failover, recovery float64 // seconds; NaN where the scenario has no such thing
	clientRetries      int     // tries of clients beyond the first of each request
	leaks, broken      int

	all   []request // in the order of their ends; of a part of a run, also those outside of it
	spans []span    // what of the run this is about
	tally tally     // what the proxy counted in them
	looks []sample
}

// part is the outcome of some stretches of the run, for one client or for all (client below 0). The counts of the proxy are
// the tally's.
func (o *outcome) part(spans []span, client int, counts tally) *outcome {
	p := &outcome{failed: make(map[string]int), failover: math.NaN(), recovery: math.NaN(), spans: spans, tally: counts}
	for i := range o.all {
		q := &o.all[i]
		if client >= 0 && int(q.client) != client {
			continue
		}
		p.all = append(p.all, *q)
		if !within(spans, q.began) {
			continue
		}
		p.requests++
		p.clientRetries += int(q.retries)
		if q.failure == "" {
			p.answered++
			p.latencies = append(p.latencies, q.took)
		} else {
			p.failed[q.failure]++
		}
	}
	for _, s := range o.looks {
		if within(spans, s.at) {
			p.looks = append(p.looks, s)
		}
	}
	p.finish()
	return p
}

// rate is so many in the time that this outcome is about, per second.
func (o *outcome) rate(n int) float64 {
	if length := lengthOf(o.spans); length > 0 {
		return float64(n) / length.Seconds()
	}
	return math.NaN()
}

// maxInFlight is the greatest number of requests that had begun and not ended at one instant of the spans.
func (o *outcome) maxInFlight() int {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for i := range o.all {
		q := &o.all[i]
		for _, s := range o.spans {
			// What is under way when a span begins counts from there on.
			if from, to := max(q.began, s.from), min(q.began+q.took, s.to); from < to {
				changes = append(changes, change{from, 1}, change{to, -1})
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	n, most := 0, 0
	for _, c := range changes {
		n += c.by
		most = max(most, n)
	}
	return most
}

// amplification is how many attempts on backends a request cost on average.
func (o *outcome) amplification() float64 {
	if o.requests == 0 {
		return math.NaN()
	}
	return float64(o.tally.attempts) / float64(o.requests)
}

// reuse is the share of the loans that reused a connection.
func (o *outcome) reuse() float64 {
	if o.tally.lends == 0 {
		return math.NaN()
	}
	return float64(o.tally.reuses) / float64(o.tally.lends)
}

// utilization gives the greatest share of its max_connections that any pool had lent at a look, and the mean over all looks
// of what all pools together had.
func (o *outcome) utilization() (peak, mean float64) {
	if len(o.looks) == 0 {
		return math.NaN(), math.NaN()
	}
	sum := 0.0
	for _, s := range o.looks {
		peak, sum = max(peak, s.peak), sum+s.all
	}
	return peak, sum / float64(len(o.looks))
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
		worst = max(worst, faults[i].failover(faults, total, failures))
	}
	return worst.Seconds()
}

// worstFault is the place of the fault whose time to failover is the longest; -1 where no request failed.
func worstFault(faults []Fault, total time.Duration, failures []failedRequest) int {
	worst, longest := -1, time.Duration(0)
	for i := range faults {
		if d := faults[i].failover(faults, total, failures); d > longest {
			worst, longest = i, d
		}
	}
	return worst
}

// failover is the time from the fault's beginning to the end of the last failed request that is laid at its door.
func (f *Fault) failover(all []Fault, total time.Duration, failures []failedRequest) (longest time.Duration) {
	from, to := f.window(all, total)
	for _, q := range failures {
		if q.began >= from && q.began < to {
			longest = max(longest, q.ended-from)
		}
	}
	return longest
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
