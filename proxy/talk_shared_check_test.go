package proxy_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// meter serves HTTP/1.1 and notes what checks and requests cost.
type meter struct {
	c  *talk
	mu sync.Mutex
	// of checks, and of requests
	asked [2]int
	conns [2]int
	open  [2]time.Duration
	times []time.Time // of the checks' connections
}

type meteredConn struct{}

func (o *origin) meter(service time.Duration) *meter {
	m := &meter{c: o.c}
	kinds, since := map[net.Conn]int{}, map[net.Conn]time.Time{}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kind := 1
			if r.UserAgent() == "wavepool-probe" {
				kind = 0
			}
			m.mu.Lock()
			m.asked[kind]++
			kinds[r.Context().Value(meteredConn{}).(net.Conn)] = kind
			m.mu.Unlock()
			o.c.clk.Sleep(service)
			_, _ = io.WriteString(w, "ok")
		}),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, meteredConn{}, nc)
		},
		ConnState: func(nc net.Conn, state http.ConnState) {
			m.mu.Lock()
			defer m.mu.Unlock()
			switch state {
			case http.StateNew:
				since[nc] = o.c.clk.Now()
			case http.StateClosed:
				kind := kinds[nc]
				m.conns[kind]++
				m.open[kind] += o.c.clk.Since(since[nc])
				if kind == 0 {
					m.times = append(m.times, since[nc])
				}
			}
		},
	}
	o.c.serving(srv, func() error { return srv.Serve(o.ln) })
	return m
}

// serveHTTP1 serves HTTP/1.1.
func (o *origin) serveHTTP1(h http.HandlerFunc) {
	srv := &http.Server{Handler: h}
	o.c.serving(srv, func() error { return srv.Serve(o.ln) })
}

// checks are the instants at which the connections of checks so far were accepted.
func (m *meter) checks() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Time(nil), m.times...)
}

// every5s are the default times of a check by HTTP.
func every5s(path string) *config.Active {
	a := config.DefaultActive()
	a.HTTP = &config.HTTPCheck{Path: path}
	return &a
}

// another is one more upstream with the same backend.
func another(s *config.Config, name string, a *config.Active) {
	u := s.Upstreams[0]
	u.Name, u.Health.Active = name, a
	s.Upstreams = append(s.Upstreams, u)
}

func TestUpstreamsThatCheckABackendInTheSameWayShareItsChecks(t *testing.T) {
	converse(t, []conversation{{promise: "while they come and go", virtual: true, tune: func(s *config.Config) {
		s.Upstreams[0].Health.Active = every5s("/up")
		another(s, "api", every5s("/up"))
		s.Upstreams[1].Health.Active.Rise = 7 // what follows from checks is each one's own business
	}, talk: func(c *talk) {
		m := c.origins[0].meter(0)
		c.clk.Sleep(30 * time.Second)
		reload := func(tune func(*config.Config)) {
			next := *c.server.Settings()
			next.Upstreams = append([]config.Upstream(nil), next.Upstreams...)
			tune(&next)
			_, err := c.server.Reload(&next)
			require.NoError(c.t, err)
			c.clk.Sleep(31 * time.Second)
		}
		reload(func(s *config.Config) { another(s, "new", every5s("/up")) })
		reload(func(s *config.Config) { // whoever has begun the checks goes
			s.Upstreams = s.Upstreams[1:]
			l := s.Listeners[0]
			l.Upstream, l.Routes = "", []config.Route{{Match: config.Match{PathPrefix: "/"}, Upstream: "api"}}
			s.Listeners = []config.Listener{l}
		})
		reload(func(s *config.Config) { s.Upstreams = s.Upstreams[:1] })
		all := m.checks()
		require.InDelta(c.t, 24, len(all), 2)
		for i := range all[1:] {
			require.InDelta(c.t, 5, all[i+1].Sub(all[i]).Seconds(), 0.55, "check %d of %d", i+1, len(all))
		}
		was, told := len(all), c.server.Stats().Upstreams[0].Backends[0].Checks
		reload(func(s *config.Config) { another(s, "own", every5s("/other")) })
		require.InDelta(c.t, 12, len(m.checks())-was, 2, "others are made beside them")
		require.InDelta(c.t, 6, c.server.Stats().Upstreams[0].Backends[0].Checks-told, 1)
		c.counts(0)
	}}})
}

