package pool

import (
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slowSession takes a while to close, as a session that says goodbye does.
type slowSession struct {
	fakeSession
	takes time.Duration
}

func (s *slowSession) Close() error {
	time.Sleep(s.takes)
	return s.fakeSession.Close()
}

func slowSetUp(room int32, out *[]*slowSession) func(context.Context, net.Conn) (Session, error) {
	return func(_ context.Context, nc net.Conn) (Session, error) {
		s := &slowSession{fakeSession: fakeSession{nc: nc}, takes: 10 * time.Millisecond}
		s.room.Store(room)
		*out = append(*out, s)
		return s, nil
	}
}

func TestConnectionPoolSessionIsRetiredOnceWhileItCloses(t *testing.T) {
	for _, what := range []string{"retire", "close", "fresh", "resize"} {
		t.Run(what, func(t *testing.T) {
			var all []*slowSession
			inBubble(t, Config{MaxConnections: 2, Setup: slowSetUp(3, &all)}, func(t *testing.T, p *Pool, f *fakeNet) {
				a, err := p.Fresh(context.Background(), 0)
				require.NoError(t, err)
				b, err := p.Fresh(context.Background(), 0)
				require.NoError(t, err)
				go a.Discard(ReasonBroken) // in Session.Close for 10 ms
				synctest.Wait()
				switch what {
				case "retire":
					p.Retire()
				case "close":
					go p.Close()
				case "fresh":
					_, err := p.Fresh(context.Background(), 0)
					require.ErrorIs(t, err, ErrNoRoom)
				case "resize":
					require.NoError(t, p.Resize(1))
				}
				time.Sleep(time.Second)
				require.EqualValues(t, 1, all[0].closed.Load(), "Close calls")
				st := p.Stats()
				require.EqualValues(t, 1, st.RetiredTotal())
				require.Equal(t, 1, st.Lent, "%+v", st)
				b.Discard(ReasonBroken)
			})
		})
	}
}

func TestConnectionPoolUnlimitedSessionsGetTheirDial(t *testing.T) {
	ss := &sessions{n: math.MaxInt32}
	setUp := func(ctx context.Context, nc net.Conn) (Session, error) {
		s, err := ss.setUp(ctx, nc)
		return unlimited{s.(*fakeSession)}, err
	}
	inBubble(t, Config{Setup: setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Discard(ReasonBroken)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cs, err := p.GetN(ctx, 0, 2)
		require.NoError(t, err, "dials: %d", f.soFar())
		ReleaseAll(cs)
	})
}

type unlimited struct{ *fakeSession }

func (u unlimited) Available() int { return math.MaxInt }

func TestConnectionPoolWarmUpBeyondMaxIdleDoesNotDialForEver(t *testing.T) {
	inBubble(t, Config{MaxConnections: 10, MaxIdle: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := p.WarmUp(ctx, 5)
		require.LessOrEqual(t, f.soFar(), 100, "%v", err)
	})
}

// slowConn takes a while to close.
type slowConn struct{ fakeConn }

func (c *slowConn) Close() error { time.Sleep(10 * time.Millisecond); return c.fakeConn.Close() }

type dialFunc func(ctx context.Context) (net.Conn, error)

func (d dialFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return d(ctx) }

func slowDialer(ctx context.Context) (net.Conn, error) {
	time.Sleep(10 * time.Millisecond)
	return &slowConn{}, nil
}

func TestConnectionPoolFreshThatLosesItsSlotHandsItOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Address: "a:1", MaxConnections: 1, Dialer: dialFunc(slowDialer)})
		require.NoError(t, err)
		lend(t, p).Release()
		go p.Fresh(context.Background(), 0) // closes the idle one, 10 ms
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		got := make(chan error, 1)
		go func() {
			c, err := p.Lend(ctx)
			if err == nil {
				c.Release()
			}
			got <- err
		}()
		synctest.Wait()
		_ = p.Drain(ctx)
		require.NoError(t, <-got, "who stood in line before Drain is served")
	})
}

func TestConnectionPoolMinIdleSurvivesAFreshThatWasGivenUp(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2, MinIdle: 2, IdleTimeout: -1, MaxLifetime: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		p.Warm()
		time.Sleep(time.Second)
		require.Equal(t, 2, p.Stats().Idle)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := p.Fresh(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Hour)
		require.Equal(t, 2, p.Stats().Idle)
	})
}

