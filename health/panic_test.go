package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWithoutALimitNobodyIsAdmittedWhoIsNotAvailable(t *testing.T) {
	g := build(t, Config{Active: true, Fall: 1}, 2)
	for i := range 2 {
		g.Check(instant, i, false)
		require.False(t, g.Admits(i))
	}
	require.False(t, g.Panicking())
	require.Zero(t, g.AdmittedCount())
}

func TestPanicBeginsBelowItsShareAndNotAtIt(t *testing.T) {
	for _, c := range []struct {
		cfg       Config
		size, up  int
		panicking bool
	}{
		{Config{PanicPercent: 50}, 4, 2, false},
		{Config{PanicPercent: 50}, 4, 1, true},
		{Config{PanicPercent: 50}, 3, 1, true},
		{Config{PanicPercent: 1}, 200, 2, false},
		{Config{PanicPercent: 1}, 200, 1, true},
		{Config{PanicPercent: 100}, 2, 2, false},
		{Config{PanicPercent: 100}, 2, 1, true},
		{Config{FailOpen: true}, 2, 1, false},
		{Config{FailOpen: true}, 2, 0, true},
		{Config{PanicPercent: 50, FailOpen: true}, 4, 2, false},
		{Config{PanicPercent: 100, FailOpen: true}, 0, 0, false},
	} {
		c.cfg.Active, c.cfg.Fall = true, 1
		g := build(t, c.cfg, c.size)
		for i := c.up; i < c.size; i++ {
			g.Check(instant, i, false)
		}
		require.Equal(t, c.panicking, g.Panicking(), "%+v", c)
		want := c.up
		if c.panicking {
			want = c.size
		}
		require.Equal(t, want, g.AdmittedCount(), "%+v", c)
	}
}

func TestPanicNeverAdmitsWhomNobodyCanConnectToNorWhomAnOperatorHasDrained(t *testing.T) {
	g := build(t, Config{Active: true, Fall: 1, FailOpen: true, Passive: Passive{ConsecutiveFailures: 1, MaxEjectionPercent: 100}}, 3)
	g.Observe(instant, 0, ConnectFailed) // and so it is ejected
	g.Observe(instant, 1, Timeout)
	g.Drain(instant, 2)
	require.True(t, g.Panicking())
	require.Equal(t, []bool{false, true, false}, []bool{g.Admits(0), g.Admits(1), g.Admits(2)})
	g.Observe(instant, 1, ConnectFailed) // late, and about one that is out; but it tells where not to go
	require.Zero(t, g.AdmittedCount())
	g.Check(instant, 1, true)
	require.True(t, g.Admits(1), "a connection could be made")
}

func TestAdmissionAgreesWithWhatIsKnownOfEachBackend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Active: true, Rise: 1, Fall: 1, PanicPercent: rapid.SampledFrom([]int{0, 1, 50, 100}).Draw(t, "percent"),
			FailOpen: rapid.Bool().Draw(t, "open"), Passive: Passive{ConsecutiveFailures: 2, Consecutive5xx: 2, MaxEjectionPercent: 100},
			Breaker: Breaker{ErrorPercent: 50, MinRequests: 3, Probes: 1}}
		g, err := New(cfg, 3, nil)
		require.NoError(t, err)
		now, refused, drained := instant, [3]bool{}, [3]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"observe": func(t *rapid.T) {
				i, s := rapid.IntRange(0, 2).Draw(t, "backend"), rapid.SampledFrom(Signals()).Draw(t, "signal")
				if c, changed := g.Observe(now, i, s); !changed || !c.Available {
					refused[i] = s == ConnectFailed
				} else {
					refused[i] = false
				}
			},
			"check": func(t *rapid.T) {
				i, ok := rapid.IntRange(0, 2).Draw(t, "backend"), rapid.Bool().Draw(t, "ok")
				g.Check(now, i, ok)
				refused[i] = refused[i] && !ok
			},
			"drain": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "backend")
				if drained[i] = !drained[i]; drained[i] {
					g.Drain(now, i)
				} else if c, changed := g.Undrain(now, i); changed && c.Available {
					refused[i] = false
				}
			},
			"tick": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
				for _, c := range g.Tick(now) {
					if c.Available {
						refused[c.Backend] = false
					}
				}
			},
			"": func(t *rapid.T) {
				n := 0
				for i := range 3 {
					if !drained[i] {
						n++
					}
				}
				require.Equal(t, n, g.InService())
				panicking := g.AvailableCount()*100 < cfg.PanicPercent*n || cfg.FailOpen && g.AvailableCount() == 0 && n > 0
				require.Equal(t, panicking, g.Panicking())
				n = 0
				for i := range 3 {
					want := g.Available(i) || panicking && !refused[i] && !drained[i]
					require.Equal(t, want, g.Admits(i), "backend %d", i)
					if want {
						n++
					}
				}
				require.Equal(t, n, g.AdmittedCount())
			},
		})
	})
}

func TestPanicRefusesAConfigOutOfRange(t *testing.T) {
	for _, percent := range []int{-1, 101} {
		_, err := New(Config{PanicPercent: percent}, 1, nil)
		require.ErrorContains(t, err, "health: PanicPercent is")
	}
}

func TestThoseThatAnOperatorHasDrainedAreNoPartOfTheShare(t *testing.T) {
	g := build(t, Config{Active: true, Fall: 1, PanicPercent: 50, FailOpen: true}, 6)
	for i := range 4 {
		g.Drain(instant, i)
	}
	require.False(t, g.Panicking(), "two of two")
	g.Check(instant, 4, false)
	require.False(t, g.Panicking(), "one of two")
	g.Undrain(instant, 3)
	g.Check(instant, 3, false)
	require.True(t, g.Panicking(), "one of three")
	g.Drain(instant, 3)
	require.False(t, g.Panicking())
	g.Remove(instant, 0)
	g.Drain(instant, 1)
	g.Add(0)
	require.Equal(t, 3, g.InService())
	g.Drain(instant, 0)
	g.Drain(instant, 4)
	g.Drain(instant, 5)
	require.Zero(t, g.InService())
	require.False(t, g.Panicking(), "nobody is left who could be used")
}
