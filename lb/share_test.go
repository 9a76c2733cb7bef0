package lb

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRoundRobinSpreadsAHeavyBackendEvenly(t *testing.T) {
	cases := []struct {
		weights []int
		want    string
	}{
		{[]int{1}, "aaaa"},
		{[]int{1, 1, 1}, "abcabc"},
		{[]int{5, 1, 1}, "aabacaa" + "aabacaa"},
		{[]int{1, 2}, "bab" + "bab"},
		{[]int{3, 2, 1}, "abacba" + "abacba"},
		{[]int{0, 0}, "abab"}, // 0 is the default, 1
	}
	for _, c := range cases {
		require.Equal(t, c.want, letters(build(t, "round-robin", c.weights...), len(c.want), nil), "%v", c.weights)
	}
}

func TestABackendThatReturnsFindsItsTurnAndIsOwedNothing(t *testing.T) {
	p := build(t, "round-robin", 1, 1, 1)
	require.Equal(t, "ab", letters(p, 2, nil))
	p.SetAvailable(2, false)
	require.Equal(t, "abababab", letters(p, 8, nil))
	p.SetAvailable(2, true)
	require.Equal(t, "cabcab", letters(p, 6, nil))
}

// The rotation remembers places in the order as large as the weights in it. Without a bound, the light
// backends of this fleet would be chosen hundreds of times in a row once the heavy one is gone.
func TestNobodyIsStarvedAfterAHeavyBackendLeft(t *testing.T) {
	remove := map[string]func(Picker){
		"unavailable": func(p Picker) { p.SetAvailable(0, false) },
		"lighter":     func(p Picker) { p.SetWeight(0, 1) },
	}
	for name, change := range remove {
		for head := range 40 { // wherever in the order it happens
			p := build(t, "round-robin", 1000, 1, 1)
			letters(p, 480+head, nil)
			change(p)
			got := letters(p, 12, nil)
			require.Contains(t, got, "b", "%s at %d", name, head)
			require.Contains(t, got, "c", "%s at %d", name, head)
			require.NotContains(t, got, "bbbbb", "%s at %d", name, head)
			require.NotContains(t, got, "ccccc", "%s at %d", name, head)
		}
	}
}

func TestLeastConnectionsSpreadsAnIdleFleetByWeight(t *testing.T) {
	require.Equal(t, "abcabc", letters(build(t, "least-connections", 1, 1, 1), 6, nil))
	require.Equal(t, "aabacaa", letters(build(t, "least-connections", 5, 1, 1), 7, nil))
}

func TestLeastConnectionsFillsInProportionToTheWeights(t *testing.T) {
	p := build(t, "least-connections", 4, 2, 1)
	for range 700 {
		require.GreaterOrEqual(t, p.Pick(instant, nil), 0)
	}
	require.Equal(t, []int{400, 200, 100}, []int{p.InFlight(0), p.InFlight(1), p.InFlight(2)})
}

func TestLeastConnectionsAvoidsASlowBackend(t *testing.T) {
	p := build(t, "least-connections", 1, 1, 1)
	for range 5 {
		p.Take(1) // five requests hang at b
	}
	got := letters(p, 100, nil)
	require.NotContains(t, got, "b")
	require.Equal(t, 50, strings.Count(got, "a"))
}

func TestRandomTakesOneNumberPerPickAndNoneInVain(t *testing.T) {
	rnd, same := stream(7), stream(7)
	p, err := New("random", weights(1, 1), rnd)
	require.NoError(t, err)
	for range 10 {
		p.Done(p.Pick(instant, nil), Success, 0)
		same.Int64N(2)
		p.Pick(instant, &Query{Tried: []int{0, 1}})
	}
	require.Equal(t, same.Uint64(), rnd.Uint64())
}

// TestEveryStrategyRespectsTheWeights holds all strategies to the same law on random fleets, few and many, with some
// backends out and some disturbance before.
func TestEveryStrategyRespectsTheWeights(t *testing.T) {
	eachFair(t, func(t *testing.T, strategy string) {
		rapid.Check(t, func(t *rapid.T) {
			ws := rapid.OneOf(rapid.SliceOfN(rapid.IntRange(1, 20), 2, 8), rapid.SliceOfN(rapid.IntRange(1, 9), few, 2*few),
				rapid.Map(rapid.IntRange(few, 2*few), func(n int) []int { return make([]int, n) })).Draw(t, "weights")
			p, err := New(strategy, weights(ws...), stream(rapid.Uint64().Draw(t, "seed")))
			require.NoError(t, err)
			before := rapid.IntRange(0, 50).Draw(t, "before")
			letters(p, before, &Query{Tried: []int{0}})
			out := rapid.IntRange(-1, len(ws)-1).Draw(t, "out")
			total := 0
			for i, w := range ws {
				if i == out {
					p.SetAvailable(i, false)
				} else {
					total += max(w, 1)
				}
			}
			n := 50 * total
			counts := make([]int, len(ws))
			for range n {
				i := p.Pick(instant, nil)
				counts[i]++
				p.Done(i, Success, time.Millisecond)
			}
			for i, w := range ws {
				w = max(w, 1)
				if i == out {
					require.Zero(t, counts[i])
					continue
				}
				require.InDelta(t, n*w/total, counts[i], slack(strategy, n, w, total, len(ws)), "backend %d of %v without %d", i, ws, out)
			}
		})
	})
}

