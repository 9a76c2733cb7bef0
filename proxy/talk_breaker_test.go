package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/proxy/config"
)

// A stream of events or a WebSocket may last for hours. A breaker that waited for its end would stay half-open for as long.
func TestAHalfOpenBreakerDoesNotWaitForTheEndOfAStream(t *testing.T) {
	tune := func(s *config.Config) {
		s.Upstreams[0].Pool.MaxConnections = 2
		s.Upstreams[0].Health.Breaker = &config.Breaker{ErrorPercent: 100, MinRequests: 1, Probes: 1, OpenTime: 200 * time.Millisecond,
			Window: time.Minute, SlowAfter: time.Second}
	}
	script := func(ask, begins, more, ends string) func(*talk) {
		return func(c *talk) {
			c.lenient()
			circuit := func(want health.Circuit) {
				c.await(want.String(), func() bool { return c.server.Stats().Upstreams[0].Backends[0].Health.Circuit == want })
			}
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
			require.Equal(c.t, "500 No", client.answer().start)
			circuit(health.HalfOpen) // at the end of its time
			client.send(ask)
			backend.head()
			backend.send(begins)
			client.until("\r\n\r\n")
			backend.send(more)
			client.expect(more)
			circuit(health.Closed)
			other := c.client().send(get)
			second := c.origins[0].accept()
			second.request()
			second.send(okay)
			require.Equal(c.t, "ok", other.answer().body)
			backend.send(ends)
			client.expect(ends)
		}
	}
	converse(t, []conversation{
		{promise: "an answer that goes on", tune: tune, talk: script(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"3\r\nabc\r\n", "0\r\n\r\n")},
		{promise: "an upgrade", tune: tune, talk: script(
			"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n", "hello", "bye")},
	})
}

func TestAHalfOpenBreakerDoesNotWaitForTheEndOfATunnel(t *testing.T) {
	tune := func(s *config.Config) {
		overTCP(s)
		s.Upstreams[0].Pool.MaxConnections = 2
		s.Upstreams[0].Retry.Attempts = 1
		s.Upstreams[0].Health.Breaker = &config.Breaker{ErrorPercent: 100, MinRequests: 1, Probes: 1, OpenTime: 200 * time.Millisecond,
			Window: time.Minute, SlowPercent: 1, SlowAfter: time.Millisecond}
	}
	converse(t, []conversation{{promise: "its backend's first byte will do", tune: tune, talk: func(c *talk) {
		c.lenient()
		circuit := func(want health.Circuit) {
			c.await(want.String(), func() bool { return c.server.Stats().Upstreams[0].Backends[0].Health.Circuit == want })
		}
		c.client().send("x")
		backend := c.origins[0].accept()
		backend.expect("x")
		backend.abort()
		circuit(health.Open)
		circuit(health.HalfOpen)
		client := c.client().send("question")
		backend = c.origins[0].accept()
		backend.expect("question")
		c.settle()
		circuit(health.HalfOpen) // what the client says is no evidence
		backend.send("a")
		client.expect("a")
		circuit(health.Closed) // however long it took: a tunnel has no time
		other := c.client().send("too")
		second := c.origins[0].accept()
		second.expect("too")
		second.send("yes")
		other.expect("yes")
		client.send("more")
		backend.expect("more")
	}}})
}
