package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// The steps by which a group that loses its backends gives up, in their order. Each is reached only when those before it
// have nothing left to offer.
func TestAGroupDegradesStepByStep(t *testing.T) {
	s := &switchboard{}
	cfg := checked(s)
	cfg.Health.PanicPercent = 50
	cfg.QueueTimeout = 5 * time.Second
	inBubble(t, 3, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		// A fresh dial, and then the idle connection that it leaves.
		for _, waited := range []time.Duration{dialTime, 0} {
			for i := range 3 {
				a := begin(t, u)
				require.Equal(t, []any{i, waited}, []any{a.Backend, a.Waited})
				answered(u, a)
			}
		}
		// The next backend, where the first one is down.
		s.set(addr(0), true)
		judged(u)
		for range 4 {
			a := begin(t, u)
			require.NotEqual(t, 0, a.Backend)
			answered(u, a)
		}
		require.False(t, u.Stats().Panicking)
		// The panic set, where less than half are left: those that are down too, but none that nobody can connect to.
		f.setFail(addr(0), true)
		f.peerClosesAll(addr(0))
		s.set(addr(1), true)
		judged(u)
		require.True(t, u.Stats().Panicking)
		require.Equal(t, 1, u.Stats().Available)
		requireUsed(t, u, 1, 2)
		require.Equal(t, 1, f.dialsTo(addr(0))-1, "one dial told that nobody is there")
		// The queue, where both are at their limit.
		both := []*Attempt{begin(t, u), begin(t, u)}
		c := start(t, u, &Attempt{})
		require.False(t, c.returned())
		require.Equal(t, 1, u.Stats().Waiting)
		u.clk.Sleep(5 * time.Second)
		require.ErrorIs(t, c.end(), ErrQueueTimeout)
		for _, a := range both {
			answered(u, a)
		}
		// And the end of it, where none of them can be connected to.
		for i := 1; i < 3; i++ {
			f.setFail(addr(i), true)
			f.peerClosesAll(addr(i))
			s.set(addr(i), true)
		}
		judged(u)
		for range 3 {
			require.Error(t, u.Begin(t.Context(), &Attempt{}))
		}
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
		require.Zero(t, u.Stats().Available)
		for i := range 3 { // and back again
			f.setFail(addr(i), false)
			s.set(addr(i), false)
		}
		judged(u)
		require.False(t, u.Stats().Panicking)
		requireUsed(t, u, 0, 1, 2)
	})
}

// requireUsed requires that requests go to these backends, and to no other.
func requireUsed(t *testing.T, u *Upstream, want ...int) {
	t.Helper()
	seen := map[int]bool{}
	for range 30 {
		a := begin(t, u)
		seen[a.Backend] = true
		answered(u, a)
	}
	var got []int
	for i := range u.backends {
		if seen[i] {
			got = append(got, i)
		}
	}
	require.Equal(t, want, got)
}

func TestAGroupThatFailsOpenServesWhatWaitsWhenTheLastBackendIsGone(t *testing.T) {
	s := &switchboard{}
	cfg := checked(s)
	cfg.Health.FailOpen = true
	cfg.Pool = pool.Config{MaxConnections: 1}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		s.set(addr(1), true)
		judged(u)
		held := begin(t, u) // the only connection of the only backend
		require.Equal(t, 0, held.Backend)
		c := start(t, u, &Attempt{})
		require.False(t, c.returned())
		s.set(addr(0), true)
		judged(u)
		require.NoError(t, c.end(), "the other one is as good as this one now")
		require.Equal(t, 1, c.Backend)
		require.True(t, u.Stats().Panicking)
		require.Zero(t, u.Stats().Available)
		answered(u, c.Attempt)
		answered(u, held)
		s.set(addr(1), false)
		judged(u)
		require.False(t, u.Stats().Panicking)
		for range 3 {
			a := begin(t, u)
			require.Equal(t, 1, a.Backend, "panic is over")
			answered(u, a)
		}
	})
}

func TestABackendThatJoinsEndsThePanic(t *testing.T) {
	cfg := Config{Health: health.Config{PanicPercent: 60, Passive: health.Passive{ConsecutiveFailures: 1, MaxEjectionPercent: 50}}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := begin(t, u)
		out := a.Backend
		failed(u, a, OutcomeReset)
		require.True(t, u.Stats().Panicking)
		require.NoError(t, u.AddBackend(Backend{Address: "b7:80"}))
		require.False(t, u.Stats().Panicking)
		for range 6 {
			a := begin(t, u)
			require.NotEqual(t, out, a.Backend)
			answered(u, a)
		}
	})
}

func TestBackendsAreComparedAtWork(t *testing.T) {
	cfg := Config{Health: health.Config{Passive: health.Passive{Outliers: health.Outliers{SuccessRate: 1.9, MinRequests: 10}}}}
	inBubble(t, 5, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		for k := range 100 {
			a := begin(t, u)
			if o := OutcomeAnswered5xx; a.Backend == 3 && k%2 == 0 {
				u.Finish(a, u.clk.Now(), o, true, 0)
			} else {
				answered(u, a)
			}
		}
		require.Equal(t, 5, u.Stats().Available)
		u.clk.Sleep(10 * time.Second)
		judged(u)
		b := u.Stats().Backends[3]
		require.Equal(t, health.SuccessRateOutlier, b.Health.Reason)
		require.Equal(t, 4, u.Stats().Available)
		u.clk.Sleep(30 * time.Second)
		require.Equal(t, 5, u.Stats().Available)
	})
}

func TestADrainBeginsNoPanicAndEndsOne(t *testing.T) {
	s := &switchboard{}
	cfg := checked(s)
	cfg.Health.PanicPercent = 60
	inBubble(t, 4, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		require.NoError(t, u.DrainBackend(addr(0)))
		require.NoError(t, u.DrainBackend(addr(1)))
		require.False(t, u.Stats().Panicking, "two of two")
		s.set(addr(2), true)
		judged(u)
		require.True(t, u.Stats().Panicking, "one of two")
		require.NoError(t, u.DrainBackend(addr(2)))
		require.False(t, u.Stats().Panicking, "one of one, though nothing became unavailable")
		requireUsed(t, u, 3)
		require.NoError(t, u.UndrainBackend(addr(2)))
		require.True(t, u.Stats().Panicking)
	})
}
