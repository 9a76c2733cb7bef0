package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// operated runs body with a simulated proxy in front of n backends, and checks the accounts after it.
func operated(t *testing.T, n int, tune func(*config.Config), body func(t *testing.T, w *simWorld)) {
	t.Helper()
	netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(sim *netsim.Sim) {
		w := newSimWorld(t, sim, n, func(c *config.Config) {
			c.Upstreams[0].Health.Active = nil
			c.DrainTimeout = 2 * time.Second
			if tune != nil {
				tune(c)
			}
		})
		body(t, w)
		w.stop()
	})
}

// gets are n requests of one client each.
func gets(clients, n int, pause time.Duration) [][]simRequest {
	var work [][]simRequest
	for c := range clients {
		var list []simRequest
		for k := range n {
			list = append(list, simRequest{method: "GET", nonce: fmt.Sprintf("c%d-%d", c, k), pause: pause})
		}
		work = append(work, list)
	}
	return work
}

// during runs the work and, when that has gone on for a while, what is done meanwhile. It returns how many requests were
// answered.
func (w *simWorld) during(t *testing.T, work [][]simRequest, after time.Duration, do func()) (answered int) {
	done := make(chan struct{})
	w.clk.AfterFunc(after, func() {
		defer close(done)
		do()
	})
	for _, list := range w.runClients(10*time.Second, work) {
		for _, a := range list {
			if a.status == 200 {
				answered++
			}
		}
	}
	<-done
	return answered
}

// changed is a copy of the settings in force, changed.
func changed(s *proxy.Server, tune func(c *config.Config)) *config.Config {
	next := *s.Settings()
	next.Listeners, next.Upstreams = slices.Clone(next.Listeners), slices.Clone(next.Upstreams)
	for i := range next.Listeners {
		next.Listeners[i].Routes = slices.Clone(next.Listeners[i].Routes)
	}
	for i := range next.Upstreams {
		next.Upstreams[i].Backends = slices.Clone(next.Upstreams[i].Backends)
	}
	tune(&next)
	return &next
}

func TestAnUpstreamThatAReloadTakesAwayServesWhoeverWaitsForIt(t *testing.T) {
	tune := func(c *config.Config) {
		c.Upstreams[0].Backends = c.Upstreams[0].Backends[:1]
		c.Upstreams[0].Pool.MaxConnections = 1
	}
	operated(t, 2, tune, func(t *testing.T, w *simWorld) {
		w.backends[0].service = 300 * time.Millisecond
		answered := w.during(t, gets(4, 1, 0), 100*time.Millisecond, func() {
			require.Equal(t, 3, w.server.Stats().Upstreams[0].Waiting)
			changes, err := w.server.Reload(changed(w.server, func(c *config.Config) {
				c.Upstreams = []config.Upstream{config.DefaultUpstream("next", backendAddr(1)+":80")}
				c.Listeners[0].Routes = []config.Route{{Upstream: "next"}}
			}))
			require.NoError(t, err)
			require.Equal(t, []string{"listeners[:8080].routes[0].upstream: next instead of web", "upstreams: next added",
				"upstreams: web removed"}, changes)
			st := w.server.Stats()
			require.Equal(t, []string{"next", "web"}, []string{st.Upstreams[0].Name, st.Upstreams[1].Name})
		})
		require.Equal(t, 4, answered)
		w.clk.Sleep(time.Second)
		st := w.server.Stats()
		require.Len(t, st.Upstreams, 1)
		require.EqualValues(t, 4, st.Retired.Begun, "what it has counted is not lost")
		require.EqualValues(t, 4, st.Retired.Removed.Outcomes[upstream.OutcomeAnswered])
		require.Equal(t, 1, w.during(t, gets(1, 1, 0), 0, func() {}))
		require.EqualValues(t, 1, w.server.Stats().Upstreams[0].Begun)
	})
}

