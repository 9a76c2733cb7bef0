package lb

import (
	"math"
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

// TestEveryStrategyRespectsTheWeights holds all strategies to the same law on random fleets, with some
// backends out and some disturbance before. The rotations are exact to a few picks; chance gets five standard
// deviations.
func TestEveryStrategyRespectsTheWeights(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		rapid.Check(t, func(t *rapid.T) {
			ws := rapid.SliceOfN(rapid.IntRange(1, 20), 2, 8).Draw(t, "weights")
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
					total += w
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
				if i == out {
					require.Zero(t, counts[i])
					continue
				}
				share := float64(w) / float64(total)
				// Within 5 %, as promised; or, for shares too small for that, a few picks.
				slack := max(0.05*share*float64(n), 4)
				if lookUp(strategy).needsRand {
					slack = max(slack, 5*math.Sqrt(float64(n)*share*(1-share)))
				}
				require.InDelta(t, share*float64(n), counts[i], slack, "backend %d of %v without %d", i, ws, out)
			}
		})
	})
}

func TestSharesFollowTheWeightsAfterTheFleetHasChanged(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := build(t, strategy, 1, 1, 8)
		letters(p, 1000, nil)
		p.Remove(2)
		p.Add(3, Backend{Weight: 2})
		p.Add(2, Backend{})
		p.SetWeight(0, 4)
		got := letters(p, 8000, nil)
		for i, weight := range []int{4, 1, 1, 2} {
			n := strings.Count(got, string(rune('a'+i)))
			require.InDelta(t, 1000*weight, n, 200, "backend %d of weight %d", i, weight)
		}
	})
}
