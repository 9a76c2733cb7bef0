package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

func TestConnectionPoolManagerDialsLendsAndReuses(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.Equal(t, "web", u.Name())
		a := begin(t, u)
		require.Equal(t, dialTime, a.Waited)
		require.Equal(t, addr(a.Backend), a.Address)
		require.Equal(t, 1, a.Number)
		require.False(t, a.Conn.Reused())
		answered(u, a)
		b := begin(t, u)
		require.NotEqual(t, a.Backend, b.Backend, "round-robin")
		answered(u, b)
		c := begin(t, u)
		require.Equal(t, a.Backend, c.Backend)
		require.Zero(t, c.Waited, "an idle connection is lent at once")
		require.True(t, c.Conn.Reused())
		answered(u, c)
		s := u.Stats()
		require.EqualValues(t, 3, s.Begun)
		require.EqualValues(t, 2, s.Waits)
		require.Equal(t, 2, s.Available)
	})
}

func TestConnectionPoolManagerServesWhateverBecomesFreeFirstAtAnyBackend(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(1), time.Second)
		first := begin(t, u) // at backend 0
		w := start(t, u, &Attempt{})
		require.Equal(t, 1, u.Stats().Backends[1].InFlight, "it counts on a dial of backend 1")
		answered(u, first)
		require.NoError(t, w.end())
		require.Equal(t, 0, w.Backend, "the connection that came back was first")
		require.Zero(t, u.Stats().Backends[1].InFlight)
		answered(u, w.Attempt)
	})
}

func TestConnectionPoolManagerServesTheLineFirstComeFirst(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		var line []*call
		for range 4 {
			line = append(line, start(t, u, &Attempt{}))
		}
		answered(u, a)
		for i, c := range line {
			require.True(t, c.returned(), "number %d has its turn", i)
			for _, later := range line[i+1:] {
				require.False(t, later.returned())
			}
			require.NoError(t, c.end())
			answered(u, c.Attempt)
		}
		require.Equal(t, 1, f.dialsTo(addr(0)))
	})
}

func TestConnectionPoolManagerANewcomerDoesNotOvertakeAWaiterThatHasNoDial(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a, b := begin(t, u), begin(t, u)
		w := start(t, u, &Attempt{})
		newcomer := start(t, u, &Attempt{})
		answered(u, b)
		require.True(t, w.returned())
		require.False(t, newcomer.returned())
		answered(u, a)
		require.NoError(t, newcomer.end())
		answered(u, w.Attempt)
		answered(u, newcomer.Attempt)
	})
}

// A waiter that had tried the backend with the idle connection must not make the next one dial beside it.
func TestConnectionPoolManagerAnIdleConnectionIsTakenWithoutADialWhoeverWaits(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		other, back := begin(t, u), begin(t, u)
		tried := &Attempt{}
		tried.avoid(back.Backend)
		w := start(t, u, tried)
		answered(u, back)
		require.False(t, w.returned(), "it will not go where it has been")
		c := begin(t, u)
		require.Equal(t, back.Backend, c.Backend)
		require.Zero(t, c.Waited)
		answered(u, c)
		answered(u, other)
		require.NoError(t, w.end())
		answered(u, w.Attempt)
		require.Equal(t, 1, f.dialsTo(addr(0)))
		require.Equal(t, 1, f.dialsTo(addr(1)))
	})
}

func TestConnectionPoolManagerMaxWaitingTurnsTheNextRequestAwayAtOnce(t *testing.T) {
	cfg := Config{MaxWaiting: 1, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		w := start(t, u, &Attempt{})
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrQueueFull)
		require.Equal(t, 1, u.Stats().Backends[0].InFlight, "no pick is left behind")
		answered(u, a)
		require.NoError(t, w.end())
		answered(u, w.Attempt)
	})
	inBubble(t, 1, Config{MaxWaiting: -1}, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrQueueFull, "nobody may wait, not even for a dial")
		require.Zero(t, u.Stats().Backends[0].InFlight)
	})
}

func TestConnectionPoolManagerQueueTimeoutIsExact(t *testing.T) {
	cfg := Config{QueueTimeout: 300 * time.Millisecond, Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		begun := u.clk.Now()
		w := start(t, u, &Attempt{})
		require.ErrorIs(t, w.end(), ErrQueueTimeout)
		require.Equal(t, 300*time.Millisecond, w.at.Sub(begun))
		s := u.Stats()
		require.Zero(t, s.Waiting)
		require.EqualValues(t, s.Waits, s.Wait.Count, "one waited for its dial, and one in vain")
		require.Equal(t, dialTime+300*time.Millisecond, s.Wait.Sum)
		answered(u, a)
	})
	inBubble(t, 1, Config{QueueTimeout: -1}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), 4*time.Second)
		ctx, cancel := u.clk.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := u.clk.Now()
		require.ErrorIs(t, u.Begin(ctx, &Attempt{}), context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, u.clk.Now().Sub(begun), "only the caller's own limit")
	})
}

func TestConnectionPoolManagerAWaiterThatLeavesTakesNothingFromTheOthers(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		gone, w := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		gone.cancel()
		require.ErrorIs(t, gone.end(), context.Canceled)
		answered(u, a)
		require.NoError(t, w.end())
		answered(u, w.Attempt)
	})
}

func TestConnectionPoolManagerADialWhoseWaiterLeftServesTheNextOne(t *testing.T) {
	inBubble(t, 1, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		gone := start(t, u, &Attempt{})
		u.clk.Sleep(6 * time.Millisecond)
		gone.cancel()
		require.ErrorIs(t, gone.end(), context.Canceled)
		w := begin(t, u)
		require.Equal(t, 4*time.Millisecond, w.Waited)
		require.Equal(t, 1, f.dialsTo(addr(0)))
		answered(u, w)
	})
}

