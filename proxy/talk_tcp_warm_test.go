package proxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// warm keeps that many connections ready for the clients of a TCP listener.
func warm(ready int, tunes ...func(*config.Config)) func(*config.Config) {
	return func(s *config.Config) {
		overTCP(s)
		p := &s.Upstreams[0].Pool
		p.MaxConnections, p.MinIdle, p.ValidateAfter = 8, ready, 1
		for _, tune := range tunes {
			tune(s)
		}
	}
}

// unlooked switches the look before a loan off, so that a dead connection is found by using it.
func unlooked(s *config.Config) { s.Upstreams[0].Pool.ValidateAfter = config.Off }

// idle waits until so many connections are ready.
func (c *talk) idle(n int) {
	c.t.Helper()
	c.await("as many connections are ready", func() bool { return c.server.Stats().Upstreams[0].Backends[0].Pool.Idle == n })
}

// tunnelled waits until a client has its connection to a backend.
func (c *talk) tunnelled() {
	c.t.Helper()
	c.await("a tunnel has its connection", func() bool { return c.server.Stats().Upstreams[0].InFlight == 1 })
}

// breaks accepts a connection, and resets it when it has got its client: earlier it might be a dial that failed.
func (c *talk) breaks(backend int) {
	c.t.Helper()
	p := c.origins[backend].accept()
	c.tunnelled()
	p.abort()
}

func TestATCPClientDoesNotWaitForTheBackendsHandshake(t *testing.T) {
	const far = 20 * time.Millisecond // one way between proxy and backend
	firstByte := func(ready int) (took time.Duration) {
		netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
			s.SetLink("proxy", "backend-1", netsim.Link{Latency: far})
			st := simTalk(t, s)
			(&conversation{tune: warm(ready), talk: func(c *talk) {
				c.clk.Sleep(time.Second)
				begin := c.clk.Now()
				client := c.client().send("hello")
				backend := c.origins[0].accept()
				backend.expect("hello")
				took = c.clk.Since(begin)
				client.fin()
				backend.close()
				client.ended()
				c.retires(pool.ReasonNotReusable)
				c.counts(1)
			}}).run(t, st)
		})
		return took
	}
	cold, ready := firstByte(0), firstByte(1)
	require.InDelta(t, 2*far, cold-ready, float64(100*time.Microsecond), "cold %v, ready %v: one round trip is saved", cold, ready)
}

