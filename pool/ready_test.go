package pool

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionPoolIsReadyWhenSomethingCouldBeLentAtOnce(t *testing.T) {
	for _, cfg := range []Config{{}, {Shards: 4}, {MaxConnections: 1, IdleTimeout: time.Second}} {
		inBubble(t, cfg, func(t *testing.T, p *Pool, _ *fakeNet) {
			require.False(t, p.Ready(), "nothing has been dialled")
			c := lend(t, p)
			require.False(t, p.Ready(), "it is lent")
			c.Release()
			require.True(t, p.Ready())
			if cfg.IdleTimeout > 0 {
				p.clk.Sleep(2 * cfg.IdleTimeout)
				require.False(t, p.Ready(), "it has expired")
			}
			p.Close()
			require.False(t, p.Ready())
		})
	}
}

func TestASessionIsReadyWhileItHasAPlace(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{Setup: ss.setUp}, func(t *testing.T, p *Pool, _ *fakeNet) {
		require.False(t, p.Ready())
		one := lend(t, p)
		require.True(t, p.Ready(), "one place of two is left")
		two, ok := p.TryLend(now(p), 0)
		require.True(t, ok)
		require.False(t, p.Ready())
		two.Release()
		require.True(t, p.Ready())
		one.Release()
		require.True(t, p.Ready())
	})
}

// Ready agrees with TryLend while nobody else lends: that is all it is for.
func TestReadySaysWhatTryLendWouldFind(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3, Shards: 2}, func(t *testing.T, p *Pool, _ *fakeNet) {
		require.NoError(t, p.WarmUp(context.Background(), 3))
		var lent []Conn
		for p.Ready() {
			c, ok := p.TryLend(now(p), len(lent)%2)
			require.True(t, ok)
			lent = append(lent, c)
		}
		require.Len(t, lent, 3)
		_, ok := p.TryLend(now(p), 0)
		require.False(t, ok)
		ReleaseAll(lent)
	})
}
