package upstream

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/pool"
)

// operate carries out an action of the script that is an operation, on b or on whatever its number says.
func (w *world) operate(s step, b *backend) bool {
	switch s.op {
	case "add":
		err := w.u.AddBackend(Backend{Address: addr(s.n), Weight: s.n})
		if err != nil {
			require.ErrorIs(w.t, err, ErrKnownBackend)
		}
	case "remove":
		err := w.u.RemoveBackend(b.address, time.Duration(s.n)*20*time.Millisecond)
		if err != nil {
			require.ErrorIs(w.t, err, ErrLastBackend)
			break
		}
		w.u.clk.Sleep(time.Duration(s.n) * 20 * time.Millisecond)
		w.cutOff()
	case "drain":
		require.NoError(w.t, w.u.DrainBackend(b.address))
		require.False(w.t, w.u.judge.Available(b.index))
	case "undrain":
		require.NoError(w.t, w.u.UndrainBackend(b.address))
	case "agent":
		r := probe.AgentReport{Weight: s.n*40 - 40, MaxConnections: s.n % 3}
		r.Says = health.AgentReport{Mode: health.AgentMode(s.n % 4), State: health.AgentState(s.n / 2 % 3), Weightless: r.Weight == 0, Weighty: r.Weight > 0}
		w.u.agentSaid(w.u.Now(), b, b.agent.run, r)
	case "weigh":
		require.NoError(w.t, w.u.SetWeight(b.address, s.n+1))
	case "apply":
		w.apply(s)
	default:
		return false
	}
	return true
}

// cutOff has the borrowers whose connection was closed under their hands find that out.
func (w *world) cutOff() {
	w.look()
	for i := 0; i < len(w.held); i++ {
		if a := w.held[i]; a.Conn.NetConn().(*fakeConn).isClosed() {
			w.held = slices.Delete(w.held, i, i+1)
			failed(w.u, a, OutcomeReset)
			i--
		}
	}
}

// switchHealth switches on or off what judges the backends.
func switchHealth(cfg *Config, s step) {
	h := &cfg.Health
	switch s.outcome {
	case OutcomeAnswered5xx:
		h.Breaker = health.Breaker{}
	case OutcomeReset:
		h.Breaker = health.Breaker{ErrorPercent: 50, MinRequests: 1 + s.n%2, Probes: 1 + s.n%3, OpenTime: 30 * time.Millisecond,
			Window: time.Duration(1+s.n) * time.Second}
	case OutcomeTimeout:
		h.Breaker = health.Breaker{SlowPercent: 50, SlowAfter: 20 * time.Millisecond, MinRequests: 1, Probes: 1, OpenTime: 30 * time.Millisecond}
	case OutcomeStale:
		h.FailOpen = !h.FailOpen
	case OutcomeLost:
		h.PanicPercent = 50 * (s.n % 3)
	case OutcomeBadAnswer:
		h.Passive.Outliers = health.Outliers{}
		if s.n%2 == 0 {
			h.Passive.Outliers = health.Outliers{SuccessRate: 1, Latency: 1.5, Interval: 40 * time.Millisecond, MinBackends: 3, MinRequests: 1}
		}
	case OutcomeClientGone:
		cfg.Check.MaxConcurrent = s.n
		if cfg.Check.Prober = nil; s.n%2 == 0 {
			cfg.Check.Prober = &switchboard{}
		}
	}
}

// checkJudge holds that panic is what the judge says, and that no place of a half-open breaker is nobody's.
func (w *world) checkJudge() {
	u := w.u
	require.Equal(w.t, u.judge.Panicking(), u.panicking)
	require.False(w.t, u.panicTurned, "nobody has carried out what panic means")
	for _, b := range u.backends {
		if b == nil || b.leaving {
			continue
		}
		require.True(w.t, !u.panicking || b.admitted == u.availableLocked(b))
		s := u.judge.State(b.index)
		if s.Circuit != health.HalfOpen || s.CircuitUntil.IsZero() {
			continue
		}
		probes := false
		for _, a := range w.held {
			probes = probes || a.on == b && a.probe != 0
		}
		for _, c := range w.inside {
			probes = probes || (c.on == b || c.on == nil) && c.probe != 0 // a grant that is on its way has no backend yet
		}
		require.True(w.t, probes, "%s admits nobody, and nobody has its places", b.address)
	}
}

