package scenario

import (
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

func TestAQuantileIsTheLeastValueThatEnoughAreNotAbove(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 60).Draw(rt, "latencies")
		q := rapid.Float64Range(0.01, 1).Draw(rt, "q")
		o := outcome{}
		for _, x := range all {
			o.latencies = append(o.latencies, time.Duration(x)*time.Second)
		}
		o.finish()
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
		want := all[len(all)-1]
		for i := len(all) - 1; i >= 0; i-- {
			if float64(i+1) >= q*float64(len(all)) {
				want = all[i]
			}
		}
		require.Equal(rt, float64(want), o.quantile(q))
	})
	require.True(t, math.IsNaN((&outcome{}).quantile(0.5)))
	require.True(t, math.IsNaN((&outcome{}).successRate()))
}

func TestFailoverIsTheLongestSpanFromAFaultToTheLastFailureItCaused(t *testing.T) {
	const s = time.Second
	drop := func(at, lasts time.Duration) Fault { return Fault{At: at, For: lasts, Kind: SilentDrop} }
	reset := Fault{At: 10 * s, For: -1, Kind: Reset}
	for name, tc := range map[string]struct {
		faults   []Fault
		failures []failedRequest
		want     float64
	}{
		"none failed":                   {[]Fault{drop(10*s, 5*s)}, nil, 0},
		"before and after do not count": {[]Fault{drop(10*s, 5*s)}, []failedRequest{{9 * s, 12 * s}, {15 * s, 16 * s}}, 0},
		"the end of the last counts":    {[]Fault{drop(10*s, 5*s)}, []failedRequest{{10 * s, 11 * s}, {12 * s, 14 * s}}, 4},
		"it may end after the fault":    {[]Fault{drop(10*s, 5*s)}, []failedRequest{{14 * s, 17 * s}}, 7},
		"a fault without end":           {[]Fault{drop(10*s, -1)}, []failedRequest{{99 * s, 100 * s}}, 90},
		"the worst of two":              {[]Fault{drop(10*s, 5*s), drop(20*s, 5*s)}, []failedRequest{{11 * s, 12 * s}, {23 * s, 24 * s}}, 4},
		"an instant lasts to the next":  {[]Fault{reset, drop(20*s, 5*s)}, []failedRequest{{18 * s, 19 * s}, {26 * s, 27 * s}}, 9},
		"an instant lasts to the end":   {[]Fault{reset}, []failedRequest{{98 * s, 99 * s}}, 89},
	} {
		require.Equal(t, tc.want, failoverOf(tc.faults, 100*s, tc.failures), name)
	}
	require.True(t, math.IsNaN(failoverOf(nil, s, nil)))
	last, ends := lastEnd([]Fault{drop(10*s, 5*s), drop(12*s, -1), reset})
	require.True(t, ends)
	require.Equal(t, 15*s, last)
}

func TestFaultsEndBeforeOthersBeginAtTheSameInstant(t *testing.T) {
	const s = time.Second
	got := steps([]Fault{{At: 5 * s, For: 5 * s, Kind: Crash}, {At: 10 * s, For: -1, Kind: Kill}, {At: 1 * s, For: -1, Kind: Reset}})
	require.Equal(t, []step{{1 * s, 2, true}, {5 * s, 0, true}, {10 * s, 0, false}, {10 * s, 1, true}}, got)
}

