package proxy_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// checked has one check decide.
func checked(kind func(*config.Active)) func(*config.Config) {
	return func(s *config.Config) {
		a := &config.Active{Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1}
		kind(a)
		s.Upstreams[0].Health.Active = a
	}
}

// turns waits until the first backend is available, or is not.
func (c *talk) turns(available int) {
	c.await("the checks have found it out", func() bool { return c.server.Stats().Upstreams[0].Available == available })
}

// grpcHealth is a server of grpc.health.v1.Health whose answer can be changed.
type grpcHealth struct {
	status atomic.Int32 // SERVING is 1
	code   atomic.Int32
	asked  atomic.Value
}

func (g *grpcHealth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.asked.Store(r.Proto + " " + r.URL.Path + " " + r.Host + " " + string(body) + " " + r.Header.Get("Te"))
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(200)
	if g.code.Load() == 0 {
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, byte(g.status.Load())})
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", string(rune('0'+g.code.Load())))
}

// follows says that the checks follow what the service says of itself.
func (g *grpcHealth) follows(c *talk) {
	c.turns(0)
	g.status.Store(1)
	c.turns(1)
	require.Equal(c.t, "HTTP/2.0 /grpc.health.v1.Health/Check a.test \x00\x00\x00\x00\x06\x0a\x04cart trailers", g.asked.Load())
	g.code.Store(5)
	c.turns(0)
	g.code.Store(0)
	c.turns(1)
	c.counts(0)
}

func grpcCheck(a *config.Active) { a.GRPC = &config.GRPCCheck{Service: "cart", Authority: "a.test"} }

func TestGRPCChecksFollowWhatAServiceSaysOfItself(t *testing.T) {
	var p *paper
	follow := func(c *talk) {
		g := &grpcHealth{}
		c.origins[0].serve(g.ServeHTTP)
		g.follows(c)
	}
	secure := func(protocol string) conversation {
		return conversation{promise: "over TLS with protocol " + protocol, files: papers(&p), eager: true, tune: func(s *config.Config) {
			checked(grpcCheck)(s)
			secureBack(s)
			s.Upstreams[0].Protocol = protocol
		}, talk: func(c *talk) {
			g := &grpcHealth{}
			c.origins[0].serveTLS(p, "h2", g.ServeHTTP)
			g.follows(c)
		}}
	}
	converse(t, []conversation{
		{promise: "in clear text", eager: true, talk: follow, tune: func(s *config.Config) { speaksHTTP2(s); checked(grpcCheck)(s) }},
		{promise: "behind a listener that passes bytes on", eager: true, talk: follow, tune: func(s *config.Config) {
			s.Listeners[0].Protocol, s.Listeners[0].Upstream = config.ProtocolTCP, "web"
			checked(grpcCheck)(s)
		}},
		secure(config.UpstreamHTTP2),
		secure(config.UpstreamAuto),
	})
}

func TestAGRPCCheckFailsWhereNobodySpeaksHTTP2(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "over TLS", files: papers(&p), eager: true, tune: func(s *config.Config) {
			checked(grpcCheck)(s)
			secureBack(s)
			s.Upstreams[0].Protocol = config.UpstreamAuto
		}, talk: func(c *talk) {
			c.origins[0].serveTLS(p, "http/1.1", func(http.ResponseWriter, *http.Request) { c.t.Error("asked") })
			c.turns(0)
			c.counts(0)
		}},
	})
}

func TestATLSCheckIsAHandshakeThatTheTrafficDoesNotMake(t *testing.T) {
	var p *paper
	at := func(name string, ca string, verify config.Switch, available int) conversation {
		return conversation{promise: "asked for " + name + " verify " + string(verify), files: papers(&p), tune: func(s *config.Config) {
			checked(func(a *config.Active) { a.TLS = &config.TLSCheck{ServerName: name, CA: ca, Verify: verify} })(s)
			s.Listeners[0].Protocol, s.Listeners[0].Upstream = config.ProtocolTCP, "web"
		}, talk: func(c *talk) {
			c.origins[0].serveTLS(p, "http/1.1", func(http.ResponseWriter, *http.Request) {})
			c.await("it has been checked", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Checks > 1 })
			c.turns(available)
			c.counts(0)
		}}
	}
	converse(t, []conversation{
		at("backend.test", "ca.pem", config.SwitchOn, 1),
		at("other.test", "ca.pem", config.SwitchOn, 0),
		at("other.test", "", config.SwitchOff, 1),
	})
}

func TestAReloadHasATLSCheckBelieveWhatItsFileSaysNow(t *testing.T) {
	var p *paper
	converse(t, []conversation{{promise: "another authority", files: papers(&p), tune: func(s *config.Config) {
		checked(func(a *config.Active) {
			a.TLS = &config.TLSCheck{ServerName: "backend.test", CA: "ca.pem", Verify: config.SwitchOn}
		})(s)
		s.Listeners[0].Protocol, s.Listeners[0].Upstream = config.ProtocolTCP, "web"
	}, talk: func(c *talk) {
		was := p.files["ca.pem"]
		p.files["ca.pem"] = certs.NewAuthority("another", rand.New(rand.NewPCG(3, 4)), c.clk.Now()).PEM()
		reload := func() {
			_, err := c.server.Reload(c.server.Settings())
			require.NoError(c.t, err)
		}
		c.origins[0].serveTLS(p, "http/1.1", func(http.ResponseWriter, *http.Request) {})
		c.await("it has been checked", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Checks > 1 })
		c.turns(1)
		reload()
		c.turns(0)
		p.files["ca.pem"] = was
		reload()
		c.turns(1)
		c.counts(0)
	}}})
}