func TestEachUpstreamJudgesTheSharedChecksByItsOwnRules(t *testing.T) {
	converse(t, []conversation{{promise: "fall", virtual: true, tune: func(s *config.Config) {
		s.Upstreams[0].Health.Active = every5s("/")
		another(s, "api", every5s("/"))
		s.Upstreams[0].Health.Active.Fall, s.Upstreams[1].Health.Active.Fall = 1, 3
	}, talk: func(c *talk) { // nobody answers
		available := func() []int {
			st := c.server.Stats().Upstreams
			return []int{st[0].Available, st[1].Available}
		}
		c.clk.Sleep(2 * time.Second)
		require.Equal(c.t, []int{0, 1}, available())
		c.clk.Sleep(15 * time.Second)
		require.Equal(c.t, []int{0, 0}, available())
		st := c.server.Stats().Upstreams
		require.Equal(c.t, st[0].Backends[0].Checks, st[1].Backends[0].Checks)
		c.counts(0)
	}}})
}

// A promise of the README: at the default interval checks cost less than one percent of the connections' time and of the
// requests of a backend that gets a third of 100 requests a second.
func TestChecksCostLessThanOnePercentOfConnectionsAndRequests(t *testing.T) {
	converse(t, []conversation{{promise: "by default", virtual: true, tune: func(s *config.Config) {
		s.Upstreams[0].Health.Active = every5s("/")
	}, talk: func(c *talk) {
		m := c.origins[0].meter(5 * time.Millisecond)
		client, n := c.client(), 0
		for begun := c.clk.Now(); c.clk.Since(begun) < 5*time.Minute; n++ {
			require.Equal(c.t, "ok", client.send(get).answer().body)
			c.clk.Sleep(21 * time.Millisecond)
		}
		client.close()
		c.counts(n)
		c.clk.Sleep(time.Second)
		require.NoError(c.t, c.server.Drain(context.Background()))
		c.clk.Sleep(time.Second)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open[0] += time.Duration(m.conns[0]) * 4 * time.Millisecond // two round trips that the backend does not see
		asked, open := float64(m.asked[0])/float64(m.asked[1]), m.open[0].Seconds()/m.open[1].Seconds()
		c.t.Logf("%d checks, %d requests: %.2f %%; connections open for %v and %v: %.3f %%",
			m.asked[0], m.asked[1], 100*asked, m.open[0], m.open[1], 100*open)
		require.Greater(c.t, m.asked[0], 50)
		require.Less(c.t, asked, 0.01)
		require.Less(c.t, open, 0.01)
	}}})
}

func TestAnHTTPCheckFollowsTheBodyOfTheAnswer(t *testing.T) {
	converse(t, []conversation{{promise: "contains", tune: checked(func(a *config.Active) {
		a.HTTP = &config.HTTPCheck{Method: "POST", Body: &config.BodyCheck{Contains: `"up"`}}
	}), talk: func(c *talk) { followsBody(c, c.origins[0].serveHTTP1, `{"is":"up"}`, "POST") }},
		{promise: "matches over HTTP2", eager: true, tune: func(s *config.Config) {
			speaksHTTP2(s)
			checked(func(a *config.Active) {
				a.HTTP = &config.HTTPCheck{Method: "OPTIONS", Body: &config.BodyCheck{Matches: `^\{"is":"(up|warm)"\}$`}}
			})(s)
		}, talk: func(c *talk) {
			followsBody(c, func(h http.HandlerFunc) { c.origins[0].serve(h) }, `{"is":"warm"}`, "OPTIONS")
		}},
	})
}

