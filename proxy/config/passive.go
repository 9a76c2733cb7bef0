package config

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Passive is outlier detection: a backend whose answers are bad is ejected for a time.
type Passive struct {
	// Consecutive5xx is how many 5xx answers in a row eject a backend. Calls of gRPC that end with UNAVAILABLE, UNKNOWN, INTERNAL or
	// DATA_LOSS are such answers too. Key consecutive_5xx, default 5, from 1 to 10000, or Off.
	Consecutive5xx int
	// ConsecutiveGatewayErrors is how many answers of 502, 503 and 504 in a row, and calls of gRPC that end with UNAVAILABLE, eject a
	// backend; they count as 5xx answers too. It is of use below Consecutive5xx, or with that switched off, where an application's own
	// 500 tells of the request rather than of the backend. Key consecutive_gateway_errors, default off, which is 0 here; else from 1 to 10000.
	ConsecutiveGatewayErrors int
	// ConsecutiveFailures is how many failures in a row (refused, reset, timed out) eject a backend. Key
	// consecutive_failures, default 5, from 1 to 10000, or Off.
	ConsecutiveFailures int
	// BaseEjectionTime is the length of the first ejection; each one that follows soon is longer by as much. An ejection
	// for ConsecutiveFailures ends earlier when Active checks pass again, as many as their Rise asks for. Key
	// base_ejection_time, default 30s, from 1ms to 24h.
	BaseEjectionTime time.Duration
	// MaxEjectionTime is the longest ejection. Key max_ejection_time, default 5m (or BaseEjectionTime when that is more), from
	// BaseEjectionTime to 24h.
	MaxEjectionTime time.Duration
	// EjectionJitterPercent makes each ejection longer by a random part of it, up to so many percent, so that backends that
	// were ejected together do not come back together. Key ejection_jitter_percent, default off, which is 0 here; else from 1
	// to 100.
	EjectionJitterPercent int
	// MaxEjectionPercent bounds the part of the group that is ejected at one time; with subset_size, of the backends in use. Key max_ejection_percent, default 50,
	// from 1 to 100.
	MaxEjectionPercent int
	// Outliers ejects backends that do worse than the rest of their group, though never so often in a row; nil does not. Key
	// outliers.
	Outliers *Outliers
}

// Outliers compares the backends of a group with each other, at each Interval by the requests of that time.
type Outliers struct {
	// SuccessRate ejects a backend whose share of successful requests (answered, and not with 5xx) is lower than the mean of the
	// group's by more than so many standard deviations, and by 5 points at least. Key success_rate, default 1.9, from 1 to 10,
	// or off, which is 0 in a group with Latency.
	SuccessRate float64
	// Latency ejects a backend whose answers take longer to begin than so many times what they take at the median backend, and 5
	// ms longer at least, in the geometric mean. Key latency, default off, which is 0 here; else from 1.5 to 100.
	Latency float64
	// Interval is how often backends are compared. Key interval, default 10s, from 1ms to 1h.
	Interval time.Duration
	// MinBackends is how many backends with MinRequests each there must be. Key min_backends, default 5, from 3 to 10000.
	MinBackends int
	// MinRequests is how many requests of an Interval there must be of a backend. Key min_requests, default 100, from 1 to
	// 1000000.
	MinRequests int
}

// Breaker is a circuit breaker for each backend: closed it counts, open it admits no request, half-open a few, on which it
// depends what is next. MaxEjectionPercent does not hold it back.
type Breaker struct {
	// ErrorPercent opens the breaker when so many of a hundred requests have failed: a 5xx answer, or none. Key error_percent,
	// default 50, from 1 to 100, or Off.
	ErrorPercent int
	// SlowPercent opens it when the answers to so many of a hundred have taken SlowAfter to begin, or when their
	// clients have given up after so long. Key slow_percent, default off, which is 0 here; else from 1 to 100.
	SlowPercent int
	// SlowAfter is what makes a request slow. Key slow_after, default 1s, from 1ms to 1h.
	SlowAfter time.Duration
	// Window is for how long a request is counted. Key window, default 10s, from 1ms to 1h.
	Window time.Duration
	// MinRequests is how many requests of the window there must be. Key min_requests, default 20, from 1 to 1000000.
	MinRequests int
	// OpenTime is for how long it stays open, and waits for its probes to end. Key open_time, default 10s, from 1ms to 24h.
	OpenTime time.Duration
	// Probes is how many requests it admits half-open, all of which must succeed. An answer that goes on, such as a stream of
	// events or a WebSocket, has succeeded when it has begun; a tunnel of a TCP listener when its backend has said something, or
	// when it has ended. Key probes, default 3, from 1 to 1000.
	Probes int
}

