package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBackendThatIsLeftAloneIsEjectedNoLonger(t *testing.T) {
	g := build(t, Config{Passive: Passive{Consecutive5xx: 1}}, 2)
	_, ejected := g.Observe(instant, 1, Response5xx)
	require.True(t, ejected)
	changes := g.Remove(instant.Add(time.Second), 0)
	require.Len(t, changes, 1)
	require.Equal(t, "1 up: ejection_over (too few backends are left)", changes[0].String())
	require.Equal(t, 1, g.AvailableCount())
}

func TestADrainedBackendStaysOutWhateverChecksAndTrafficSay(t *testing.T) {
	g := build(t, Config{Active: true, Rise: 1, Fall: 1}, 2)
	c, changed := g.Drain(instant, 0)
	require.True(t, changed)
	require.Equal(t, "0 drained: drain_asked (by an operator)", c.String())
	_, changed = g.Drain(instant, 0)
	require.False(t, changed, "it is drained")
	for _, ok := range []bool{true, false, true} {
		_, changed = g.Check(instant, 0, ok)
		require.False(t, changed)
		require.Equal(t, Drained, g.State(0).Status)
	}
	_, changed = g.Check(instant, 0, false)
	require.False(t, changed)
	_, changed = g.Undrain(instant, 0)
	require.False(t, changed, "its checks fail, so that it stays out")
	require.Equal(t, Down, g.State(0).Status)
	c, changed = g.Check(instant, 0, true)
	require.True(t, changed)
	require.True(t, c.Available)
}

func TestReconfigureKeepsWhatWasDecidedAndShortensTheWay(t *testing.T) {
	g := build(t, Config{Active: true, Rise: 3, Fall: 3}, 3)
	for range 2 {
		g.Check(instant, 0, false)
	}
	changes, err := g.Reconfigure(instant, Config{Active: true, Rise: 1, Fall: 1})
	require.NoError(t, err)
	require.Empty(t, changes)
	require.True(t, g.Available(0), "a smaller threshold is no evidence")
	_, changed := g.Check(instant, 0, false)
	require.True(t, changed)

	_, err = g.Reconfigure(instant, Config{Rise: -1})
	require.ErrorContains(t, err, "Rise is -1")
	require.False(t, g.Available(0), "a mistake changes nothing")

	changes, err = g.Reconfigure(instant, Config{})
	require.NoError(t, err)
	require.Len(t, changes, 1, "without checks nobody would let it in again")
	require.Equal(t, "0 up: assumed_up (checks were switched off)", changes[0].String())
}
