package upstream

import (
	"context"
	"io"
	"net"
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

const agentPort = ":5555"

// agents are the agents beside the backends of a fake network: what each says to whoever connects.
type agents struct {
	*fakeNet
	mu    sync.Mutex
	says  map[string]string // by host; none refuses
	asked int
}

func (a *agents) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(address)
	if ":"+port != agentPort {
		return a.fakeNet.DialContext(ctx, network, address)
	}
	a.mu.Lock()
	line, ok := a.says[host]
	a.asked++
	a.mu.Unlock()
	if !ok {
		return nil, errRefused
	}
	near, far := net.Pipe()
	go func() {
		_, _ = io.WriteString(far, line)
		_ = far.Close()
	}()
	return near, nil
}

func (a *agents) say(backend int, line string) {
	host, _, _ := net.SplitHostPort(addr(backend))
	a.mu.Lock()
	a.says[host] = line
	a.mu.Unlock()
	time.Sleep(1200 * time.Millisecond) // it is asked every second, give or take a tenth
	synctest.Wait()
}

// withAgents runs body with a group whose agents are asked every second.
func withAgents(t *testing.T, n int, cfg Config, body func(t *testing.T, u *Upstream, a *agents, events *[]Event)) {
	synctest.Test(t, func(t *testing.T) {
		a := &agents{fakeNet: newFakeNet(), says: map[string]string{}}
		var mu sync.Mutex
		var events []Event
		cfg.Name, cfg.Dialer, cfg.Rand, cfg.Agent = "web", a, seeded, Agent{Port: 5555, Interval: time.Second}
		cfg.Observer = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == KindAgent || e.Kind == KindUp || e.Kind == KindDown {
				events = append(events, e)
			}
		}
		if cfg.Backends == nil {
			cfg.Backends = group(n)
		}
		u, err := New(cfg)
		require.NoError(t, err)
		u.Start()
		defer u.Close()
		body(t, u, a, &events)
		u.Close()
		requireRest(t, u, a.fakeNet)
	})
}

// shares picks so often and returns how often each backend was.
func shares(t *testing.T, u *Upstream, n int) []int {
	all := make([]int, len(u.backends))
	for range n {
		a := begin(t, u)
		all[a.Backend]++
		finish(u, a)
	}
	return all
}

func TestAnAgentsWeightIsAShareOfTheConfiguredOne(t *testing.T) {
	for name, c := range map[string]struct{ weights, want []int }{
		"of one":            {[]int{1, 1, 1}, []int{40, 80, 80}},
		"of different ones": {[]int{4, 1, 1}, []int{100, 50, 50}},
		"of the largest":    {[]int{lb.MaxWeight, lb.MaxWeight, lb.MaxWeight}, []int{40, 80, 80}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Strategy: "round-robin", Backends: group(3)}
			for i := range cfg.Backends {
				cfg.Backends[i].Weight = c.weights[i]
			}
			withAgents(t, 3, cfg, func(t *testing.T, u *Upstream, a *agents, events *[]Event) {
				a.say(0, "50%\n")
				got := shares(t, u, 200)
				for i := range got {
					require.InDelta(t, c.want[i], got[i], 2, "%v", got)
				}
				st := u.Stats().Backends[0]
				require.Equal(t, []int{c.weights[0], 50}, []int{st.Weight, st.Agent.Weight})
				require.True(t, slices.ContainsFunc(*events, func(e Event) bool {
					return e.Entity == "web/"+addr(0) && e.Reason == OpReweight.String() && e.Detail == "weight 50% instead of 100%"
				}))
				require.NoError(t, u.SetWeight(addr(1), c.weights[1])) // an operator's weight is what the percentage is of
				a.say(0, "100% # enough\n")
				require.Equal(t, "enough", u.Stats().Backends[0].Agent.Text)
			})
		})
	}
}

func TestAWeightThatChangesAtWorkKeepsTheAgentsShare(t *testing.T) {
	withAgents(t, 2, Config{Strategy: "round-robin"}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		a.say(0, "25%\n")
		require.NoError(t, u.SetWeight(addr(0), 800)) // there is no room for a factor of 100 any more
		require.NoError(t, u.SetWeight(addr(1), 200))
		got := shares(t, u, 100)
		require.InDelta(t, 50, got[0], 2)
		require.NoError(t, u.AddBackend(Backend{Address: addr(2), Weight: 200}))
		got = shares(t, u, 99)
		require.InDelta(t, 33, got[2], 3)
	})
}

