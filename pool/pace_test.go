package pool

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolNeverDialsMoreThanMaxDialsAtATime(t *testing.T) {
	ways := map[string]func(t *testing.T, p *Pool){
		"line": func(t *testing.T, p *Pool) {
			conns := make([]Conn, 10)
			var wg sync.WaitGroup
			for i := range conns {
				wg.Go(func() { conns[i] = lend(t, p) })
			}
			wg.Wait()
			ReleaseAll(conns)
		},
		"batch":    func(t *testing.T, p *Pool) { ReleaseAll(getN(t, p, 10)) },
		"WarmUp":   func(t *testing.T, p *Pool) { require.NoError(t, p.WarmUp(t.Context(), 10)) },
		"MinIdle":  func(t *testing.T, p *Pool) { p.Warm(); p.clk.Sleep(40 * time.Millisecond) },
		"together": func(t *testing.T, p *Pool) { p.Warm(); ReleaseAll(getN(t, p, 10)) },
		"Want": func(t *testing.T, p *Pool) {
			require.Equal(t, 3, p.Want(9))
			require.Zero(t, p.Want(9))
			require.Equal(t, 3, p.Cover(9))
			p.clk.Sleep(20 * time.Millisecond)
			require.Equal(t, 3, p.Cover(3))
			p.clk.Sleep(20 * time.Millisecond)
			require.Equal(t, 3, p.Cover(7))
			p.clk.Sleep(20 * time.Millisecond)
			require.Equal(t, 1, p.Cover(9), "MaxConnections")
			p.clk.Sleep(20 * time.Millisecond)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{MaxConnections: 10, MaxDials: 3, MinIdle: 10}, func(t *testing.T, p *Pool, f *fakeNet) {
				begun := now(p)
				way(t, p)
				synctest.Wait()
				require.Equal(t, 10, p.Stats().Idle)
				_, most := f.count()
				require.Equal(t, 3, most)
				require.GreaterOrEqual(t, now(p).Sub(begun), 40*time.Millisecond)
			})
		})
	}
}

func TestConnectionPoolAFreedDialGoesToTheLineThenToWarmUpThenToMinIdle(t *testing.T) {
	inBubble(t, Config{MaxConnections: 9, MaxDials: 1, MinIdle: 4}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Warm()
		warm := make(chan error, 1)
		go func() { warm <- p.WarmUp(t.Context(), 3) }()
		synctest.Wait()
		a, b := lend(t, p), lend(t, p)
		synctest.Wait()
		require.Equal(t, 2, f.soFar()-p.Stats().Dialling)
		require.Empty(t, warm)
		require.NoError(t, <-warm)
		synctest.Wait()
		require.Equal(t, 3, f.soFar()-p.Stats().Dialling)
		require.Equal(t, 1, p.Stats().Idle)
		p.clk.Sleep(time.Second)
		require.Equal(t, 4, p.Stats().Idle)
		_, most := f.count()
		require.Equal(t, 1, most)
		ReleaseAll([]Conn{a, b})
	})
}

func TestConnectionPoolFreshIsNotCountedAmongMaxDials(t *testing.T) {
	inBubble(t, Config{MaxDials: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		require.Equal(t, 1, p.Want(1))
		require.Zero(t, p.Free())
		c, err := p.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, 10*time.Millisecond, now(p).Sub(p.epoch))
		c.Release()
	})
}

// An outer queue serves itself in OnReady alone, and finds the place of each dial that has ended.
func TestConnectionPoolAnnouncesThatADialMayBeginAgain(t *testing.T) {
	for _, fails := range []bool{false, true} {
		var p *Pool
		var lacking atomic.Int32
		serve := func() {
			for lacking.Load() > 0 {
				c := tryLend(p, now(p), 0)
				if !c.Lent() {
					break
				}
				lacking.Add(-1)
				c.Take() // its slot stays free
			}
			p.Cover(int(lacking.Load()))
		}
		cfg := Config{MaxDials: 2, MaxConnections: 5, OnReady: serve, Judge: func(error) {}}
		inBubble(t, cfg, func(t *testing.T, made *Pool, f *fakeNet) {
			p = made
			f.setFail(fails)
			lacking.Store(9)
			require.Equal(t, 2, p.Cover(9))
			p.clk.Sleep(time.Second)
			f.setFail(false)
			p.clk.Sleep(time.Second)
			require.Zero(t, lacking.Load())
			_, most := f.count()
			require.Equal(t, 2, most)
			for _, c := range f.dialled {
				_ = c.Close()
			}
		})
	}
}

