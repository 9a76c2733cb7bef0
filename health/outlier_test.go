package health

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// heard is one request that the model of outliers remembers.
type heard struct {
	s    Signal
	took time.Duration
}

// outlierModel compares backends by going through everything that was said in the interval.
type outlierModel struct {
	cfg   Config
	heard [][]heard
	until []time.Time
	limit int
}

func (m *outlierModel) ejected() (n int) {
	for _, at := range m.until {
		if !at.IsZero() {
			n++
		}
	}
	return n
}

// sweep returns those that are ejected, in that order.
func (m *outlierModel) sweep(now time.Time) (out []string) {
	o := m.cfg.Passive.Outliers
	eject := func(figures map[int]float64, limit float64, reason string) {
		for len(figures) > 0 {
			worst := -1
			for i := range m.heard { // of equals the first
				if f, in := figures[i]; in && (worst < 0 || f > figures[worst]) {
					worst = i
				}
			}
			if figures[worst] > limit && m.ejected() < m.limit {
				m.until[worst] = now.Add(m.cfg.Passive.BaseEjectionTime)
				out = append(out, fmt.Sprintf("%d %s", worst, reason))
			}
			delete(figures, worst)
		}
	}
	if o.SuccessRate > 0 {
		figures, sum, squares := map[int]float64{}, 0.0, 0.0
		for i, all := range m.heard {
			bad := 0
			for _, h := range all {
				if h.s != Success {
					bad++
				}
			}
			if m.until[i].IsZero() && len(all) >= o.MinRequests {
				figures[i] = float64(bad) / float64(len(all))
				sum += figures[i]
				squares += figures[i] * figures[i]
			}
		}
		if n := float64(len(figures)); len(figures) >= o.MinBackends {
			deviation := math.Sqrt(max(0, squares/n-sum/n*sum/n))
			eject(figures, sum/n+max(o.SuccessRate*deviation, 0.05)+1e-9, "success_rate_outlier")
		}
	}
	if o.Latency > 0 {
		figures, sorted := map[int]float64{}, []float64{}
		for i, all := range m.heard {
			product, n := 0.0, 0
			for _, h := range all {
				if h.s == Success {
					product += math.Log2(h.took.Seconds())
					n++
				}
			}
			if m.until[i].IsZero() && n >= o.MinRequests {
				figures[i] = math.Exp2(product / float64(n))
				sorted = append(sorted, figures[i])
			}
		}
		if len(figures) >= o.MinBackends {
			slices.Sort(sorted)
			median := sorted[(len(sorted)-1)/2]
			eject(figures, max(median*o.Latency, median+0.005)+1e-7, "latency_outlier")
		}
	}
	for i := range m.heard {
		m.heard[i] = nil
	}
	return out
}

func TestOutliersAgreeWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "backends")
		cfg := Config{Passive: Passive{
			Consecutive5xx: -1, ConsecutiveFailures: -1, BaseEjectionTime: 25 * time.Second, MaxEjectionTime: 25 * time.Second,
			MaxEjectionPercent: rapid.SampledFrom([]int{1, 40, 100}).Draw(t, "percent"),
			Outliers: Outliers{
				SuccessRate: rapid.SampledFrom([]float64{0, 1, 1.3, 1.9}).Draw(t, "deviations"),
				Latency:     rapid.SampledFrom([]float64{0, 1.7, 3.3}).Draw(t, "times"),
				MinBackends: rapid.IntRange(3, 5).Draw(t, "least backends"),
				MinRequests: rapid.IntRange(1, 6).Draw(t, "least requests"),
			},
		}}
		if cfg.Passive.Outliers.SuccessRate == 0 && cfg.Passive.Outliers.Latency == 0 {
			cfg.Passive.Outliers.Latency = 2.3
		}
		g, err := New(cfg, n, nil)
		require.NoError(t, err)
		m := &outlierModel{cfg: cfg, heard: make([][]heard, n), until: make([]time.Time, n), limit: cfg.Passive.ejectionLimit(n, n)}
		now := instant
		g.Start(now)
		for range rapid.IntRange(1, 6).Draw(t, "intervals") {
			for i := range n {
				good := rapid.IntRange(0, 8).Draw(t, "good")
				took := time.Duration(rapid.SampledFrom([]int{1, 2, 5, 11, 40}).Draw(t, "ms")) * time.Millisecond
				took += time.Duration(i) * 10 * time.Microsecond // of two that are equal, rounding decides
				for k := range rapid.IntRange(0, 8).Draw(t, "requests") {
					h := heard{Success, took}
					if k >= good {
						h.s = rapid.SampledFrom([]Signal{Response5xx, Timeout}).Draw(t, "signal")
					}
					_, changed := g.ObserveRequest(now, i, h.s, h.took, 0)
					require.False(t, changed)
					if m.until[i].IsZero() {
						m.heard[i] = append(m.heard[i], h)
					}
				}
			}
			now = now.Add(10 * time.Second)
			next, ok := g.Next()
			require.True(t, ok)
			require.False(t, next.After(now))
			var want, got []string
			for i, at := range m.until {
				if !at.IsZero() && !at.After(now) {
					m.until[i], m.heard[i] = time.Time{}, nil
					want = append(want, fmt.Sprintf("%d ejection_over", i))
				}
			}
			want = append(want, m.sweep(now)...)
			for _, c := range g.Tick(now) {
				got = append(got, fmt.Sprintf("%d %v", c.Backend, c.Reason))
				require.Equal(t, m.until[c.Backend], c.Until)
			}
			require.Equal(t, want, got)
			require.Equal(t, m.ejected(), g.EjectedCount())
		}
	})
}

