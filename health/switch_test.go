package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABreakerWhoseWindowChangesStillForgetsWhatIsOld(t *testing.T) {
	for _, window := range []time.Duration{20 * time.Second, time.Hour, 5 * time.Second} {
		cfg := Config{Passive: Passive{MaxEjectionPercent: -1}, Breaker: Breaker{ErrorPercent: 50, MinRequests: 4, Window: 10 * time.Second}}
		g := build(t, cfg, 2)
		now := instant
		g.Observe(now, 0, Success)
		cfg.Breaker.Window = window
		_, err := g.Reconfigure(now, cfg)
		require.NoError(t, err)
		for range 100 {
			_, changed := g.Observe(now, 0, Success)
			require.False(t, changed)
		}
		now = now.Add(2 * window)
		opened := false
		for range 4 {
			_, opened = g.Observe(now, 0, Timeout)
		}
		require.True(t, opened, "the window of %v has been empty for as long again, and 4 of 4 failed", window)
	}
}

func TestAProbeOfABreakerThatWasSwitchedOffSaysNothingToTheNextOne(t *testing.T) {
	on := Config{Passive: Passive{MaxEjectionPercent: -1}, Breaker: Breaker{ErrorPercent: 1, MinRequests: 1, Probes: 1}}
	off := on
	off.Breaker = Breaker{}
	for name, end := range map[string]func(g *Group, now time.Time, p Probe) bool{
		"it has succeeded": func(g *Group, now time.Time, p Probe) bool {
			_, changed := g.ObserveRequest(now, 0, Success, 0, p)
			return changed
		},
		"it has failed": func(g *Group, now time.Time, p Probe) bool {
			_, changed := g.ObserveRequest(now, 0, Timeout, 0, p)
			return changed
		},
		"it came to nothing": func(g *Group, now time.Time, p Probe) bool {
			_, changed := g.Forgo(now, 0, p)
			return changed
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := build(t, on, 2)
			halfOpen := func(now time.Time) {
				_, changed := g.Observe(now, 0, Timeout)
				require.True(t, changed)
				require.Len(t, g.Tick(now.Add(10*time.Second)), 1)
			}
			halfOpen(instant)
			now := instant.Add(10 * time.Second)
			old, _, _ := g.Admit(now, 0)
			for _, cfg := range []Config{off, on} {
				_, err := g.Reconfigure(now, cfg)
				require.NoError(t, err)
			}
			halfOpen(now)
			now = now.Add(10 * time.Second)
			require.False(t, end(g, now, old), "it was admitted by a breaker that is no more")
			require.Equal(t, 2, g.AvailableCount())
			require.Equal(t, HalfOpen, g.State(0).Circuit)
			_, _, changed := g.Admit(now, 0)
			require.True(t, changed, "one probe, and no more")
		})
	}
}

func TestAnOpenTimeThatIsMadeShorterHoldsForBreakersThatAreOpen(t *testing.T) {
	cfg := Config{Passive: Passive{MaxEjectionPercent: -1}, Breaker: Breaker{ErrorPercent: 1, MinRequests: 1, OpenTime: 24 * time.Hour}}
	g := build(t, cfg, 2)
	_, changed := g.Observe(instant, 0, Timeout)
	require.True(t, changed)
	for _, c := range []struct{ open, left time.Duration }{{48 * time.Hour, 24 * time.Hour}, {time.Second, time.Second}} {
		cfg.Breaker.OpenTime = c.open
		_, err := g.Reconfigure(instant, cfg)
		require.NoError(t, err)
		next, ok := g.Next()
		require.True(t, ok)
		require.Equal(t, instant.Add(c.left), next)
	}
	require.Len(t, g.Tick(instant.Add(time.Second)), 1)
}

func TestWhereNothingEjectsAnyMoreThoseThatAreEjectedComeBack(t *testing.T) {
	cfg := Config{Passive: Passive{ConsecutiveFailures: 1, MaxEjectionPercent: 100}}
	off := Config{Passive: Passive{ConsecutiveFailures: -1, Consecutive5xx: -1}}
	for name, next := range map[string]struct {
		cfg  Config
		back int
	}{
		"all is off":            {off, 2},
		"no share of the group": {Config{Passive: Passive{MaxEjectionPercent: -1}}, 2},
		"one streak is left":    {Config{Passive: Passive{ConsecutiveFailures: -1, MaxEjectionPercent: 100}}, 0},
		"comparison is left": {Config{Passive: Passive{ConsecutiveFailures: -1, Consecutive5xx: -1, MaxEjectionPercent: 100,
			Outliers: Outliers{SuccessRate: 1.9}}}, 0},
	} {
		g := build(t, cfg, 3)
		g.Observe(instant, 0, Timeout)
		g.Observe(instant, 2, Timeout)
		require.Equal(t, 2, g.EjectedCount())
		changes, err := g.Reconfigure(instant, next.cfg)
		require.NoError(t, err)
		require.Len(t, changes, next.back, name)
		for _, c := range changes {
			require.Equal(t, EjectionOver, c.Reason)
		}
		require.Equal(t, 2-next.back, g.EjectedCount(), name)
	}
}

func TestAClientThatGivesUpAfterTheSlowTimeHasMadeASlowRequest(t *testing.T) {
	cfg := Config{Passive: Passive{MaxEjectionPercent: -1},
		Breaker: Breaker{SlowPercent: 50, SlowAfter: time.Second, MinRequests: 2, OpenTime: time.Second, Probes: 1}}
	g := build(t, cfg, 2)
	for range 100 {
		_, changed := g.GaveUp(instant, 0, time.Second-1, 0)
		require.False(t, changed, "an impatient client says nothing")
	}
	_, changed := g.GaveUp(instant, 0, time.Second, 0)
	require.False(t, changed)
	c, changed := g.GaveUp(instant, 0, time.Second, 0)
	require.True(t, changed)
	require.Equal(t, "2 of 2 were slow", c.Detail)
	now := instant.Add(time.Second)
	require.Len(t, g.Tick(now), 1)
	p, _, _ := g.Admit(now, 0)
	_, changed = g.GaveUp(now, 0, 0, p)
	require.True(t, changed, "its place is another one's")
	p, _, _ = g.Admit(now, 0)
	_, changed = g.GaveUp(now, 0, time.Hour, p)
	require.False(t, changed, "it admitted nothing, and does not now")
	require.Equal(t, Open, g.State(0).Circuit)
	cfg.Breaker = Breaker{ErrorPercent: 1, MinRequests: 1}
	_, err := g.Reconfigure(now, cfg)
	require.NoError(t, err)
	_, changed = g.GaveUp(now, 1, time.Hour, 0)
	require.False(t, changed, "where slowness is no matter it is no error")
}
