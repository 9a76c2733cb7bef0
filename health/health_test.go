package health

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var instant = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func build(t *testing.T, cfg Config, n int) *Group {
	g, err := New(cfg, n, stream(1))
	require.NoError(t, err)
	return g
}

func TestTheZeroConfigHasTheDocumentedDefaults(t *testing.T) {
	cfg, err := Config{}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, Config{Rise: 2, Fall: 3, Passive: Passive{
		Consecutive5xx: 5, ConsecutiveGatewayErrors: -1, ConsecutiveFailures: 5, BaseEjectionTime: 30 * time.Second,
		MaxEjectionTime: 300 * time.Second, MaxEjectionPercent: 50,
	}}, cfg)

	long, err := Config{Passive: Passive{BaseEjectionTime: time.Hour}}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, time.Hour, long.Passive.MaxEjectionTime)
}

func TestNewRefusesAConfigOutOfRange(t *testing.T) {
	cases := []struct {
		cfg  Config
		want string
	}{
		{Config{Rise: -1}, "Rise is -1"},
		{Config{Fall: -1}, "Fall is -1"},
		{Config{Rise: MaxStreak + 1}, "Rise is 10001"},
		{Config{Fall: MaxStreak + 1}, "Fall is 10001"},
		{Config{Passive: Passive{BaseEjectionTime: -1}}, "BaseEjectionTime is negative"},
		{Config{Passive: Passive{MaxEjectionTime: -1}}, "MaxEjectionTime (-1ns) is shorter"},
		{Config{Passive: Passive{BaseEjectionTime: 2, MaxEjectionTime: 1}}, "MaxEjectionTime (1ns) is shorter"},
		{Config{Passive: Passive{MaxEjectionTime: math.MaxInt64}}, "longer than an instant can hold"},
		{Config{Passive: Passive{MaxEjectionPercent: 101}}, "MaxEjectionPercent is 101"},
		{Config{Passive: Passive{EjectionJitter: -0.1}}, "EjectionJitter is -0.1"},
		{Config{Passive: Passive{EjectionJitter: 1.1}}, "EjectionJitter is 1.1"},
		{Config{Passive: Passive{EjectionJitter: math.NaN()}}, "EjectionJitter is NaN"},
	}
	for _, c := range cases {
		_, err := New(c.cfg, 2, stream(1))
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "health: ")
	}
	_, err := New(Config{}, -1, nil)
	require.ErrorContains(t, err, "a group of -1 backends")
	_, err = New(Config{Passive: Passive{EjectionJitter: 0.1}}, 2, nil)
	require.ErrorIs(t, err, ErrNoRand)
}

func TestTheShareOfEjectedBackendsIsRoundedAsDocumented(t *testing.T) {
	cases := []struct{ n, percent, want int }{
		{0, 100, 0}, {1, 50, 0}, {1, 100, 0},
		{2, 50, 1}, {3, 50, 1}, {4, 50, 2}, {5, 50, 2},
		{2, 100, 2}, {3, 67, 2}, {3, 66, 1},
		{2, 1, 1}, {100, 1, 1}, {199, 1, 1}, {200, 1, 2},
		{10, -1, 0},
	}
	for _, c := range cases {
		p := Passive{MaxEjectionPercent: c.percent}
		require.Equal(t, c.want, p.ejectionLimit(c.n, c.n), "%d %% of %d", c.percent, c.n)
	}
	p := Passive{MaxEjectionPercent: 10}
	require.Equal(t, []int{1, 1, 2}, []int{p.ejectionLimit(1, 2), p.ejectionLimit(19, 100), p.ejectionLimit(20, 100)}, "of those in use")
}

func TestJitterOnlyLengthensAnEjectionAndOnlyAsFarAsSaid(t *testing.T) {
	g := build(t, Config{Passive: Passive{
		Consecutive5xx: 1, BaseEjectionTime: 10 * time.Second, EjectionJitter: 0.2, MaxEjectionPercent: 100,
	}}, 400)
	shortest, longest := time.Hour, time.Duration(0)
	for i := range 400 {
		c, ok := g.Observe(instant, i, Response5xx)
		require.True(t, ok)
		length := c.Until.Sub(instant)
		shortest, longest = min(shortest, length), max(longest, length)
	}
	require.GreaterOrEqual(t, shortest, 10*time.Second)
	require.Less(t, shortest, 10100*time.Millisecond)
	require.LessOrEqual(t, longest, 12*time.Second)
	require.Greater(t, longest, 11900*time.Millisecond)
}