func TestSharesFollowTheWeightsAfterTheFleetHasChanged(t *testing.T) {
	eachFair(t, func(t *testing.T, strategy string) {
		for _, more := range []int{0, few} {
			p := build(t, strategy, append([]int{1, 1, 8}, make([]int, more)...)...)
			letters(p, 1000, nil)
			for i := range more { // those are there no more than the one that is removed
				p.Remove(3 + i)
			}
			p.Remove(2)
			p.Add(3, Backend{Weight: 2})
			p.Add(2, Backend{})
			p.SetWeight(0, 4)
			RebuildNow(p)
			got := letters(p, 8000, nil)
			for i, weight := range []int{4, 1, 1, 2} {
				n := strings.Count(got, string(rune('a'+i)))
				require.InDelta(t, 1000*weight, n, max(200, slack(strategy, 8000, weight, 8, 4)), "backend %d of weight %d", i, weight)
			}
		}
	})
}

func TestManyBackendsTakeTurnsAsSmoothlyAsFew(t *testing.T) {
	for _, strategy := range []string{"round-robin", "least-connections"} {
		rapid.Check(t, func(t *rapid.T) {
			ws := rapid.SliceOfN(rapid.IntRange(1, 20), few+1, 2*few).Draw(t, "weights")
			p, total := build(t, strategy, ws...), 0
			for _, w := range ws {
				total += w
			}
			last := make([]int, len(ws))
			for step := 1; step <= 10*total; step++ {
				i := p.Pick(instant, nil)
				p.Done(i, Success, 0)
				gap := float64(step - last[i])
				require.LessOrEqual(t, gap, 2*float64(total)/float64(ws[i])+1, "backend %d of weight %d at %d", i, ws[i], step)
				last[i] = step
			}
		})
	}
}

func TestTheTurnsOfManyOutliveTheEndOfTheirTime(t *testing.T) {
	ws := []int{3, 2}
	for i := range few {
		ws = append(ws, 1)
		if i < maxClasses { // more weights than classes
			ws[2+i] = 4 + i
		}
	}
	p := build(t, "round-robin", ws...)
	letters(p, 100, nil)
	rr := core[*roundRobin](p)
	require.True(t, rr.classes.many)
	for i := range rr.turns.held { // half a million years on
		rr.turns.held[i].due += endOfTime - rr.turns.now - 1000*strideOne
	}
	rr.turns.now = endOfTime - 1000*strideOne
	total := 0
	for _, w := range ws {
		total += w
	}
	got := letters(p, 2000*total, nil)
	require.Less(t, rr.turns.now, uint64(endOfTime))
	for i, w := range ws {
		require.InDelta(t, 2000*w, strings.Count(got, string(rune('a'+i))), 5)
	}
}

func TestTheClassesOfManyOutliveTheEndOfTheirTime(t *testing.T) {
	p := build(t, "round-robin", append([]int{3, 2}, make([]int, few)...)...)
	letters(p, 100, nil)
	c := &core[*roundRobin](p).classes
	for i := range c.at {
		c.at[i].due += endOfTime - c.now - 1000*strideOne
	}
	for k := range c.all {
		c.all[k].due += endOfTime - c.now - 1000*strideOne
	}
	c.now = endOfTime - 1000*strideOne
	got := letters(p, 2000*(3+2+few), nil)
	require.Less(t, c.now, uint64(endOfTime))
	for i, w := range []int{3, 2, 1, 1} {
		require.InDelta(t, 2000*w, strings.Count(got, string(rune('a'+i))), 5)
	}
}

func TestManyBackendsOfOneWeightTakeTurnsInTheirOrder(t *testing.T) {
	p := build(t, "round-robin", make([]int, few+4)...)
	require.Equal(t, "abcdefghijklmnopqrstab", letters(p, few+6, nil))
	p.SetAvailable(4, false)
	p.SetReady(5, 0)
	require.Equal(t, "cdghi", letters(p, 5, nil))
	require.Equal(t, "m", letters(p, 1, &Query{Tried: []int{9, 10, 11}}))
	require.Equal(t, "jkln", letters(p, 4, nil), "those that were tried have lost no turn")
}