func TestAnAgentsDrainAndAnOperatorsAreIndependent(t *testing.T) {
	withAgents(t, 2, Config{Pool: pool.Config{MinIdle: 1}}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		state := func() health.State { return u.Stats().Backends[0].Health }
		held := begin(t, u)
		for held.Backend != 0 {
			defer finish(u, held)
			held = begin(t, u)
		}
		a.say(0, "drain # tonight\n")
		require.Equal(t, health.Drained, state().Status)
		require.Equal(t, health.AgentDrain, state().Reason)
		require.True(t, u.judge.Drained(0))
		require.Equal(t, 1, u.Stats().Backends[0].InFlight, "what is under way there goes on")
		finish(u, held)
		require.Zero(t, u.Stats().Backends[0].Pool.Idle)
		require.NoError(t, u.DrainBackend(addr(0)))
		a.say(0, "ready\n")
		require.Equal(t, []any{health.Drained, health.DrainAsked}, []any{state().Status, state().Reason})
		a.say(0, "0%\n")
		require.NoError(t, u.UndrainBackend(addr(0)))
		require.Equal(t, []any{health.Drained, health.AgentDrain}, []any{state().Status, state().Reason})
		a.say(0, "1%\n")
		require.Equal(t, []any{health.Up, health.AgentReady}, []any{state().Status, state().Reason})
	})
}

func TestAnAgentThatSaysMaintOrDownSendsWhatWaitsThereElsewhere(t *testing.T) {
	for line, want := range map[string]health.Reason{"maint\n": health.AgentMaint, "down # broken\n": health.AgentDown} {
		withAgents(t, 2, Config{Strategy: "first"}, func(t *testing.T, u *Upstream, a *agents, events *[]Event) {
			waits := &Attempt{Repeatable: true}
			require.NoError(t, u.Begin(t.Context(), waits))
			require.True(t, waits.Await())
			require.Zero(t, waits.Backend)
			a.say(0, "drain\n")
			require.False(t, waits.Lost(), "a drain lets it end there")
			a.say(0, line)
			require.True(t, waits.Lost())
			u.Finish(waits, u.clk.Now(), OutcomeLost, false, pool.ReasonBroken)
			if want == health.AgentMaint { // an ill one is still drained, which says more about when it comes back
				require.Equal(t, want, u.judge.State(0).Reason)
			}
			require.False(t, u.judge.Drained(0))
			require.NoError(t, u.Begin(t.Context(), waits))
			require.Equal(t, 1, waits.Backend)
			finish(u, waits)
			a.say(0, "up ready\n")
			require.True(t, u.judge.Available(0))
		})
	}
}

// An agent that cannot be reached says nothing, and neither does one that is not understood. That is told once.
func TestAnAgentThatIsNotHeardChangesNothing(t *testing.T) {
	withAgents(t, 2, Config{}, func(t *testing.T, u *Upstream, a *agents, events *[]Event) {
		time.Sleep(5 * time.Second)
		require.Equal(t, "connect", u.Stats().Backends[0].Agent.Trouble)
		require.Equal(t, 2, u.Stats().Available)
		require.Len(t, *events, 2, "one for each backend")
		a.say(0, "drain 50%\n")
		require.Equal(t, 1, u.Stats().Available)
		for _, line := range []string{"", "up", "ready everything\n", "ready drain\n"} {
			a.say(0, line)
			st := u.Stats()
			require.Equal(t, []any{1, 50, "bad_answer"}, []any{st.Available, st.Backends[0].Agent.Weight, st.Backends[0].Agent.Trouble}, "%q", line)
		}
		a.say(0, "ready\n")
		require.Empty(t, u.Stats().Backends[0].Agent.Trouble)
		var trouble []string
		for _, e := range *events {
			if e.Kind == KindAgent && e.Entity == "web/"+addr(0) {
				trouble = append(trouble, e.Reason)
			}
		}
		require.Equal(t, []string{"connect", "set_weight", "bad_answer"}, trouble)
	})
}

func TestAnAgentBoundsTheConnectionsToItsBackend(t *testing.T) {
	withAgents(t, 1, Config{Pool: pool.Config{MaxConnections: 8, MinIdle: 3}}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		limit := func() int { return u.Stats().Backends[0].Pool.Limit }
		a.say(0, "maxconn:2\n")
		require.Equal(t, 2, limit())
		cfg := u.cfg
		cfg.Pool.MaxConnections = 6
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 2, limit(), "a reload keeps it")
		a.say(0, "maxconn:100\n")
		require.Equal(t, 6, limit(), "it lowers, and does not raise")
		a.say(0, "maxconn:1\n")
		cfg.Agent = Agent{}
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 6, limit())
	})
}

