package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/pool"
)

// breaking has breakers that open at the second failure, for a second, and then admit one request.
func breaking() Config {
	return Config{Attempts: 1, Health: health.Config{Passive: health.Passive{MaxEjectionPercent: -1},
		Breaker: health.Breaker{ErrorPercent: 100, MinRequests: 2, OpenTime: time.Second, Probes: 1}}}
}

// opened has the breaker of the only backend open.
func opened(t *testing.T, u *Upstream) {
	for range 2 {
		failed(u, begin(t, u), OutcomeReset)
	}
	require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
	require.Equal(t, health.Open, u.Stats().Backends[0].Health.Circuit)
}

func TestAHalfOpenBreakerAdmitsItsProbesAndNoMore(t *testing.T) {
	inBubble(t, 1, breaking(), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		opened(t, u)
		u.clk.Sleep(time.Second + 1)
		probe := begin(t, u)
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend, "one probe is under way")
		answered(u, probe)
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
		first, second := begin(t, u), begin(t, u)
		answered(u, first)
		answered(u, second)
	})
}

func TestAProbeThatFailsOpensTheBreakerAgainForItsWholeTime(t *testing.T) {
	inBubble(t, 1, breaking(), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		opened(t, u)
		u.clk.Sleep(time.Second + 1)
		probe := begin(t, u)
		u.clk.Sleep(300 * time.Millisecond)
		failed(u, probe, OutcomeReset)
		u.clk.Sleep(time.Second - 1)
		require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
		u.clk.Sleep(2) // not in the very instant in which it half opens
		answered(u, begin(t, u))
		require.Equal(t, 2, u.Stats().Backends[0].Health.Trips)
	})
}

func TestAProbeThatComesToNothingGivesItsPlaceBack(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Upstream, *Attempt){
		"its client has left": func(_ *testing.T, u *Upstream, a *Attempt) { failed(u, a, OutcomeClientGone) },
		"its connection was dead": func(t *testing.T, u *Upstream, a *Attempt) {
			failed(u, a, OutcomeStale)
			require.NoError(t, u.BeginFresh(t.Context(), a))
			failed(u, a, OutcomeClientGone)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, breaking(), func(t *testing.T, u *Upstream, f *fakeNet) {
				u.Start()
				opened(t, u)
				u.clk.Sleep(time.Second + 1)
				end(t, u, begin(t, u))
				require.Equal(t, health.HalfOpen, u.Stats().Backends[0].Health.Circuit)
				answered(u, begin(t, u))
				require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
			})
		})
	}
}

func TestADialThatFailsOpensAHalfOpenBreakerAgain(t *testing.T) {
	inBubble(t, 1, breaking(), func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		opened(t, u)
		f.peerClosesAll(addr(0))
		f.setFail(addr(0), true)
		u.clk.Sleep(time.Second + 1)
		require.Error(t, u.Begin(t.Context(), &Attempt{}))
		synctest.Wait()
		require.Equal(t, health.Open, u.Stats().Backends[0].Health.Circuit)
	})
}

// A request in line is a probe like any other when it is served.
func TestWaitersOfAHalfOpenBackendGetNoMorePlacesThanItHas(t *testing.T) {
	cfg := breaking()
	cfg.Pool = pool.Config{MaxConnections: 3}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		for range 4 { // both open
			failed(u, begin(t, u), OutcomeReset)
		}
		f.setDelay(addr(0), 100*time.Millisecond)
		f.setDelay(addr(1), 100*time.Millisecond)
		u.clk.Sleep(time.Second + 1)
		var calls []*call
		for range 10 {
			calls = append(calls, start(t, u, &Attempt{}))
		}
		u.clk.Sleep(200 * time.Millisecond)
		synctest.Wait()
		served := 0
		for _, c := range calls {
			if c.returned() && c.err == nil {
				served++
			}
		}
		require.Equal(t, 2, served, "one probe at each of two backends")
		for _, c := range calls {
			if c.returned() && c.err == nil {
				answered(u, c.Attempt)
			}
		}
		for _, c := range calls {
			c.cancel()
			synctest.Wait()
			if c.returned() && c.err == nil && c.Attempt.Conn.Lent() {
				answered(u, c.Attempt)
			}
		}
	})
}