// says has a backend answer each connection with a text, when it has heard so many bytes.
func (o *origin) says(hears int, text func() string) {
	ended := make(chan struct{})
	o.c.clk.AfterFunc(0, func() {
		defer close(ended)
		for {
			nc, err := o.ln.Accept()
			if err != nil {
				return
			}
			_ = nc.SetDeadline(o.c.clk.Now().Add(time.Minute))
			if _, err := io.ReadFull(nc, make([]byte, hears)); err == nil {
				_, _ = io.WriteString(nc, text())
			}
			_ = nc.Close()
		}
	})
	o.c.after = append(o.c.after, func() {
		_ = o.ln.Close()
		<-ended
	})
}

func TestATCPCheckFollowsWhatABackendAnswers(t *testing.T) {
	converse(t, []conversation{
		{promise: "a prefix", tune: checked(func(a *config.Active) {
			a.TCP = &config.TCPCheck{Send: `PING\r\n`, Expect: "+PONG"}
		}), talk: func(c *talk) {
			var loading atomic.Bool
			c.origins[0].says(6, func() string {
				if loading.Load() {
					return "-LOADING\r\n"
				}
				return "+PONG\r\n"
			})
			c.await("it has been checked", func() bool { return c.server.Stats().Upstreams[0].Backends[0].ChecksPassed > 1 })
			loading.Store(true)
			c.turns(0)
			require.Equal(c.t, "503 Service Unavailable", c.client().send(get).answer().start)
			loading.Store(false)
			c.turns(1)
			c.counts(0, proxy.FailNoBackend)
		}},
		{promise: "a pattern of what is not text", tune: checked(func(a *config.Active) {
			a.TCP = &config.TCPCheck{Send: "hex:00000008 04d2162f", Regexp: "^[SN]"}
		}), talk: func(c *talk) {
			c.origins[0].says(8, func() string { return "N" })
			c.await("it has been checked", func() bool { return c.server.Stats().Upstreams[0].Backends[0].ChecksPassed > 1 })
			c.counts(0)
		}},
	})
}

// A backend that answers requests proves more than a check could ask. What it has answered before does not vouch for it.
func TestRequestsTakeThePlaceOfChecksWhileTheyAreAnswered(t *testing.T) {
	converse(t, []conversation{{promise: "in time", virtual: true, tune: func(s *config.Config) {
		s.Upstreams[0].Health.Active = &config.Active{Interval: time.Second, Timeout: time.Second, SlowInterval: 10 * time.Second}
	}, talk: func(c *talk) {
		checks := func() uint64 { return c.server.Stats().Upstreams[0].Backends[0].Checks }
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
		c.serving(srv, func() error { return srv.Serve(c.origins[0].ln) })
		c.clk.Sleep(5 * time.Second)
		idle := checks()
		require.GreaterOrEqual(c.t, idle, uint64(4))
		client := c.client()
		for range 100 {
			require.Equal(c.t, "ok", client.send(get).answer().body)
			c.clk.Sleep(200 * time.Millisecond)
		}
		busy := checks() - idle
		require.LessOrEqual(c.t, busy, uint64(4), "20 s with a check every 10 s, and one at each end")
		c.clk.Sleep(5 * time.Second)
		require.GreaterOrEqual(c.t, checks()-idle-busy, uint64(3))
		c.counts(100)
	}}})
}

func TestOnlyTheBackendsOwnTimeMakesAnAnswerSlow(t *testing.T) {
	slow := func(s *config.Config) {
		s.Upstreams[0].Health.Breaker = &config.Breaker{ErrorPercent: 1, SlowPercent: 1, SlowAfter: 100 * time.Millisecond, MinRequests: 1}
	}
	converse(t, []conversation{
		{promise: "a tunnel", virtual: true, tune: func(s *config.Config) { overTCP(s); slow(s) }, talk: func(c *talk) {
			client := c.client().send("question")
			backend := c.origins[0].accept()
			backend.expect("question")
			c.clk.Sleep(10 * time.Second)
			backend.send("answer").fin()
			client.expect("answer")
			client.ended()
			client.close()
			c.await("it has been counted", func() bool { return c.server.Stats().Answered == 1 })
			require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Available)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "an answer whose body goes on for long", virtual: true, tune: slow, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			c.clk.Sleep(10 * time.Second)
			backend.send("k")
			require.Equal(c.t, "ok", client.answer().body)
			c.settle()
			require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Available)
			c.counts(1)
		}},
		{promise: "an answer that waits for a slow client's body", virtual: true, tune: slow, talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\n")
			backend := c.origins[0].accept()
			c.clk.Sleep(5 * time.Second)
			client.send("body")
			require.Equal(c.t, "body", backend.request().body)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.settle()
			require.Equal(c.t, 1, c.server.Stats().Upstreams[0].Available)
			c.counts(1)
		}},
		{promise: "but an answer that begins late is one", virtual: true, tune: slow, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			c.clk.Sleep(100 * time.Millisecond)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.settle()
			require.Equal(c.t, 0, c.server.Stats().Upstreams[0].Available)
			c.counts(1)
		}},
	})
}
