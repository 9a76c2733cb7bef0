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

func lend(t *testing.T, p *Pool) Conn {
	t.Helper()
	c, err := p.Lend(context.Background())
	require.NoError(t, err)
	return c
}

func now(p *Pool) time.Time { return p.clk.Now() }

func TestConnectionPoolLendsDialsAndReuses(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		require.False(t, c.Reused())
		c.Release()
		again := lend(t, p)
		require.Same(t, c.loan, again.loan)
		require.True(t, again.Reused())
		again.Release()
		s := p.Stats()
		require.Equal(t, uint64(1), s.Dialled)
		require.Equal(t, uint64(2), s.Lends)
		require.InDelta(t, 0.5, s.ReuseRate(), 0)
	})
}

func TestConnectionPoolTryLendNeverWaitsAndNeverDials(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		before := now(p)
		require.False(t, tryLend(p, before, 0).Lent())
		require.Equal(t, before, now(p))
		require.Zero(t, f.dials)
	})
}

func TestConnectionPoolMostRecentlyUsedConnectionIsLentFirst(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		a.Release()
		b.Release()
		require.Same(t, b.loan, tryLend(p, now(p), 0).loan)
		require.Same(t, a.loan, tryLend(p, now(p), 0).loan)
		giveBack(a)
		giveBack(b)
	})
}

func TestConnectionPoolAShardIsServedFromItsOwnListAndThenFromTheOthers(t *testing.T) {
	inBubble(t, Config{Shards: 3}, func(t *testing.T, p *Pool, f *fakeNet) {
		var conns [3]Conn
		for i := range conns {
			c, err := p.LendAt(context.Background(), p.clk.Now(), i)
			require.NoError(t, err)
			conns[i] = c
		}
		for i, c := range conns {
			c.loan.link.shard = int32(i)
			c.Release()
		}
		require.Same(t, conns[1].loan, tryLend(p, now(p), 1).loan)
		require.Same(t, conns[2].loan, tryLend(p, now(p), 1).loan, "stolen from the next shard")
		require.Same(t, conns[0].loan, tryLend(p, now(p), 1).loan, "and from the one after")
		require.False(t, tryLend(p, now(p), 1).Lent())
		for _, c := range conns {
			giveBack(c)
		}
	})
}

func TestConnectionPoolWaitersAreServedFirstComeFirstServed(t *testing.T) {
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
				c.Release()
			})
			synctest.Wait()
		}
		held.Release()
		wg.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order)
	})
}

func TestConnectionPoolANewcomerNeverOvertakesAWaiter(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.False(t, tryLend(p, now(p), 0).Lent())
		held.Release()
		require.False(t, tryLend(p, now(p), 0).Lent(), "the connection belongs to the waiter")
		(<-got).Release()
	})
}

func TestConnectionPoolAWaiterIsNotServedAfterItsContextEnded(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		start := now(p)
		ctx, cancel := p.clk.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := p.Lend(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, now(p).Sub(start), "the deadline is exact")
		held.Release()
		require.Equal(t, 1, p.Stats().Idle, "the connection did not go to the one that left")
		require.Equal(t, uint64(1), p.Stats().GaveUp)
	})
}

func TestConnectionPoolAWaiterTakesAReturnedConnectionBeforeItsOwnDialEnds(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2, DialTimeout: -1, Patience: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		f.delay = time.Minute
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Dialling)
		held.Release()
		c := <-got
		require.Same(t, held.loan, c.loan)
		c.Release()
		p.cfg.Clock.Sleep(2 * time.Minute)
		require.Equal(t, uint64(2), p.Stats().Dialled, "the dial outlived the caller who asked for it")
	})
}

func TestConnectionPoolADialThatFailsTellsTheFirstWaiterAndGivesItsSlotBack(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		_, err := p.Lend(context.Background())
		var dialErr *DialError
		require.ErrorAs(t, err, &dialErr)
		require.ErrorIs(t, err, errRefused)
		f.setFail(false)
		p.Retry()
		lend(t, p).Release()
		requireConserved(t, p.Stats())
	})
}

func TestConnectionPoolADialerThatPanicsOrReturnsNothingLosesNoSlot(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.panics = true
		_, err := p.Lend(context.Background())
		require.ErrorContains(t, err, "the dialer panicked")
		p.Retry()
		f.panics, f.nilConn = false, true
		_, err = p.Lend(context.Background())
		require.ErrorIs(t, err, errNilConn)
		f.nilConn = false
		p.Retry()
		lend(t, p).Release()
	})
}