func TestConnectionPoolAnnouncesTheFreedDialAlsoWhenItsOwnLineTookTheConnection(t *testing.T) {
	var ready atomic.Int32
	inBubble(t, Config{MaxDials: 1, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		synctest.Wait()
		require.EqualValues(t, 1, ready.Load())
		c.Release()
	})
}

// HikariCP's spike: 50 callers at once on a pool of 5 of at most 50, whose dials take 150 ms and whose loans 2 ms.
func TestConnectionPoolASpikeThatReturnsCanServeDialsNothing(t *testing.T) {
	spike := func(patience float64) (conns int, worst time.Duration) {
		inBubble(t, Config{MinIdle: 5, Patience: patience, MaxDials: 50}, func(t *testing.T, p *Pool, f *fakeNet) {
			f.setDelay(150 * time.Millisecond)
			p.Warm()
			p.clk.Sleep(time.Second)
			begun := now(p)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					c := lend(t, p)
					p.clk.Sleep(2 * time.Millisecond)
					c.Release()
				})
			}
			wg.Wait()
			worst = now(p).Sub(begun)
			p.clk.Sleep(time.Second)
			conns = p.Stats().Idle
		})
		return conns, worst
	}
	conns, worst := spike(0)
	require.Equal(t, 5, conns)
	require.Equal(t, 20*time.Millisecond, worst)
	conns, worst = spike(-1)
	require.Equal(t, 50, conns, "without patience")
	require.Equal(t, 20*time.Millisecond, worst, "for nothing")
}

func TestConnectionPoolPatienceEndsWithADialAfterItsShare(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setDelay(100 * time.Millisecond)
		begun := now(p)
		held := lend(t, p)
		require.Equal(t, 100*time.Millisecond, now(p).Sub(begun), "nothing is lent: a dial at once")
		begun = now(p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Zero(t, p.Stats().Dialling)
		c := <-got
		require.Equal(t, 125*time.Millisecond, now(p).Sub(begun))
		c.Release()
		held.Release()

		// Now the pool knows that loans are long: who stands behind another one does not wait for two of them.
		conns := []Conn{lend(t, p), lend(t, p)}
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Equal(t, 1, p.Stats().Dialling)
		ReleaseAll(conns)
		(<-got).Release()
	})
}

// Six callers that take turns on two connections: every wait is short, and somebody waits all the time.
func TestConnectionPoolALastingShortageIsMetThoughEachWaitIsShort(t *testing.T) {
	inBubble(t, Config{MinIdle: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setDelay(100 * time.Millisecond)
		p.Warm()
		p.clk.Sleep(time.Second)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				p.clk.Sleep(time.Duration(i) * time.Millisecond)
				for range 500 {
					lendAndHold(t, p, 4*time.Millisecond)
				}
			})
		}
		p.clk.Sleep(90 * time.Millisecond)
		require.EqualValues(t, 2, p.Stats().Begun, "it may be a burst")
		p.clk.Sleep(time.Second)
		waits := p.Stats().Waits
		p.clk.Sleep(500 * time.Millisecond)
		require.Equal(t, waits, p.Stats().Waits, "nobody waits any more")
		wg.Wait()
		require.LessOrEqual(t, p.Stats().Begun, uint64(6))
	})
}

func lendAndHold(t *testing.T, p *Pool, hold time.Duration) {
	c := lend(t, p)
	p.clk.Sleep(hold)
	c.Release()
}

func TestConnectionPoolPatienceEndsWhenNothingIsLentAnyMore(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		begun := now(p)
		got := make(chan []Conn)
		go func() { got <- getN(t, p, 2) }()
		p.clk.Sleep(time.Millisecond)
		require.Zero(t, p.Stats().Dialling)
		held.Release() // to the batch, which now waits for a dial alone
		ReleaseAll(<-got)
		require.Equal(t, 11*time.Millisecond, now(p).Sub(begun))
	})
}

func TestConnectionPoolAConnectionInSetupIsNotWarm(t *testing.T) {
	var n atomic.Int32
	setup := func(context.Context, net.Conn) (Session, error) {
		clock.New().Sleep(time.Duration(n.Add(1)) * time.Second)
		return nil, nil
	}
	inBubble(t, Config{Setup: setup}, func(t *testing.T, p *Pool, f *fakeNet) {
		begun := now(p)
		require.NoError(t, p.WarmUp(t.Context(), 2))
		require.Equal(t, 2010*time.Millisecond, now(p).Sub(begun))
		require.Equal(t, 2, p.Stats().Lent+p.Stats().Idle)
	})
}

