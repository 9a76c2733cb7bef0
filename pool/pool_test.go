package pool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// inBubble runs body in virtual time with a pool over a fake network whose dials take 10 ms; it closes the pool and
// checks that nothing is left open.
func inBubble(t *testing.T, cfg Config, body func(t *testing.T, p *Pool, f *fakeNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		cfg.Address, cfg.Dialer = "10.0.0.1:80", f
		p, err := New(cfg)
		require.NoError(t, err)
		body(t, p, f)
		p.Close()
		requireConserved(t, p.Stats())
		require.Zero(t, f.open(), "connections left open after Close")
	})
}

func requireConserved(t require.TestingT, s Stats) {
	require.Equal(t, s.Begun, uint64(s.Dialling)+s.Dialled+s.DialFailed, "dials begun: %+v", s)
	require.Equal(t, s.Dialled, uint64(s.Idle)+uint64(s.Lent)+s.RetiredTotal(), "dialled: %+v", s)
	require.LessOrEqual(t, s.Idle+s.Lent+s.Dialling, s.Limit, "more than the limit: %+v", s)
}

func lend(t *testing.T, p *Pool) *Conn {
	t.Helper()
	c, err := p.Lend(context.Background(), 0)
	require.NoError(t, err)
	return c
}

func now(p *Pool) time.Time { return p.clk.Now() }

func TestConnectionPoolLendsDialsAndReuses(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		require.False(t, c.Reused())
		c.Release(now(p))
		again := lend(t, p)
		require.Same(t, c, again)
		require.True(t, again.Reused())
		again.Release(now(p))
		s := p.Stats()
		require.Equal(t, uint64(1), s.Dialled)
		require.Equal(t, uint64(2), s.Lends)
		require.InDelta(t, 0.5, s.ReuseRate(), 0)
	})
}

func TestTryLendNeverWaitsAndNeverDials(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		before := now(p)
		require.Nil(t, p.TryLend(before, 0))
		require.Equal(t, before, now(p))
		require.Zero(t, f.dials)
	})
}

func TestMostRecentlyUsedConnectionIsLentFirst(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		a.Release(now(p))
		b.Release(now(p))
		require.Same(t, b, p.TryLend(now(p), 0))
		require.Same(t, a, p.TryLend(now(p), 0))
		a.Release(now(p))
		b.Release(now(p))
	})
}

func TestAShardIsServedFromItsOwnListAndThenFromTheOthers(t *testing.T) {
	inBubble(t, Config{Shards: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		var conns [3]*Conn
		for i := range conns {
			c, err := p.Lend(context.Background(), i)
			require.NoError(t, err)
			conns[i] = c
		}
		for i, c := range conns {
			c.shard = i
			c.Release(now(p))
		}
		require.Same(t, conns[1], p.TryLend(now(p), 1))
		require.Same(t, conns[2], p.TryLend(now(p), 1), "stolen from the next shard")
		require.Same(t, conns[0], p.TryLend(now(p), 1), "and from the one after")
		require.Nil(t, p.TryLend(now(p), 1))
		for _, c := range conns {
			c.Release(now(p))
		}
	})
}

func TestWaitersAreServedFirstComeFirstServed(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				c := lend(t, p)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				c.Release(now(p))
			})
			synctest.Wait()
		}
		held.Release(now(p))
		wg.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order)
	})
}

func TestANewcomerNeverOvertakesAWaiter(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan *Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Nil(t, p.TryLend(now(p), 0))
		held.Release(now(p))
		require.Nil(t, p.TryLend(now(p), 0), "the connection belongs to the waiter")
		(<-got).Release(now(p))
	})
}

func TestAWaiterIsNotServedAfterItsContextEnded(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		start := now(p)
		ctx, cancel := p.clk.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := p.Lend(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, now(p).Sub(start), "the deadline is exact")
		held.Release(now(p))
		require.Equal(t, 1, p.Stats().Idle, "the connection did not go to the one that left")
		require.Equal(t, uint64(1), p.Stats().GaveUp)
	})
}

func TestAWaiterTakesAReturnedConnectionBeforeItsOwnDialEnds(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2, DialTimeout: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		f.delay = time.Minute
		got := make(chan *Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Dialling)
		held.Release(now(p))
		c := <-got
		require.Same(t, held, c)
		c.Release(now(p))
		p.cfg.Clock.Sleep(2 * time.Minute)
		require.Equal(t, uint64(2), p.Stats().Dialled, "the dial outlived the caller who asked for it")
	})
}