func TestConnectionPoolADialIsGivenUpAtTheDialTimeout(t *testing.T) {
	inBubble(t, Config{DialTimeout: time.Second}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.delay = time.Hour
		start := now(p)
		_, err := p.Lend(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, now(p).Sub(start))
	})
}

func TestConnectionPoolTooManyWaitersFailAtOnceAndSayWhy(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1, MaxWaiters: 1, LeakAfter: time.Hour}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		p.clk.Sleep(3 * time.Second)
		_, err := p.Lend(context.Background())
		var limit *LimitError
		require.ErrorAs(t, err, &limit)
		require.ErrorIs(t, err, ErrTooManyWaiters)
		require.Equal(t, "pool 10.0.0.1:80: too many waiters (1 waiting, 1 of 1 connections lent); connection 1 has been "+
			"lent for 3s to\n"+p.Holders()[0].Stack, err.Error())
		require.Contains(t, limit.Longest.Stack, "TestConnectionPoolTooManyWaitersFailAtOnceAndSayWhy")
		require.Equal(t, []int{1, 1, 1}, []int{limit.Limit, limit.Lent, limit.Waiting})
		held.Release()
		(<-got).Release()
	})
}

func TestConnectionPoolMisuseOfAHandlePanicsAndIsNamed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		c.Release()
		text := panicText(func() { c.Release() })
		require.Contains(t, text, "pool: Release of a connection that is not lent (pool 10.0.0.1:80): its loan ended before")
		require.Panics(t, func() { c.Discard(ReasonBroken) })
		require.Panics(t, func() { c.Take() })
		requireConserved(t, p.Stats())
	})
}

func TestConnectionPoolAHandleStaysVoidWhenItsConnectionIsLentAgain(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		old := lend(t, p)
		old.Release()
		c := lend(t, p)
		require.EqualValues(t, 1, c.ID(), "the same connection")
		require.False(t, old.Lent())
		require.True(t, c.Lent())
		for what, use := range map[string]func(){
			"Release": old.Release, "ReleaseAt": func() { old.ReleaseAt(now(p)) }, "Take": func() { old.Take() },
			"Discard": func() { old.Discard(ReasonBroken) }, "NetConn": func() { old.NetConn() },
			"SetAux": func() { old.SetAux(1) }, "Uses": func() { old.Uses() }, "Reused": func() { old.Reused() },
		} {
			require.Panics(t, use, what)
		}
		require.PanicsWithValue(t, "pool: Release of the zero Conn, which is no loan", Conn{}.Release)
		require.True(t, c.Lent(), "the present borrower has it still")
		require.False(t, raw(c).isClosed())
		c.Release()
	})
}

func TestConnectionPoolCloseWaitsForLentConnectionsAndFailsTheWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		p, err := New(Config{Address: "a:1", Dialer: f, MaxConnections: 1})
		require.NoError(t, err)
		held := lend(t, p)
		failed := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := p.Lend(context.Background())
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
		held.Release()
		<-closed
		require.Zero(t, f.open())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonPoolClosed])
		_, err = p.Lend(context.Background())
		require.ErrorIs(t, err, ErrClosed)
		require.Zero(t, p.Want(1))
		p.Close()
	})
}

func TestConnectionPoolCloseGivesUpDialsUnderWay(t *testing.T) {
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

func TestConnectionPoolTakeLeavesTheConnectionOpenAndFreesTheSlot(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		nc := c.Take()
		lend(t, p).Release()
		require.False(t, nc.(*fakeConn).isClosed())
		require.Equal(t, uint64(1), p.Stats().Retired[ReasonTaken])
		require.NoError(t, nc.Close())
	})
}

func TestConnectionPoolEveryMistakeOfAConfigIsListed(t *testing.T) {
	_, err := New(Config{MaxConnections: 2, MinIdle: 3, MaxIdle: -1, LifetimeSpread: 1, Shards: -1, MaxUses: -1, LeakAfter: -1, Order: 9})
	for _, want := range []string{"Address", "MinIdle", "MaxIdle", "LifetimeSpread", "Shards", "MaxUses", "LeakAfter", "Order"} {
		require.ErrorContains(t, err, want)
	}
}

func TestConnectionPoolReasonsAreAClosedListOfDistinctWords(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
	require.Len(t, seen, NumReasons)
	require.Equal(t, "unknown", Reason(NumReasons).String())
}

func TestConnectionPoolErrorsUnwrapToTheirCause(t *testing.T) {
	require.True(t, errors.Is(&DialError{Err: errRefused}, errRefused))
	require.Contains(t, (&DialError{Pool: "p", Address: "a:1", Err: errRefused}).Error(), "refused")
}
