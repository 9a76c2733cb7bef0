package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolPatienceIsAShareOfTheUsualDialWhileConnectionsAreLent(t *testing.T) {
	c := patience{share: 0.25}
	require.Equal(t, 25*time.Millisecond, c.wait(100*time.Millisecond, 1))
	require.Zero(t, c.wait(100*time.Millisecond, 0), "nothing will come back")
	require.Zero(t, c.wait(0, 1), "nothing is known of dials")
	c.share = -1
	require.Zero(t, c.wait(100*time.Millisecond, 1), "switched off")
}

func TestConnectionPoolPatienceFollowsTheLengthOfTheLastLoans(t *testing.T) {
	c := patience{share: 0.25}
	c.learn(0, 0)
	require.Zero(t, c.hold)
	c.learn(2, 20*time.Millisecond)
	require.InDelta(t, 10e6, c.hold, 1)
	c.learn(2, 20*time.Millisecond)
	require.InDelta(t, 10e6, c.hold, 1)
	c.learn(3, 38*time.Millisecond)
	require.InDelta(t, 11e6, c.hold, 1, "an eighth of the way to 18 ms")
	c.learn(103, 3038*time.Millisecond)
	require.InDelta(t, 30e6, c.hold, 100, "a hundred of 30 ms")
}

// The closed form against the question asked for each of those that lack a dial.
func TestConnectionPoolPatienceEndsAtOnceForThoseWhomReturnsServeTooLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := patience{share: 0.25, hold: float64(rapid.IntRange(0, 1000).Draw(t, "hold"))}
		lent := rapid.IntRange(1, 100).Draw(t, "lent")
		lacking := rapid.IntRange(0, 200).Draw(t, "lacking")
		wait := time.Duration(rapid.IntRange(0, 1000).Draw(t, "wait"))
		want := 0
		for r := 1; r <= lacking; r++ {
			if wait == 0 || float64(r)*c.hold > float64(wait)*float64(lent) {
				want++
			}
		}
		require.Equal(t, want, c.hopeless(wait, lacking, lent))
	})
}

func TestConnectionPoolGrowsStepByStepWhenAShortageLastsLongerThanADial(t *testing.T) {
	c := patience{share: 0.25}
	const usual = 100 * time.Millisecond
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for at := 50; at < 150; at += 20 {
		require.Zero(t, c.grow(ms(at), usual, 40), "a burst")
	}
	require.Equal(t, 6, c.grow(ms(150), usual, 40), "one, and an eighth of those that are lent")
	require.Equal(t, 6, c.grow(ms(250), usual, 40))
	require.Zero(t, c.grow(ms(351), usual, 40), "for longer than a dial nobody lacked one")
	require.Equal(t, 1, c.grow(ms(451), usual, 1))
}