// The timer of the upkeep serves idle connections too: one that it finds used again must not make it forget MinIdle.
func TestConnectionPoolMinIdleIsRefilledAfterThePauseWhateverElseTheUpkeepDoes(t *testing.T) {
	cfg := Config{MinIdle: 2, IdleTimeout: time.Minute, Judge: func(error) {}, RetryMin: 10 * time.Second}
	inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
		a := lend(t, p)
		a.Release() // the upkeep will look for it after a minute
		p.clk.Sleep(56 * time.Second)
		a = lend(t, p)
		f.setFail(true)
		p.Warm() // two dials fail, and it rests for 10 to 20 s
		p.clk.Sleep(time.Second)
		f.setFail(false)
		p.clk.Sleep(20 * time.Second)
		require.Equal(t, 2, p.Stats().Idle)
		a.Release()
	})
}

func TestConnectionPoolALineAtTheLimitIsNotWatched(t *testing.T) {
	inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lend(t, p)
		got := make(chan Conn)
		go func() { got <- lend(t, p) }()
		synctest.Wait()
		require.Equal(t, never, p.paceAt, "no dial could begin")
		held.Release()
		(<-got).Release()
	})
}

func TestConnectionPoolCloseTakesThePaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Address: "a:1", Dialer: newFakeNet(time.Second)})
		require.NoError(t, err)
		held := lend(t, p)
		failed := make(chan error)
		go func() {
			_, err := p.Lend(context.Background())
			failed <- err
		}()
		synctest.Wait()
		go func() {
			if errors.Is(<-failed, ErrClosed) { // and so Close has begun
				held.Release()
			}
		}()
		begun := now(p)
		require.NotEqual(t, never, p.paceAt)
		p.Close()
		require.Equal(t, begun, now(p))
		require.Zero(t, p.running)
	})
}

// However wrong the guess is, patience costs a waiter no more than its share of a dial.
func TestConnectionPoolPatienceCostsAWaiterAtMostItsShareOfADial(t *testing.T) {
	const dialTime = 100 * time.Millisecond
	type visit struct{ at, hold time.Duration }
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.SampledFrom([]float64{-1, 0.25, 1}).Draw(t, "patience")
		visits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
			return visit{
				time.Duration(rapid.IntRange(0, 1000).Draw(t, "at")) * time.Millisecond,
				time.Duration(rapid.SampledFrom([]int{1, 10, 100, 2000}).Draw(t, "hold")) * time.Millisecond,
			}
		}), 1, 40).Draw(t, "visits")
		slices.SortStableFunc(visits, func(a, b visit) int { return int(a.at - b.at) })
		rapid.SyncTest(t, func(t *rapid.T) {
			p, err := New(Config{Address: "a:1", Dialer: newFakeNet(dialTime), MaxDials: 50, Patience: share})
			require.NoError(t, err)
			worst := dialTime + time.Duration(max(share, 0)*float64(dialTime))
			var wg sync.WaitGroup
			for _, v := range visits {
				p.clk.Sleep(p.epoch.Add(v.at).Sub(now(p)))
				wg.Go(func() {
					asked := now(p)
					c, err := p.Lend(context.Background())
					require.NoError(t, err)
					require.LessOrEqual(t, now(p).Sub(asked), worst)
					p.clk.Sleep(v.hold)
					c.Release()
				})
			}
			wg.Wait()
			p.Close()
			require.Zero(t, p.running)
		})
	})
}

func TestConnectionPoolConfigOfThePaceIsChecked(t *testing.T) {
	_, err := New(Config{Address: "a:1", MaxDials: -1, RetryMin: -1, Patience: 1.5})
	for _, want := range []string{"MaxDials", "RetryMin", "Patience"} {
		require.ErrorContains(t, err, want)
	}
	_, err = New(Config{Address: "a:1", RetryMin: 2, RetryMax: 1})
	require.ErrorContains(t, err, "RetryMin 2ns is more than RetryMax 1ns")
	for _, c := range []struct{ give, want Config }{
		{Config{}, Config{RetryMin: 100 * time.Millisecond, RetryMax: 10 * time.Second}},
		{Config{RetryMax: time.Millisecond}, Config{RetryMin: time.Millisecond, RetryMax: time.Millisecond}},
		{Config{RetryMin: time.Hour}, Config{RetryMin: time.Hour, RetryMax: time.Hour}},
		{Config{Judge: func(error) {}}, Config{RetryMin: 500 * time.Millisecond, RetryMax: 30 * time.Second}},
	} {
		c.give.Address = "a:1"
		p, err := New(c.give)
		require.NoError(t, err)
		require.Equal(t, []time.Duration{c.want.RetryMin, c.want.RetryMax}, []time.Duration{p.cfg.RetryMin, p.cfg.RetryMax})
		require.Equal(t, 16, p.cfg.MaxDials)
		require.InDelta(t, 0.25, p.cfg.Patience, 0)
		p.Close()
	}
}