func TestChanceIsUsedOncePerEjectionAndNeverWithoutJitter(t *testing.T) {
	for _, jitter := range []float64{0, 0.5} {
		rnd, same := stream(3), stream(3)
		g, err := New(Config{Active: true, Passive: Passive{Consecutive5xx: 2, EjectionJitter: jitter}}, 4, rnd)
		require.NoError(t, err)
		for range 2 {
			g.Observe(instant, 0, Response5xx)
			g.Observe(instant, 1, Response5xx)
			g.Observe(instant, 1, Success)
			g.Check(instant, 2, false)
		}
		require.Equal(t, 1, g.EjectedCount())
		if jitter > 0 {
			same.Float64()
		}
		require.Equal(t, same.Uint64(), rnd.Uint64())
	}
}

func TestTheLongestEjectionIsReachedWithoutOverflow(t *testing.T) {
	g := build(t, Config{Passive: Passive{
		Consecutive5xx: 1, BaseEjectionTime: 1, MaxEjectionTime: math.MaxInt64 / 4,
	}}, 2)
	g.backends[0].passive.ejections = math.MaxInt
	g.backends[0].passive.endedAt = instant
	c, ok := g.Observe(instant, 0, Response5xx)
	require.True(t, ok)
	require.Equal(t, time.Duration(math.MaxInt64/4), c.Until.Sub(instant))
}

func TestAnInstantThatRunsBackwardsOnlyMakesAnEjectionLonger(t *testing.T) {
	g := build(t, Config{Passive: Passive{Consecutive5xx: 1}}, 2)
	g.Observe(instant, 0, Response5xx)
	require.Len(t, g.Tick(instant.Add(30*time.Second)), 1)
	c, ok := g.Observe(instant.Add(-time.Hour), 0, Response5xx)
	require.True(t, ok)
	require.Equal(t, instant.Add(-time.Hour+time.Minute), c.Until, "the first ejection still counts")
}

func TestObserveAllocatesNothingUnlessItEjects(t *testing.T) {
	g := build(t, Config{}, 3)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		g.Observe(instant, 1, Success)
		g.Observe(instant, 1, Response5xx)
		g.Observe(instant, 1, Reset)
		g.Observe(instant, 1, Success)
		g.Tick(instant)
		g.Available(1)
	}))
}

func TestMisusePanicsWithItsName(t *testing.T) {
	g := build(t, Config{}, 2)
	require.PanicsWithValue(t, "health: Check(2): the group has 2 backends", func() { g.Check(instant, 2, true) })
	require.PanicsWithValue(t, "health: Observe(-1): the group has 2 backends",
		func() { g.Observe(instant, -1, Success) })
	require.PanicsWithValue(t, "health: Available(2): the group has 2 backends", func() { g.Available(2) })
	require.PanicsWithValue(t, "health: State(2): the group has 2 backends", func() { g.State(2) })
}

func TestClosedListsHaveDifferentWordsAndNoMore(t *testing.T) {
	words := func(list []string) {
		seen := map[string]bool{}
		for _, w := range list {
			require.NotEmpty(t, w)
			require.False(t, seen[w], "%s occurs twice", w)
			seen[w] = true
		}
	}
	words(strs(Reasons()))
	words(strs(Signals()))
	words(strs(Statuses()))
	require.Equal(t, "reason(19)", Reason(len(Reasons())).String())
	require.Equal(t, "signal(6)", Signal(len(Signals())).String())
	require.Equal(t, "status(5)", Status(len(Statuses())).String())
}

func strs[T interface{ String() string }](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

func BenchmarkObserveSuccess(b *testing.B) {
	g, err := New(Config{}, 3, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Observe(instant, 1, Success)
	}
}

func TestWhoIsBothDownAndEjectedHasPassedEachCheckOnce(t *testing.T) {
	g, err := New(Config{Active: true, Rise: 3, Fall: 1, Passive: Passive{ConsecutiveFailures: 1, MaxEjectionPercent: 100}}, 2, nil)
	require.NoError(t, err)
	now := time.Unix(0, 0)
	_, changed := g.Observe(now, 0, ConnectFailed)
	require.True(t, changed)
	g.Check(now, 0, false)
	require.Equal(t, []int{0, 0}, []int{g.State(0).ChecksPassed, g.Passed(0)})
	g.Check(now, 0, true)
	require.Equal(t, []int{1, 1}, []int{g.State(0).ChecksPassed, g.Passed(0)})
}

func TestChecksThatEndedAnEjectionDoNotSpeakForALaterReturn(t *testing.T) {
	g := build(t, Config{Active: true, Rise: 2, Passive: Passive{ConsecutiveFailures: 1}}, 2)
	g.Observe(instant, 0, ConnectFailed)
	g.Check(instant, 0, true)
	require.Equal(t, 1, g.Passed(0))
	g.Check(instant, 0, true)
	require.True(t, g.Available(0))
	g.Drain(instant, 0)
	require.Zero(t, g.Passed(0))
}