func TestDrawsHaveTheShapeThatWasAskedFor(t *testing.T) {
	for _, d := range []Distribution{
		{Kind: Uniform, Min: time.Millisecond, Max: 3 * time.Millisecond},
		{Kind: Exponential, Mean: 10 * time.Millisecond},
		{Kind: Lognormal, Median: 5 * time.Millisecond, P99: 40 * time.Millisecond},
		constant(7 * time.Millisecond),
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		o := outcome{}
		sum := 0.0
		for range 20_000 {
			x := d.draw(rnd)
			require.GreaterOrEqual(t, x, time.Duration(0))
			require.Zero(t, x%time.Microsecond)
			o.latencies = append(o.latencies, x)
			sum += x.Seconds()
		}
		o.finish()
		mean := sum / 20_000
		switch d.Kind {
		case Uniform:
			require.GreaterOrEqual(t, o.latencies[0], d.Min)
			require.LessOrEqual(t, o.latencies[len(o.latencies)-1], d.Max)
			require.InDelta(t, 0.002, mean, 0.0001)
		case Exponential:
			require.InDelta(t, 0.010, mean, 0.0005)
			require.InDelta(t, 0.010*math.Ln2, o.quantile(0.5), 0.0005)
		case Lognormal:
			require.InDelta(t, 0.005, o.quantile(0.5), 0.0003)
			require.InDelta(t, 0.040, o.quantile(0.99), 0.004)
		default:
			require.Equal(t, rand.New(rand.NewPCG(1, 2)).Uint64(), rnd.Uint64(), "a constant takes nothing from the stream")
		}
	}
	require.Equal(t, maxDraw, (&Distribution{Kind: Uniform, Min: 2 * maxDraw, Max: 2 * maxDraw}).draw(rand.New(rand.NewPCG(1, 2))))
}

func TestABrokenLawIsSeenAndAnIntactOneIsNot(t *testing.T) {
	intact := func() *proxy.Stats {
		p := pool.Stats{Begun: 9, Dialling: 1, Dialled: 7, DialFailed: 1, Idle: 3, Lent: 2, Limit: 10, Ceiling: 10}
		p.Retired[0] = 2
		b := upstream.BackendStats{Address: "b:80", InFlight: 2, Pool: p}
		b.Outcomes[0] = 5
		return &proxy.Stats{Open: 2, Requests: 7, Answered: 5, InFlight: 2,
			Upstreams: []upstream.Stats{{Name: "u", Begun: 7, InFlight: 2, Backends: []upstream.BackendStats{b}}}}
	}
	require.Empty(t, brokenLaws(intact(), false))
	require.Len(t, brokenLaws(intact(), true), 3, "nothing may be under way at the end")
	require.Equal(t, 2+6, held(intact()))
	for name, breakIt := range map[string]func(*proxy.Stats){
		"requests in":        func(s *proxy.Stats) { s.InFlight = -1 },
		"in flight":          func(s *proxy.Stats) { s.InFlight = 3 },
		"attempts begun":     func(s *proxy.Stats) { s.Upstreams[0].Begun++ },
		"in-flight counts":   func(s *proxy.Stats) { s.Upstreams[0].Backends[0].InFlight = -1 },
		"dials begun":        func(s *proxy.Stats) { s.Upstreams[0].Backends[0].Pool.Begun++ },
		"dialled = idle":     func(s *proxy.Stats) { s.Upstreams[0].Backends[0].Pool.Lent++ },
		"<= max_connections": func(s *proxy.Stats) { s.Upstreams[0].Backends[0].Pool.Ceiling = 5 },
	} {
		s := intact()
		breakIt(s)
		got := brokenLaws(s, false)
		require.Len(t, got, 1, name)
		require.Contains(t, got[0].what, name)
	}
	waiting := intact()
	*waiting = proxy.Stats{Upstreams: []upstream.Stats{{Waiting: 1}}}
	require.Len(t, brokenLaws(waiting, true), 1)
}

func TestNobodyWaitsForTheRecoveryOfABackendThatNoClientCanReach(t *testing.T) {
	replace := []string{
		"upstream", small["upstream"] + ", spare: {backends: [{address: '10.0.0.4:80'}]}",
		"listener", small["listener"] + ", {address: ':8081', upstream: spare}",
		"backends", strings.Replace(small["backends"], "]", ", {address: '10.0.0.4:80'}]", 1),
		"faults", "[{at: 5s, for: 5s, crash: {host: 10.0.0.1}}]",
		"expect", "[time_to_recovery <= 4s]",
	}
	runSmall(t, replace...)
	runSmall(t, append(replace, "clients", "[{name: web, arrivals: {poisson: 50/s}, timeout: 3s}, "+
		"{name: other, to: ':8081', arrivals: {poisson: 1/s}}]")...)
}
