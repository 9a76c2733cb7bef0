package scenario

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
)

// What the adaptive per-try timeout must not do: harm where the backends are not at fault.

// tried is the small scenario with the proxy's own defaults for retries.
func tried(t *testing.T, change func(*config.Upstream), replace ...string) *Verdict {
	t.Helper()
	sc, err := Parse("small.yaml", []byte(smallText(replace...)))
	require.NoError(t, err)
	u := &sc.Settings.Upstreams[0]
	u.Retry = config.DefaultUpstream("").Retry
	u.ResponseTimeout = 10 * time.Second
	if change != nil {
		change(u)
	}
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Zero(t, figure(v, metricConservation))
	return v
}

// unchecked leaves the judgement to the requests.
func unchecked(u *config.Upstream) { u.Health.Active, u.Pool.ConnectTimeout = nil, 5*time.Second }

func uncheckedOnce(u *config.Upstream) {
	unchecked(u)
	u.Retry.PerTryTimeout = config.Off
}

// slowFleet makes every backend eight tenths of a second slower for twenty seconds, from one moment to the next.
var slowFleet = []string{"duration", "60s", "clients", "[{name: web, arrivals: {poisson: 100/s}, timeout: 8s}]",
	"backends", three(", service: {lognormal: {median: 5ms, p99: 40ms}}"),
	"faults", "[{at: 20s, for: 20s, slow: {between: [proxy, 10.0.0.1], latency: 400ms}}, " +
		"{at: 20s, for: 20s, slow: {between: [proxy, 10.0.0.2], latency: 400ms}}, " +
		"{at: 20s, for: 20s, slow: {between: [proxy, 10.0.0.3], latency: 400ms}}]"}

func TestAFleetThatBecomesSlowAsAWholeIsNotAskedTwiceForLong(t *testing.T) {
	v := tried(t, unchecked, slowFleet...)
	require.Equal(t, v.Requests, v.Answered)
	require.Positive(t, figure(v, "retries"), "the first ones could not know")
	require.Less(t, figure(v, "retries"), 30.0, "of two thousand")
	for _, m := range v.Timeline {
		require.NotContains(t, m.Text, "consecutive_failures", "nobody is to blame")
	}
	plain := tried(t, uncheckedOnce, slowFleet...)
	require.InDelta(t, figure(plain, "p99"), figure(v, "p99"), 0.3)
	require.InDelta(t, figure(plain, "p50"), figure(v, "p50"), 0.002)
}

// Two requests in a hundred seconds are reports, which take four seconds each at any backend.
func TestARareRouteThatIsSlowByItsNatureIsNotAskedTwiceForLong(t *testing.T) {
	rare := []string{"duration", "100s", "backends", three(", service: 10ms, paths: [{prefix: /report, service: 4s}]"),
		"clients", "[{name: web, arrivals: {poisson: 200/s}, timeout: 2s}, " +
			"{name: reports, arrivals: {constant: 1/s}, path: /report, timeout: 9s}]"}
	v := tried(t, nil, rare...)
	require.Equal(t, v.Requests, v.Answered)
	require.Positive(t, figure(v, "retries"))
	require.Less(t, figure(v, "retries"), 60.0, "of a hundred reports")
	for _, m := range v.Timeline {
		require.NotContains(t, m.Text, "backend_down", "nobody is to blame")
	}
}

// The figures of the adaptive timeout's own case: one backend is silent, and no client sees it.
func TestASilentBackendCostsNoRequestOnceTheTimesOfAnswersAreKnown(t *testing.T) {
	silent := func(at string) []string {
		return []string{"clients", "[{name: web, arrivals: {poisson: 100/s}, timeout: 2s}]",
			"faults", "[{at: " + at + ", for: 8s, silent_drop: {between: [proxy, 10.0.0.1]}}]"}
	}
	short := func(u *config.Upstream) {
		u.Retry.PerTryTimeout, u.Retry.On = config.Off, []string{"connect_failure", "reset"}
	}
	require.Empty(t, tried(t, nil, silent("10s")...).Failed)
	require.Greater(t, total(tried(t, short, silent("10s")...).Failed), 1)
	early := tried(t, func(u *config.Upstream) {
		u.Retry.On = []string{"connect_failure", "reset", "per_try_timeout"}
	}, silent("500ms")...)
	require.Positive(t, total(early.Failed), "fifty answers are too few")
}
