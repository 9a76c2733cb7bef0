package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// switchboard is a prober whose answers a test sets.
type switchboard struct {
	mu   sync.Mutex
	down map[string]bool
}

func (s *switchboard) Probe(_ context.Context, address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down[address] {
		return errors.New("down")
	}
	return nil
}

func (s *switchboard) set(address string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		s.down = map[string]bool{}
	}
	s.down[address] = down
}

// checked is a configuration with active checks every 100 ms, of which one decides.
func checked(s *switchboard) Config {
	return Config{
		Check:  Check{Prober: s, Interval: 100 * time.Millisecond, Spread: -1},
		Health: health.Config{Rise: 1, Fall: 1},
		Pool:   pool.Config{MaxConnections: 1},
	}
}

// judged waits until the next checks have been made.
func judged(u *Upstream) {
	u.clk.Sleep(105 * time.Millisecond)
	synctest.Wait()
}

func TestConnectionPoolManagerAFailedDialSendsItsWaiterToTheNextBackend(t *testing.T) {
	inBubble(t, 3, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setFail(addr(0), true)
		f.setFail(addr(1), true)
		a := begin(t, u)
		require.Equal(t, 2, a.Backend)
		require.Equal(t, 3*dialTime, a.Waited)
		s := u.Stats()
		require.EqualValues(t, 1, s.Backends[0].Outcomes[OutcomeConnectFailed])
		require.EqualValues(t, 3, s.Begun)
		require.Zero(t, s.Backends[0].InFlight+s.Backends[1].InFlight)
		answered(u, a)
	})
}

func TestConnectionPoolManagerAConnectErrorSaysHowManyBackendsWereTriedAndWhy(t *testing.T) {
	inBubble(t, 3, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		for i := range 3 {
			f.setFail(addr(i), true)
		}
		err := u.Begin(t.Context(), &Attempt{})
		var connect *ConnectError
		require.ErrorAs(t, err, &connect)
		require.Equal(t, 3, connect.Tried)
		require.ErrorIs(t, err, errRefused)
		require.Contains(t, err.Error(), "upstream web")
		require.False(t, IsTimeout(err))
	})
}

func TestConnectionPoolManagerADialThatTakesTooLongIsATimeout(t *testing.T) {
	cfg := Config{Pool: pool.Config{DialTimeout: time.Second}}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), time.Hour)
		err := u.Begin(t.Context(), &Attempt{})
		require.True(t, IsTimeout(err), "%v", err)
	})
}

// The slot of a failed dial is free: whoever waits without a dial must get it.
func TestConnectionPoolManagerAFailedDialGivesItsSlotToTheNextWaiter(t *testing.T) {
	inBubble(t, 1, Config{Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setFail(addr(0), true)
		first, second := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		u.clk.Sleep(dialTime / 2)
		u.clk.Sleep(dialTime)
		f.setFail(addr(0), false)
		require.ErrorIs(t, first.end(), errRefused)
		require.NoError(t, second.end())
		require.Equal(t, dialTime, second.at.Sub(first.at))
		answered(u, second.Attempt)
		answered(u, begin(t, u))
		require.Equal(t, 2, f.dialsTo(addr(0)))
	})
}

// The first waiter is served by the dial of the second; the dial that it had asked for fails, and nobody hears of it.
func TestConnectionPoolManagerAWaiterWhoseDialServedAnotherOneIsNotForgotten(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		f.setDelay(addr(0), time.Second)
		f.setFail(addr(0), true)
		first := start(t, u, &Attempt{})  // counts on backend 0
		second := start(t, u, &Attempt{}) // counts on backend 1
		require.NoError(t, first.end())
		require.Equal(t, 1, first.Backend, "it is the head of the line")
		require.NoError(t, second.end())
		require.Equal(t, 1, second.Backend)
		require.Equal(t, 2*dialTime, second.Waited, "a new dial began in that moment")
		answered(u, first.Attempt)
		answered(u, second.Attempt)
	})
}

