package pool

import (
	"math"
	"time"
)

// Predict says how the pool keeps connections ready for the demand to come. The list is closed; String gives the word
// that a configuration uses.
type Predict uint8

// The ways of prediction. Demand is what borrowers have and callers wait for; its peak is taken within each
// Config.PredictEvery.
const (
	// PredictOff dials when somebody asks, and keeps MinIdle.
	PredictOff Predict = iota
	// PredictReactive keeps connections for a fifth more than the last peak.
	PredictReactive
	// PredictHolt forecasts demand at the end of a dial that would begin now and one interval later, by Holt's double
	// exponential smoothing of the peaks, and keeps connections for a tenth more than that. On a ramp the dials are
	// made before they are needed; after it, the forecast falls below the last peak.
	PredictHolt

	numPredicts = int(iota)
)

// String returns the word of the way of prediction.
func (p Predict) String() string {
	switch p {
	case PredictOff:
		return "off"
	case PredictReactive:
		return "reactive"
	case PredictHolt:
		return "holt"
	}
	return "unknown"
}

const (
	defaultTrimEvery    = 5 * time.Second
	defaultPredictEvery = time.Second
	minPredictEvery     = 10 * time.Millisecond

	reactiveShare = 1.2
	holtShare     = 1.1
	// asleepBelow is the forecast below which nothing is expected any more.
	asleepBelow = 0.5
	// spared is the number of idle connections that the trim leaves to their idle timeout, however small the demand
	// was: a pool that is used once in a while, one connection at a time, is not fat, and would dial for each use.
	spared = 1

	// never is an instant that does not come.
	never = time.Duration(math.MaxInt64)
)

// sizer decides how many connections there should be: it is told the demand, and answers what to dial and what to close.
// It is plain state, without a clock; every instant is counted from the pool's epoch.
type sizer struct {
	predict           Predict
	every, trims      time.Duration // Config.PredictEvery, and Config.TrimEvery
	predictAt, trimAt time.Duration // the next look and the next step; never if none is due
	recent            recentPeak
	interval          int // peak of demand since the last look
	holt              holt
	wanted            int // connections that the prediction wants open, the lent ones included
	dialTime          usual
}

func newSizer(predict Predict, every, trims time.Duration) sizer {
	return sizer{predict: predict, every: every, trims: trims, predictAt: never, trimAt: never}
}

// see is told the most that demand has been since it was told last, and what it is now.
func (s *sizer) see(now time.Duration, most, demand int) {
	s.recent.see(now, most, demand)
	s.interval = max(s.interval, most, demand)
	if s.predict != PredictOff && s.predictAt == never && s.interval > 0 {
		s.predictAt = now + s.every
	}
}

// look takes the peak of the interval that is over, if one is, and sets what the prediction wants, at most limit. Demand
// is the present one, which the next interval begins with.
func (s *sizer) look(now time.Duration, demand, limit int) {
	if now < s.predictAt {
		return
	}
	peak := s.interval
	s.interval, s.predictAt = demand, now+s.every
	var expected, want float64
	switch s.predict {
	case PredictReactive:
		expected, want = float64(peak), float64(peak)*reactiveShare
	case PredictHolt:
		s.holt.observe(float64(peak))
		expected = s.holt.ahead(1 + float64(s.dialTime)/float64(s.every))
		want = expected * holtShare
	}
	s.wanted = min(roundUp(want), limit)
	if peak == 0 && demand == 0 && expected < asleepBelow {
		s.wanted, s.holt, s.predictAt = 0, holt{}, never
	}
}

// lacks is how many connections should be dialled now for the prediction. Ready are those that are idle or being dialled
// for whoever comes first.
func (s *sizer) lacks(ready, lent int) int { return max(s.wanted-lent-ready, 0) }

// surplus is how many idle connections are more than recent demand and the prediction need, floor being MinIdle.
func (s *sizer) surplus(idle, lent, floor int) int {
	need := max(s.recent.most(), s.wanted)
	return max(min(idle+lent-need, idle-max(floor, spared)), 0)
}

// step is how many of the idle connections to close now: half of the surplus, rounded up, once every Config.TrimEvery.
func (s *sizer) step(now time.Duration, idle, lent, floor int) int {
	if now < s.trimAt {
		return 0
	}
	s.trimAt = never
	return (s.surplus(idle, lent, floor) + 1) / 2
}

// due is when something of this has to be done next, with so many connections idle: never, if there is neither demand
// to be observed nor a connection that could become too many.
func (s *sizer) due(now time.Duration, idle, floor int) time.Duration {
	switch {
	case s.trims < 0 || idle <= max(floor, spared):
		s.trimAt = never
	case s.trimAt == never:
		s.trimAt = now + s.trims
	}
	return min(s.trimAt, s.predictAt)
}
