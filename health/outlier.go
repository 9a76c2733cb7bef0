package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Outliers says when a backend is ejected because it does worse than the rest of its group, though it never fails often
// enough in a row. The zero value is off. Every Interval the requests of that time are looked at, and forgotten.
//
// The comparison by success rate is the one that Envoy made known; that by latency has the same shape.
type Outliers struct {
	// SuccessRate ejects a backend whose share of successful requests is lower than the mean of the group's by more than so
	// many standard deviations, and by at least 5 points: where all do equally well a small difference is many deviations. A
	// 5xx answer and a request without an answer are both failures. 0 is off; else from 1 to 10. 1.9 is what others use. Among n
	// backends the worst is at most the root of n-1 deviations away from the mean, which is 2 for five.
	SuccessRate float64

	// Latency ejects a backend whose successful requests take longer than so many times what they take at the median
	// backend of the group, and at least 5 ms longer. What they take is the geometric mean of the times until the answer began,
	// which a few slow requests do not move. 0 is off; else from 1.5 to 100.
	Latency float64

	// Interval is how often, and for how long, backends are compared. Default 10 s (when 0 and something is on); not negative.
	Interval time.Duration

	// MinBackends is the least number of backends with MinRequests each that are compared. Default 5 (when 0); at least 3.
	MinBackends int

	// MinRequests is the least number of requests in an Interval for which a backend is compared; for Latency, of successful
	// ones of which it is known what they took. Default 100 (when 0); at least 1.
	MinRequests int
}

// What a difference must amount to, however many deviations it is, or times the median.
const (
	leastShortfall = 0.05
	leastDelay     = 5 * time.Millisecond
)

func (o *Outliers) on() bool { return o.SuccessRate > 0 || o.Latency > 0 }

// fill fills in the defaults of what is on, and returns the first mistake.
func (o *Outliers) fill() error {
	rate, latency := o.SuccessRate, o.Latency
	switch {
	case rate != 0 && !(rate >= 1 && rate <= 10):
		return fmt.Errorf("health: Outliers.SuccessRate is %v; from 1 to 10", rate)
	case latency != 0 && !(latency >= 1.5 && latency <= 100):
		return fmt.Errorf("health: Outliers.Latency is %v; from 1.5 to 100", latency)
	}
	if !o.on() {
		*o = Outliers{}
		return nil
	}
	orDefault(&o.Interval, 10*time.Second)
	orDefault(&o.MinBackends, 5)
	orDefault(&o.MinRequests, 100)
	switch {
	case o.Interval < 0 || o.Interval > math.MaxInt64/4:
		return fmt.Errorf("health: Outliers.Interval is %v; it must be positive, and less than a lifetime", o.Interval)
	case o.MinBackends < 3:
		return fmt.Errorf("health: Outliers.MinBackends is %d; at least 3", o.MinBackends)
	case o.MinRequests < 1:
		return fmt.Errorf("health: Outliers.MinRequests is %d; at least 1", o.MinRequests)
	}
	return nil
}

// window is what the requests of one backend have come to since the last comparison, while it was available.
type window struct {
	requests  int
	succeeded int
	timed     int     // the successful ones of which it is known what they took
	logs      float64 // sum of the logarithms of that, in nanoseconds
}

// note counts one request.
func (w *window) note(s Signal, took time.Duration) {
	w.requests++
	if s == Success {
		w.succeeded++
		if took > 0 {
			w.timed++
			w.logs += math.Log(float64(took))
		}
	}
}

func (w *window) rate() float64 { return float64(w.succeeded) / float64(w.requests) }

// typical is the geometric mean of what the successful requests took.
func (w *window) typical() time.Duration {
	return time.Duration(math.Exp(w.logs / float64(w.timed)))
}

// Start says at which instant traffic begins: comparisons of Outliers count from there. Without it there are none. Next
// may be another instant afterwards.
func (g *Group) Start(now time.Time) {
	g.sweepAt = time.Time{}
	if o := &g.cfg.Passive.Outliers; o.on() {
		g.sweepAt = now.Add(o.Interval)
	}
	g.started = true
}