func TestWhereAgentsAreSwitchedOffWhatTheyHaveSaidIsTakenBack(t *testing.T) {
	withAgents(t, 3, Config{Strategy: "round-robin"}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		a.say(0, "maint\n")
		a.say(1, "10% down\n")
		require.Equal(t, 1, u.Stats().Available)
		cfg := u.cfg
		cfg.Agent.Interval = 2 * time.Second
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, 1, u.Stats().Available, "other times change nothing of it")
		cfg.Agent = Agent{}
		require.NoError(t, u.Apply(cfg, 0))
		st := u.Stats()
		require.Equal(t, 3, st.Available)
		require.Equal(t, AgentStats{Weight: 100}, st.Backends[1].Agent)
		require.Equal(t, []int{10, 10, 10}, shares(t, u, 30))
		was := a.asked
		time.Sleep(10 * time.Second)
		require.Equal(t, was, a.asked)
		cfg.Agent = Agent{Port: 5555, Interval: time.Second}
		require.NoError(t, u.Apply(cfg, 0))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, u.Stats().Available)
	})
}

// An answer to a question that was asked before agents were switched off comes late.
func TestALateWordOfAnAgentIsNotHeard(t *testing.T) {
	withAgents(t, 2, Config{}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		b, run := u.backends[0], u.backends[0].agent.run
		cfg := u.cfg
		cfg.Agent.Interval = 2 * time.Second
		require.NoError(t, u.Apply(cfg, 0))
		u.agentSaid(u.Now(), b, run, probe.AgentReport{Says: health.AgentReport{Mode: health.AgentInMaintenance}, Weight: -1})
		u.agentSilent(b, run, errRefused)
		require.Equal(t, 2, u.Stats().Available)
		require.NoError(t, u.RemoveBackend(addr(0), 0))
		u.agentSaid(u.Now(), b, b.agent.run, probe.AgentReport{Says: health.AgentReport{Mode: health.AgentInMaintenance}, Weight: -1})
		require.Equal(t, 1, u.Stats().Available)
	})
}

func TestAnAgentThatCannotBeAskedIsRefused(t *testing.T) {
	for _, a := range []Agent{{Port: -1}, {Port: 65536}, {Send: "x"}, {Port: 1, Interval: -1}, {Port: 1, Timeout: -1},
		{Port: 1, Send: string(make([]byte, probe.MaxAgentSend+1))}} {
		_, err := New(Config{Name: "web", Backends: group(1), Agent: a})
		require.Error(t, err)
	}
}

func TestAnAgentsWeightMayBeMoreThanTheConfiguredOne(t *testing.T) {
	for name, c := range map[string]struct {
		weight int
		line   string
		want   []int
	}{
		"the usual weight":             {1, "300%", []int{150, 50}},
		"a weight of a hundred":        {100, "900%", []int{180, 20}},
		"the greatest weight, doubled": {1000, "200%", []int{133, 67}},
		"the greatest of both":         {1000, "1000%", []int{182, 18}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Strategy: "round-robin", Backends: group(2)}
			cfg.Backends[0].Weight, cfg.Backends[1].Weight = c.weight, c.weight
			withAgents(t, 2, cfg, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
				a.say(0, c.line+"\n")
				got := shares(t, u, 200)
				require.InDelta(t, c.want[0], got[0], 2, "%v", got)
				a.say(0, "100%\n")
				got = shares(t, u, 200)
				require.InDelta(t, 100, got[0], 2, "%v", got)
			})
		})
	}
}

// A drain closes idle connections whether or not the backend was available, as an operator's does.
func TestAnAgentsDrainClosesTheIdleConnectionsOfWhoIsOutAlready(t *testing.T) {
	for name, before := range map[string]func(u *Upstream, a *agents){
		"available": func(*Upstream, *agents) {},
		"ill":       func(u *Upstream, a *agents) { a.say(0, "down\n") },
		"ejected": func(u *Upstream, a *agents) {
			for range 5 {
				u.evidence(u.Now(), u.backends[0], OutcomeConnectFailed)
			}
		},
	} {
		for _, line := range []string{"drain\n", "maint\n", "0%\n"} {
			t.Run(name+" "+line, func(t *testing.T) {
				withAgents(t, 2, Config{Strategy: "first"}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
					answered(u, begin(t, u))
					before(u, a)
					require.Equal(t, 1, u.Stats().Backends[0].Pool.Idle)
					a.say(0, line)
					st := u.Stats().Backends[0]
					require.Equal(t, health.Drained, st.Health.Status)
					require.Zero(t, st.Pool.Idle)
				})
			})
		}
	}
}

