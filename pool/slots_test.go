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

func TestConnectionPoolAConnectionServedWhileItsWaiterGivesUpIsNotLost(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Lend(ctx)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		// What release does, held open at its widest: the waiter has left the line, its connection is on its way.
		p.lock()
		w := p.waiters.popLive()
		p.unlock()
		cancel()
		synctest.Wait()
		w.serve(result{loan: c.loan})
		wg.Wait()
		s := p.Stats()
		require.Equal(t, 1, s.Idle, "%+v", s)
		require.Zero(t, s.Lent)
	})
}

func TestConnectionPoolADialOfFreshIsNotCountedOnByAWaiter(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		var wg sync.WaitGroup
		begun := now(p)
		wg.Go(func() {
			c, err := p.Fresh(t.Context(), 0)
			require.NoError(t, err)
			p.clk.Sleep(time.Second)
			c.Release()
		})
		p.clk.Sleep(time.Millisecond)
		c := lend(t, p)
		require.Equal(t, 11*time.Millisecond, now(p).Sub(begun), "it had a dial of its own")
		c.Release()
		wg.Wait()
	})
}

func TestConnectionPoolASlotFreedByAFailedDialIsAnnounced(t *testing.T) {
	var ready atomic.Int32
	inBubble(t, Config{MaxConnections: 1, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		require.Equal(t, 1, p.Cover(1))
		require.Equal(t, 1, p.Cover(2), "the limit")
		p.clk.Sleep(20 * time.Millisecond)
		require.EqualValues(t, 1, ready.Load(), "after a dial for anybody")
		p.Retry()
		_, err := p.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, errRefused)
		require.EqualValues(t, 2, ready.Load(), "after a dial of Fresh")
	})
}

// An outer queue that takes every slot which it is told of must not take the one that Fresh made free for itself.
func TestConnectionPoolTheSlotThatFreshMakesFreeIsItsOwn(t *testing.T) {
	var p *Pool
	cfg := Config{MaxConnections: 1, OnReady: func() { p.Want(1) }}
	inBubble(t, cfg, func(t *testing.T, made *Pool, f *fakeNet) {
		p = made
		c := lend(t, p)
		c.Release()
		fresh, err := p.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.True(t, raw(c).isClosed())
		fresh.Release()
	})
}

func TestConnectionPoolFreshOfAPoolThatIsClosedMeanwhileSaysSo(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.delay = time.Hour
		failed := make(chan error)
		go func() {
			_, err := p.Fresh(t.Context(), 0)
			failed <- err
		}()
		synctest.Wait()
		p.Close()
		require.ErrorIs(t, <-failed, ErrClosed)
	})
}

func TestConnectionPoolAWaiterThatWasPassedOverFindsOutByItself(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Lend(ctx)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		p.lock() // its context ends, and its turn comes before it has noticed
		cancel()
		require.Nil(t, p.waiters.popLive())
		p.unlock()
		wg.Wait()
		require.Zero(t, p.Stats().Waiting)
		c.Release()
	})
}

func TestConnectionPoolSlotsOfDeadIdleConnectionsAreAnnouncedOnce(t *testing.T) {
	var ready atomic.Int32
	inBubble(t, Config{OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		a.Release()
		b.Release()
		p.clk.Sleep(time.Second)
		for _, c := range f.dialled {
			c.peerCloses()
		}
		before := ready.Load()
		require.False(t, tryLend(p, now(p), 0).Lent())
		require.EqualValues(t, 1, ready.Load()-before)
		require.EqualValues(t, 2, p.Stats().Retired[ReasonPeerClosed])
	})
}

func TestConnectionPoolNobodyIsServedAfterTheEndOfItsContext(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		for range 100 { // a select that finds both takes either
			ctx, cancel := context.WithCancel(t.Context())
			w := p.newWaiter(ctx, p.now(), 1, 0)
			require.NoError(t, p.enqueue(w))
			require.Len(t, w.served, 1, "it has been served")
			cancel()
			r, err := p.outcome(w)
			require.ErrorIs(t, err, context.Canceled)
			require.Nil(t, r.loan)
			p.done(w)
			s := p.Stats()
			require.Equal(t, []int{1, 0, 0, 0}, []int{s.Idle, s.Lent, s.Loans, s.Waiting})
			require.EqualValues(t, 1, s.Lends, "what it did not get is no loan")
		}
	})
}
