package upstream

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerBeginUnusedGivesWhatNobodyHasUsed(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		first := begin(t, u)
		answered(u, first)
		a := &Attempt{}
		require.NoError(t, u.BeginUnused(t.Context(), a))
		require.EqualValues(t, 1, a.Conn.Uses())
		require.EqualValues(t, 2, a.Conn.ID(), "the one that carried a request gave way")
		s := u.Stats()
		require.EqualValues(t, 1, s.Backends[0].Pool.Retired[pool.ReasonNotReusable])
		require.EqualValues(t, 2, s.Begun, "what gave way is not counted")
		require.Equal(t, 1, s.InFlight)
		require.Equal(t, 1, s.Backends[0].InFlight)
		u.Finish(a, u.Now(), OutcomeAnswered, false, pool.ReasonNotReusable)
	})
}

func TestConnectionPoolManagerATunnelIsMissedInThePoolAtOnce(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 8, MinIdle: 2}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(2 * dialTime)
		synctest.Wait()
		require.Equal(t, 2, u.Stats().Backends[0].Pool.Idle)
		a := &Attempt{}
		require.NoError(t, u.BeginUnused(t.Context(), a))
		require.Zero(t, a.Waited, "it was ready")
		u.clk.Sleep(2 * dialTime)
		synctest.Wait()
		require.Equal(t, 2, u.Stats().Backends[0].Pool.Idle, "while the tunnel lasts")

		b := begin(t, u) // a request comes back
		u.clk.Sleep(2 * dialTime)
		synctest.Wait()
		require.Equal(t, 1, u.Stats().Backends[0].Pool.Idle)
		answered(u, b)
		u.Finish(a, u.Now(), OutcomeAnswered, false, pool.ReasonNotReusable)
	})
}