// sweep compares the backends, ejects those that do worse than the rest, the worst first, and begins the next comparison.
func (g *Group) sweep(now time.Time) []Change {
	o := &g.cfg.Passive.Outliers
	g.sweepAt = now.Add(o.Interval)
	var changes []Change
	if o.SuccessRate > 0 {
		changes = g.sweepRates(now, changes)
	}
	if o.Latency > 0 {
		changes = g.sweepLatencies(now, changes)
	}
	for i := range g.backends {
		g.backends[i].window = window{}
	}
	return changes
}

// measured is one backend in a comparison.
type measured struct {
	i      int
	figure float64 // the greater, the worse
}

// compared lists the available backends of which enough is known, in order of their indexes; nil when they are too few.
func (g *Group) compared(count func(*window) int, figure func(*window) float64) []measured {
	o := &g.cfg.Passive.Outliers
	var all []measured
	for i := range g.backends {
		if b := &g.backends[i]; b.present && !b.reserve && b.available() && count(&b.window) >= o.MinRequests {
			all = append(all, measured{i, figure(&b.window)})
		}
	}
	if len(all) < o.MinBackends {
		return nil
	}
	return all
}

func (g *Group) sweepRates(now time.Time, changes []Change) []Change {
	all := g.compared(func(w *window) int { return w.requests }, func(w *window) float64 { return 1 - w.rate() })
	mean, deviation := spreadOf(all)
	limit := mean + max(g.cfg.Passive.Outliers.SuccessRate*deviation, leastShortfall)
	return g.ejectWorst(now, changes, all, limit, SuccessRateOutlier, func(m measured) string {
		return fmt.Sprintf("%.1f %% of %d succeeded; mean of %d backends %.1f %%",
			100*(1-m.figure), g.backends[m.i].window.requests, len(all), 100*(1-mean))
	})
}

func (g *Group) sweepLatencies(now time.Time, changes []Change) []Change {
	all := g.compared(func(w *window) int { return w.timed }, func(w *window) float64 { return float64(w.typical()) })
	if all == nil {
		return changes
	}
	figures := make([]float64, len(all))
	for k, m := range all {
		figures[k] = m.figure
	}
	slices.Sort(figures)
	median := figures[(len(figures)-1)/2] // the lower one of two: it is the better half that sets the measure
	limit := max(g.cfg.Passive.Outliers.Latency*median, median+float64(leastDelay))
	return g.ejectWorst(now, changes, all, limit, LatencyOutlier, func(m measured) string {
		return fmt.Sprintf("%v; median of %d backends %v", time.Duration(m.figure).Round(time.Microsecond), len(all),
			time.Duration(median).Round(time.Microsecond))
	})
}

// spreadOf returns the mean and the standard deviation of the figures; 0 and 0 of none.
func spreadOf(all []measured) (mean, deviation float64) {
	if len(all) == 0 {
		return 0, 0
	}
	for _, m := range all {
		mean += m.figure
	}
	mean /= float64(len(all))
	for _, m := range all {
		deviation += (m.figure - mean) * (m.figure - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(all)))
}

// ejectWorst ejects the backends whose figure is over the limit, the worst first, as many as may be.
func (g *Group) ejectWorst(
	now time.Time, changes []Change, all []measured, limit float64, r Reason, detail func(measured) string,
) []Change {
	bad := slices.DeleteFunc(slices.Clone(all), func(m measured) bool { return m.figure <= limit })
	slices.SortStableFunc(bad, func(a, b measured) int { return cmp.Compare(b.figure, a.figure) })
	for _, m := range bad {
		if g.used.ejected >= g.limit {
			g.backends[m.i].passive.refused++
			continue
		}
		changes = append(changes, g.eject(now, m.i, r, detail(m)))
	}
	return changes
}