// apply reloads the group with other members and settings.
func (w *world) apply(s step) {
	w.u.mu.Lock()
	cfg := w.u.cfg
	w.u.mu.Unlock()
	switchHealth(&cfg, s)
	cfg.Strategy = lb.Strategies()[s.n%len(lb.Strategies())]
	cfg.Backends = group(s.n%4 + 1)
	cfg.Backends[0].Weight = s.n
	cfg.Pool.MaxConnections = s.n%4 + 1
	cfg.Pool.MaxIdle, cfg.Pool.MinIdle = 0, s.n%2
	cfg.Pool.IdleTimeout = time.Duration(s.n+1) * 30 * time.Millisecond
	cfg.MaxWaiting, cfg.QueueTarget = s.n+2, time.Duration(s.n%3)*5*time.Millisecond
	cfg.MaxWaitingPerBackend = int(s.outcome)%4 - 1
	cfg.Concurrency.Min, cfg.Concurrency.Max = 0, s.n%4
	cfg.Instance, cfg.SubsetSize = "a", s.n%3
	cfg.Health.Rise, cfg.Health.Fall = s.n%2+1, s.n%3+1
	require.NoError(w.t, w.u.Apply(cfg, 0))
	w.cutOff()
	require.Equal(w.t, cfg.Backends[0].Address, w.u.Members()[0].Address, "the order is that of the configuration")
	require.Len(w.t, w.u.Members(), len(cfg.Backends))
}

// diary keeps the events, which several goroutines tell. It is read when all of them rest.
type diary struct {
	mu  sync.Mutex
	all []Event
}

func (d *diary) add(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, e)
}

func TestABackendThatIsRemovedFinishesWhatItHasLentAndIsThenGone(t *testing.T) {
	var events diary
	cfg := Config{Observer: events.add}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		left, stays := a.Address, addr(1-a.Backend)
		require.NoError(t, u.RemoveBackend(left, time.Hour))
		for range 3 {
			b := begin(t, u)
			require.Equal(t, stays, b.Address, "it gets nothing new")
			answered(u, b)
		}
		s := u.Stats()
		require.Equal(t, []bool{false, true}, []bool{s.Backends[0].Leaving, s.Backends[1].Leaving})
		require.Equal(t, 1, s.Backends[1].InFlight)
		require.ErrorIs(t, u.RemoveBackend(left, 0), ErrUnknownBackend, "it was removed before")
		require.ErrorIs(t, u.RemoveBackend(stays, 0), ErrLastBackend)

		u.clk.Sleep(time.Minute)
		answered(u, a)
		synctest.Wait()
		s = u.Stats()
		require.Len(t, s.Backends, 1)
		require.Equal(t, 1, s.Removed.Backends)
		require.EqualValues(t, 1, s.Removed.Outcomes[OutcomeAnswered], "what was counted is not lost")
		require.EqualValues(t, 1, s.Removed.Pool.Retired[pool.ReasonPoolClosed])
		last := events.all[len(events.all)-1]
		require.Equal(t, []string{"web/" + left, KindGone, "remove_backend"}, []string{last.Entity, last.Kind, last.Reason})
	})
}

func TestWhatARemovedBackendHasNotGivenBackInItsTimeIsCutOff(t *testing.T) {
	inBubble(t, 2, Config{}, func(t *testing.T, u *Upstream, f *fakeNet) {
		a := begin(t, u)
		require.NoError(t, u.RemoveBackend(a.Address, time.Second))
		u.clk.Sleep(time.Second - time.Millisecond)
		require.False(t, a.Conn.NetConn().(*fakeConn).isClosed())
		u.clk.Sleep(2 * time.Millisecond)
		require.True(t, a.Conn.NetConn().(*fakeConn).isClosed())
		require.True(t, u.Stats().Backends[1].Leaving, "its borrower has not said a word")
		failed(u, a, OutcomeReset)
		synctest.Wait()
		require.Len(t, u.Stats().Backends, 1)
	})
}