func followsBody(c *talk, serve func(http.HandlerFunc), good, method string) {
	var ill, other atomic.Bool
	serve(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		other.Store(r.Method != method || len(body) > 0)
		if ill.Load() {
			_, _ = io.WriteString(w, `{"is":"down"}`)
			return
		}
		_, _ = io.WriteString(w, good)
	})
	passed := func() uint64 { return c.server.Stats().Upstreams[0].Backends[0].ChecksPassed }
	c.await("it has passed", func() bool { return passed() > 1 })
	ill.Store(true)
	c.turns(0)
	ill.Store(false)
	c.turns(1)
	require.False(c.t, other.Load())
	c.counts(0)
}

func TestAKeptConnectionOfChecksServesFour(t *testing.T) {
	reuse := checked(func(a *config.Active) { a.HTTP, a.Reuse = &config.HTTPCheck{}, config.SwitchOn })
	var p *paper
	serve := func(c *talk, serve func(h http.HandlerFunc)) {
		var mu sync.Mutex
		from := map[string]int{}
		serve(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			from[r.RemoteAddr]++
			mu.Unlock()
			_, _ = io.WriteString(w, "ok")
		})
		passed := func() uint64 { return c.server.Stats().Upstreams[0].Backends[0].ChecksPassed }
		c.await("there were some", func() bool { return passed() >= 13 })
		mu.Lock()
		defer mu.Unlock()
		four := 0
		for _, n := range from {
			require.LessOrEqual(c.t, n, 4)
			if n == 4 {
				four++
			}
		}
		require.GreaterOrEqual(c.t, four, 2)
		require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Available)
		c.counts(0)
	}
	converse(t, []conversation{
		{promise: "HTTP1", tune: reuse, talk: func(c *talk) { serve(c, c.origins[0].serveHTTP1) }},
		{promise: "HTTP2", tune: func(s *config.Config) { speaksHTTP2(s); reuse(s) }, eager: true, talk: func(c *talk) { serve(c, func(h http.HandlerFunc) { c.origins[0].serve(h) }) }},
		{promise: "HTTP2 over TLS", files: papers(&p), tune: func(s *config.Config) {
			secureBack(s)
			s.Upstreams[0].Protocol = config.UpstreamHTTP2
			reuse(s)
		}, eager: true, talk: func(c *talk) {
			serve(c, func(h http.HandlerFunc) { c.origins[0].serveTLS(p, "h2", h) })
		}},
	})
}

// The authorities of a check by handshake are looked at again like all other files: when that is asked for, and by itself.
func TestATLSCheckBelievesWhatItsFileSaysNow(t *testing.T) {
	var p *paper
	for _, every := range []time.Duration{config.Off, time.Second} {
		converse(t, []conversation{{promise: every.String(), virtual: every > 0, files: papers(&p), tune: func(s *config.Config) {
			checked(func(a *config.Active) {
				a.TLS = &config.TLSCheck{ServerName: "backend.test", CA: "ca.pem", Verify: config.SwitchOn, ReloadEvery: every}
			})(s)
			s.Listeners[0].Protocol, s.Listeners[0].Upstream = config.ProtocolTCP, "web"
		}, talk: func(c *talk) {
			was := p.files["ca.pem"]
			p.files["ca.pem"] = certs.NewAuthority("another", rand.New(rand.NewPCG(3, 4)), c.clk.Now()).PEM()
			look := func() {
				if every < 0 {
					c.server.ReloadCertificates()
				}
			}
			c.origins[0].serveTLS(p, "http/1.1", func(http.ResponseWriter, *http.Request) {})
			c.await("it has been checked", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Checks > 1 })
			look()
			c.turns(0)
			p.files["ca.pem"] = was
			look()
			c.turns(1)
			c.counts(0)
		}}})
	}
}