// Random traffic over random breakers ends with every account in order, and with breakers that close once all is well.
func TestBreakersComeToRestUnderRandomTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(rt, "backends")
		cfg := breaking()
		cfg.Health.Breaker.Probes = rapid.IntRange(1, 3).Draw(rt, "probes")
		cfg.Attempts = rapid.IntRange(1, 3).Draw(rt, "attempts")
		type step struct {
			o    Outcome
			hold bool
			wait time.Duration
		}
		steps := make([]step, rapid.IntRange(1, 40).Draw(rt, "steps"))
		for i := range steps {
			steps[i] = step{
				o:    rapid.SampledFrom([]Outcome{OutcomeAnswered, OutcomeReset, OutcomeTimeout, OutcomeClientGone, OutcomeStale, OutcomeLost}).Draw(rt, "o"),
				hold: rapid.Bool().Draw(rt, "hold"),
				wait: time.Duration(rapid.IntRange(0, 700).Draw(rt, "ms")) * time.Millisecond,
			}
		}
		inBubble(t, n, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
			u.Start()
			var held []*Attempt
			for _, s := range steps {
				a := &Attempt{}
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				err := u.Begin(ctx, a)
				cancel()
				switch {
				case err != nil:
				case s.hold:
					held = append(held, a)
				default:
					u.Finish(a, u.clk.Now(), s.o, s.o == OutcomeAnswered, pool.ReasonBroken)
				}
				u.clk.Sleep(s.wait)
				for _, b := range u.Stats().Backends {
					h := b.Health
					require.False(t, h.Circuit == health.HalfOpen && h.Status == health.Up && h.CircuitUntil != time.Time{})
				}
			}
			for _, a := range held {
				answered(u, a)
			}
			for range 20 {
				u.clk.Sleep(time.Second)
				synctest.Wait()
				for range 3 * n {
					if a := (&Attempt{}); u.Begin(t.Context(), a) == nil {
						answered(u, a)
					}
				}
			}
			for _, b := range u.Stats().Backends {
				require.Equal(t, health.Closed, b.Health.Circuit)
			}
		})
	})
}

func TestClientsThatGiveUpDoNotHideABackendThatHangs(t *testing.T) {
	cfg := breaking()
	cfg.Health.Breaker = health.Breaker{SlowPercent: 50, SlowAfter: 100 * time.Millisecond, MinRequests: 2, OpenTime: time.Second, Probes: 1}
	inBubble(t, 1, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		leave := func(after time.Duration, change func(*Attempt)) {
			a := begin(t, u)
			u.clk.Sleep(after)
			change(a)
			failed(u, a, OutcomeClientGone)
		}
		for range 5 {
			leave(100*time.Millisecond-1, func(*Attempt) {})
			leave(time.Minute, func(a *Attempt) { a.FirstByte = u.Now() })
			leave(time.Minute, func(a *Attempt) { a.Untimed = true })
		}
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit, "they left too early, too late, or held it up themselves")
		leave(100*time.Millisecond, func(*Attempt) {})
		leave(100*time.Millisecond, func(*Attempt) {})
		require.Equal(t, health.Open, u.Stats().Backends[0].Health.Circuit)
		u.clk.Sleep(time.Second + 1)
		leave(100*time.Millisecond, func(*Attempt) {})
		require.Equal(t, health.Open, u.Stats().Backends[0].Health.Circuit, "so does a probe that nobody waited for to the end")
		u.clk.Sleep(time.Second + 1)
		answered(u, begin(t, u))
		require.Equal(t, health.Closed, u.Stats().Backends[0].Health.Circuit)
	})
}
