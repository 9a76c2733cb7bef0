package probe

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// note is one report, with its time since the run began.
type note struct {
	at  time.Duration
	err error
}

// runFor runs the schedule for that long and returns what was reported.
func runFor(t *testing.T, limit time.Duration, s Schedule, p Prober) []note {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	var notes []note
	require.NoError(t, Run(ctx, s, p, address, func(now time.Time, err error) {
		require.Equal(t, time.Now(), now)
		notes = append(notes, note{now.Sub(begun), err})
	}))
	require.Equal(t, limit, time.Since(begun), "Run did not end with its context")
	return notes
}

func well(context.Context) error { return nil }

func TestRunChecksAtOnceAndThenAtEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notes := runFor(t, 16*time.Second, Schedule{Spread: -1}, proberFunc(well))
		require.Equal(t, []note{{0, nil}, {5 * time.Second, nil}, {10 * time.Second, nil}, {15 * time.Second, nil}}, notes)
	})
}

func TestRunMeasuresIntervalsFromTheBeginningOfACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick := errors.New("sick")
		p := proberFunc(func(context.Context) error {
			time.Sleep(400 * time.Millisecond)
			return sick
		})
		notes := runFor(t, 2500*time.Millisecond, Schedule{Spread: -1, Interval: time.Second}, p)
		require.Equal(t, []note{
			{400 * time.Millisecond, sick}, {1400 * time.Millisecond, sick}, {2400 * time.Millisecond, sick},
		}, notes)
	})
}

func TestACheckThatOutlastsItsIntervalIsFollowedAtOnceAndNeverOverlapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := 0
		p := proberFunc(func(ctx context.Context) error {
			running++
			defer func() { running-- }()
			require.Equal(t, 1, running)
			<-ctx.Done() // until its timeout
			return ctx.Err()
		})
		s := Schedule{Spread: -1, Interval: time.Second, Timeout: 3 * time.Second}
		notes := runFor(t, 10*time.Second, s, p)
		require.Equal(t, []note{
			{3 * time.Second, context.DeadlineExceeded},
			{6 * time.Second, context.DeadlineExceeded},
			{9 * time.Second, context.DeadlineExceeded},
		}, notes)
	})
}

func TestRunNeverReportsACheckThatItGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: silent}
		notes := runFor(t, 500*time.Millisecond, Schedule{Spread: -1}, mustHTTP(t, network, HTTPConfig{}))
		require.Empty(t, notes)
		require.EqualValues(t, 1, network.dialed.Load())
		network.settle(t)
	})
}

func TestRunOfAnEndedContextChecksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, Run(ctx, Schedule{Spread: -1}, proberFunc(func(context.Context) error {
			t.Error("checked")
			return nil
		}), address, nil))
	})
}

func TestRunEndsWhenItsReportEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		reports := 0
		require.NoError(t, Run(ctx, Schedule{Rand: stream(1)}, proberFunc(well), address, func(time.Time, error) {
			if reports++; reports == 3 {
				cancel()
			}
		}))
		require.Equal(t, 3, reports)
	})
}

func TestTheSpreadBoundsAndVariesEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Schedule{Interval: 10 * time.Second, Spread: 0.2, Rand: stream(5)}
		notes := runFor(t, 3000*time.Second, s, proberFunc(well))
		require.Less(t, notes[0].at, 2*time.Second)
		require.Positive(t, notes[0].at)
		shortest, longest := time.Hour, time.Duration(0)
		for i := 1; i < len(notes); i++ {
			d := notes[i].at - notes[i-1].at
			shortest, longest = min(shortest, d), max(longest, d)
		}
		require.InDelta(t, 8, shortest.Seconds(), 0.2)
		require.GreaterOrEqual(t, shortest, 8*time.Second)
		require.InDelta(t, 12, longest.Seconds(), 0.2)
		require.LessOrEqual(t, longest, 12*time.Second)
		require.InDelta(t, 300, len(notes), 10, "the spread changed the mean")
	})
}

func TestEqualStreamsGiveEqualSchedulesAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(seed uint64) []note {
			return runFor(t, time.Minute, Schedule{Rand: stream(seed)}, proberFunc(well))
		}
		require.Equal(t, run(1), run(1))
		require.NotEqual(t, run(1), run(2))
	})
}

func TestRunRefusesAScheduleOutOfRange(t *testing.T) {
	cases := []struct {
		s    Schedule
		want string
	}{
		{Schedule{Interval: -1, Spread: -1}, "Interval is -1ns"},
		{Schedule{Interval: math.MaxInt64, Spread: -1}, "Interval is 2562047h"},
		{Schedule{Interval: MaxTime + 1, Spread: -1}, "Interval is 24h0m0.000000001s"},
		{Schedule{Fast: MaxTime + 1, Spread: -1}, "Fast is 24h"},
		{Schedule{Down: MaxTime + 1, Spread: -1}, "Down is 24h"},
		{Schedule{Slow: MaxTime + 1, Spread: -1}, "Slow is 24h"},
		{Schedule{Timeout: MaxTime + 1, Spread: -1}, "Timeout is 24h"},
		{Schedule{Timeout: math.MaxInt64, Spread: -1}, "Timeout is 2562047h"},
		{Schedule{Fast: -1, Spread: -1}, "Fast is -1ns"},
		{Schedule{Down: -1, Spread: -1}, "Down is -1ns"},
		{Schedule{Slow: -1, Spread: -1}, "Slow is -1ns"},
		{Schedule{Timeout: -1, Spread: -1}, "Timeout is -1ns"},
		{Schedule{Spread: 1.5, Rand: stream(1)}, "Spread is 1.5"},
		{Schedule{Spread: math.NaN(), Rand: stream(1)}, "Spread is NaN"},
		{Schedule{}, "Rand is nil"},
	}
	for _, c := range cases {
		err := Run(t.Context(), c.s, proberFunc(well), address, nil)
		require.ErrorContains(t, err, c.want)
		if err := c.s.Validate(); c.want == "Rand is nil" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.want)
		}
	}
	require.NoError(t, Schedule{Interval: MaxTime, Fast: MaxTime, Down: MaxTime, Slow: MaxTime, Timeout: MaxTime}.Validate())
}

func TestTheFirstCheckIsNotLateHoweverLongTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latest := time.Duration(0)
		for seed := range uint64(50) {
			notes := runFor(t, time.Hour, Schedule{Interval: MaxTime, Spread: 1, Rand: stream(seed)}, proberFunc(well))
			require.NotEmpty(t, notes)
			require.LessOrEqual(t, notes[0].at, 5*time.Second)
			latest = max(latest, notes[0].at)
		}
		require.Greater(t, latest, 4*time.Second, "they are spread")
	})
}
