package pool

import (
	"math"
	"time"
)

// Demand is what the pool is asked for at an instant: the connections that borrowers have, and those that callers in the
// line wait for. What follows looks back at it (recentPeak) and ahead (holt); both are plain state without a clock.

// demandWindow is the least time for which a peak of demand is remembered.
const demandWindow = 10 * time.Second

// recentPeak is the most that demand has been in the present window or in the one before it, so that a peak is
// remembered for one to two windows.
type recentPeak struct {
	present, past int
	ends          time.Duration // of the present window, since the pool's epoch
}

// see is told the most that demand has been since the last call, and what it is now. Looks may be rare: a peak counts as
// of the window in which it is told, never as older.
func (r *recentPeak) see(now time.Duration, most, demand int) {
	r.present = max(r.present, most, demand)
	if now >= r.ends {
		r.past, r.present, r.ends = r.present, demand, now+demandWindow
	}
}

// most is the peak.
func (r *recentPeak) most() int { return max(r.past, r.present) }

const (
	// holtLevel and holtTrend are how much one observation moves level and trend. A level moved by half follows a ramp
	// within three intervals; the slower trend keeps one odd interval from being taken for a ramp.
	holtLevel = 0.5
	holtTrend = 0.3
)

// holt forecasts by Holt's linear method, double exponential smoothing (C. C. Holt, 1957): with y the observation,
//
//	level = a y + (1-a) (level' + trend')
//	trend = b (level - level') + (1-b) trend'
//	forecast h intervals ahead = level + h trend
//
// where ' is the value before, a = holtLevel and b = holtTrend. The first observation is the first level, with no trend.
type holt struct {
	level, trend float64
	begun        bool
}

func (h *holt) observe(y float64) {
	if !h.begun {
		*h = holt{level: y, begun: true}
		return
	}
	before := h.level
	h.level = holtLevel*y + (1-holtLevel)*(before+h.trend)
	h.trend = holtTrend*(h.level-before) + (1-holtTrend)*h.trend
}

// ahead is the forecast for so many intervals from the last observation. Demand is never negative, and nor is this.
func (h *holt) ahead(intervals float64) float64 { return max(h.level+intervals*h.trend, 0) }

// roundUp is the least whole number that is not below x, but for the dust of floating point.
func roundUp(x float64) int { return int(math.Ceil(x - 1e-6)) }
