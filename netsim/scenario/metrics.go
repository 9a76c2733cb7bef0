package scenario

// metric is something that can be expected.
type metric struct {
	name  string
	unit  unit
	scope scope
	value func(o *outcome) float64
}

// scope says of which parts of a run a metric can be told.
type scope uint8

const (
	wholeRun   scope = iota // it has one value
	perWindow               // the proxy counts it: of any window
	perRequest              // it is a figure of requests: of any window, and of one client's
)

// metrics is the closed list; the package comment says what each means.
var metrics = []metric{
	{"success_rate", share, perRequest, (*outcome).successRate},
	{"p50", seconds, perRequest, func(o *outcome) float64 { return o.quantile(0.5) }},
	{"p90", seconds, perRequest, func(o *outcome) float64 { return o.quantile(0.9) }},
	{"p99", seconds, perRequest, func(o *outcome) float64 { return o.quantile(0.99) }},
	{"p99.9", seconds, perRequest, func(o *outcome) float64 { return o.quantile(0.999) }},
	{metricFailover, seconds, wholeRun, func(o *outcome) float64 { return o.failover }},
	{metricRecovery, seconds, wholeRun, func(o *outcome) float64 { return o.recovery }},
	{"requests", count, perRequest, func(o *outcome) float64 { return float64(o.requests) }},
	{"answered", count, perRequest, func(o *outcome) float64 { return float64(o.answered) }},
	{"failed", count, perRequest, func(o *outcome) float64 { return float64(o.requests - o.answered) }},
	{"requests_per_second", perSec, perRequest, func(o *outcome) float64 { return o.rate(o.requests) }},
	{"answered_per_second", perSec, perRequest, func(o *outcome) float64 { return o.rate(o.answered) }},
	{"max_in_flight", count, perRequest, func(o *outcome) float64 { return float64(o.maxInFlight()) }},
	{"reuse_rate", share, perWindow, func(o *outcome) float64 { return o.reuse() }},
	{"dials", count, perWindow, func(o *outcome) float64 { return float64(o.tally.dials) }},
	{"dial_failures", count, perWindow, func(o *outcome) float64 { return float64(o.tally.dialFailures) }},
	{"pool_utilization_peak", share, perWindow, func(o *outcome) float64 { peak, _ := o.utilization(); return peak }},
	{"pool_utilization_mean", share, perWindow, func(o *outcome) float64 { _, mean := o.utilization(); return mean }},
	{"queue_waits", count, perWindow, func(o *outcome) float64 { return float64(o.tally.waits) }},
	{"queue_wait_p50", seconds, perWindow, func(o *outcome) float64 { return o.tally.queueWait(0.5) }},
	{"queue_wait_p99", seconds, perWindow, func(o *outcome) float64 { return o.tally.queueWait(0.99) }},
	{"queue_wait_max", seconds, perWindow, func(o *outcome) float64 { return o.tally.queueWait(1) }},
	{metricSpread, excess, perWindow, func(o *outcome) float64 { x, _ := o.tally.loadSpread(); return x }},
	{"retries", count, perWindow, func(o *outcome) float64 { return float64(o.tally.retries) }},
	{"client_retries", count, perRequest, func(o *outcome) float64 { return float64(o.clientRetries) }},
	{"repeated", count, perWindow, func(o *outcome) float64 { return float64(o.tally.repeated) }},
	{"retry_amplification", multiple, perWindow, (*outcome).amplification},
	{metricWrongNonce, count, perRequest, func(o *outcome) float64 { return float64(o.failed[FailWrongNonce]) }},
	{metricLeaks, count, wholeRun, func(o *outcome) float64 { return float64(o.leaks) }},
	{metricConservation, count, wholeRun, func(o *outcome) float64 { return float64(o.broken) }},
}

const (
	metricFailover     = "time_to_failover"
	metricRecovery     = "time_to_recovery"
	metricSpread       = "load_spread"
	metricWrongNonce   = "wrong_nonce"
	metricLeaks        = "leaks"
	metricConservation = "conservation"
)

// Metrics returns the names of everything that can be expected. The slice is the caller's own.
func Metrics() []string { return metricsOf(wholeRun) }

// metricsOf lists the metrics of at least that scope.
func metricsOf(least scope) []string {
	var names []string
	for i := range metrics {
		if metrics[i].scope >= least {
			names = append(names, metrics[i].name)
		}
	}
	return names
}

func metricNamed(name string) *metric {
	for i := range metrics {
		if metrics[i].name == name {
			return &metrics[i]
		}
	}
	return nil
}
