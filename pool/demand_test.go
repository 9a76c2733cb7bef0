package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// look is one drawn observation of a demand: the most that it was since the one before, and what it is now.
type look struct {
	after        time.Duration
	most, demand int
}

func drawLooks(t *rapid.T) []look {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) look {
		l := look{
			after: time.Duration(rapid.IntRange(1, 12_000).Draw(t, "after")) * time.Millisecond,
			most:  rapid.IntRange(0, 60).Draw(t, "most"),
		}
		l.demand = rapid.IntRange(0, l.most).Draw(t, "demand")
		return l
	}), 1, 40).Draw(t, "looks")
}

// The model keeps every look with its instant and searches all of them.
func TestConnectionPoolRemembersAPeakForOneToTwoWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		looks := drawLooks(t)
		var r recentPeak
		var now, gap time.Duration
		at := make([]time.Duration, len(looks))
		for i, l := range looks {
			now += l.after
			gap = max(gap, l.after)
			at[i] = now
			r.see(now, l.most, l.demand)
			least, bound := l.demand, l.demand
			for j := range i + 1 {
				if now-at[j] < demandWindow {
					least = max(least, looks[j].most)
				}
				if now-at[j] <= 2*demandWindow+2*gap {
					bound = max(bound, looks[j].most)
				}
			}
			require.GreaterOrEqual(t, r.most(), least, "forgotten too early")
			require.LessOrEqual(t, r.most(), bound, "remembered for too long")
		}
	})
}

func TestConnectionPoolForgetsASpikeWithinTwoWindowsOfQuiet(t *testing.T) {
	var r recentPeak
	forgotten := func(spike time.Duration) time.Duration {
		r.see(spike, 50, 3)
		for now := spike; ; now += time.Second {
			if r.see(now, 3, 3); r.most() == 3 {
				return now - spike
			}
		}
	}
	require.Equal(t, 10*time.Second, forgotten(time.Second), "at the end of a window")
	require.Equal(t, 19*time.Second, forgotten(12*time.Second), "at its beginning")
}

// drawSeries draws the demand of some intervals.
func drawSeries(t *rapid.T) []float64 {
	return rapid.SliceOfN(rapid.Float64Range(0, 1000), 2, 50).Draw(t, "series")
}

// The model is the textbook's recursion, over the whole series and backwards.
func TestConnectionPoolForecastsByHoltsFormula(t *testing.T) {
	var level, trend func(y []float64) float64
	level = func(y []float64) float64 {
		n := len(y) - 1
		if n == 0 {
			return y[0]
		}
		return 0.5*y[n] + 0.5*(level(y[:n])+trend(y[:n]))
	}
	trend = func(y []float64) float64 {
		n := len(y) - 1
		if n == 0 {
			return 0
		}
		return 0.3*(level(y)-level(y[:n])) + 0.7*trend(y[:n])
	}
	rapid.Check(t, func(t *rapid.T) {
		y := drawSeries(t)
		y = y[:min(len(y), 6)]
		var h holt
		for _, v := range y {
			h.observe(v)
		}
		steps := rapid.Float64Range(0, 5).Draw(t, "steps")
		require.InDelta(t, max(level(y)+steps*trend(y), 0), h.ahead(steps), 1e-6)
	})
}

func TestConnectionPoolForecastFindsTheSlopeOfARamp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, slope := rapid.Float64Range(0, 100).Draw(t, "start"), rapid.Float64Range(-2, 20).Draw(t, "slope")
		var h holt
		last := 0.0
		for i := range 60 {
			last = 200 + start + slope*float64(i)
			h.observe(last)
		}
		require.InDelta(t, last+3*slope, h.ahead(3), 0.01+0.01*max(slope, -slope))
	})
}

func TestConnectionPoolForecastOfASteadyDemandIsThatDemand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := rapid.Float64Range(0, 1000).Draw(t, "demand")
		var h holt
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			h.observe(y)
			require.InDelta(t, y, h.ahead(10), 1e-6)
		}
	})
}

func TestConnectionPoolForecastIsNeverNegativeAndScalesWithDemand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y, by := drawSeries(t), rapid.Float64Range(0.1, 10).Draw(t, "by")
		var one, scaled holt
		for _, v := range y {
			one.observe(v)
			scaled.observe(v * by)
		}
		require.GreaterOrEqual(t, one.ahead(4), 0.0)
		require.InDelta(t, one.ahead(4)*by, scaled.ahead(4), 1e-6*(1+one.ahead(4)*by))
	})
}
