package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionPoolAdjustChangesSizesAndTimesAtWork(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4, IdleTimeout: time.Hour}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns, err := p.GetN(t.Context(), 0, 3)
		require.NoError(t, err)
		conns[0].Release()
		cfg := Config{MaxConnections: 2, IdleTimeout: time.Second, MaxLifetime: time.Minute, LifetimeSpread: -1,
			DialTimeout: 2 * time.Second, ValidateAfter: -1}
		require.NoError(t, p.Adjust(cfg))
		s := p.Stats()
		require.Equal(t, []int{2, 3, 0, 2}, []int{s.Limit, s.Ceiling, s.Idle, s.Lent})
		require.Equal(t, 2*time.Second, s.DialTimeout)
		conns[1].Release()
		p.clk.Sleep(time.Second - time.Millisecond)
		require.Equal(t, 1, p.Stats().Idle, "just under the new timeout")
		p.clk.Sleep(2 * time.Millisecond)
		require.EqualValues(t, 1, p.Stats().Retired[ReasonIdleTimeout], "it was dialled under the old one")

		conns[2].Release()
		c := lend(t, p)
		require.NoError(t, p.Adjust(Config{MaxConnections: 3, MinIdle: 1, IdleTimeout: -1, MaxLifetime: time.Minute}))
		c.Release()
		p.clk.Sleep(30 * time.Second)
		require.Equal(t, 1, p.Stats().Idle, "no idle timeout any more")
		require.Equal(t, 3, p.Stats().Limit)
	})
}

func TestConnectionPoolAdjustRefusesMistakesAndChangesNothing(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		require.ErrorContains(t, p.Adjust(Config{MaxConnections: 2, MinIdle: 3}), "MinIdle 3")
		require.Equal(t, 4, p.Stats().Limit)
		p.Close()
		require.ErrorIs(t, p.Adjust(Config{MaxConnections: 2}), ErrClosed)
	})
}

func TestConnectionPoolShrinkingLeavesACeilingThatComesDownWithWhatIsOpen(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns, err := p.GetN(t.Context(), 0, 3)
		require.NoError(t, err)
		require.NoError(t, p.Resize(1))
		require.Equal(t, 3, p.Stats().Ceiling)
		conns[0].Release()
		p.Stats()
		require.Equal(t, 2, p.Stats().Ceiling)
		conns[1].Release()
		conns[2].Release()
		p.Stats()
		require.Equal(t, 1, p.Stats().Ceiling)
	})
}

func TestConnectionPoolCutClosesWhatIsLentOnceThePoolIsClosed(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		p.Cut()
		require.False(t, raw(c).isClosed(), "nobody waits for it")
		closed := make(chan struct{})
		go func() {
			p.Close()
			close(closed)
		}()
		p.clk.Sleep(time.Millisecond)
		p.Cut()
		require.True(t, raw(c).isClosed())
		c.Discard(ReasonBroken)
		<-closed
	})
}
