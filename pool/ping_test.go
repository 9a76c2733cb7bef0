package pool

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pinger is a Ping that takes 5 ms and then does as it is told.
type pinger struct {
	err   error
	mu    sync.Mutex
	calls int
	under int // calls under way
	most  int // at a time
}

// count counts the begin of a call, or the end of one.
func (g *pinger) count(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls += max(by, 0)
	g.under += by
	g.most = max(g.most, g.under)
}

func (g *pinger) called() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

func (g *pinger) ping(ctx context.Context, _ net.Conn) error {
	g.count(1)
	defer g.count(-1)
	select {
	case <-time.After(5 * time.Millisecond):
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestConnectionPoolPingsAConnectionThatWasIdleForLongBeforeItIsLent(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := rest(t, p, 1, time.Second-1)[0]
		require.Equal(t, c.loan, lend(t, p).loan)
		require.Zero(t, g.calls, "not yet due")
		giveBack(c)
		p.clk.Sleep(time.Second)
		begin := p.now()
		require.Equal(t, c.loan, lend(t, p).loan)
		require.Equal(t, 1, g.called())
		require.Equal(t, 5*time.Millisecond, p.now()-begin, "its caller waited for the ping")
		require.Equal(t, uint64(1), p.Stats().Begun, "and nobody dialled")
		require.True(t, raw(c).deadline.IsZero(), "the ping's deadline is taken off")
		giveBack(c)
	})
}

func TestConnectionPoolTryLendDoesNotWaitForAPing(t *testing.T) {
	g, ready := new(pinger), new(atomic.Int32)
	inBubble(t, Config{Ping: g.ping, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 3, 2*time.Second)
		told, begin := ready.Load(), p.now()
		_, ok := p.TryLend(now(p), 0)
		require.False(t, ok)
		require.Equal(t, begin, p.now())
		synctest.Wait()
		require.Equal(t, 1, g.called(), "one is enough for one caller")
		s := p.Stats()
		require.Equal(t, 1, s.Lent, "in the pool's own hands")
		require.Zero(t, s.Loans)
		require.Equal(t, 1, p.Cover(1), "a ping counts as a dial under way")
		require.Zero(t, p.Stats().Dialling)
		require.Equal(t, told, ready.Load())
		p.clk.Sleep(6 * time.Millisecond)
		require.Equal(t, told+1, ready.Load(), "the outer queue is told")
		c, ok := p.TryLend(now(p), 0)
		require.True(t, ok)
		require.Equal(t, conns[2].loan, c.loan)
		c.Release()
	})
}

func TestConnectionPoolLendsAnotherConnectionThatNeedsNoPing(t *testing.T) {
	for shards := 1; shards <= 3; shards++ {
		g := new(pinger)
		inBubble(t, Config{Ping: g.ping, Shards: shards, Order: OrderFIFO}, func(t *testing.T, p *Pool, f *fakeNet) {
			conns := rest(t, p, 3, 700*time.Millisecond)
			c, ok := p.TryLend(now(p), int(conns[0].loan.link.shard))
			require.True(t, ok)
			require.Equal(t, conns[2].loan, c.loan, "the others have been idle for too long")
			synctest.Wait()
			require.Equal(t, 1, g.called())
			c.Release()
		})
	}
}

func TestConnectionPoolPingsNoMoreConnectionsThanThoseInLineNeed(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 10, time.Second)
		lend(t, p).Release()
		require.Equal(t, 1, g.called())
		p.clk.Sleep(time.Second)
		got := make(chan Conn, 3)
		for range 3 {
			go func() { got <- lend(t, p) }()
		}
		for range 3 {
			defer (<-got).Release()
		}
		require.Equal(t, 4, g.called())
		require.Equal(t, 3, g.most, "at the same time")
		require.EqualValues(t, len(conns), p.Stats().Begun)
	})
}

