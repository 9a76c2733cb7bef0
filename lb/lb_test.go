package lb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryStrategyPicksOnlyWhatMayBePicked is the table that all strategies have in common: three backends,
// some of which are out for one reason or another, and those that may be picked.
func TestEveryStrategyPicksOnlyWhatMayBePicked(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(Picker)
		query   *Query
		want    string // the letters that must all occur, and no other; "-" for none
	}{
		{"all", func(Picker) {}, nil, "abc"},
		{"empty query", func(Picker) {}, &Query{}, "abc"},
		{"a key", func(Picker) {}, &Query{Key: 7}, "abc"},
		{"one unavailable", func(p Picker) { p.SetAvailable(1, false) }, nil, "ac"},
		{"back again", func(p Picker) { p.SetAvailable(1, false); p.SetAvailable(1, true) }, nil, "abc"},
		{"one saturated", func(p Picker) { p.SetReady(2, 0) }, nil, "ab"},
		{"room again", func(p Picker) { p.SetReady(2, 0); p.SetReady(2, 1) }, nil, "abc"},
		{"unlimited again", func(p Picker) { p.SetReady(2, 0); p.SetReady(2, -1) }, nil, "abc"},
		{"one tried", func(Picker) {}, &Query{Tried: []int{0}}, "bc"},
		{"tried twice over", func(Picker) {}, &Query{Tried: []int{0, 0, 2}}, "b"},
		{"tried is nobody", func(Picker) {}, &Query{Tried: []int{-1, 3, 99}}, "abc"},
		{"all tried", func(Picker) {}, &Query{Tried: []int{2, 1, 0}}, "-"},
		{"one left by three reasons", func(p Picker) { p.SetAvailable(0, false); p.SetReady(1, 0) },
			&Query{Tried: []int{0}}, "c"},
		{"none left by three reasons", func(p Picker) { p.SetAvailable(0, false); p.SetReady(1, 0) },
			&Query{Tried: []int{2}}, "-"},
		{"none available", func(p Picker) {
			for i := range 3 {
				p.SetAvailable(i, false)
			}
		}, nil, "-"},
	}
	each(t, func(t *testing.T, strategy string) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				p := build(t, strategy, 1, 2, 3)
				c.prepare(p)
				got := letters(p, 200, c.query)
				require.Subset(t, []byte(c.want), []byte(got), "picked what may not be picked")
				if strategy == "first" || c.query != nil && c.query.Key != 0 && ByKey(strategy) {
					require.Equal(t, strings.Repeat(got[:1], 200), got, "it is always the same one")
					return
				}
				require.Subset(t, []byte(got), []byte(c.want), "never picked what may be picked")
			})
		}
	})
}

func TestPickOfAnEmptyFleetFindsNobody(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p, err := New(strategy, nil, stream(1))
		require.NoError(t, err)
		require.Zero(t, p.Len())
		require.Equal(t, -1, p.Pick(instant, nil))
	})
}

func TestInFlightIsPicksAndTakesLessDones(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := build(t, strategy, 1, 1)
		p.SetAvailable(1, false)
		require.Equal(t, 0, p.Pick(instant, nil))
		require.Equal(t, 0, p.Pick(instant, nil))
		p.Take(1) // though it is unavailable: whoever takes has decided for himself
		require.Equal(t, []int{2, 1}, []int{p.InFlight(0), p.InFlight(1)})
		p.Done(0, Failure, time.Second)
		p.Done(1, Abandoned, 0)
		require.Equal(t, []int{1, 0}, []int{p.InFlight(0), p.InFlight(1)})
		p.Done(0, Success, time.Second)
		require.Zero(t, p.InFlight(0))
	})
}

func TestAFailedPickCountsNothingAndMovesNothing(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		disturbed, plain := build(t, strategy, 3, 2, 1), build(t, strategy, 3, 2, 1)
		want := letters(plain, 60, nil)
		got := ""
		for range 60 {
			require.Equal(t, -1, disturbed.Pick(instant, &Query{Tried: []int{0, 1, 2}}))
			for i := range 3 {
				require.Zero(t, disturbed.InFlight(i))
			}
			got += letters(disturbed, 1, nil)
		}
		require.Equal(t, want, got)
	})
}

func TestEqualStreamsGiveEqualChoices(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		a, b := build(t, strategy, 5, 3, 1), build(t, strategy, 5, 3, 1)
		require.Equal(t, letters(a, 500, nil), letters(b, 500, nil))
	})
}

func TestReadyIsNotCountedDownByThePicker(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := build(t, strategy, 1)
		p.SetReady(0, 1)
		require.Equal(t, 0, p.Pick(instant, nil))
		require.Equal(t, 0, p.Pick(instant, nil), "the pool alone says when there is no room")
	})
}

func TestMisusePanicsWithItsName(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := build(t, strategy, 1, 1)
		require.PanicsWithValue(t, "lb: Done(1) with nothing in flight there: a request was ended twice",
			func() { p.Done(1, Success, 0) })
		require.Zero(t, p.InFlight(1))
		require.PanicsWithValue(t, "lb: Take(2): there are 2 backends", func() { p.Take(2) })
		require.PanicsWithValue(t, "lb: Done(-1): there are 2 backends", func() { p.Done(-1, Success, 0) })
		require.PanicsWithValue(t, "lb: SetAvailable(9): there are 2 backends", func() { p.SetAvailable(9, true) })
		require.PanicsWithValue(t, "lb: SetReady(2): there are 2 backends", func() { p.SetReady(2, 1) })
		require.PanicsWithValue(t, "lb: InFlight(2): there are 2 backends", func() { p.InFlight(2) })
		for _, w := range []int{-1, 0, MaxWeight + 1} {
			require.PanicsWithValue(t, fmt.Sprintf("lb: SetWeight(0, %d): a weight is between 1 and 65535", w),
				func() { p.SetWeight(0, w) })
		}
		for _, n := range []int{-1, MaxPriority + 1} {
			require.PanicsWithValue(t, fmt.Sprintf("lb: SetPriority(0, %d): a priority is between 0 and 31", n),
				func() { p.SetPriority(0, n) })
			require.PanicsWithValue(t, fmt.Sprintf("lb: Add(2) with priority %d: a priority is between 0 and 31", n),
				func() { p.Add(2, Backend{Priority: n}) })
		}
	})
}