// fleet is a group of backends that are compared.
func fleet(t *testing.T, n int, o Outliers) *Group {
	g := build(t, Config{Passive: Passive{Consecutive5xx: -1, ConsecutiveFailures: -1, Outliers: o}}, n)
	g.Start(instant)
	return g
}

// tell brings so many requests to a backend, of which some fail.
func tell(g *Group, i, requests, failed int, took time.Duration) {
	for k := range requests {
		s := Success
		if k < failed {
			s = Response5xx
		}
		g.ObserveRequest(instant, i, s, took, 0)
	}
}

func TestABackendThatFailsMoreOftenThanTheOthersIsEjectedThoughNeverInARow(t *testing.T) {
	g := fleet(t, 6, Outliers{SuccessRate: 1.9})
	for i := range 6 {
		tell(g, i, 100, 1, 0)
	}
	tell(g, 4, 100, 40, 0) // 41 of 200
	changes := g.Tick(instant.Add(10 * time.Second))
	require.Len(t, changes, 1)
	require.Equal(t, "4 ejected: success_rate_outlier (79.5 % of 200 succeeded; mean of 6 backends 95.8 %)", changes[0].String())
	require.Equal(t, instant.Add(40*time.Second), changes[0].Until)
	require.Equal(t, Ejected, g.State(4).Status)
	require.Equal(t, "4 up: ejection_over (after 30s)", g.Tick(instant.Add(40 * time.Second))[0].String())
}

func TestSmallDifferencesAndSmallNumbersEjectNobody(t *testing.T) {
	for name, c := range map[string]struct {
		backends, requests, failed int
		ejects                     bool
	}{
		"all of it":                        {5, 100, 50, true},
		"too few backends":                 {4, 100, 50, false},
		"too few requests":                 {5, 99, 49, false},
		"four points, of none elsewhere":   {5, 100, 5, false}, // the mean is 1
		"a little more than five of these": {5, 100, 7, true},  // the mean is 1.4
	} {
		g := fleet(t, c.backends, Outliers{SuccessRate: 1.9})
		for i := range c.backends {
			tell(g, i, c.requests, 0, 0)
		}
		g.backends[0].window = window{}
		tell(g, 0, c.requests, c.failed, 0)
		require.Equal(t, c.ejects, len(g.Tick(instant.Add(10*time.Second))) == 1, name)
	}
}

func TestABackendThatIsSlowerThanTheOthersIsEjected(t *testing.T) {
	for _, c := range []struct {
		others, slow time.Duration
		ejects       bool
	}{
		{10 * time.Millisecond, 29 * time.Millisecond, false},
		{10 * time.Millisecond, 31 * time.Millisecond, true},
		{time.Millisecond, 5900 * time.Microsecond, false}, // six times as long, but what are 5 ms?
		{time.Millisecond, 6100 * time.Microsecond, true},
	} {
		g := fleet(t, 5, Outliers{Latency: 3})
		for i := range 4 {
			tell(g, i, 100, 0, c.others)
		}
		tell(g, 4, 100, 0, c.slow)
		changes := g.Tick(instant.Add(10 * time.Second))
		require.Equal(t, c.ejects, len(changes) == 1, "%v", c.slow)
		if c.ejects {
			require.Equal(t, LatencyOutlier, changes[0].Reason)
		}
	}
}

