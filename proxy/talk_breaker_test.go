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