// Two dials, and one of the two waiters has left: when the first dial fails the other one is enough.
func TestConnectionPoolManagerAFailedDialThatNobodyNeedsIsToldToNobody(t *testing.T) {
	inBubble(t, 1, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		gone := start(t, u, &Attempt{})
		u.clk.Sleep(5 * time.Millisecond)
		w := start(t, u, &Attempt{})
		gone.cancel()
		require.ErrorIs(t, gone.end(), context.Canceled)
		f.setFail(addr(0), true)
		u.clk.Sleep(7 * time.Millisecond)
		require.EqualValues(t, 1, u.Stats().Backends[0].Outcomes[OutcomeConnectFailed])
		f.setFail(addr(0), false)
		require.NoError(t, w.end())
		require.Equal(t, dialTime, w.Waited)
		answered(u, w.Attempt)
	})
}

// Health takes the chosen backend out between the choice and the place in the line.
func TestConnectionPoolManagerABackendThatGoesDownWhileItIsAskedIsNotWaitedFor(t *testing.T) {
	var s switchboard
	var u *Upstream
	cfg := checked(&s)
	cfg.Pool.ValidateAfter = time.Nanosecond
	cfg.Pool.Validate = func(nc net.Conn) error {
		b := u.backends[0]
		if nc.(*fakeConn).address == b.address {
			u.checkDone(u.clk.Now(), b, errRefused)
		}
		return errRefused
	}
	inBubble(t, 2, cfg, func(t *testing.T, made *Upstream, f *fakeNet) {
		u = made
		answered(u, begin(t, u))
		answered(u, begin(t, u))
		f.setDelay(addr(0), time.Hour)
		u.clk.Sleep(time.Millisecond)
		a := begin(t, u)
		require.Equal(t, 1, a.Backend)
		require.Equal(t, dialTime, a.Waited)
		answered(u, a)
	})
}

func TestConnectionPoolManagerWaitersOfABackendThatGoesDownAreSentElsewhere(t *testing.T) {
	var s switchboard
	inBubble(t, 2, checked(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		f.setDelay(addr(0), time.Hour)
		w := start(t, u, &Attempt{})
		require.Equal(t, 1, u.Stats().Backends[0].InFlight)
		s.set(addr(0), true)
		require.NoError(t, w.end())
		require.Equal(t, 1, w.Backend)
		require.Equal(t, 1, u.Stats().Available)
		answered(u, w.Attempt)
	})
}

func TestConnectionPoolManagerWhenTheLastBackendGoesDownEveryWaiterFailsAtOnce(t *testing.T) {
	var s switchboard
	inBubble(t, 1, checked(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := begin(t, u)
		w, v := start(t, u, &Attempt{}), start(t, u, &Attempt{})
		s.set(addr(0), true)
		require.ErrorIs(t, w.end(), ErrNoBackend)
		require.ErrorIs(t, v.end(), ErrNoBackend)
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
		require.ErrorIs(t, u.BeginFresh(t.Context(), &Attempt{}), ErrNoBackend)
		answered(u, a)
		s.set(addr(0), false)
		judged(u)
		answered(u, begin(t, u))
	})
}

// The one untried backend goes down while the request waits for it: then a second visit is better than none.
func TestConnectionPoolManagerARetryWhoseLastUntriedBackendGoesDownVisitsAnotherOneAgain(t *testing.T) {
	for name, counting := range map[string]bool{"counting on its dial": true, "waiting for room": false} {
		t.Run(name, func(t *testing.T) {
			var s switchboard
			inBubble(t, 2, checked(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
				u.Start()
				var other *Attempt
				if !counting {
					begin0 := begin(t, u)
					other = begin(t, u)
					answered(u, begin0)
				}
				f.setDelay(addr(1), time.Hour)
				again := &Attempt{}
				again.avoid(0)
				w := start(t, u, again)
				require.False(t, w.returned())
				s.set(addr(1), true)
				judged(u)
				judged(u)
				require.True(t, w.returned())
				require.NoError(t, w.end())
				require.Equal(t, 0, w.Backend)
				answered(u, w.Attempt)
				if other != nil {
					answered(u, other)
				}
			})
		})
	}
}