func TestAFewSlowRequestsMakeNoSlowBackend(t *testing.T) {
	g := fleet(t, 5, Outliers{Latency: 3})
	for i := range 5 {
		tell(g, i, 100, 0, 10*time.Millisecond)
	}
	tell(g, 0, 10, 0, 10*time.Second) // a tenth of them, a thousand times slower
	require.Empty(t, g.Tick(instant.Add(10*time.Second)))
	for i := range 5 {
		tell(g, i, 100, 0, 10*time.Millisecond)
	}
	for range 500 { // and failures have no latency
		g.ObserveRequest(instant, 0, Timeout, time.Minute, 0)
	}
	require.Empty(t, g.Tick(instant.Add(20*time.Second)))
}

func TestTheWorstAreEjectedFirstAndNoMoreThanMayBe(t *testing.T) {
	g := build(t, Config{Passive: Passive{Consecutive5xx: -1, MaxEjectionPercent: 25, Outliers: Outliers{SuccessRate: 1}}}, 8)
	g.Start(instant)
	for i, failed := range []int{0, 50, 0, 60, 0, 45, 0, 0} {
		tell(g, i, 100, failed, 0)
	}
	changes := g.Tick(instant.Add(10 * time.Second))
	require.Len(t, changes, 2)
	require.Equal(t, []int{3, 1}, []int{changes[0].Backend, changes[1].Backend})
	require.Equal(t, 1, g.State(5).EjectionsRefused)
}

func TestNothingIsComparedBeforeTheStartNorWhenItIsOff(t *testing.T) {
	g := build(t, Config{Passive: Passive{Outliers: Outliers{SuccessRate: 1}}}, 5)
	_, ok := g.Next()
	require.False(t, ok)
	g.Start(instant)
	next, _ := g.Next()
	require.Equal(t, instant.Add(10*time.Second), next)
	_, err := g.Reconfigure(instant, Config{})
	require.NoError(t, err)
	_, ok = g.Next()
	require.False(t, ok)
	_, err = g.Reconfigure(instant.Add(time.Second), Config{Passive: Passive{Outliers: Outliers{Latency: 2, Interval: time.Minute}}})
	require.NoError(t, err)
	next, _ = g.Next()
	require.Equal(t, instant.Add(61*time.Second), next)
}

func TestOutliersRefuseAConfigOutOfRange(t *testing.T) {
	for _, o := range []Outliers{
		{SuccessRate: 0.9}, {SuccessRate: 10.1}, {SuccessRate: -1}, {SuccessRate: math.NaN()}, {Latency: 1.4}, {Latency: 101},
		{Latency: math.Inf(1)}, {SuccessRate: 1, Interval: -1}, {SuccessRate: 1, Interval: math.MaxInt64},
		{SuccessRate: 1, MinBackends: 2}, {SuccessRate: 1, MinRequests: -1},
	} {
		_, err := New(Config{Passive: Passive{Outliers: o}}, 1, nil)
		require.ErrorContains(t, err, "health: Outliers.", "%+v", o)
	}
	for _, o := range []Outliers{{SuccessRate: 1}, {SuccessRate: 10, MinBackends: 3, MinRequests: 1}, {Latency: 1.5}, {Latency: 100}} {
		_, err := New(Config{Passive: Passive{Outliers: o}}, 1, nil)
		require.NoError(t, err, "%+v", o)
	}
}

func TestRequestsThatTookNobodyKnowsHowLongHaveNoLatency(t *testing.T) {
	g := fleet(t, 5, Outliers{Latency: 3})
	for i := range 5 {
		tell(g, i, 100, 0, 10*time.Millisecond)
	}
	tell(g, 0, 99, 0, 0)
	tell(g, 1, 10_000, 0, 0)
	require.Empty(t, g.Tick(instant.Add(10*time.Second)))
	for i := range 5 {
		tell(g, i, 99, 0, time.Duration(1+1000*i)*time.Millisecond)
		tell(g, i, 100, 0, 0)
	}
	require.Empty(t, g.Tick(instant.Add(20*time.Second)), "of no backend enough is known")
}
