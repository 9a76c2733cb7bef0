package scenario

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

func TestLoadSpreadIsTheGreatestDistanceFromAFairShare(t *testing.T) {
	b := func(up, address string, weight int, answered uint64) backendTally {
		return backendTally{up, address, weight, answered}
	}
	for name, tc := range map[string]struct {
		backends []backendTally
		want     float64
	}{
		"even":                       {[]backendTally{b("u", "a", 1, 50), b("u", "b", 1, 50)}, 0},
		"by weight":                  {[]backendTally{b("u", "a", 3, 75), b("u", "b", 1, 25)}, 0},
		"one gets 10 % more":         {[]backendTally{b("u", "a", 1, 55), b("u", "b", 1, 45)}, 0.1},
		"one gets nothing":           {[]backendTally{b("u", "a", 1, 50), b("u", "b", 1, 50), b("u", "c", 1, 0)}, 1},
		"one gets all of three":      {[]backendTally{b("u", "a", 1, 90), b("u", "b", 1, 0), b("u", "c", 1, 0)}, 2},
		"the worse of two upstreams": {[]backendTally{b("u", "a", 1, 55), b("u", "b", 1, 45), b("v", "a", 1, 40), b("v", "b", 1, 60)}, 0.2},
		"nothing for a weight of 0":  {[]backendTally{b("u", "a", 1, 50), b("u", "b", 0, 0)}, 0},
		"alone":                      {[]backendTally{b("u", "a", 1, 50)}, math.NaN()},
		"without a request":          {[]backendTally{b("u", "a", 1, 0), b("u", "b", 1, 0)}, math.NaN()},
	} {
		got, whose := (&tally{backends: tc.backends}).loadSpread()
		if math.IsNaN(tc.want) {
			require.True(t, math.IsNaN(got), name)
			require.Empty(t, whose)
			continue
		}
		require.InDelta(t, tc.want, got, 1e-12, name)
		require.NotEmpty(t, whose)
	}
	_, whose := (&tally{backends: []backendTally{b("u", "a:1", 3, 10), b("u", "b:1", 1, 30)}}).loadSpread()
	require.Equal(t, "u/b:1 gave 75.00 % of the answers of its upstream; its fair share is 25.00 %", whose)
}

// stats are counters of two backends, each of which stands at n times its number.
func stats(n uint64) *proxy.Stats {
	backend := func(address string, k uint64) upstream.BackendStats {
		b := upstream.BackendStats{Address: address, Weight: 1,
			Pool: pool.Stats{Begun: 2 * k * n, DialFailed: k * n, Lends: 4 * k * n, Reuses: 3 * k * n, Lent: int(k), Limit: 4}}
		b.Outcomes[upstream.OutcomeAnswered], b.Outcomes[upstream.OutcomeAnswered5xx] = k*n, n
		return b
	}
	var wait pool.Histogram
	for k := range n { // the k-th wait is 10 ms longer than the one before
		wait.Observe(time.Duration(k+1) * 10 * time.Millisecond)
	}
	return &proxy.Stats{Repeated: 5 * n, Upstreams: []upstream.Stats{{Name: "u", Begun: 9 * n, Retries: 6 * n, Waits: 7 * n,
		Wait:     wait.Snapshot(),
		Backends: []upstream.BackendStats{backend("a", 1), backend("b", 3)}}}}
}

func TestAWindowCountsWhatTheProxyDidBetweenItsEdges(t *testing.T) {
	const s = time.Second
	m := marks{edges: []time.Duration{2 * s, 3 * s, 5 * s, 10 * s}}
	for i := range 7 {
		m.look(time.Duration(i)*s+3, stats(uint64(i)))
	}
	end := tallyOf(stats(20))
	got := m.between([]span{{0, 2 * s}, {3 * s, 5 * s}}, 10*s, &end)
	want := tallyOf(stats(4))
	require.EqualValues(t, 4, got.wait.Count)
	require.Equal(t, (1+2+4+5)*10*time.Millisecond, got.wait.Sum)
	require.InEpsilon(t, 0.02, got.queueWait(0.5), 0.125)
	require.InEpsilon(t, 0.05, got.queueWait(1), 0.125)
	require.Zero(t, (&tally{}).queueWait(1), "nobody waited")
	want.wait = got.wait
	require.Equal(t, want, got, "2 and 5 - 3")
	require.EqualValues(t, 36, got.attempts)
	require.EqualValues(t, 32, got.dials)
	require.EqualValues(t, 16, got.dialFailures)
	require.EqualValues(t, 20, got.repeated)
	require.EqualValues(t, 24, got.retries)
	require.EqualValues(t, 28, got.waits)
	require.Equal(t, backendTally{"u", "b", 1, 16}, got.backends[1])
	require.InDelta(t, 0.75, (&outcome{tally: got}).reuse(), 1e-12)
	require.InDelta(t, 3.6, (&outcome{requests: 10, tally: got}).amplification(), 1e-12)
	got, want = m.between([]span{{5 * s, 10 * s}}, 10*s, &end), tallyOf(stats(20-5))
	require.EqualValues(t, 15, got.wait.Count)
	want.wait = got.wait
	require.Equal(t, want, got, "the last answers belong to the end")
	require.Equal(t, tallyOf(stats(20)), m.between([]span{{0, 10 * s}}, 10*s, &end))
}