func TestConnectionPoolServesABatchWhenAllOfItHasBeenPinged(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		rest(t, p, 5, 400*time.Millisecond) // the last two need no ping
		begin := p.now()
		batch, err := p.GetN(t.Context(), 0, 5)
		require.NoError(t, err)
		require.Equal(t, 5*time.Millisecond, p.now()-begin)
		require.Equal(t, 3, g.called())
		ReleaseAll(batch)
		require.EqualValues(t, 5, p.Stats().Begun)
	})
}

func TestConnectionPoolRetiresWhatFailsItsPingAndTheOlderOnesWithIt(t *testing.T) {
	g := &pinger{err: errors.New("no answer")}
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		rest(t, p, 4, 2*time.Second)
		begin := p.now()
		c := lend(t, p)
		require.False(t, c.Reused())
		require.Equal(t, 15*time.Millisecond, p.now()-begin, "one ping and one dial, not a ping for each")
		require.Equal(t, 1, g.called())
		s := p.Stats()
		require.EqualValues(t, 1, s.Retired[ReasonPingFailed])
		require.EqualValues(t, 3, s.Retired[ReasonSuspect])
		c.Release()
	})
}

func TestConnectionPoolPingsSuspectsInsteadOfRetiringThem(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns := rest(t, p, 3, 10*time.Millisecond)
		lend(t, p).Discard(ReasonBroken)
		require.Equal(t, conns[1].loan, lend(t, p).loan)
		require.Equal(t, 1, g.called(), "long before PingAfter")
		giveBack(conns[1])
		require.Equal(t, conns[1].loan, lend(t, p).loan)
		require.Equal(t, 1, g.called(), "cleared of suspicion")
		giveBack(conns[1])
	})
}

func TestConnectionPoolContainsAPingThatMisbehaves(t *testing.T) {
	stuck := make(chan struct{})
	for name, ping := range map[string]func(context.Context, net.Conn) error{
		"panics":                 func(context.Context, net.Conn) error { panic("the pinger lost its mind") },
		"waits for its context":  func(ctx context.Context, _ net.Conn) error { <-ctx.Done(); return ctx.Err() },
		"waits for the deadline": func(_ context.Context, nc net.Conn) error { return nc.(*fakeConn).waits() },
		"never returns":          func(context.Context, net.Conn) error { <-stuck; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Ping: ping, PingTimeout: 300 * time.Millisecond, MaxConnections: 1}
			inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
				stuck = make(chan struct{})
				defer close(stuck)
				rest(t, p, 1, 2*time.Second)
				begin := p.now()
				c := lend(t, p)
				require.False(t, c.Reused())
				require.LessOrEqual(t, p.now()-begin, 310*time.Millisecond, "the limit and a dial")
				require.EqualValues(t, 1, p.Stats().Retired[ReasonPingFailed])
				require.Empty(t, p.pings)
				c.Release()
			})
		})
	}
}

// waits is a read that nothing but the deadline ends.
func (c *fakeConn) waits() error {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	time.Sleep(time.Until(deadline))
	return context.DeadlineExceeded
}

func TestConnectionPoolCloseGivesUpThePingsUnderWay(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		rest(t, p, 2, 2*time.Second)
		for range 2 {
			require.False(t, tryLend(p, now(p), 0).Lent())
		}
		synctest.Wait()
		require.Len(t, p.pings, 2)
		begin := p.now()
		p.Close()
		require.Equal(t, begin, p.now())
		require.EqualValues(t, 2, p.Stats().Retired[ReasonPoolClosed])
	})
}

func TestConnectionPoolRetiresAfterItsPingWhatHasEndedMeanwhile(t *testing.T) {
	g := new(pinger)
	inBubble(t, Config{Ping: g.ping}, func(t *testing.T, p *Pool, f *fakeNet) {
		rest(t, p, 1, 2*time.Second)
		require.False(t, tryLend(p, now(p), 0).Lent())
		p.Retire()
		p.clk.Sleep(6 * time.Millisecond)
		require.EqualValues(t, 1, p.Stats().Retired[ReasonOutdated])
	})
}
