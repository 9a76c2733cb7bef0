package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const second = time.Second

func TestConnectionPoolTrimClosesHalfOfTheSurplusAtEachStep(t *testing.T) {
	s := newSizer(PredictOff, second, 5*second)
	s.see(0, 50, 3)
	idle, left := 47, []int{}
	for now := s.due(0, idle, 2); now < 2*time.Minute; {
		s.see(now, 3, 3)
		idle -= s.step(now, idle, 3, 2)
		left = append(left, idle)
		if now = s.due(now, idle, 2); now == never {
			break
		}
	}
	// The spike is remembered for a window; then 45 are too many, MinIdle being two.
	require.Equal(t, []int{47, 24, 13, 7, 4, 3, 2}, left)
}

func TestConnectionPoolTrimLeavesOneConnectionToItsIdleTimeout(t *testing.T) {
	s := newSizer(PredictOff, second, 5*second)
	s.see(0, 1, 0)
	s.see(time.Hour, 0, 0)
	s.see(2*time.Hour, 0, 0)
	require.Zero(t, s.surplus(1, 0, 0))
	require.Equal(t, 1, s.surplus(2, 0, 0))
	require.Equal(t, never, s.due(2*time.Hour, 1, 0), "nothing can become too many")
}

func TestConnectionPoolTrimIsOffWhenItsIntervalIsNegative(t *testing.T) {
	s := newSizer(PredictOff, second, -1)
	require.Equal(t, never, s.due(0, 50, 0))
	require.Zero(t, s.step(time.Hour, 50, 0, 0))
}

// Whatever the demand does, a step never goes below the floor or below what was needed in the last window, takes no more
// than half of the surplus, and while demand rests the surplus ends.
func TestConnectionPoolTrimNeverGoesBelowFloorOrRecentPeak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		looks := drawLooks(t)
		floor := rapid.IntRange(0, 5).Draw(t, "floor")
		s := newSizer(PredictOff, second, 5*second)
		idle := rapid.IntRange(0, 50).Draw(t, "idle")
		var now, stepped time.Duration
		for i := 0; i < len(looks)+60; i++ {
			l := look{after: 2 * second} // a long rest at the end
			if i < len(looks) {
				l = looks[i]
			}
			now += l.after
			s.see(now, l.most, l.demand)
			n := s.step(now, idle, l.demand, floor)
			if n > 0 {
				require.GreaterOrEqual(t, now-stepped, min(5*second, now), "two steps within one interval")
				stepped = now
				before := idle + l.demand
				require.GreaterOrEqual(t, idle-n, max(floor, 1))
				require.GreaterOrEqual(t, before-n, l.most, "less than was needed a moment ago")
				require.LessOrEqual(t, 2*n, idle+1)
			}
			idle -= n
			s.due(now, idle, floor)
		}
		require.LessOrEqual(t, idle, max(floor, 1))
	})
}

// run feeds a series of peaks, one for each interval, and returns what was wanted after each.
func wantedFor(s *sizer, limit int, peaks ...int) []int {
	s.see(0, peaks[0], peaks[0])
	var out []int
	for i, y := range peaks {
		now := time.Duration(i+1) * s.every
		s.see(now, y, y)
		s.look(now, y, limit, 500*time.Millisecond)
		s.interval = 0 // the next interval begins with no demand, so that the series is exactly the peaks
		out = append(out, s.wanted)
	}
	return out
}

func TestConnectionPoolReactivePredictionWantsAFifthMoreThanTheLastPeak(t *testing.T) {
	s := newSizer(PredictReactive, second, -1)
	require.Equal(t, []int{12, 24, 2, 50, 48}, wantedFor(&s, 50, 10, 20, 1, 100, 40))
	require.Equal(t, 48-10-5, s.lacks(10, 5, 50))
	require.Zero(t, s.lacks(40, 30, 50))
	require.Equal(t, 3, s.lacks(1, 5, 4), "beyond MaxIdle they would be closed again")
}

func TestConnectionPoolHoltPredictionIsAheadOfARampAndBehindReactiveAfterIt(t *testing.T) {
	var ramp []int
	for i := range 20 {
		ramp = append(ramp, 10*(i+1))
	}
	h, r := newSizer(PredictHolt, second, -1), newSizer(PredictReactive, second, -1)
	wanted := wantedFor(&h, 1000, append(ramp, 150, 100, 50, 5, 5, 5, 5)...)
	require.GreaterOrEqual(t, wanted[19], 215, "demand in an interval and a half")
	require.LessOrEqual(t, wanted[19], 245)
	require.Equal(t, 240, wantedFor(&r, 1000, ramp...)[19])
	require.Less(t, wanted[22], 120, "reactive wants 120 after a peak of 100: %v", wanted)
	require.Less(t, wanted[23], 20, "the falling trend is followed: %v", wanted)
	other := newSizer(PredictHolt, second, -1)
	require.Equal(t, 100, wantedFor(&other, 100, 500, 500)[1], "the limit")
}

func TestConnectionPoolPredictionSleepsWhenNothingIsExpected(t *testing.T) {
	for _, way := range []Predict{PredictOff, PredictReactive, PredictHolt} {
		s := newSizer(way, second, 5*second)
		require.Equal(t, never, s.due(0, 0, 0), "%v: nothing happened yet", way)
		s.see(0, 5, 5)
		if way == PredictOff {
			require.Equal(t, never, s.due(0, 0, 0))
			continue
		}
		require.Equal(t, second, s.due(0, 0, 0), way)
		s.look(second, 5, 50, 0)
		require.NotZero(t, s.wanted)
		n := 0
		for now := 2 * second; s.due(now, 0, 0) != never; now += second {
			s.see(now, 0, 0)
			s.look(now, 0, 50, 0)
			n++
			require.Less(t, n, 10, "%v does not fall asleep", way)
		}
		require.Zero(t, s.wanted)
		s.see(time.Hour, 1, 1)
		require.Equal(t, time.Hour+second, s.due(time.Hour, 0, 0), "it wakes when somebody asks")
	}
}

func TestConnectionPoolTrimDoesNotGoBelowThePrediction(t *testing.T) {
	s := newSizer(PredictHolt, second, 5*second)
	s.see(0, 10, 10)
	s.look(second, 10, 50, 0)
	require.Equal(t, 11, s.wanted)
	s.recent = recentPeak{present: 2}
	require.Equal(t, 9, s.surplus(18, 2, 0), "eleven are wanted of twenty")
}

func TestConnectionPoolPredictionWordsAreClosed(t *testing.T) {
	words := []string{PredictOff.String(), PredictReactive.String(), PredictHolt.String(), Predict(9).String()}
	require.Equal(t, []string{"off", "reactive", "holt", "unknown"}, words)
}