func TestConnectionPoolManagerAWaiterWhoseDialsFailedIsToldSoWhenTheRestGoesDown(t *testing.T) {
	var s switchboard
	inBubble(t, 2, checked(&s), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		u.clk.Sleep(time.Millisecond)
		f.setFail(addr(0), true)
		f.setDelay(addr(1), time.Hour)
		w := start(t, u, &Attempt{})
		s.set(addr(1), true)
		var connect *ConnectError
		require.ErrorAs(t, w.end(), &connect)
		require.Equal(t, 1, connect.Tried)
	})
}

// A backend with many free slots comes up: the waiters get their dials side by side, not one after the other.
func TestConnectionPoolManagerABackendThatComesUpServesAllWaitersAtOnce(t *testing.T) {
	var s switchboard
	cfg := checked(&s)
	cfg.Pool.MaxConnections = 4
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		s.set(addr(1), true)
		u.Start()
		judged(u)
		var held []*Attempt
		for range 4 {
			held = append(held, begin(t, u))
		}
		var line []*call
		for range 4 {
			line = append(line, start(t, u, &Attempt{}))
		}
		s.set(addr(1), false)
		for _, c := range line {
			require.NoError(t, c.end())
			require.Equal(t, 1, c.Backend)
			require.Equal(t, line[0].at, c.at, "the dials ran side by side")
			held = append(held, c.Attempt)
		}
		for _, a := range held {
			answered(u, a)
		}
	})
}

func TestConnectionPoolManagerTrafficEjectsABackendAndTimeBringsItBack(t *testing.T) {
	cfg := Config{Health: health.Config{Passive: health.Passive{Consecutive5xx: 2, BaseEjectionTime: time.Second}}}
	var events []Event
	cfg.Observer = func(e Event) { events = append(events, e) }
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		for range 3 {
			a := begin(t, u)
			o := OutcomeAnswered
			if a.Backend == 0 {
				o = OutcomeAnswered5xx
			}
			u.Finish(a, u.clk.Now(), o, true, 0)
		}
		require.Equal(t, 1, u.Stats().Available)
		require.Equal(t, health.Ejected, u.Stats().Backends[0].Health.Status)
		for range 3 {
			a := begin(t, u)
			require.Equal(t, 1, a.Backend)
			answered(u, a)
		}
		u.clk.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 2, u.Stats().Available)
	})
	kinds := []string{}
	seq := map[string]uint64{}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		seq[e.Entity]++
		require.Equal(t, seq[e.Entity], e.Seq, "numbered without a gap")
		require.False(t, e.At.IsZero())
	}
	require.Equal(t, []string{
		KindDialled, KindAttemptFailed, KindDialled, KindAttemptFailed, KindDown, KindUp, KindRetired, KindRetired,
	}, kinds)
	require.Equal(t, health.Consecutive5xx.String(), events[4].Reason)
	require.Equal(t, "2 of 2", events[4].Detail)
	require.Equal(t, "web/"+addr(0), events[4].Entity)
	require.Equal(t, health.EjectionOver.String(), events[5].Reason)
	require.Equal(t, pool.ReasonPoolClosed.String(), events[6].Reason)
}

func TestConnectionPoolManagerCloseTakesBackThePendingEndOfAnEjection(t *testing.T) {
	cfg := Config{Health: health.Config{Passive: health.Passive{Consecutive5xx: 1, BaseEjectionTime: time.Hour}}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		u.Finish(a, u.clk.Now(), OutcomeAnswered5xx, true, 0)
		require.Equal(t, 1, u.Stats().Available)
		begun := u.clk.Now()
		u.Close()
		require.Equal(t, begun, u.clk.Now())
	})
}

func TestConnectionPoolManagerStartAndCloseAtOnceLeaveNoChecksBehind(t *testing.T) {
	for range 50 {
		var s switchboard
		cfg := checked(&s)
		cfg.Name, cfg.Backends, cfg.Dialer, cfg.Rand = "web", group(3), newFakeNet(), seeded
		u, err := New(cfg)
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(u.Start)
		wg.Go(u.Close)
		wg.Wait()
		u.Start() // does nothing any more
		u.Close()
	}
}