func TestPoolUtilizationIsTheGreatestOfOneAndTheMeanOfAll(t *testing.T) {
	one, two := sampleOf(time.Second, stats(1)), sample{2 * time.Second, 0.25, 0}
	require.Equal(t, sample{time.Second, 0.75, 0.5}, one)
	o := outcome{looks: []sample{one, two}}
	peak, mean := o.utilization()
	require.Equal(t, 0.75, peak)
	require.Equal(t, 0.25, mean)
	peak, _ = o.part([]span{{2 * time.Second, 3 * time.Second}}, -1, tally{}).utilization()
	require.Equal(t, 0.25, peak)
	require.Zero(t, sampleOf(0, &proxy.Stats{}).all)
}

// quietly is a world of two clients in which one backend of three is gone from 5 s to 10 s.
var quietly = []string{
	"upstream", "{strategy: round-robin, backends: [{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}, {address: '10.0.0.3:80'}], " +
		"pool: {max_connections: 10, connect_timeout: 500ms, validate_after: off}, retry: {attempts: 2, budget_percent: 50}, " +
		"health: {active: {interval: 1s, timeout: 500ms, rise: 1, fall: 1, http: {path: /healthz}}}}",
	"clients", "[{name: web, arrivals: {constant: 50/s}, timeout: 3s}, {name: slow, arrivals: {constant: 10/s}, timeout: 3s}]",
	"faults", "[{at: 5s, for: 5s, name: gone, refuse: {host: 10.0.0.3}}, {at: 5s, reset: {between: [proxy, 10.0.0.3]}}]",
}

// The metrics of a whole run whose figures are known beforehand.
func TestMetricsOfARunAreWhatTheWorldDid(t *testing.T) {
	runSmall(t, append(quietly,
		"expect", "[requests_per_second >= 59.5/s, requests_per_second <= 60/s, requests_per_second of slow <= 10/s, answered_per_second >= 59/s, "+
			"requests of slow >= 198, requests of slow <= 200, requests of web == 250 from 5s to 10s, "+
			"load_spread <= 1% before, load_spread == 100% from 7s to 10s, load_spread <= 20% from 13s, load_spread >= 10%, "+
			"retry_amplification == 1 before, retry_amplification > 1x during gone, retry_amplification <= 1.1 during, repeated > 0 during, "+
			"retries == 0 before, repeated == 0 before, dial_failures == 0 before, dial_failures > 0 during gone, dials > 0 before, "+
			"dials == 0 from 15s, success_rate of web == 100% before, success_rate of slow == 100% after gone, "+
			"p99 of slow <= 20ms after, max_in_flight <= 20, max_in_flight of slow <= 10, max_in_flight of slow >= 1, "+
			"pool_utilization_peak >= 10%, pool_utilization_peak <= 30%, pool_utilization_mean >= 1.2%, pool_utilization_mean <= 1.7%, reuse_rate >= 95% after, queue_waits > 0 before, wrong_nonce of web == 0]")...)
}

// Windows that lie side by side add up to the run, and expectations about them leave its trace as it is.
func TestWindowsSideBySideAddUpToTheRun(t *testing.T) {
	plain := runSmall(t, quietly...)
	sc, err := Parse("small.yaml", []byte(smallText(quietly...)))
	require.NoError(t, err)
	windows := []string{"before", "during", "after"}
	names := []string{"requests", "answered", "failed", "dials", "dial_failures", "retries", "repeated", "queue_waits"}
	for _, name := range names {
		for _, w := range windows {
			e, err := ParseExpectation(name + " >= 0 " + w)
			require.NoError(t, err)
			sc.Expect = append(sc.Expect, e)
		}
	}
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	require.Equal(t, plain.TraceHash, v.TraceHash)
	require.Equal(t, plain.Events, v.Events)
	for i, name := range names {
		sum := 0.0
		for k := range windows {
			n, err := strconv.ParseFloat(strings.ReplaceAll(v.Expectations[i*len(windows)+k].Value, ",", ""), 64)
			require.NoError(t, err)
			sum += n
		}
		whole := slices.IndexFunc(v.Figures(), func(f Figure) bool { return f.Name == name })
		require.Equal(t, v.Figures()[whole].Value, sum, name)
		require.True(t, name == "failed" || name == "retries" || sum > 0, name)
	}
}