// What an agent says of connections, and settings that change in the same moment: the settings that are in force hold.
func TestAnAgentsBoundAndAReloadDoNotUndoEachOther(t *testing.T) {
	withAgents(t, 1, Config{Pool: pool.Config{MaxConnections: 8}}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		cfg := u.cfg
		cfg.Pool.MaxConnections = 3
		tell, once := u.cfg.Observer, false
		u.cfg.Observer = func(e Event) {
			tell(e)
			if e.Kind == KindAgent && e.Reason == OpReweight.String() && !once {
				once = true
				require.NoError(t, u.Apply(cfg, 0))
			}
		}
		a.say(0, "maxconn:6\n")
		require.True(t, once)
		require.Equal(t, 3, u.Stats().Backends[0].Pool.Limit)
	})
}

func TestNothingIsDialledInTheReserveWhereAgentsAreSwitchedOff(t *testing.T) {
	withAgents(t, 2, Config{Instance: "proxy-1", SubsetSize: 1, Pool: pool.Config{MinIdle: 2}},
		func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
			a.say(0, "maxconn:1\n")
			a.say(1, "maxconn:1\n")
			cfg := u.cfg
			cfg.Agent = Agent{}
			require.NoError(t, u.Apply(cfg, 0))
			time.Sleep(time.Second)
			synctest.Wait()
			for _, b := range u.Stats().Backends {
				require.Equal(t, b.Reserve, b.Pool.Idle == 0, b.Address)
			}
		})
}

// firstJudged is what the judge says of the first backend.
func firstJudged(u *Upstream) (says struct{ Available, Probes bool }) {
	u.mu.Lock()
	defer u.mu.Unlock()
	says.Available, says.Probes = u.judge.Available(0), u.judge.Probes(0)
	return says
}

func TestAnAgentThatTakesABackendOutDuringAProbeLeavesTheBreakerAsItWas(t *testing.T) {
	cfg := Config{Health: health.Config{Breaker: health.Breaker{ErrorPercent: 50, MinRequests: 2, OpenTime: time.Second, Probes: 1}}}
	withAgents(t, 1, cfg, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		for _, line := range []string{"maint\n", "drain\n", "down\n", "0%\n"} {
			for firstJudged(u).Available {
				u.Finish(begin(t, u), u.clk.Now(), OutcomeAnswered5xx, true, 0)
			}
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			require.True(t, firstJudged(u).Probes)
			prober := begin(t, u)
			require.False(t, firstJudged(u).Available, "its place is taken")
			a.say(0, line)
			answered(u, prober)
			require.False(t, firstJudged(u).Available, "its breaker is closed, but its agent wants it out")
			require.ErrorIs(t, u.Begin(t.Context(), &Attempt{}), ErrNoBackend)
			a.say(0, "up ready 100%\n")
			require.True(t, firstJudged(u).Available, line)
			requireConserved(t, u, u.Stats())
		}
	})
}

func TestWeightsThatAreReloadedWhileAnAgentWantsNoneHoldWhenItWantsSomeAgain(t *testing.T) {
	withAgents(t, 2, Config{Strategy: "round-robin"}, func(t *testing.T, u *Upstream, a *agents, _ *[]Event) {
		a.say(0, "0%\n")
		cfg := u.cfg
		cfg.Backends = []Backend{{Address: addr(0), Weight: 1000}, {Address: addr(1), Weight: 500}}
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, []int{0, 30}, shares(t, u, 30))
		a.say(0, "50%\n")
		require.Equal(t, []int{50, 50}, shares(t, u, 100))
		a.say(0, "1000%\n")
		require.Equal(t, []int{200, 10}, shares(t, u, 210))
		a.say(1, "0%\n")
		cfg.Agent = Agent{}
		require.NoError(t, u.Apply(cfg, 0))
		require.Equal(t, []int{20, 10}, shares(t, u, 30))
	})
}