func TestWhoHoldsUpARetiredUpstreamForTooLongIsCutOff(t *testing.T) {
	operated(t, 2, nil, func(t *testing.T, w *simWorld) {
		w.backends[0].service, w.backends[1].service = time.Minute, time.Minute
		began := w.clk.Now()
		answered := w.during(t, gets(1, 1, 0), 100*time.Millisecond, func() {
			_, err := w.server.Reload(changed(w.server, func(c *config.Config) {
				c.Upstreams[0].Name = "next"
				c.Listeners[0].Routes = []config.Route{{Upstream: "next"}}
			}))
			require.NoError(t, err)
		})
		require.Zero(t, answered)
		require.InDelta(t, 2.1, w.clk.Now().Sub(began).Seconds(), 0.05, "the drain timeout, and no more")
		require.EqualValues(t, 1, w.server.Stats().Failed[proxy.FailShutdown])
	})
}

func TestAReloadThatCannotListenChangesNothing(t *testing.T) {
	operated(t, 1, nil, func(t *testing.T, w *simWorld) {
		host := w.sim.Host("proxy", proxyAddr)
		taken, err := host.Listen(context.Background(), "tcp", ":9092")
		require.NoError(t, err)
		before := w.server.Settings()
		next := changed(w.server, func(c *config.Config) {
			c.Upstreams[0].Strategy = config.StrategyRandom
			c.Upstreams = append(c.Upstreams, config.DefaultUpstream("more", "10.0.0.77:80"))
			for _, a := range []string{":9091", ":9092"} {
				l := config.DefaultListener(a)
				l.Upstream = "more"
				c.Listeners = append(c.Listeners, l)
			}
		})
		_, err = w.server.Reload(next)
		require.ErrorContains(t, err, "proxy: listen on :9092")
		require.Same(t, before, w.server.Settings())
		require.Len(t, w.server.Addrs(), 1)
		require.Len(t, w.server.Stats().Upstreams, 1)
		require.NoError(t, taken.Close())
		changes, err := w.server.Reload(next)
		require.NoError(t, err, "nothing of the first try is left in the way")
		require.Contains(t, changes, "listeners: :9091 added")
		require.Len(t, w.server.Addrs(), 3)
	})
}

func TestAListenerThatIsGoneFinishesItsRequestsAndTakesNoOthers(t *testing.T) {
	second := func(c *config.Config) {
		l := config.DefaultListener(":9090")
		l.Upstream = "web"
		c.Listeners = append(c.Listeners, l)
	}
	operated(t, 1, second, func(t *testing.T, w *simWorld) {
		w.backends[0].service = 300 * time.Millisecond
		answered := w.during(t, gets(2, 2, 0), 100*time.Millisecond, func() {
			_, err := w.server.Reload(changed(w.server, func(c *config.Config) { c.Listeners = c.Listeners[1:] }))
			require.NoError(t, err)
		})
		require.Equal(t, 2, answered, "the first of each client; the second finds nobody who listens")
		require.Len(t, w.server.Addrs(), 1)
		_, err := w.client.DialContext(context.Background(), "tcp", proxyAddr+frontPort)
		require.ErrorContains(t, err, "refused")
		nc, err := w.client.DialContext(context.Background(), "tcp", proxyAddr+":9090")
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		w.clk.Sleep(time.Second)
		require.Zero(t, w.server.Stats().Open)
	})
}

func TestAReloadOfTheSameSettingsChangesNothing(t *testing.T) {
	operated(t, 2, nil, func(t *testing.T, w *simWorld) {
		require.Equal(t, 4, w.during(t, gets(2, 2, 0), 0, func() {}))
		before := w.server.Stats()
		changes, err := w.server.Reload(changed(w.server, func(*config.Config) {}))
		require.NoError(t, err)
		require.Empty(t, changes)
		require.Equal(t, before.Upstreams, w.server.Stats().Upstreams)
		events := w.server.Events()
		last := events[len(events)-1]
		require.Equal(t, []string{"server", upstream.KindOperation, "reload", "0 changes"},
			[]string{last.Entity, last.Kind, last.Reason, last.Detail})
	})
}

func TestNewLimitsHoldForWhatComesNext(t *testing.T) {
	operated(t, 1, nil, func(t *testing.T, w *simWorld) {
		changes, err := w.server.Reload(changed(w.server, func(c *config.Config) {
			c.Listeners[0].MaxRequestBody, c.Listeners[0].Workers, c.Listeners[0].MaxStreams = 10, 7, 9
			c.Admin.Address = "127.0.0.1:9901"
		}))
		require.NoError(t, err)
		require.Equal(t, []string{"listeners[:8080].workers: 7 instead of 4 (takes a restart)",
			"listeners[:8080].max_streams: 9 instead of 100",
			"listeners[:8080].max_request_body: 10 instead of off", "admin.address: 127.0.0.1:9901 instead of off (takes a restart)"},
			changes)
		require.Empty(t, w.server.Settings().Admin.Address, "what takes a restart is not in force")
		require.Equal(t, 4, w.server.Settings().Listeners[0].Workers)
		for size, status := range map[int]int{10: 200, 11: 413} {
			answers := w.runClients(time.Second, [][]simRequest{{{method: "POST", nonce: "c0-0", body: size}}})
			require.Equal(t, status, answers[0][0].status)
		}
	})
}