func TestAWarmConnectionServesOneTCPClient(t *testing.T) {
	converse(t, []conversation{
		{promise: "who gets the greeting whole that came before it", tune: warm(1), talk: func(c *talk) {
			backend := c.origins[0].accept().send("220 hello\r\n")
			c.idle(1)
			c.settle()
			client := c.client()
			client.expect("220 hello\r\n")
			client.send("QUIT\r\n")
			backend.expect("QUIT\r\n")
			backend.send("221 bye\r\n").close()
			client.expect("221 bye\r\n")
			client.ended()
			client.close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "while the next one is made ready at once", tune: warm(2), talk: func(c *talk) {
			c.origins[0].accept()
			c.origins[0].accept()
			c.idle(2)
			client := c.client()
			c.origins[0].accept() // before the tunnel ends
			c.idle(2)
			client.fin()
			for _, p := range c.peers { // one of the two that were ready is the client's
				if p != client {
					p.send("bye").fin()
				}
			}
			client.expect("bye")
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "and is never one that carried a request", tune: func(s *config.Config) {
			http := s.Listeners[0]
			warm(0)(s)
			s.Listeners = append(s.Listeners, http)
			s.Listeners[1].Address = "127.0.0.1:0"
			if http.Address == frontPort {
				s.Listeners[1].Address = ":81"
			}
		}, talk: func(c *talk) {
			web := c.second()
			backend := c.origins[0].accept2(web)
			c.idle(1)
			client := c.client().send("hello")
			backend.ended()
			fresh := c.origins[0].accept()
			fresh.expect("hello")
			client.fin()
			fresh.close()
			client.ended()
			c.retires(pool.ReasonNotReusable, pool.ReasonNotReusable)
			c.counts(2)
		}},
	})
}

// second opens a client's connection to the second listener.
func (c *talk) second() *peer {
	address := proxyAddr + ":81"
	if c.sim == nil {
		address = c.server.Addrs()[1].String()
	}
	nc, err := c.dialer.DialContext(context.Background(), "tcp", address)
	require.NoError(c.t, err)
	return c.peer(nc)
}

// accept2 is the backend's end of the connection that carries the client's GET.
func (o *origin) accept2(client *peer) *peer {
	client.send(get)
	backend := o.accept()
	backend.request()
	backend.send(okay)
	require.Equal(o.c.t, "ok", client.answer().body)
	return backend
}

func TestADeadWarmConnectionCostsATCPClientNothing(t *testing.T) {
	next := func(end func(*peer)) func(c *talk) {
		return func(c *talk) {
			dead := c.origins[0].accept()
			c.idle(1)
			c.clk.Sleep(2 * time.Millisecond) // it has rested
			end(dead)
			c.settle()
			client := c.client()
			// One of these is the client's, and one is ready for the next client.
			both := []*peer{c.origins[0].accept(), c.origins[0].accept()}
			c.tunnelled()
			c.idle(1)
			for _, p := range both {
				p.send("hello").fin()
			}
			client.expect("hello")
			client.ended()
			client.close()
			c.counts(1)
		}
	}
	converse(t, []conversation{
		{promise: "when it is seen to be closed", tune: warm(1), talk: func(c *talk) {
			next((*peer).close)(c)
			c.retires(pool.ReasonPeerClosed, pool.ReasonNotReusable)
		}},
		{promise: "when a goodbye hides that it is closed", tune: warm(1), talk: func(c *talk) {
			next(func(p *peer) { p.send("421 timeout\r\n").close() })(c)
			c.retires(pool.ReasonPeerClosed, pool.ReasonNotReusable)
		}},
		{promise: "when nobody looks and it is closed", tune: warm(1, unlooked), talk: func(c *talk) {
			next((*peer).close)(c)
			require.Equal(c.t, uint64(1), c.server.Stats().Repeated)
			c.retires(pool.ReasonBroken, pool.ReasonNotReusable)
		}},
		{promise: "when nobody looks and it was reset", tune: warm(1, unlooked), talk: func(c *talk) {
			next((*peer).abort)(c)
			require.Equal(c.t, uint64(1), c.server.Stats().Repeated)
			c.retires(pool.ReasonBroken, pool.ReasonNotReusable)
		}},
	})
}

func TestATCPConnectionThatBreaksBeforeItsFirstByteGoesElsewhere(t *testing.T) {
	attempts := func(n int) func(*config.Config) {
		return func(s *config.Config) {
			overTCP(s)
			s.Upstreams[0].Retry.Attempts = n
		}
	}
	converse(t, []conversation{
		{promise: "to the next backend", backends: 2, tune: overTCP, talk: func(c *talk) {
			client := c.client()
			c.breaks(0)
			backend := c.origins[1].accept()
			client.send("hello")
			backend.expect("hello")
			backend.send("world").close()
			client.expect("world")
			client.ended()
			client.close()
			require.Equal(c.t, uint64(1), c.server.Stats().Upstreams[0].Retries)
			c.retires(pool.ReasonBroken, pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "but not beyond the attempts", backends: 2, tune: attempts(1), talk: func(c *talk) {
			client := c.client()
			c.breaks(0)
			client.cut()
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "and to a third one only with a third attempt", backends: 3, tune: attempts(3), talk: func(c *talk) {
			client := c.client()
			c.breaks(0)
			c.breaks(1)
			backend := c.origins[2].accept()
			client.send("hello")
			backend.expect("hello")
			backend.close()
			client.ended()
			c.retires(pool.ReasonBroken, pool.ReasonBroken, pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "and nowhere once a byte of the client has gone", backends: 2, tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			backend.abort()
			client.cut()
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "and nowhere once the backend has greeted", backends: 2, tune: overTCP, talk: func(c *talk) {
			client := c.client()
			backend := c.origins[0].accept().send("220 hello")
			client.expect("220 hello")
			backend.abort()
			client.cut()
			c.origins[1].untouched()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestAReloadChangesWhatIsKeptReady(t *testing.T) {
	var next *config.Config
	converse(t, []conversation{
		{promise: "for tunnels, and lets no request have a greeting", virtual: true, tune: func(s *config.Config) {
			http := s.Listeners[0]
			warm(1)(s)
			copied := *s
			next = &copied
			http.Address = ":81"
			next.Listeners = []config.Listener{s.Listeners[0], http}
		}, talk: func(c *talk) {
			c.origins[0].accept().send("220 hello\r\n")
			c.idle(1)
			changes, err := c.server.Reload(next)
			require.NoError(c.t, err)
			require.NotEmpty(c.t, changes)
			c.origins[0].accept() // the next one that is ready
			c.idle(1)
			c.retires(pool.ReasonOutdated)
			c.counts(0)
		}},
		{promise: "with each key of the pool that can change at work", virtual: true, tune: func(s *config.Config) {
			copied := *s
			next = &copied
			u := s.Upstreams[0]
			u.Pool.MaxUses, u.Pool.MaxDials, u.Pool.Order, u.Pool.MaxIdle = 1, 2, config.OrderFIFO, 3
			u.Pool.LeakAfter = time.Hour
			next.Upstreams = []config.Upstream{u}
		}, talk: func(c *talk) {
			changes, err := c.server.Reload(next)
			require.NoError(c.t, err)
			require.Contains(c.t, changes, "upstreams.web.pool.max_uses: 1 instead of off")
			require.Contains(c.t, changes, "upstreams.web.pool.leak_after: 1h instead of off (takes a restart)")
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			backend.ended() // after one use
			c.retires(pool.ReasonMaxUses)
			c.counts(1)
		}},
	})
}
