package scenario

import "math"

// Figure is one metric of a run, whether the scenario expects something of it or not.
type Figure struct {
	// Name is one of [Metrics].
	Name string
	// Value is in seconds for a duration, from 0 to 1 for a share, per second for a rate, else a count. It is +Inf for what never happened, and
	// NaN for what the run does not have: a recovery without a fault.
	Value float64
}

// Figures gives every metric of the run, in the order of [Metrics]. A run that broke off has none.
func (v *Verdict) Figures() []Figure { return v.figures }

// String writes the value for people, with its unit: "99.52 %", "1.20 s", "never", "none".
func (f Figure) String() string { return FormatFigure(f.Name, f.Value) }

// FormatFigure writes a value of the metric of that name for people. It panics for a name that is not one of [Metrics].
func FormatFigure(name string, value float64) string {
	m := metricNamed(name)
	if m == nil {
		panic("scenario: no metric has the name " + name)
	}
	return m.unit.format(value)
}

// BetterWhenHigher says which way a metric is good: true for rates of success, false for times and for counts of trouble.
// Known is false for a metric that is neither, such as the number of requests.
func BetterWhenHigher(name string) (higher, known bool) {
	switch name {
	case "success_rate", "reuse_rate", "answered_per_second":
		return true, true
	case "requests", "requests_per_second", "answered", "retries", "client_retries", "repeated", "dials", "max_in_flight",
		"pool_utilization_peak", "pool_utilization_mean":
		return false, false
	}
	return false, metricNamed(name) != nil
}

// figuresOf collects all metrics of an outcome.
func figuresOf(o *outcome) []Figure {
	out := make([]Figure, len(metrics))
	for i := range metrics {
		x := metrics[i].value(o)
		if metrics[i].unit == seconds && !math.IsNaN(x) && !math.IsInf(x, 0) {
			x = math.Round(x*1e9) / 1e9
		}
		out[i] = Figure{metrics[i].name, x}
	}
	return out
}
