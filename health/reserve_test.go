package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reserved is a group of which only the first few backends are in use.
func reserved(t *testing.T, cfg Config, n, used int) *Group {
	g := build(t, cfg, n)
	for i := used; i < n; i++ {
		g.Reserve(i, true)
	}
	return g
}

func TestEjectionsAreAShareOfThoseInUse(t *testing.T) {
	g := reserved(t, Config{Passive: Passive{Consecutive5xx: 1, MaxEjectionPercent: 50}}, 100, 4)
	for i, ejected := range []bool{true, true, false, false} {
		_, changed := g.Observe(instant, i, Response5xx)
		require.Equal(t, ejected, changed, "backend %d", i)
	}
	require.Equal(t, []int{2, 2}, []int{g.AvailableCount(), g.EjectedCount()})
	g.Reserve(50, false)
	g.Reserve(51, false)
	_, changed := g.Observe(instant, 2, Response5xx)
	require.True(t, changed, "three of six")
}

func TestTheOnlyBackendInUseMayBeEjectedWhereThereIsAReserve(t *testing.T) {
	cfg := Config{Passive: Passive{Consecutive5xx: 1}}
	_, changed := reserved(t, cfg, 2, 1).Observe(instant, 0, Response5xx)
	require.True(t, changed)
	_, changed = reserved(t, cfg, 1, 1).Observe(instant, 0, Response5xx)
	require.False(t, changed)
}

func TestOneOfTheReserveIsNotEjectedAndComesIntoUseWithACleanSlate(t *testing.T) {
	g := reserved(t, Config{Passive: Passive{Consecutive5xx: 2}}, 4, 2)
	_, changed := g.Observe(instant, 1, Response5xx)
	require.False(t, changed)
	g.Reserve(1, true) // with a 5xx answer to its name
	for range 5 {
		_, changed = g.Observe(instant, 1, Response5xx)
		require.False(t, changed, "late news")
	}
	g.Reserve(1, false)
	require.Zero(t, g.State(1).Answers5xx)
	_, changed = g.Observe(instant, 1, Response5xx)
	require.False(t, changed)
	_, changed = g.Observe(instant, 1, Response5xx)
	require.True(t, changed)
}

func TestAnEjectionServesItsTimeInTheReserve(t *testing.T) {
	g := reserved(t, Config{Passive: Passive{Consecutive5xx: 1, BaseEjectionTime: time.Second}}, 4, 2)
	_, changed := g.Observe(instant, 0, Response5xx)
	require.True(t, changed)
	g.Reserve(0, true)
	g.Reserve(2, false)
	require.Equal(t, []int{0, 2}, []int{g.EjectedCount(), g.AvailableCount()})
	next, ok := g.Next()
	require.True(t, ok)
	require.Equal(t, instant.Add(time.Second), next)
	require.Len(t, g.Tick(next), 1)
	require.Equal(t, 2, g.AvailableCount(), "it is not in use")
	_, ok = g.Next()
	require.False(t, ok)
}

func TestEjectionsThatAreSwitchedOffEndInTheReserveAsWell(t *testing.T) {
	g := reserved(t, Config{Passive: Passive{Consecutive5xx: 1, BaseEjectionTime: time.Second}}, 4, 2)
	_, changed := g.Observe(instant, 0, Response5xx)
	require.True(t, changed)
	g.Reserve(0, true)
	changes, err := g.Reconfigure(instant, Config{Passive: Passive{MaxEjectionPercent: -1}})
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.True(t, g.Available(0))
}

func TestPanicIsAboutThoseInUse(t *testing.T) {
	g := reserved(t, Config{Active: true, Fall: 1, PanicPercent: 50}, 100, 4)
	for i := range 2 {
		g.Check(instant, i, false)
	}
	require.False(t, g.Panicking(), "half of them")
	g.Check(instant, 2, false)
	require.True(t, g.Panicking())
	require.Equal(t, 4, g.AdmittedCount())
	g.Reserve(4, false)
	require.True(t, g.Panicking(), "two of five")
	g.Reserve(5, false)
	require.False(t, g.Panicking(), "three of six")
}

func TestFailOpenIsAboutThoseInUse(t *testing.T) {
	g := reserved(t, Config{Active: true, Fall: 1, FailOpen: true}, 3, 1)
	g.Check(instant, 0, false)
	require.True(t, g.Panicking())
	g.Reserve(1, false)
	require.False(t, g.Panicking())
	g.Drain(instant, 1)
	require.True(t, g.Panicking(), "a drained one is no help")
}