func TestAnAddressThatComesBackStartsAnewAndItsEventsGoOn(t *testing.T) {
	var events diary
	cfg := Config{Observer: events.add}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		held := begin(t, u)
		require.NoError(t, u.RemoveBackend(held.Address, time.Hour))
		require.ErrorIs(t, u.AddBackend(Backend{Address: addr(1 - held.Backend)}), ErrKnownBackend)
		require.NoError(t, u.AddBackend(Backend{Address: held.Address, Weight: 3}), "the former one is leaving")
		require.ErrorIs(t, u.AddBackend(Backend{Address: "c:80", Weight: lb.MaxWeight + 1}), ErrBadWeight)
		require.Len(t, u.Stats().Backends, 3)
		fresh := begin(t, u)
		answered(u, held)
		synctest.Wait()
		s := u.Stats()
		require.Len(t, s.Backends, 2)
		require.Equal(t, []int{1, 3}, []int{s.Backends[0].Weight, s.Backends[1].Weight})
		require.EqualValues(t, 1, s.Removed.Outcomes[OutcomeAnswered])
		answered(u, fresh)
		require.NoError(t, u.AddBackend(Backend{Address: "c:80", Weight: lb.MaxWeight}))
		require.Equal(t, held.Backend, u.findLocked("c:80").index, "a vacant index is taken again")
	})
	seqs := map[string]uint64{}
	for _, e := range events.all {
		require.Equal(t, seqs[e.Entity]+1, e.Seq, "%+v", e)
		seqs[e.Entity] = e.Seq
	}
}

func TestWaitersOfADrainedBackendGoElsewhereAndTunnelsThereGoOn(t *testing.T) {
	cfg := Config{Pool: pool.Config{MaxConnections: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		other := begin(t, u)
		require.Equal(t, addr(0), other.Address)
		f.setDelay(addr(1), time.Hour)
		w := start(t, u, &Attempt{}) // counts on the dial that hangs
		require.NoError(t, u.DrainBackend(addr(1)))
		require.NoError(t, u.DrainBackend(addr(1)), "it may be drained already")
		require.Equal(t, health.Drained, u.Stats().Backends[1].Health.Status)
		answered(u, other)
		require.True(t, w.returned())
		require.NoError(t, w.err)
		require.Equal(t, addr(0), w.Address)
		require.NoError(t, u.UndrainBackend(addr(1)))
		require.NoError(t, u.DrainBackend(addr(0)))
		require.True(t, w.Conn.Lent(), "what is under way goes on")
		answered(u, w.Attempt)
		require.Zero(t, u.Stats().Backends[0].Pool.Idle, "what comes back is closed")
	})
}

func TestAnUndrainedBackendThatIsDownComesBackWhenItsChecksPass(t *testing.T) {
	cfg := Config{Check: Check{Prober: &switchboard{}, Interval: time.Hour}, Health: health.Config{Rise: 1, Fall: 1}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		require.NoError(t, u.DrainBackend(addr(0)))
		u.checkDone(u.clk.Now(), u.backends[0], errRefused)
		require.NoError(t, u.UndrainBackend(addr(0)))
		require.Equal(t, health.Down, u.Stats().Backends[0].Health.Status)
		u.checkDone(u.clk.Now(), u.backends[0], nil)
		require.Equal(t, 2, u.Stats().Available)
	})
}

