package pool

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func getN(t *testing.T, p *Pool, n int) []Conn {
	t.Helper()
	conns, err := p.GetN(context.Background(), 0, n)
	require.NoError(t, err)
	require.Len(t, conns, n)
	return conns
}

func TestConnectionPoolABatchIsDialledTogetherAndLentWhole(t *testing.T) {
	inBubble(t, Config{MaxConnections: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		begun := now(p)
		conns := getN(t, p, 4)
		require.Equal(t, 10*time.Millisecond, now(p).Sub(begun))
		require.Equal(t, 4, p.Stats().Lent)
		require.EqualValues(t, 4, p.Stats().Lends)
		ReleaseAll(conns)
		again := getN(t, p, 3)
		require.EqualValues(t, 1, p.Stats().Waits, "enough were idle the second time")
		ReleaseAll(again)
		one := getN(t, p, 1)
		ReleaseAll(one)
	})
}

func TestConnectionPoolABatchLargerThanThePoolFailsAtOnce(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		_, err := p.GetN(t.Context(), 0, 3)
		require.ErrorIs(t, err, ErrTooLarge)
		require.Zero(t, f.dials)
		conns, err := p.GetN(t.Context(), 0, 0)
		require.NoError(t, err)
		require.Empty(t, conns)
	})
}

// Each holds half of the pool and they all want more: with piecemeal lending this ends in a deadlock.
func TestConnectionPoolBatchesOfHalfThePoolAndMoreDoNotBlockEachOther(t *testing.T) {
	inBubble(t, Config{MaxConnections: 6}, func(t *testing.T, p *Pool, f *fakeNet) {
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				for range 20 {
					conns := getN(t, p, 3+i%4)
					p.clk.Sleep(time.Millisecond)
					ReleaseAll(conns)
				}
			})
		}
		wg.Wait()
		require.Zero(t, p.Stats().Lent)
	})
}

func TestConnectionPoolABatchAtTheHeadIsNotOvertakenAndNotStarved(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		var order []string
		var wg sync.WaitGroup
		wg.Go(func() {
			conns := getN(t, p, 2)
			order = append(order, "batch")
			ReleaseAll(conns)
		})
		synctest.Wait()
		wg.Go(func() {
			c := lend(t, p)
			order = append(order, "single")
			c.Release()
		})
		synctest.Wait()
		a.Release()
		require.False(t, tryLend(p, now(p), 0).Lent(), "what lies ready for the batch is nobody else's")
		require.Equal(t, 1, p.Stats().Idle)
		p.clk.Sleep(time.Second)
		require.Empty(t, order)
		b.Release()
		wg.Wait()
		require.Equal(t, []string{"batch", "single"}, order)
	})
}

func TestConnectionPoolWhatLayReadyForABatchThatGivesUpServesTheNext(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.GetN(ctx, 0, 2)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		wg.Go(func() { lend(t, p).Release() })
		synctest.Wait()
		a.Release()
		synctest.Wait()
		require.Equal(t, 2, p.Stats().Waiting)
		cancel()
		wg.Wait()
		b.Release()
	})
}

func TestConnectionPoolADialThatFailsFailsTheWholeBatchAndLosesNothing(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		f.setFail(true)
		_, err := p.GetN(t.Context(), 0, 3)
		require.ErrorIs(t, err, errRefused)
		synctest.Wait()
		s := p.Stats()
		require.Equal(t, []int{1, 0, 0, 0}, []int{s.Idle, s.Lent, s.Dialling, s.Waiting})
	})
}

func TestConnectionPoolABatchIsLookedAtBeforeItIsLentAndDialledAnewWhereItDied(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		ReleaseAll(getN(t, p, 3))
		p.clk.Sleep(time.Second)
		f.dialled[1].peerCloses()
		conns := getN(t, p, 3)
		for _, c := range conns {
			require.NotSame(t, f.dialled[1], c.NetConn())
		}
		require.EqualValues(t, 1, p.Stats().Retired[ReasonPeerClosed])
		require.EqualValues(t, 4, p.Stats().Dialled)
		ReleaseAll(conns)
	})
}

func TestConnectionPoolABatchThatResizeMakesImpossibleFails(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		failed := make(chan error)
		go func() {
			_, err := p.GetN(t.Context(), 0, 3)
			failed <- err
		}()
		p.clk.Sleep(time.Second)
		require.Equal(t, 2, p.Stats().Idle)
		go func() { require.NoError(t, p.Resize(2)) }()
		require.ErrorIs(t, <-failed, ErrTooLarge)
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Idle)
		held.Release()
	})
}

func TestConnectionPoolWarmUpWaitsUntilSoManyConnectionsAreOpen(t *testing.T) {
	inBubble(t, Config{MaxConnections: 5}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		begun := now(p)
		require.NoError(t, p.WarmUp(t.Context(), 5))
		require.Equal(t, 10*time.Millisecond, now(p).Sub(begun))
		require.Equal(t, 4, p.Stats().Idle)
		require.NoError(t, p.WarmUp(t.Context(), 3), "they are open already")
		require.ErrorIs(t, p.WarmUp(t.Context(), 6), ErrTooLarge)
		c.Release()
	})
}

func TestConnectionPoolWarmUpTriesAgainAfterFailedDialsUntilItsContextEnds(t *testing.T) {
	inBubble(t, Config{MaxConnections: 5}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		ctx, cancel := p.clk.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := p.WarmUp(ctx, 3)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errRefused)
		require.Less(t, p.Stats().DialFailed, uint64(20), "no storm")
		require.ErrorIs(t, p.WarmUp(t.Context(), 3), ErrDown, "it is known when it is called")
		p.Retry()
		warm := make(chan error)
		go func() { warm <- p.WarmUp(t.Context(), 3) }()
		p.clk.Sleep(time.Second)
		f.setFail(false)
		require.NoError(t, <-warm)
		require.Equal(t, 3, p.Stats().Idle)
	})
}

func TestConnectionPoolWarmUpDialsAnewForAConnectionThatEndsMeanwhile(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		begun := now(p)
		warm := make(chan error)
		go func() { warm <- p.WarmUp(t.Context(), 3) }()
		p.clk.Sleep(5 * time.Millisecond)
		c.Discard(ReasonBroken)
		require.NoError(t, <-warm)
		require.Equal(t, 15*time.Millisecond, now(p).Sub(begun), "at once")
		require.Equal(t, 3, p.Stats().Idle)
	})
}

func TestConnectionPoolWarmUpEndsWithThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		f.setFail(true)
		p, err := New(Config{Address: "a:1", Dialer: f})
		require.NoError(t, err)
		warm := make(chan error, 2)
		go func() { warm <- p.WarmUp(t.Context(), 1) }()
		p.clk.Sleep(15 * time.Millisecond) // it pauses
		f.mu.Lock()
		f.delay = time.Hour
		f.mu.Unlock()
		p.Retry()
		go func() { warm <- p.WarmUp(t.Context(), 1) }()
		synctest.Wait()
		p.Close()
		require.ErrorIs(t, <-warm, ErrClosed)
		require.ErrorIs(t, <-warm, ErrClosed)
	})
}