func TestConnectionPoolMinIdleIsRefilledThoughSomebodyWaits(t *testing.T) {
	for _, waiter := range []bool{false, true} {
		inBubble(t, Config{MaxConnections: 10, MinIdle: 2, MaxDials: 10, IdleTimeout: -1, MaxLifetime: -1, TrimEvery: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
			p.Warm()
			time.Sleep(time.Second)
			a, b := lend(t, p), lend(t, p)
			if waiter {
				go func() { lend(t, p) }()
				synctest.Wait() // it waits, without a dial for a quarter of a dial's time
			}
			a.Discard(ReasonBroken)
			time.Sleep(time.Minute)
			st := p.Stats()
			b.Release()
			var held []Conn
			p.lock()
			p.eachLoanLocked(func(l *loan) { held = append(held, l.handle()) })
			p.unlock()
			ReleaseAll(held)
			require.Equal(t, 2, st.Idle, "waiter %v: %+v", waiter, st)
		})
	}
}

func TestConnectionPoolResizeEndsNoMoreSessionsThanAreTooMany(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{MaxConnections: 4, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		loans := lendAll(t, p, 8)
		require.NoError(t, p.Resize(3))
		for i := 0; i < 8; i += 2 {
			loans[i].Release() // one stream of each
		}
		for i := 1; i < 8; i += 2 {
			loans[i].Release()
		}
		require.EqualValues(t, 1, p.Stats().Retired[ReasonExcess])
	})
}

func TestConnectionPoolResizeEndsNoMoreThanAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Address: "a:1", MaxConnections: 4, Dialer: dialFunc(slowDialer)})
		require.NoError(t, err)
		loans := lendAll(t, p, 4)
		require.NoError(t, p.Resize(3))
		for _, c := range loans {
			go c.Release()
		}
		time.Sleep(time.Second)
		got := p.Stats().Retired[ReasonExcess]
		p.Close()
		require.EqualValues(t, 1, got)
	})
}

func TestConnectionPoolLongestDurationMeansAlmostForEver(t *testing.T) {
	const long = time.Duration(math.MaxInt64)
	for name, cfg := range map[string]Config{
		"idle": {IdleTimeout: long},
		"life": {MaxLifetime: long, LifetimeSpread: -1},
		"leak": {LeakAfter: long},
		"trim": {TrimEvery: long, IdleTimeout: -1},
		"dial": {DialTimeout: long},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.MinIdle = 2
			inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
				time.Sleep(time.Millisecond)
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				var three []Conn
				for range 3 {
					c, err := p.Lend(ctx)
					require.NoError(t, err)
					three = append(three, c)
				}
				ReleaseAll(three)
				time.Sleep(time.Millisecond)
				p.Warm()
				time.Sleep(time.Second)
				for _, c := range lendAll(t, p, 3) {
					c.Discard(ReasonBroken)
				}
				time.Sleep(time.Minute)
				require.Equal(t, 2, p.Stats().Idle, "MinIdle is not refilled any more: the upkeep is armed for %d", p.upkeepAt)
			})
		})
	}
}

func TestConnectionPoolOuterQueueHearsOfWhatABatchLeftBehind(t *testing.T) {
	var ready atomic.Int32
	inBubble(t, Config{MaxConnections: 2, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		a, b := lend(t, p), lend(t, p)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		go p.GetN(ctx, 0, 2)
		synctest.Wait()
		a.Release() // lies ready for the batch
		_, ok := p.TryLend(now(p), 0)
		require.False(t, ok)
		ready.Store(0)
		time.Sleep(2 * time.Second) // the batch gives up
		heard := ready.Load()
		c, ok := p.TryLend(now(p), 0)
		require.True(t, ok)
		c.Release()
		b.Release()
		require.NotZero(t, heard, "an idle connection that TryLend was refused is free, and nobody was told")
	})
}

func TestConnectionPoolFreshSessionServesTheLine(t *testing.T) {
	ss := &sessions{n: 2}
	inBubble(t, Config{MaxConnections: 2, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		held := lendAll(t, p, 2) // the first session is full
		fresh := make(chan Conn, 1)
		go func() {
			c, err := p.Fresh(context.Background(), 0)
			require.NoError(t, err)
			fresh <- c
		}()
		synctest.Wait() // the second slot is taken
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := p.Lend(ctx)
		free := p.Free()
		if err == nil {
			c.Release()
		}
		ReleaseAll(append(held, <-fresh))
		require.NoError(t, err, "free: %d", free)
	})
}