func TestApplyKeepsTheConnectionsTheHealthAndTheCountsOfThoseThatStay(t *testing.T) {
	cfg := Config{Health: health.Config{Passive: health.Passive{Consecutive5xx: 1}}}
	inBubble(t, 3, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a, b, c := begin(t, u), begin(t, u), begin(t, u)
		u.Finish(a, u.Now(), OutcomeAnswered5xx, true, 0) // ejects it
		answered(u, b)
		next := u.cfg
		next.Backends = []Backend{{Address: addr(3)}, {Address: addr(1), Weight: 5}, {Address: addr(0)}}
		next.Strategy, next.Pool.MaxConnections = "least-connections", 7
		require.NoError(t, u.Apply(next, time.Hour))
		s := u.Stats()
		require.Equal(t, []string{addr(3), addr(1), addr(0), addr(2)},
			[]string{s.Backends[0].Address, s.Backends[1].Address, s.Backends[2].Address, s.Backends[3].Address})
		require.Equal(t, 5, s.Backends[1].Weight)
		require.Equal(t, 1, s.Backends[1].Pool.Idle)
		require.EqualValues(t, 1, s.Backends[1].Outcomes[OutcomeAnswered])
		require.Equal(t, health.Ejected, s.Backends[2].Health.Status)
		require.Equal(t, []int{7, 7, 7}, []int{s.Backends[0].Pool.Limit, s.Backends[1].Pool.Limit, s.Backends[2].Pool.Limit})
		require.True(t, s.Backends[3].Leaving)
		require.Equal(t, 1, s.Backends[3].InFlight, "the new picker has the counts of the old one")
		require.Equal(t, 1, f.dialsTo(addr(1)))
		answered(u, c)

		next.Strategy = "best"
		next.Backends = nil
		require.Error(t, u.Apply(next, 0))
		require.Equal(t, "least-connections", u.Stats().Strategy, "a mistake changes nothing")
		require.Len(t, u.Members(), 3)
	})
}

func TestFirstGoesByTheListThatAReloadBrings(t *testing.T) {
	inBubble(t, 3, Config{Strategy: "first", Pool: pool.Config{MaxConnections: 1}}, func(t *testing.T, u *Upstream, f *fakeNet) {
		order := func(want ...int) {
			t.Helper()
			var held []*Attempt
			for _, i := range want {
				held = append(held, begin(t, u))
				require.Equal(t, addr(i), held[len(held)-1].Address)
			}
			for _, a := range held {
				answered(u, a)
			}
		}
		apply := func(backends ...int) {
			cfg := u.cfg
			cfg.Backends = nil
			for _, i := range backends {
				cfg.Backends = append(cfg.Backends, Backend{Address: addr(i)})
			}
			require.NoError(t, u.Apply(cfg, time.Second))
			u.clk.Sleep(2 * time.Second)
		}
		order(0, 1, 2)
		busy := begin(t, u)
		apply(7, 2, 0, 1)
		order(7, 2, 1)
		answered(u, busy)
		order(7, 2, 0, 1)
		apply(0, 1)
		order(0, 1)
		require.NoError(t, u.AddBackend(Backend{Address: addr(3)}))
		order(0, 1, 3)
		apply(3, 1, 0)
		order(3, 1, 0)
	})
}

func TestAnEjectionEndsWhenAReloadSwitchesEjectionsOff(t *testing.T) {
	cfg := Config{Health: health.Config{Passive: health.Passive{ConsecutiveFailures: 1, BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour}}}
	inBubble(t, 2, cfg, func(t *testing.T, u *Upstream, f *fakeNet) {
		u.Start()
		a := begin(t, u)
		out := a.Address
		failed(u, a, OutcomeReset)
		require.Equal(t, 1, u.Stats().Available)
		next := u.cfg
		next.Health.Passive = health.Passive{ConsecutiveFailures: -1, Consecutive5xx: -1}
		require.NoError(t, u.Apply(next, time.Second))
		require.Equal(t, 2, u.Stats().Available)
		used := map[string]bool{}
		for range 2 {
			a := begin(t, u)
			used[a.Address] = true
			answered(u, a)
		}
		require.True(t, used[out])
	})
}
