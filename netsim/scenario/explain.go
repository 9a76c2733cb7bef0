package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// cause is what is known about an expectation that failed, beside its value.
type cause struct {
	at    time.Duration // the worst moment; the timeline around it is shown
	known bool          // whether there is such a moment
	said  []string      // in words
}

// cause looks for the worst moment of the part of the run that an expectation is about.
func (r *run) cause(e *Expectation, part *outcome) cause {
	switch e.Metric {
	case metricFailover:
		return r.failoverCause()
	case metricRecovery:
		return r.recoveryCause()
	case metricConservation:
		return r.brokenCause()
	case metricLeaks:
		return cause{said: []string{"They were counted when the proxy had drained and its backends had had time to see the " +
			"ends of their connections. A backend without close_idle_after keeps a connection whose end it was never told."}}
	case metricSpread:
		c := cause{}
		if _, whose := part.tally.loadSpread(); whose != "" {
			c.said = []string{whose + "."}
		}
		return c
	}
	c := part.worst(r.rec.step, e.Metric)
	if c.known {
		c.said = append(c.said, inForce(r.sc.Faults, c.at, r.rec.step))
	}
	return c
}

func (r *run) failoverCause() cause {
	i := worstFault(r.sc.Faults, r.sc.Duration, r.out.failures)
	if i < 0 {
		return cause{said: []string{"No request failed while a fault lasted."}}
	}
	f := &r.sc.Faults[i]
	return cause{at: f.At, known: true, said: []string{fmt.Sprintf("It is the time from the beginning of %s at %s "+
		"to the end of the last failed request that began while it lasted.", f, clockTime(f.At))}}
}

func (r *run) recoveryCause() cause {
	c := cause{at: r.since, known: r.since >= 0}
	if !math.IsInf(r.out.recovery, 1) {
		c.said = []string{fmt.Sprintf("The last fault that ends did so at %s.", clockTime(r.since))}
		return c
	}
	var silent []string
	for i, s := range r.servers {
		if !r.served[i] {
			silent = append(silent, s.cfg.Address)
		}
	}
	c.said = []string{fmt.Sprintf("The last fault that ends did so at %s, and then no request was answered by %s.",
		clockTime(r.since), strings.Join(silent, ", "))}
	return c
}

// brokenCause finds the first law that was broken.
func (r *run) brokenCause() cause {
	for _, m := range r.timeline {
		if strings.HasPrefix(m.Text, "broken: ") {
			return cause{at: time.Duration(m.At * float64(time.Second)), known: true}
		}
	}
	return cause{}
}

// worst finds the step in which most of the requests began that failed, or for a quantile the one with the greatest p99.
func (o *outcome) worst(step time.Duration, metric string) cause {
	type bucket struct {
		began, failed int
		took          []time.Duration
	}
	buckets := make(map[time.Duration]*bucket)
	var order []time.Duration
	for i := range o.all {
		q := &o.all[i]
		if !within(o.spans, q.began) {
			continue
		}
		at := q.began / step * step
		b := buckets[at]
		if b == nil {
			b = new(bucket)
			buckets[at], order = b, append(order, at)
		}
		b.began++
		if q.failure != "" {
			b.failed++
		} else {
			b.took = append(b.took, q.took)
		}
	}
	if len(order) == 0 {
		return cause{said: []string{"No request began in that time."}}
	}
	slices.Sort(order)
	latency := strings.HasPrefix(metric, "p") && metricNamed(metric).unit == seconds
	worst, most, slowest := order[0], 0, 0.0
	for _, at := range order {
		b := buckets[at]
		slices.Sort(b.took)
		p99 := (&outcome{latencies: b.took}).quantile(0.99)
		switch {
		case !latency && b.failed > most:
			worst, most = at, b.failed
		case latency && p99 > slowest: // false for what is no number
			worst, slowest = at, p99
		}
	}
	c := cause{at: worst, known: latency || most > 0}
	switch {
	case most > 0:
		c.said = []string{fmt.Sprintf("The worst %v began at %s: %d of %d requests that began then failed.", step,
			clockTime(worst), most, buckets[worst].began)}
	case latency:
		c.said = []string{fmt.Sprintf("The slowest %v began at %s, with a p99 of %s.", step, clockTime(worst),
			seconds.format(slowest))}
	default:
		c.said = []string{"No request that began in that time failed."}
	}
	return c
}

// inForce names the faults that were in force in the step that begins at an instant, or the last one that had ended.
func inForce(faults []Fault, at, step time.Duration) string {
	var now []string
	before, ended := "", time.Duration(-1)
	for i := range faults {
		f := &faults[i]
		end, ends := f.ends()
		switch {
		case f.At >= at+step:
		case !ends || end >= at:
			now = append(now, f.String())
		case end >= ended:
			before, ended = f.String(), end
		}
	}
	switch {
	case len(now) > 0:
		return "In force then: " + strings.Join(now, "; ") + "."
	case ended >= 0:
		return fmt.Sprintf("No fault was in force; the last one was %s, which had ended %v before.", before,
			(at - ended).Round(time.Millisecond))
	}
	return "No fault had begun by then."
}

// around is how much of the timeline stands before and behind the worst moment in an explanation, and maxAround how many
// of its lines.
const (
	around    = 5 * time.Second
	maxAround = 20
)

// explanation tells of one expectation that failed.
type explanation struct {
	Said    []string
	Moments [][2]string // the timeline around the worst moment
}

// explain tells in words what each expectation that failed says, and what happened about its worst moment.
func (v *Verdict) explain() []explanation {
	var out []explanation
	for i, j := range v.Expectations {
		if j.OK {
			continue
		}
		e := explanation{Said: []string{fmt.Sprintf("Expected %s, and it was %s.", j.Expect, j.Value)}}
		if i < len(v.causes) {
			c := &v.causes[i]
			e.Said = append(e.Said, c.said...)
			if c.known {
				e.Moments = v.momentsAround(c.at)
			}
		}
		out = append(out, e)
	}
	return out
}

func (v *Verdict) momentsAround(at time.Duration) [][2]string {
	var out [][2]string
	for _, m := range v.Timeline {
		when := time.Duration(math.Round(m.At*1e6)) * time.Microsecond
		if (when - at).Abs() > around {
			continue
		}
		if len(out) == maxAround {
			return append(out, [2]string{"", "... and more"})
		}
		out = append(out, [2]string{clockTime(when), m.Text})
	}
	return out
}