func TestNewRefusesWhatItCannotServe(t *testing.T) {
	_, err := New("random", weights(1), nil)
	require.ErrorIs(t, err, ErrNoRand)
	for _, strategy := range []string{"round-robin", "least-connections"} {
		_, err = New(strategy, weights(1), nil)
		require.NoError(t, err, "needs no chance")
	}
	for _, w := range []int{-1, MaxWeight + 1} {
		_, err = New("round-robin", weights(1, w), nil)
		require.ErrorContains(t, err, fmt.Sprintf("backend 1: weight %d is not between 1 and 65535", w))
	}
	_, err = New("round-robin", weights(MaxWeight), nil)
	require.NoError(t, err)
	for _, n := range []int{-1, MaxPriority + 1} {
		_, err = New("round-robin", []Backend{{Priority: MaxPriority}, {Priority: n}}, nil)
		require.ErrorContains(t, err, fmt.Sprintf("backend 1: priority %d is not between 0 and 31", n))
	}
	for _, f := range []int{1, 100, 1001} {
		_, err = NewWith("maglev", nil, nil, Options{BalanceFactor: f})
		require.ErrorContains(t, err, fmt.Sprintf("balance factor %d is not between 101 and 1000", f))
	}
	for _, f := range []int{-1, 0, 101, 1000} {
		_, err = NewWith("maglev", nil, nil, Options{BalanceFactor: f})
		require.NoError(t, err)
	}
}

func TestAnUnknownStrategyIsNamedWithTheNearestKnownOne(t *testing.T) {
	cases := []struct{ name, nearest string }{
		{"round_robin", "round-robin"},
		{"Round Robin", "round-robin"},
		{"roundrobin", "round-robin"},
		{"ruond-robin", "round-robin"},
		{"leastconn", "least-connections"},
		{"least_conn", "least-connections"},
		{"least-connection", "least-connections"},
		{"randm", "random"},
		{"RANDOM", "random"},
		{"", ""},
		{"rr", ""},
		{"ewma", ""},
		{string(make([]byte, 1<<20)), ""},
	}
	for _, c := range cases {
		_, err := New(c.name, weights(1), stream(1))
		var unknown *UnknownStrategyError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, c.name, unknown.Name)
		require.Equal(t, c.nearest, unknown.Nearest, "for %.20q", c.name)
		require.ErrorContains(t, err, "known: round-robin, least-connections, random")
		if c.nearest != "" {
			require.ErrorContains(t, err, `did you mean "`+c.nearest+`"?`)
		}
	}
}

func TestEveryStrategyIsDescribed(t *testing.T) {
	require.Equal(t, []string{"round-robin", "least-connections", "random", "p2c", "peak-ewma", "least-time",
		"ring-hash", "maglev", "rendezvous", "first"}, Strategies())
	each(t, func(t *testing.T, strategy string) {
		require.Contains(t, Describe(strategy), "Right when", "help says when the strategy is the right one")
	})
	require.Empty(t, Describe("nothing of the kind"))
}

func TestOutcomesHaveDifferentWords(t *testing.T) {
	words := map[string]bool{}
	for _, o := range Outcomes() {
		require.False(t, words[o.String()], "%s occurs twice", o)
		words[o.String()] = true
	}
	require.Len(t, words, 3)
	require.Equal(t, "outcome(3)", Outcome(len(Outcomes())).String(), "the list is not longer than it says")
}

func TestNoCallAllocates(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		for _, more := range []int{0, few} {
			p, err := NewWith(strategy, weights(append([]int{4, 3, 2, 1}, make([]int, more)...)...), stream(1),
				Options{SlowStart: time.Second})
			require.NoError(t, err)
			q, now := &Query{Tried: []int{2}}, instant
			p.SlowStart(3, now) // the first time may need memory
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				now = now.Add(time.Millisecond)
				q.Key++
				i := p.Pick(now, q)
				p.Done(i, Success, time.Millisecond)
				p.Take(1)
				p.Done(1, Abandoned, 0)
				p.SetReady(3, 0)
				p.SetReady(3, 2)
				p.SetAvailable(3, false)
				p.SetAvailable(3, true)
				p.SlowStart(3, now)
				p.SetWeight(0, 5)
				p.SetWeight(0, 4)
			}))
		}
	})
}

func TestFirstGoesByPlacesAndEqualsByTheirIndexes(t *testing.T) {
	p, err := New("first", []Backend{{Place: 5}, {Place: -1}, {Place: 5}, {}}, nil)
	require.NoError(t, err)
	order := func(want ...int) {
		t.Helper()
		for _, i := range want {
			require.Equal(t, i, p.Pick(instant, nil))
			p.SetReady(i, 0)
		}
		require.Equal(t, -1, p.Pick(instant, nil))
		for _, i := range want {
			p.Done(i, Success, 0)
			p.SetReady(i, -1)
		}
	}
	order(1, 3, 0, 2)
	p.SetPriority(1, 1)
	order(3, 0, 2, 1)
	p.SetPriority(1, 0)
	p.Remove(0)
	order(1, 3, 2)
	p.Add(0, Backend{Place: 6})
	order(1, 3, 2, 0)
}