func TestConnectionPoolRetryDialsForTheOuterQueue(t *testing.T) {
	var ready atomic.Int32
	inBubble(t, Config{RetryMin: time.Minute, RetryMax: time.Minute, OnReady: func() { ready.Add(1) }}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		_, err := p.Lend(context.Background())
		require.Error(t, err)
		require.Zero(t, p.Want(1), "remembered")
		f.setFail(false)
		before := f.soFar()
		ready.Store(0)
		p.Retry()
		time.Sleep(time.Hour)
		require.True(t, f.soFar() > before || ready.Load() > 0, "the wish is forgotten, and nobody was told")
	})
}

func TestConnectionPoolSessionsBornDeadOrBrokenAreNotDialledWithoutPause(t *testing.T) {
	for _, room := range []int32{0, 3} {
		ss := &sessions{n: room}
		setUp := func(ctx context.Context, nc net.Conn) (Session, error) {
			s, err := ss.setUp(ctx, nc)
			s.(*fakeSession).broken.Store(room > 0)
			return s, err
		}
		inBubble(t, Config{Setup: setUp, MinIdle: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
			p.Warm()
			time.Sleep(10 * time.Second)
			require.Less(t, f.soFar(), 100)
			require.NotZero(t, p.Stats().Retired[ReasonSetupFailed])
		})
	}
}

func TestConnectionPoolEventsAgreeWithStats(t *testing.T) {
	for _, what := range []string{"setup", "close"} {
		t.Run(what, func(t *testing.T) {
			var failed atomic.Uint64
			cfg := Config{Observer: func(e Event) {
				if e.Kind == EventDialFailed {
					failed.Add(1)
				}
			}}
			if what == "setup" {
				cfg.Setup = func(context.Context, net.Conn) (Session, error) { return nil, errRefused }
			}
			inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
				if what == "setup" {
					_, err := p.Lend(context.Background())
					require.Error(t, err)
				} else {
					p.Want(1)
					synctest.Wait()
					p.Close()
				}
				require.Equal(t, p.Stats().DialFailed, failed.Load())
			})
		})
	}
}

func TestConnectionPoolRetireFindsThoseInValidation(t *testing.T) {
	var p *Pool
	var bad net.Conn
	var n atomic.Int32
	cfg := Config{MaxConnections: 3, ValidateAfter: 1, Validate: func(nc net.Conn) error {
		if nc == bad {
			done := make(chan struct{})
			if n.Add(1) == 1 {
				go func() { p.Retire(); close(done) }() // another goroutine, at this very moment
				<-done
			}
			return errRefused
		}
		return nil
	}}
	inBubble(t, cfg, func(t *testing.T, pp *Pool, f *fakeNet) {
		p = pp
		cs := lendAll(t, p, 3)
		bad = cs[0].NetConn()
		ReleaseAll(cs)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		got, _ := p.GetN(ctx, 0, 3) // in time or not
		ReleaseAll(got)
		time.Sleep(time.Second)
		old := 0
		p.lock()
		for _, k := range p.conns {
			if k.gen != p.gen {
				old++
			}
		}
		p.unlock()
		require.Zero(t, old, "connections of before Retire lie idle: %+v", p.Stats())
	})
}

func TestConnectionPoolLearnedTimeoutEndsNothingAfterItWasForgotten(t *testing.T) {
	inBubble(t, Config{IdleTimeout: time.Hour, MinIdle: 1, MaxLifetime: -1}, func(t *testing.T, p *Pool, f *fakeNet) {
		for range 3 { // three acts of the peer: 5 s of rest
			c := lend(t, p)
			c.Release()
			time.Sleep(6 * time.Second)
			raw(c).peerCloses()
			lend(t, p).Release()
		}
		require.NotZero(t, p.Stats().LearnedIdleTimeout)
		lend(t, p).Discard(ReasonNotReusable)
		p.Warm() // from here on there is only a connection that nobody uses, and whose looks teach nothing
		time.Sleep(11 * time.Minute)
		require.Zero(t, p.Stats().LearnedIdleTimeout)
		before := p.Stats().Retired[ReasonPeerIdleTimeout]
		time.Sleep(10 * time.Minute)
		require.Equal(t, before, p.Stats().Retired[ReasonPeerIdleTimeout], "ended by a timeout that Stats do not know")
	})
}

func TestConnectionPoolFreshDoesNotStormABackendThatIsDown(t *testing.T) {
	inBubble(t, Config{MaxConnections: 20, RetryMin: time.Minute, RetryMax: time.Minute}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p) // keeps the pool from being down
		f.setFail(true)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err := p.Fresh(ctx, 0)
		require.Error(t, err)
		f.count()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { p.Fresh(context.Background(), 0) })
		}
		wg.Wait()
		_, most := f.count()
		c.Release()
		require.LessOrEqual(t, most, 1, "while dials fail there is only one at a time")
	})
}

func TestConnectionPoolNothingIsToldAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(10 * time.Millisecond)
		f.deaf = true
		var closed, late atomic.Bool
		p, err := New(Config{Address: "a:1", Dialer: f, Observer: func(Event) {
			time.Sleep(time.Nanosecond) // stands for a goroutine that is not scheduled for a moment
			if closed.Load() {
				late.Store(true)
			}
		}})
		require.NoError(t, err)
		p.Want(1)
		time.Sleep(time.Millisecond)
		p.Close()
		closed.Store(true)
		time.Sleep(time.Second)
		require.False(t, late.Load(), "an event of a pool goroutine came after Close had returned")
	})
}

func TestConnectionPoolRetryEndsThePauseOfWarmUp(t *testing.T) {
	inBubble(t, Config{RetryMin: time.Minute, RetryMax: time.Minute}, func(t *testing.T, p *Pool, f *fakeNet) {
		f.setFail(true)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		done := make(chan time.Duration, 1)
		begun := p.now()
		go func() { _ = p.WarmUp(ctx, 1); done <- p.now() - begun }()
		time.Sleep(time.Second)
		f.setFail(false)
		p.Retry()
		require.Less(t, <-done, 2*time.Second)
	})
}

func TestConnectionPoolSessionRetiredTwiceBreaksTheBooks(t *testing.T) {
	var all []*slowSession
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(time.Millisecond)
		p, err := New(Config{Address: "a:1", Dialer: f, Setup: slowSetUp(3, &all)})
		require.NoError(t, err)
		a, err := p.Fresh(context.Background(), 0)
		require.NoError(t, err)
		b, err := p.Fresh(context.Background(), 0)
		require.NoError(t, err)
		go a.Discard(ReasonBroken)
		synctest.Wait()
		p.Retire()
		time.Sleep(time.Second)
		require.NotPanics(t, func() { b.Release() })
		p.Close()
	})
}

func TestConnectionPoolFreshDoesNotStarveABatch(t *testing.T) {
	inBubble(t, Config{MaxConnections: 2}, func(t *testing.T, p *Pool, f *fakeNet) {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 15 * time.Millisecond)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := p.Fresh(context.Background(), 0); err == nil {
						time.Sleep(20 * time.Millisecond)
						c.Release()
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cs, err := p.GetN(ctx, 0, 2)
		close(stop)
		wg.Wait()
		ReleaseAll(cs)
		require.NoError(t, err)
	})
}

func TestConnectionPoolFreeCountsNoPlaceOnABrokenSession(t *testing.T) {
	ss := &sessions{n: 3}
	inBubble(t, Config{MaxConnections: 1, Setup: ss.setUp}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		ss.all[0].broken.Store(true)
		p.SessionChanged()
		time.Sleep(time.Second)
		free := p.Free()
		_, ok := p.TryLend(now(p), 0)
		require.False(t, ok)
		c.Release()
		require.Zero(t, free)
	})
}

func TestConnectionPoolValidateThatPanicsLosesNoSlot(t *testing.T) {
	inBubble(t, Config{Validate: func(net.Conn) error { panic("validate lost its mind") }}, func(t *testing.T, p *Pool, f *fakeNet) {
		lend(t, p).Release()
		time.Sleep(time.Second)
		func() {
			defer func() { _ = recover() }() // as net/http does around a handler
			p.TryLend(now(p), 0)
		}()
		st := p.Stats()
		require.Zero(t, st.Lent, "a connection that nobody has")
	})
}

func TestConnectionPoolMisuseDoesNotLeaveThePoolLocked(t *testing.T) {
	t.Run("shard", func(t *testing.T) {
		inBubble(t, Config{MaxConnections: 1}, func(t *testing.T, p *Pool, f *fakeNet) {
			c := lend(t, p)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			go func() {
				defer func() { _ = recover() }()
				_, _ = p.GetN(ctx, 7, 1)
			}()
			synctest.Wait()
			require.NotPanics(t, c.Release, "the innocent borrower pays")
		})
	})
	t.Run("reason", func(t *testing.T) {
		inBubble(t, Config{}, func(t *testing.T, p *Pool, f *fakeNet) {
			c := lend(t, p)
			func() {
				defer func() { _ = recover() }()
				c.Discard(Reason(200))
			}()
			free := p.mu.TryLock()
			p.mu.Unlock()
			require.True(t, free, "Pool.mu stays locked for ever")
			c.Release()
		})
	})
}