// The grant has been sent, and the waiter has not run yet, when its context ends.
func TestConnectionPoolManagerAGrantWhoseContextEndsInTheSameMomentGoesToTheNextInLine(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		w, next := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		u.mu.Lock()
		served := u.queue.firstFor(0)
		u.claimLocked(served, u.backends[0])
		u.mu.Unlock()
		w.cancel()
		require.False(t, w.returned(), "it knows that a grant is on its way")
		c, id := a.Conn, a.Conn.ID()
		a.Conn = pool.Conn{} // as if a had finished: its connection is what is granted
		u.mu.Lock()
		u.inFlight--
		u.backends[0].outcomes[OutcomeAnswered]++
		u.picker.Done(0, outcomes[OutcomeAnswered].lb, 0)
		u.mu.Unlock()
		served.served <- grant{backend: u.backends[0], conn: c}
		require.ErrorIs(t, w.end(), context.Canceled)
		require.False(t, w.Conn.Lent())
		require.NoError(t, next.end())
		require.Equal(t, id, next.Conn.ID())
		answered(u, next.Attempt)
	})
}

func TestConnectionPoolManagerManyWaitersThatGiveUpWhileTheyAreServedLoseNothing(t *testing.T) {
	f := newFakeNet()
	f.setDelay(addr(0), 0)
	u, err := New(Config{Name: "web", Backends: group(1), Dialer: f, Pool: pool.Config{MaxConnections: 2}})
	require.NoError(t, err)
	const callers, rounds = 8, 300
	done := make(chan error, callers)
	for range callers {
		go func() {
			for n := range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				if n%2 == 0 {
					go cancel()
				}
				var a Attempt
				err := u.Begin(ctx, &a)
				if err == nil {
					answered(u, &a)
				}
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		require.NoError(t, <-done)
	}
	u.Close()
	requireRest(t, u, f)
}

// The waiter's own goroutine looks for a place while its context has ended and the only pool is full, but idle.
func TestConnectionPoolManagerALookForAPlaceEndsWithTheContext(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		answered(u, begin(t, u))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		u.mu.Lock()
		w := &waiter{ctx: ctx, a: &Attempt{}, pick: noPick, only: noPick, own: noPick, served: make(chan grant, 1)}
		u.queue.push(w)
		u.waiting.Store(1)
		u.mu.Unlock()
		u.place(w)
		u.mu.Lock()
		u.leaveLocked(w)
		u.mu.Unlock()
	})
}

func TestConnectionPoolManagerABackendWhoseConnectionsAllDiedIsDialledAnew(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 3}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a, b, c := begin(t, u), begin(t, u), begin(t, u)
		answered(u, a)
		answered(u, b)
		answered(u, c)
		u.clk.Sleep(time.Second)
		f.peerClosesAll(addr(0))
		d := begin(t, u)
		require.Equal(t, dialTime, d.Waited)
		require.EqualValues(t, 3, u.Stats().Backends[0].Pool.Retired[pool.ReasonPeerClosed])
		answered(u, d)
	})
}

func TestConnectionPoolManagerFinishOfAnAttemptThatIsNotUnderWayPanics(t *testing.T) {
	inBubble(t, 1, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		answered(u, a)
		require.Panics(t, func() { answered(u, a) })
	})
}

func TestConnectionPoolManagerBeginAndFinishAllocateNothingWhenAConnectionIsIdle(t *testing.T) {
	for _, strategy := range []string{"round-robin", "least-connections", "random"} {
		f := newFakeNet()
		cfg := Config{Name: "web", Strategy: strategy, Backends: group(3), Dialer: f, Rand: seeded}
		u, err := New(cfg)
		require.NoError(t, err)
		ctx, a := context.Background(), &Attempt{}
		for range 60 {
			require.NoError(t, u.Begin(ctx, a))
			answered(u, a)
		}
		n := testing.AllocsPerRun(200, func() {
			a.Reset()
			if err := u.Begin(ctx, a); err != nil {
				panic(err)
			}
			u.Finish(a, u.clk.Now(), OutcomeAnswered, true, 0)
		})
		require.Zero(t, n, strategy)
		u.Close()
		requireRest(t, u, f)
	}
}

func TestConnectionPoolManagerCloseFailsTheWaitersInTheirOrderAndWaitsForTheAttempts(t *testing.T) {
	inBubble(t, 2, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a, b := begin(t, u), begin(t, u)
		w := start(t, u, &Attempt{})
		closed := make(chan struct{})
		go func() {
			u.Close()
			close(closed)
		}()
		require.ErrorIs(t, w.end(), ErrClosed)
		synctest.Wait()
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrClosed)
		answered(u, b)
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close returned with an attempt under way")
		default:
		}
		answered(u, a)
		<-closed
	})
}

func TestConnectionPoolManagerCloseGivesUpDialsUnderWay(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), time.Hour)
		f.setDelay(addr(1), time.Hour)
		w := start(t, u, &Attempt{})
		fresh := &Attempt{Backend: 1, on: u.backends[1]}
		failedWith := make(chan error)
		go func() { failedWith <- u.BeginFresh(t.Context(), fresh) }()
		synctest.Wait()
		begun := u.clk.Now()
		u.Close()
		require.Equal(t, begun, u.clk.Now())
		require.ErrorIs(t, w.end(), ErrClosed)
		require.ErrorIs(t, <-failedWith, ErrClosed)
		require.Zero(t, u.Stats().Backends[1].Outcomes[OutcomeConnectFailed], "giving up is no evidence")
	})
}
