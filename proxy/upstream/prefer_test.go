package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerARequestGoesToTheBackendThatItPrefers(t *testing.T) {
	inBubble(t, 3, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		for range 9 {
			a := &Attempt{Prefer: addr(2)}
			require.NoError(t, u.Begin(t.Context(), a))
			require.Equal(t, addr(2), a.Address)
			answered(u, a)
		}
		a := &Attempt{Prefer: "nobody:80"}
		require.NoError(t, u.Begin(t.Context(), a), "it goes anywhere")
		answered(u, a)
		require.Equal(t, 9, int(u.Stats().Backends[2].Outcomes[OutcomeAnswered]))
	})
}

func TestConnectionPoolManagerWhereThePreferredBackendIsFullItsRequestsWaitForIt(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), held))
		waits, more := start(t, u, &Attempt{Prefer: addr(0)}), start(t, u, &Attempt{Prefer: addr(0)})
		other := begin(t, u)
		require.Equal(t, addr(1), other.Address, "who prefers nobody does not wait for it")
		answered(u, other)
		require.False(t, waits.returned(), "an idle connection of another is not what it wants")
		answered(u, held)
		require.NoError(t, waits.end())
		require.Equal(t, addr(0), waits.Address)
		answered(u, waits.Attempt)
		require.NoError(t, more.end())
		require.Equal(t, addr(0), more.Address)
		answered(u, more.Attempt)
		require.Equal(t, 1, f.dialsTo(addr(0)))
	})
}

func TestConnectionPoolManagerThoseWhoPreferABackendLeaveItWhenItGoes(t *testing.T) {
	for name, goes := range map[string]func(t *testing.T, u *Upstream){
		"down":    func(t *testing.T, u *Upstream) { u.checkDone(u.Now(), u.backends[0], errRefused) },
		"drained": func(t *testing.T, u *Upstream) { require.NoError(t, u.DrainBackend(addr(0))) },
		"removed": func(t *testing.T, u *Upstream) { require.NoError(t, u.RemoveBackend(addr(0), time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Pool: pool.Config{MaxConnections: 1}, Check: Check{Prober: &switchboard{}, Interval: time.Hour}}
			cfg.Health.Fall = 1
			inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
				held := &Attempt{Prefer: addr(0)}
				require.NoError(t, u.Begin(t.Context(), held))
				waits, more := start(t, u, &Attempt{Prefer: addr(0)}), start(t, u, &Attempt{Prefer: addr(0)})
				goes(t, u)
				require.NoError(t, waits.end())
				require.Equal(t, addr(1), waits.Address)
				answered(u, waits.Attempt)
				require.NoError(t, more.end())
				answered(u, more.Attempt)
				again := &Attempt{Prefer: addr(0)}
				require.NoError(t, u.Begin(t.Context(), again))
				require.Equal(t, addr(1), again.Address)
				answered(u, again)
				answered(u, held)
			})
		})
	}
}

func TestConnectionPoolManagerAPreferredBackendThatCannotBeReachedIsLeft(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setFail(addr(0), true)
		a := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), a))
		require.Equal(t, addr(1), a.Address)
		failed(u, a, OutcomeReset)
		f.setFail(addr(0), false)
		again := &Attempt{Prefer: addr(1)}
		require.NoError(t, u.Begin(t.Context(), again))
		require.Equal(t, addr(1), again.Address)
		failed(u, again, OutcomeReset)
		require.NoError(t, u.Begin(t.Context(), again))
		require.Equal(t, addr(0), again.Address, "a repetition goes to another one")
		answered(u, again)
	})
}

func TestConnectionPoolManagerThoseWhoWaitForTheirOwnBackendFillNobodyElsesQueue(t *testing.T) {
	inBubble(t, 2, Config{MaxWaiting: 2, MaxWaitingPerBackend: 2, Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := &Attempt{Prefer: addr(0)}
		require.NoError(t, u.Begin(t.Context(), held))
		warm := begin(t, u)
		require.Equal(t, addr(1), warm.Address)
		answered(u, warm)
		one, two := start(t, u, &Attempt{Prefer: addr(0)}), start(t, u, &Attempt{Prefer: addr(0), Class: ClassLow})
		free := &Attempt{}
		require.NoError(t, u.Begin(t.Context(), free), "an idle connection is there")
		require.Equal(t, addr(1), free.Address)
		require.False(t, two.returned(), "nobody has to give way")
		answered(u, free)
		answered(u, held)
		require.NoError(t, one.end())
		answered(u, one.Attempt)
		require.NoError(t, two.end())
		answered(u, two.Attempt)
	})
}