func defaultOutliers() Outliers {
	return Outliers{SuccessRate: 1.9, Interval: 10 * time.Second, MinBackends: 5, MinRequests: 100}
}

func defaultBreaker() Breaker {
	return Breaker{ErrorPercent: 50, SlowAfter: time.Second, Window: 10 * time.Second, MinRequests: 20, OpenTime: 10 * time.Second, Probes: 3}
}

func (o *Outliers) form() form.Form {
	return form.Form{
		{Key: "success_rate", Value: factor{&o.SuccessRate, 1, 10}},
		{Key: "latency", Value: factor{&o.Latency, 1.5, 100}},
		{Key: "interval", Value: form.Duration(&o.Interval, tick, time.Hour)},
		{Key: "min_backends", Value: form.Int(&o.MinBackends, 3, 10_000)},
		{Key: "min_requests", Value: form.Int(&o.MinRequests, 1, 1_000_000)},
	}
}

func (b *Breaker) form() form.Form {
	return form.Form{
		{Key: "error_percent", Value: form.IntOrOff(&b.ErrorPercent, 1, 100, Off)},
		{Key: "slow_percent", Value: form.IntOrOff(&b.SlowPercent, 1, 100, 0)},
		{Key: "slow_after", Value: form.Duration(&b.SlowAfter, tick, time.Hour)},
		{Key: "window", Value: form.Duration(&b.Window, tick, time.Hour)},
		{Key: "min_requests", Value: form.Int(&b.MinRequests, 1, 1_000_000)},
		{Key: "open_time", Value: form.Duration(&b.OpenTime, tick, day)},
		{Key: "probes", Value: form.Int(&b.Probes, 1, 1000)},
	}
}

// fill gives what requests say about backends its defaults. Nothing of it is shared with its source then.
func (h *Health) fill() {
	p, d := &h.Passive, DefaultUpstream("").Health.Passive
	fill(&p.Consecutive5xx, d.Consecutive5xx)
	fill(&p.ConsecutiveFailures, d.ConsecutiveFailures)
	fill(&p.BaseEjectionTime, d.BaseEjectionTime)
	fill(&p.MaxEjectionTime, max(d.MaxEjectionTime, p.BaseEjectionTime))
	fill(&p.MaxEjectionPercent, d.MaxEjectionPercent)
	if p.Outliers != nil {
		o, d := *p.Outliers, defaultOutliers()
		if o.Latency == 0 {
			fill(&o.SuccessRate, d.SuccessRate)
		}
		fill(&o.Interval, d.Interval)
		fill(&o.MinBackends, d.MinBackends)
		fill(&o.MinRequests, d.MinRequests)
		p.Outliers = &o
	}
	if h.Breaker != nil {
		b, d := *h.Breaker, defaultBreaker()
		fill(&b.ErrorPercent, d.ErrorPercent)
		fill(&b.SlowAfter, d.SlowAfter)
		fill(&b.Window, d.Window)
		fill(&b.MinRequests, d.MinRequests)
		fill(&b.OpenTime, d.OpenTime)
		fill(&b.Probes, d.Probes)
		h.Breaker = &b
	}
	fill(&h.OnNoBackend, NoBackendRefuse)
	h.Agent = h.Agent.filled()
	if h.Active != nil {
		active := h.Active.filled()
		h.Active = &active
	}
}

// check finds the settings that contradict each other, or the upstream, which is at path.
func (h *Health) check(r *form.Report, path string, u *Upstream) {
	h.Active.check(r, path, u)
	h.Agent.check(r, form.Join(path, "health.agent"))
	at := form.Join(path, "health.passive")
	most, base := form.Join(at, "max_ejection_time"), form.Join(at, "base_ejection_time")
	if p := &h.Passive; p.MaxEjectionTime < p.BaseEjectionTime && !r.Failed(most, base) {
		r.Fail(most, "is less than base_ejection_time (%s < %s)",
			form.FormatDuration(p.MaxEjectionTime), form.FormatDuration(p.BaseEjectionTime))
	}
	if o, at := h.Passive.Outliers, form.Join(at, "outliers"); o != nil && o.SuccessRate == 0 && o.Latency == 0 &&
		!r.Failed(at, form.Join(at, "success_rate"), form.Join(at, "latency")) {
		r.Fail(at, "compares nothing: success_rate and latency are off")
	}
	if b, at := h.Breaker, form.Join(path, "health.breaker"); b != nil && b.ErrorPercent == Off && b.SlowPercent == 0 &&
		!r.Failed(at, form.Join(at, "error_percent"), form.Join(at, "slow_percent")) {
		r.Fail(at, "never opens: error_percent and slow_percent are off")
	}
}
