package proxy_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func overTCP(s *config.Config) {
	l := s.Listeners[0]
	s.Listeners[0] = config.Listener{Address: l.Address, Protocol: config.ProtocolTCP, Workers: 1, Upstream: "web"}
	s.Upstreams[0].TunnelIdleTimeout = 30 * time.Second
}

func TestATCPListenerCarriesBytes(t *testing.T) {
	converse(t, []conversation{
		{promise: "both ways, with half close", tune: overTCP, talk: func(c *talk) {
			client := c.client().send("question")
			backend := c.origins[0].accept()
			backend.expect("question")
			client.fin()
			backend.ended()
			backend.send("answer").fin()
			client.expect("answer")
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "for a protocol in which the server speaks first", tune: overTCP, talk: func(c *talk) {
			client := c.client()
			backend := c.origins[0].accept()
			backend.send("220 hello\r\n")
			client.expect("220 hello\r\n")
			client.send("QUIT\r\n")
			backend.expect("QUIT\r\n")
			backend.close()
			client.ended()
			client.close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "megabytes of them", tune: overTCP, talk: func(c *talk) {
			const n = 3 << 20
			client := c.client()
			c.aside(func() { _, _ = io.WriteString(client.nc, pattern(n)) })
			backend := c.origins[0].accept()
			buf := make([]byte, n)
			_, err := io.ReadFull(backend.nc, buf)
			require.NoError(c.t, err)
			c.sameBytes(pattern(n), string(buf))
			client.close()
			backend.ended()
			backend.close()
			c.await("the tunnel has been counted", func() bool { return c.server.Stats().Answered == 1 })
			require.Equal(c.t, uint64(n), c.server.Stats().BytesIn)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestATCPListenerEndsWhatItCannotCarry(t *testing.T) {
	converse(t, []conversation{
		{promise: "to the next backend when one is down", backends: 2, tune: overTCP, talk: func(c *talk) {
			require.NoError(c.t, c.origins[0].ln.Close())
			client := c.client().send("hello")
			c.origins[1].accept().expect("hello")
			client.close()
			c.peers[1].ended()
			c.peers[1].close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "and closes a client when every backend is down", backends: 2, tune: overTCP, talk: func(c *talk) {
			for _, o := range c.origins {
				require.NoError(c.t, o.ln.Close())
			}
			c.client().cut()
			c.counts(0, proxy.FailConnect)
		}},
		{promise: "and counts a backend that resets before it says a word", tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			backend.abort()
			client.cut()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
		{promise: "until neither side has said a word for the idle time", virtual: true, tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			c.clk.Sleep(20 * time.Second)
			backend.send("still here")
			client.expect("still here")
			begin := c.clk.Now()
			client.cut()
			require.InDelta(c.t, 30, c.clk.Since(begin).Seconds(), 0.01)
			backend.cut()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestATunnelEndsWhenItShould(t *testing.T) {
	converse(t, []conversation{
		{promise: "to its end while the server drains", virtual: true, tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			ended := c.drain()
			c.clk.Sleep(2 * time.Second)
			backend.send("the rest").close()
			client.expect("the rest")
			client.ended()
			client.close()
			require.NoError(c.t, <-ended)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "until the drain's limit, which cuts it off", virtual: true, tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			begin := c.clk.Now()
			ended := c.drain()
			for range 4 { // a tunnel that is busy all the time is cut off as well
				c.clk.Sleep(time.Second)
				backend.send("word")
				client.expect("word")
			}
			require.ErrorContains(c.t, <-ended, "1 connections were cut off")
			require.InDelta(c.t, 5, c.clk.Since(begin).Seconds(), 0.01)
			client.cut()
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailShutdown)
		}},
		{promise: "until Close", tune: overTCP, talk: func(c *talk) {
			client := c.client().send("hello")
			backend := c.origins[0].accept()
			backend.expect("hello")
			c.server.Close()
			client.cut()
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailShutdown)
		}},
	})
}