func TestWeightsHoldAfterTheyWereChanged(t *testing.T) {
	operated(t, 3, nil, func(t *testing.T, w *simWorld) {
		require.NoError(t, w.server.SetWeight("web", backendAddr(0)+":80", 6))
		require.NoError(t, w.server.SetWeight("web", backendAddr(1)+":80", 3))
		require.Equal(t, 500, w.during(t, gets(5, 100, 0), 0, func() {}))
		for i, want := range []int{300, 150, 50} {
			require.InDelta(t, want, len(w.backends[i].seen), 2)
		}
		require.Equal(t, 6, w.server.Settings().Upstreams[0].Backends[0].Weight)
	})
}

func TestAnOperationThatIsImpossibleSaysWhyAndWhatWasMeant(t *testing.T) {
	operated(t, 2, nil, func(t *testing.T, w *simWorld) {
		s, one, two := w.server, backendAddr(0)+":80", backendAddr(1)+":80"
		before := s.Settings()
		for _, c := range []struct {
			err  error
			is   error
			text string
		}{
			{s.DrainBackend("wep", one), proxy.ErrUnknownUpstream, `upstream "wep": no such upstream; did you mean web?`},
			{s.DrainBackend("cache", one), proxy.ErrUnknownUpstream, `no such upstream; known: web`},
			{s.DrainBackend("web", "10.0.0.1:8"), upstream.ErrUnknownBackend,
				"upstream web: backend 10.0.0.1:8: no such backend; did you mean 10.0.0.1:80?"},
			{s.UndrainBackend("web", "b"), upstream.ErrUnknownBackend, "known: 10.0.0.1:80, 10.0.0.2:80"},
			{s.AddBackend("web", config.Backend{Address: two}), upstream.ErrKnownBackend, "backend 10.0.0.2:80: there is such a backend"},
			{s.SetWeight("web", one, config.MaxWeight+1), upstream.ErrBadWeight, "weight 1001 is not between 1 and 1000"},
			{s.SetWeight("web", one, 0), upstream.ErrBadWeight, "weight 0 is not between 1 and 1000"},
			{s.RemoveBackend("web", "10.0.0.3:80"), upstream.ErrUnknownBackend, "did you mean"},
		} {
			require.ErrorIs(t, c.err, c.is)
			require.ErrorContains(t, c.err, c.text)
		}
		var mistakes config.Errors
		require.ErrorAs(t, s.AddBackend("web", config.Backend{Address: "10.0.0.3"}), &mistakes)
		require.ErrorAs(t, s.AddBackend("web", config.Backend{Address: "10.0.0.3:80", Weight: 1001}), &mistakes)
		_, err := s.Reload(changed(s, func(c *config.Config) { c.Listeners[0].Routes[0].Upstream = "wep" }))
		require.ErrorAs(t, err, &mistakes)
		_, err = s.Reload(changed(s, func(c *config.Config) {
			c.Listeners[0] = config.Listener{Address: frontPort, Protocol: config.ProtocolTCP, Upstream: "web"}
		}))
		require.ErrorContains(t, err, "listener :8080: its protocol cannot change while it is open")
		require.Same(t, before, s.Settings(), "nothing has changed")

		require.NoError(t, s.SetWeight("web", one, config.MaxWeight))
		require.NoError(t, s.RemoveBackend("web", one))
		require.ErrorIs(t, s.RemoveBackend("web", two), upstream.ErrLastBackend)
		require.NoError(t, s.Drain(context.Background()))
		require.ErrorIs(t, s.DrainBackend("web", two), proxy.ErrNotRunning)
		_, err = s.Reload(s.Settings())
		require.ErrorIs(t, err, proxy.ErrNotRunning)
	})
}
