package upstream

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerADrainKeepsSessionsAndTakesNothingNew(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.NoError(t, u.DrainBackend(addr(0)))
		for range 4 {
			session, stranger := &Attempt{Prefer: addr(0)}, &Attempt{}
			require.NoError(t, u.Begin(t.Context(), session))
			require.NoError(t, u.Begin(t.Context(), stranger))
			require.Equal(t, []string{addr(0), addr(1)}, []string{session.Address, stranger.Address})
			require.Equal(t, []bool{true, false}, []bool{session.Kept, stranger.Kept})
			answered(u, session)
			answered(u, stranger)
		}
		require.Equal(t, 1, f.dialsTo(addr(0)), "its connection is kept for the next one")
		require.NoError(t, u.DrainBackend(addr(1)))
		session := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), session), "though all are drained")
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
		answered(u, session)
	})
}

func TestConnectionPoolManagerASessionLeavesADrainingBackendThatCannotServeIt(t *testing.T) {
	cases := map[string]struct {
		cfg    Config
		breaks func(t *testing.T, u *Upstream, f *fakeNet)
	}{
		"refused": {breaks: func(_ *testing.T, _ *Upstream, f *fakeNet) { f.setFail(addr(0), true) }},
		"down": {cfg: Config{Check: Check{Prober: &switchboard{}, Interval: time.Hour}, Health: health.Config{Fall: 1}},
			breaks: func(_ *testing.T, u *Upstream, _ *fakeNet) { u.checkDone(u.Now(), u.backends[0], errRefused) }},
		"full": {cfg: Config{Pool: pool.Config{MaxConnections: 1}}, breaks: func(t *testing.T, u *Upstream, _ *fakeNet) {
			held := &Attempt{Prefer: addr(0)}
			require.NoError(t, u.Begin(t.Context(), held))
			u.clk.AfterFunc(time.Minute, func() { answered(u, held) })
		}},
		"in maintenance, by its agent": {breaks: func(_ *testing.T, u *Upstream, _ *fakeNet) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.judge.Agent(u.Now(), 0, health.AgentReport{Mode: health.AgentInMaintenance})
		}},
		"removed": {breaks: func(t *testing.T, u *Upstream, _ *fakeNet) { require.NoError(t, u.RemoveBackend(addr(0), time.Second)) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, c.cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
				require.NoError(t, u.DrainBackend(addr(0)))
				c.breaks(t, u, f)
				session := &Attempt{Prefer: addr(0)}
				require.NoError(t, u.Begin(t.Context(), session))
				require.Equal(t, addr(1), session.Address)
				require.False(t, session.Kept)
				answered(u, session)
				u.clk.Sleep(2 * time.Minute)
			})
		})
	}
}

func TestConnectionPoolManagerASessionThatGivesUpAtADrainingBackendLeavesNothing(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.NoError(t, u.DrainBackend(addr(0)))
		f.setDelay(addr(0), time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, u.Begin(ctx, &Attempt{Prefer: addr(0)}), context.DeadlineExceeded)
		u.clk.Sleep(2 * time.Minute)
		require.Zero(t, u.Stats().InFlight)
		for _, b := range u.Stats().Backends {
			require.Zero(t, b.InFlight)
		}
	})
}

func TestConnectionPoolManagerNothingIsKeptReadyAtABackendThatIsDrained(t *testing.T) {
	for name, drain := range map[string]func(u *Upstream, on bool){
		"by an operator": func(u *Upstream, on bool) {
			if on {
				_ = u.DrainBackend(addr(0))
			} else {
				_ = u.UndrainBackend(addr(0))
			}
		},
		"by its agent": func(u *Upstream, on bool) {
			r := health.AgentReport{Mode: health.AgentInService}
			if on {
				r.Mode = health.AgentToDrain
			}
			u.agentSaid(u.Now(), u.backends[0], 0, probe.AgentReport{Says: r, Weight: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, Config{Pool: pool.Config{MinIdle: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
				idle := func() int {
					u.clk.Sleep(10 * time.Second)
					return u.Stats().Backends[0].Pool.Idle
				}
				u.Start()
				require.Equal(t, 2, idle())
				drain(u, true)
				require.Zero(t, idle())
				require.Equal(t, 2, f.dialsTo(addr(0)))
				drain(u, false)
				require.Equal(t, 2, idle())
			})
		})
	}
}
