package lb

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inTiers is a picker of backends of weight 1 with these priorities.
func inTiers(t require.TestingT, strategy string, priorities ...int) Picker {
	backends := make([]Backend, len(priorities))
	for i, n := range priorities {
		backends[i].Priority = n
	}
	p, err := New(strategy, backends, stream(1))
	require.NoError(t, err)
	return p
}

func TestATierIsUsedOnlyWhileThoseBeforeItHaveNobody(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := inTiers(t, strategy, 1, 0, 7, 1, 0) // b and e, then a and d, then c
		got := func(q *Query) string {
			seen := ""
			for _, c := range "abcde-" {
				if strings.ContainsRune(letters(p, 100, q), c) {
					seen += string(c)
				}
			}
			return seen
		}
		one := func(all string) string { // of these; first knows only the first
			if strategy == "first" {
				return all[:1]
			}
			return all
		}
		require.Equal(t, one("be"), got(nil))
		require.Equal(t, "e", got(&Query{Tried: []int{1}}), "an untried one of the same tier comes before the next tier")
		require.Equal(t, one("ad"), got(&Query{Tried: []int{1, 4}}))
		p.SetAvailable(1, false)
		require.Equal(t, "e", got(nil))
		p.SetReady(4, 0)
		require.Equal(t, one("ad"), got(nil))
		require.Equal(t, "c", got(&Query{Tried: []int{0, 3}}))
		p.SetAvailable(2, false)
		require.Equal(t, "-", got(&Query{Tried: []int{0, 3}}))
		p.SetReady(4, 1)
		require.Equal(t, "e", got(nil), "back to the first")
	})
}

func TestABackendChangesItsTierWithAllThatIsCountedThere(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		p := inTiers(t, strategy, 0, 0, 1)
		p.Take(2)
		p.Take(2)
		p.SetReady(2, 0)
		p.SetPriority(2, 0)
		require.Equal(t, 2, p.InFlight(2))
		require.NotContains(t, letters(p, 50, nil), "c", "it still has no room")
		p.SetReady(2, -1)
		p.SetAvailable(0, false)
		p.SetAvailable(1, false)
		require.Equal(t, "cc", letters(p, 2, nil))
		p.Done(2, Success, time.Millisecond)
		p.Done(2, Success, time.Millisecond)
		require.Panics(t, func() { p.Done(2, Success, time.Millisecond) })
		p.SetPriority(2, 3)
		p.SetAvailable(2, false)
		p.SetPriority(2, 1)
		require.Equal(t, -1, p.Pick(instant, nil), "health's verdict goes with it")
		p.Remove(2)
		p.Add(2, Backend{Priority: 5})
		require.Equal(t, "cc", letters(p, 2, nil))
	})
}

func TestASlowStartGoesUpOnAStraightLine(t *testing.T) {
	r := ramps{length: 18 * time.Second}
	for second := range 18 {
		at := time.Duration(second)*time.Second + time.Millisecond
		parts, until := r.partsAt(at)
		require.Equal(t, 2+second, parts)
		require.InDelta(t, time.Duration(second+1)*time.Second, until, float64(time.Millisecond))
	}
	parts, _ := r.partsAt(18 * time.Second)
	require.Equal(t, rampParts, parts)
	parts, _ = r.partsAt(-time.Hour)
	require.Equal(t, rampFirst, parts)
}

func TestABackendThatReturnsGetsItsShareByAndBy(t *testing.T) {
	eachFair(t, func(t *testing.T, strategy string) {
		for _, more := range []int{0, few} {
			backends := make([]Backend, 4+more)
			p, err := NewWith(strategy, backends, stream(1), Options{SlowStart: 10 * time.Second})
			require.NoError(t, err)
			share := func(at time.Duration) float64 { // of backend 1, beside the mean of the others
				const n = 20_000
				own := 0
				for range n {
					i := p.Pick(instant.Add(at), nil)
					if i == 1 {
						own++
					}
					p.Done(i, Success, time.Millisecond)
				}
				return float64(own) * float64(len(backends)-1) / float64(n-own)
			}
			whole := share(0)
			p.SlowStart(1, instant)
			if !SlowStarts(strategy) {
				require.InDelta(t, whole, share(0), 0.1, "keys do not move for it")
				continue
			}
			require.InDelta(t, 1, whole, 0.1)
			require.InDelta(t, 0.10, share(0), 0.05)
			require.InDelta(t, 0.55, share(5*time.Second), 0.08)
			p.SlowStart(1, instant.Add(6*time.Second)) // it was away again
			require.InDelta(t, 0.10, share(6*time.Second), 0.05)
			require.InDelta(t, 0.95, share(16*time.Second-time.Millisecond), 0.1)
			require.InDelta(t, 1, share(16*time.Second), 0.1)
			require.Empty(t, p.(*tiered).ramps.on, "nothing is left to do")
		}
	})
}

func TestASlowStartSurvivesWhatHappensMeanwhile(t *testing.T) {
	p, err := NewWith("round-robin", make([]Backend, 2), nil, Options{SlowStart: 10 * time.Second})
	require.NoError(t, err)
	p.SlowStart(0, instant)
	p.SetWeight(0, 10) // a tenth of ten is one
	require.Equal(t, 50, strings.Count(letters(p, 100, nil), "a"))
	p.SetPriority(0, 1)
	p.SetPriority(0, 0)
	require.Equal(t, 50, strings.Count(letters(p, 100, nil), "a"))
	p.Remove(0)
	p.Add(0, Backend{})
	require.Equal(t, 50, strings.Count(letters(p, 100, nil), "a"), "that is another backend, of one by one")
	p.Pick(instant.Add(time.Hour), nil)
	p.Done(0, Success, 0)
}

func TestWithoutTheOptionASlowStartChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, strategy string) {
		a, b := build(t, strategy, 3, 2, 1), build(t, strategy, 3, 2, 1)
		b.SlowStart(1, instant)
		require.Equal(t, letters(a, 200, nil), letters(b, 200, nil))
	})
}
