package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionPoolAConnectionEndsAfterMaxUsesAndItsSlotServesTheWaiter(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1, MaxUses: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		first := lend(t, p)
		first.Release()
		require.Same(t, first.loan, lend(t, p).loan)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		giveBack(first)
		next := <-got
		require.NotSame(t, first.loan, next.loan)
		require.True(t, raw(first).isClosed())
		require.EqualValues(t, 1, p.Stats().Retired[ReasonMaxUses])
		next.Release()
	})
}

func TestConnectionPoolRetireEndsTheConnectionsOfTodayWithoutHurtingTheLentOnes(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		lent, idle := lend(t, p), lend(t, p)
		idle.Release()
		require.Equal(t, 1, p.Want(1))
		p.clk.Sleep(time.Millisecond) // its dial is under way
		p.Retire()
		require.True(t, raw(idle).isClosed())
		require.False(t, raw(lent).isClosed())
		p.clk.Sleep(20 * time.Millisecond)
		require.Zero(t, p.Stats().Idle, "a dial that began before ends as one of yesterday's")
		lent.Release()
		require.EqualValues(t, 3, p.Stats().Retired[ReasonOutdated])
		fresh := lend(t, p)
		fresh.Release()
		require.Equal(t, 1, p.Stats().Idle, "new ones are unaffected")
	})
}

func TestConnectionPoolAWaiterIsServedByANewDialWhenItsOwnIsOutdated(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		begun := now(p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		p.clk.Sleep(5 * time.Millisecond)
		p.Retire()
		c := <-got
		require.Equal(t, 20*time.Millisecond, now(p).Sub(begun))
		require.EqualValues(t, 2, p.Stats().Dialled)
		c.Release()
	})
}

func TestConnectionPoolFreshGetsItsConnectionAlthoughRetireWasCalledMeanwhile(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		got := make(chan Conn)
		go func() {
			c, err := p.Fresh(t.Context(), 0)
			require.NoError(t, err)
			got <- c
		}()
		p.clk.Sleep(time.Millisecond)
		p.Retire()
		c := <-got
		c.Release()
		require.EqualValues(t, 1, p.Stats().Retired[ReasonOutdated])
	})
}

func TestConnectionPoolShrinkingClosesTheOldestIdleAndLetsLentOnesFinish(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		conns, err := p.GetN(t.Context(), 0, 4)
		require.NoError(t, err)
		conns[0].Release()
		p.clk.Sleep(time.Millisecond)
		conns[1].Release()
		require.NoError(t, p.Resize(3))
		require.True(t, raw(conns[0]).isClosed())
		require.False(t, raw(conns[1]).isClosed())
		require.NoError(t, p.Resize(1))
		s := p.Stats()
		require.Equal(t, []int{1, 0, 2}, []int{s.Limit, s.Idle, s.Lent})
		require.Zero(t, p.Free())
		conns[2].Release()
		conns[3].Release()
		s = p.Stats()
		require.Equal(t, 1, s.Idle)
		require.EqualValues(t, 3, s.Retired[ReasonExcess])
	})
}

func TestConnectionPoolGrowingBeginsDialsForWaitersAndAnnouncesTheSlots(t *testing.T) {
	var ready atomic.Int32
	cfg := Config{MaxConnections: 1, Patience: -1, OnReady: func() { ready.Add(1) }}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan Conn, 3)
		for range 3 {
			go func() { got <- lend(t, p) }()
			synctest.Wait()
		}
		begun := now(p)
		require.NoError(t, p.Resize(3))
		a, b := <-got, <-got
		require.Equal(t, 10*time.Millisecond, now(p).Sub(begun))
		require.Equal(t, 1, p.Stats().Waiting)
		require.NoError(t, p.Resize(4))
		c := <-got
		require.Zero(t, ready.Load(), "there was always somebody waiting")
		require.NoError(t, p.Resize(5))
		require.EqualValues(t, 1, ready.Load())
		ReleaseAll([]Conn{held, a, {}, b, c})
		require.Error(t, p.Resize(0))
	})
	closed, err := New(Config{Address: "a:1"})
	require.NoError(t, err)
	closed.Close()
	require.ErrorIs(t, closed.Resize(1), ErrClosed)
}

func TestConnectionPoolMinIdleAndMaxIdleFollowTheLimit(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4, MinIdle: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Warm()
		p.clk.Sleep(time.Second)
		require.NoError(t, p.Resize(2))
		p.clk.Sleep(time.Second)
		require.Equal(t, 2, p.Stats().Idle)
		require.NoError(t, p.Resize(8))
		p.clk.Sleep(time.Second)
		require.Equal(t, 3, p.Stats().Idle)
		require.Equal(t, 5, p.Want(9))
		p.clk.Sleep(time.Second)
		require.Equal(t, 8, p.Stats().Idle)
	})
}

func TestConnectionPoolDrainServesThoseInLineAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		p, err := New(Config{Address: "a:1", Dialer: f, MaxConnections: 1})
		require.NoError(t, err)
		held := lend(t, p)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				c := lend(t, p)
				p.clk.Sleep(time.Second)
				c.Release()
			})
			synctest.Wait()
		}
		begun := now(p)
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		_, err = p.Lend(t.Context())
		require.ErrorIs(t, err, ErrClosed)
		_, err = p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, ErrClosed)
		_, err = p.GetN(t.Context(), 0, 1)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, p.WarmUp(t.Context(), 1), ErrClosed)
		require.False(t, tryLend(p, now(p), 0).Lent())
		require.Zero(t, p.Want(1)+p.Cover(1))
		held.Discard(ReasonBroken) // a dial is made for those in line
		require.NoError(t, <-drained)
		require.Equal(t, 3*time.Second+10*time.Millisecond, now(p).Sub(begun))
		wg.Wait()
		require.Zero(t, f.open())
		require.NoError(t, p.Drain(t.Context()), "a second time")
	})
}

func TestConnectionPoolDrainTurnsAwayThoseInLineWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Address: "a:1", Dialer: newFakeNet(time.Millisecond), MaxConnections: 1})
		require.NoError(t, err)
		held := lend(t, p)
		failed := make(chan error, 1)
		go func() {
			_, err := p.Lend(context.Background())
			failed <- err
		}()
		synctest.Wait()
		ctx, cancel := p.clk.WithTimeout(t.Context(), time.Second)
		defer cancel()
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(ctx) }()
		require.ErrorIs(t, <-failed, ErrClosed)
		synctest.Wait()
		require.Empty(t, drained, "a connection is lent")
		held.Release()
		require.ErrorIs(t, <-drained, context.DeadlineExceeded)
	})
}

func TestConnectionPoolDrainEndsWhenTheLastInLineGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Address: "a:1", Dialer: newFakeNet(time.Hour), DialTimeout: -1})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = p.Lend(ctx) }()
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		require.Empty(t, drained)
		cancel()
		require.NoError(t, <-drained)
	})
}
