package proxy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestAConnectionOfHTTP2EndsWithItsLastRequestByAGOAWAY(t *testing.T) {
	three := onListener(func(l *config.Listener) { l.MaxRequestsPerConnection = 3 })
	converse(t, []conversation{{promise: "in order", eager: true, tune: three, talk: func(c *talk) {
		w := c.wire()
		w.open(1, true, plainStream...)
		backend := c.origins[0].accept()
		for id := uint32(1); ; id += 2 {
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "200", w.fate(id))
			if id == 5 {
				break
			}
			w.open(id+2, true, plainStream...)
		}
		require.Equal(c.t, "NO_ERROR", w.goneAway())
		require.EqualValues(c.t, 1, c.server.Stats().WornOut)
		c.counts(3)
	}}})
}

func TestAConnectionEndsWithItsLastRequest(t *testing.T) {
	three := onListener(func(l *config.Listener) { l.MaxRequestsPerConnection = 3 })
	last := func(c *talk, m *message, want bool) {
		c.t.Helper()
		require.Equal(c.t, want, len(m.named("Connection")) == 1 && m.named("Connection")[0] == "close", "%v", m.fields)
	}
	converse(t, []conversation{
		{promise: "just under the limit it stays open and the answer at the limit says close", tune: three, talk: func(c *talk) {
			client := c.client()
			var backend *peer
			for n := range 3 {
				client.send(get)
				if backend == nil {
					backend = c.origins[0].accept()
				}
				backend.request()
				backend.send(okay)
				last(c, client.answer(), n == 2)
			}
			client.ended()
			require.EqualValues(c.t, 1, c.server.Stats().WornOut)
			c.counts(3)
		}},
		{promise: "what is pipelined behind the last one is not served and costs no answer", tune: three, talk: func(c *talk) {
			client := c.client().send(get, get, get, get, get)
			backend := c.origins[0].accept()
			for n := range 3 {
				backend.request()
				backend.send(okay)
				m := client.answer()
				require.Equal(c.t, "ok", m.body)
				last(c, m, n == 2)
			}
			client.ended()
			c.counts(3)
		}},
		{promise: "an answer of our own can be the last one", tune: onListener(func(l *config.Listener) {
			l.MaxRequestsPerConnection = 1
			l.Routes = []config.Route{{Match: config.Match{Host: "b.test", PathPrefix: "/"}, Upstream: "web"}}
			l.Upstream = ""
		}), talk: func(c *talk) {
			client := c.client().send(get)
			m := client.answer()
			require.Equal(c.t, "404 Not Found", m.start)
			last(c, m, true)
			client.ended()
			c.counts(0, proxy.FailNoRoute)
		}},
		{promise: "without the limit it does not end", talk: func(c *talk) {
			client := c.client()
			var backend *peer
			for range 20 {
				last(c, c.answerOf(client, &backend), false)
			}
			require.Zero(c.t, c.server.Stats().WornOut)
			c.counts(20)
		}},
	})
}

// answerOf carries one GET and returns the answer.
func (c *talk) answerOf(client *peer, backend **peer) *message {
	c.t.Helper()
	client.send(get)
	if *backend == nil {
		*backend = c.origins[0].accept()
	}
	(*backend).request()
	(*backend).send(okay)
	return client.answer()
}

func TestASourceHasAsManyConnectionsAsItMay(t *testing.T) {
	two := func(l *config.Listener) { l.MaxConnectionsPerSource = 2 }
	refusals := func(c *talk) (n int) {
		for _, e := range c.server.Events() {
			if e.Kind == proxy.KindClientRefused {
				require.Equal(c.t, proxy.RefusedPerSource, e.Reason)
				require.Equal(c.t, c.clientIP, e.Detail)
				n++
			}
		}
		return n
	}
	converse(t, []conversation{
		{promise: "the one beyond the limit is closed at once and there is room again when one leaves", tune: onListener(two),
			talk: func(c *talk) {
				first, second := c.client(), c.client()
				c.accepted(2)
				c.client().cut()
				c.client().cut()
				require.EqualValues(c.t, 2, c.server.Stats().Refused)
				require.Equal(c.t, 1, refusals(c), "a source at its limit is told once")
				var backend *peer
				c.answerOf(first, &backend)
				c.answerOf(second, &backend)
				first.close()
				c.await("the first is gone", func() bool { return c.server.Stats().Open == 1 })
				third := c.client()
				c.answerOf(third, &backend)
				c.client().cut()
				require.Equal(c.t, 2, refusals(c), "and again after it was below")
				c.counts(3)
			}},
		{promise: "trusted proxies are not counted", tune: onListener(func(l *config.Listener) { two(l); trusting(l) }),
			talk: func(c *talk) {
				var backend *peer
				for range 5 {
					c.answerOf(c.client(), &backend)
				}
				require.Zero(c.t, c.server.Stats().Refused)
				c.counts(5)
			}},
		{promise: "a TCP listener has the limit too", tune: func(s *config.Config) {
			u := s.Listeners[0].Upstream
			s.Listeners[0] = config.Listener{Address: s.Listeners[0].Address, Protocol: config.ProtocolTCP, Upstream: u, Workers: 1}
			s.Listeners[0].MaxConnectionsPerSource = 1
		}, talk: func(c *talk) {
			client := c.client().send("a")
			backend := c.origins[0].accept()
			backend.expect("a")
			c.client().cut()
			backend.send("b")
			client.expect("b")
			client.fin()
			backend.ended()
			backend.fin()
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}