func TestADialThatFailsTellsTheFirstWaiterAndGivesItsSlotBack(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		_, err := p.Lend(context.Background(), 0)
		var dialErr *DialError
		require.ErrorAs(t, err, &dialErr)
		require.ErrorIs(t, err, errRefused)
		f.setFail(false)
		lend(t, p).Release(now(p))
		requireConserved(t, p.Stats())
	})
}

func TestADialerThatPanicsOrReturnsNothingLosesNoSlot(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.panics = true
		_, err := p.Lend(context.Background(), 0)
		require.ErrorContains(t, err, "the dialer panicked")
		f.panics, f.nilConn = false, true
		_, err = p.Lend(context.Background(), 0)
		require.ErrorIs(t, err, errNilConn)
		f.nilConn = false
		lend(t, p).Release(now(p))
	})
}

func TestADialIsGivenUpAtTheDialTimeout(t *testing.T) {
	inBubble(t, Config{DialTimeout: time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.delay = time.Hour
		start := now(p)
		_, err := p.Lend(context.Background(), 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, now(p).Sub(start))
	})
}

func TestTooManyWaitersFailAtOnceAndSayWhy(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1, MaxWaiters: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan *Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		_, err := p.Lend(context.Background(), 0)
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
		require.ErrorIs(t, err, ErrTooManyWaiters)
		require.Equal(t, &LimitError{Pool: "10.0.0.1:80", Limit: 1, Lent: 1, Waiting: 1}, limit)
		held.Release(now(p))
		(<-got).Release(now(p))
	})
}

func TestMisuseOfAHandlePanicsAndIsNamed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		c.Release(now(p))
		require.PanicsWithValue(t,
			"pool: Release of a connection that is not lent (pool 10.0.0.1:80): its loan ended before "+
				"(Config.LeakAfter keeps the place where)",
			func() { c.Release(now(p)) })
		require.Panics(t, func() { c.Discard(now(p), ReasonBroken) })
		require.Panics(t, func() { c.Take(now(p)) })
		requireConserved(t, p.Stats())
	})
}

func TestCloseWaitsForLentConnectionsAndFailsTheWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		p, err := New(Config{Address: "a:1", Dialer: f, MaxConnections: 1})
		require.NoError(t, err)
		held := lend(t, p)
		failed := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := p.Lend(context.Background(), 0)
				failed <- err
			}()
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() { p.Close(); close(closed) }()
		require.ErrorIs(t, <-failed, ErrClosed)
		require.ErrorIs(t, <-failed, ErrClosed)
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close returned while a connection was lent")
		default:
		}
		held.Release(now(p))
		<-closed
		require.Zero(t, f.open())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonPoolClosed])
		_, err = p.Lend(context.Background(), 0)
		require.ErrorIs(t, err, ErrClosed)
		require.Zero(t, p.Want(1))
		p.Close()
	})
}

func TestCloseGivesUpDialsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(time.Hour)
		p, err := New(Config{Address: "a:1", Dialer: f, DialTimeout: -1})
		require.NoError(t, err)
		require.Equal(t, 3, p.Want(3))
		synctest.Wait()
		start := now(p)
		p.Close()
		require.Equal(t, start, now(p))
		require.Equal(t, uint64(3), p.Stats().DialFailed)
	})
}

func TestTakeLeavesTheConnectionOpenAndFreesTheSlot(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		nc := c.Take(now(p))
		lend(t, p).Release(now(p))
		require.False(t, nc.(*fakeConn).isClosed())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonTaken])
		require.NoError(t, nc.Close())
	})
}

func TestEveryMistakeOfAConfigIsListed(t *testing.T) {
	_, err := New(Config{MaxConnections: 2, MinIdle: 3, MaxIdle: -1, LifetimeSpread: 1, Shards: -1, MaxUses: -1, LeakAfter: -1, Order: 9})
	for _, want := range []string{"Address", "MinIdle", "MaxIdle", "LifetimeSpread", "Shards", "MaxUses", "LeakAfter", "Order"} {
		require.ErrorContains(t, err, want)
	}
}

func TestReasonsAreAClosedListOfDistinctWords(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
	require.Len(t, seen, NumReasons)
	require.Equal(t, "unknown", Reason(NumReasons).String())
}

func TestErrorsUnwrapToTheirCause(t *testing.T) {
	require.True(t, errors.Is(&DialError{Err: errRefused}, errRefused))
	require.Contains(t, (&DialError{Pool: "p", Address: "a:1", Err: errRefused}).Error(), "refused")
}
