package pool

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestConnectionPoolPauseDoublesUpToItsBoundWithHalfOfItAtRandom(t *testing.T) {
	o := outage{min: 100 * time.Millisecond, max: time.Second}
	rng, now := seeded(), time.Duration(0)
	different := map[time.Duration]bool{}
	for _, full := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
		full *= time.Millisecond
		require.True(t, o.failed(now, now, errRefused))
		for range 100 {
			pause := o.pause(rng)
			require.GreaterOrEqual(t, pause, full/2)
			require.Less(t, pause, full)
			different[pause] = true
		}
	}
	require.Greater(t, len(different), 600, "it is random")
	o.min, o.max = 1, 1
	require.LessOrEqual(t, o.pause(rng), time.Duration(1), "the shortest there is")
}

func TestConnectionPoolDialsThatFailTogetherAreOneRoundOfTheBackoff(t *testing.T) {
	o := outage{min: 100 * time.Millisecond, max: time.Second}
	require.True(t, o.failed(10, 0, errRefused))
	o.rest(10, seeded())
	until := o.retryAt
	for range 15 {
		require.False(t, o.failed(11, 1, errRefused), "it began before the pause did")
	}
	require.Equal(t, until, o.retryAt)
	require.Equal(t, []int{16, 1}, []int{o.failures, o.rounds})
	require.True(t, o.failed(until+5, until, errRefused), "the next one knew")
	require.Equal(t, 2, o.rounds)

	judged := outage{min: 100 * time.Millisecond, max: time.Second, judged: true}
	for n := range 5 {
		require.True(t, judged.failed(10, 0, errRefused))
		require.Equal(t, n+1, judged.rounds, "under a judge each failure counts")
	}
}

func TestConnectionPoolUnderAJudgeIsNeverDownAndNeverProbes(t *testing.T) {
	o := outage{min: 1, max: 2, judged: true}
	o.failed(0, 0, errRefused)
	require.False(t, o.holds() || o.down(0) || o.claimProbe(time.Hour))
}

// The machine against a log of what happened: one probe at a time, none before the pause has passed, none when nothing
// is known to be wrong, and the pause within its bounds.
func TestConnectionPoolBackoffAllowsOneProbeAndNoneBeforeThePauseIsOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := outage{
			min: time.Duration(rapid.IntRange(1, 500).Draw(t, "min")),
			max: time.Duration(rapid.IntRange(500, 5000).Draw(t, "max")),
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var now, notBefore, probeBegan time.Duration
		probing, failures, rounds := false, 0, 0
		var begun []time.Duration // other dials under way
		fail := func(began time.Duration) {
			failures++
			if !o.failed(now, began, errRefused) {
				return
			}
			rounds++
			o.rest(now, rng)
			full := min(o.min<<min(rounds-1, 20), o.max)
			require.GreaterOrEqual(t, o.retryAt-now, full/2)
			require.LessOrEqual(t, o.retryAt-now, full)
			notBefore = o.retryAt
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 400).Draw(t, "after"))
			switch op := rapid.IntRange(0, 5).Draw(t, "op"); {
			case op == 0 && failures == 0:
				begun = append(begun, now)
			case op == 1 && len(begun) > 0:
				fail(begun[0])
				begun = begun[1:]
			case op == 2 && len(begun) > 0 || op == 3 && probing && rapid.Bool().Draw(t, "works"):
				if op == 2 {
					begun = begun[1:]
				} else {
					o.probeEnded()
					probing = false
				}
				o.over()
				failures, rounds, notBefore = 0, 0, 0
			case op == 3 && probing:
				o.probeEnded()
				probing = false
				fail(probeBegan)
			default:
				may := failures > 0 && !probing && now >= notBefore
				require.Equal(t, may, o.claimProbe(now))
				if may {
					probing, probeBegan = true, now
				}
			}
			require.Equal(t, failures > 0, o.holds())
			require.Equal(t, failures > 0, o.down(0))
			require.False(t, o.down(1))
			if failures > 0 {
				require.Equal(t, max(notBefore-now, 0), o.retryIn(now))
			}
			require.Equal(t, failures > 0, errors.Is(o.last, errRefused))
		}
	})
}
