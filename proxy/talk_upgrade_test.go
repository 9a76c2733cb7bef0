package proxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
)

const websocket = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"

func TestAWebsocketIsCarriedBothWays(t *testing.T) {
	converse(t, []conversation{
		{promise: "a websocket is carried both ways and its connection leaves the pool", talk: func(c *talk) {
			client := c.client().send(websocket, "early")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, []string{"websocket"}, m.named("Upgrade"))
			require.Equal(c.t, []string{"Upgrade"}, m.named("Connection"))
			backend.send(switched, "hello")
			head := client.until("\r\n\r\n")
			require.Contains(c.t, head, "101 Switching Protocols")
			require.Contains(c.t, head, "Upgrade: websocket\r\n")
			client.expect("hello")
			backend.expect("early")
			for range 3 {
				client.send("ping")
				backend.expect("ping")
				backend.send("pong")
				client.expect("pong")
			}
			client.fin()
			backend.ended()
			backend.send("last").fin()
			client.expect("last")
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "an upgrade that the backend declines is an ordinary exchange", talk: func(c *talk) {
			client := c.client().send(websocket)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "a switch to another protocol than asked for is 502", talk: func(c *talk) {
			client := c.client().send(websocket)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.retires(pool.ReasonProtocol)
			c.counts(0, proxy.FailBadAnswer)
		}},
	})
}

func TestUpgradesGoNoFurtherThanAsked(t *testing.T) {
	converse(t, []conversation{
		{promise: "a switch without a protocol is 502", talk: func(c *talk) {
			client := c.client().send(websocket)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 101 Switching Protocols\r\n\r\n")
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.retires(pool.ReasonProtocol)
			c.counts(0, proxy.FailBadAnswer)
		}},
		{promise: "cleartext HTTP 2 is not passed on",
			talk: plain("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")},
		{promise: "cleartext HTTP 2 hidden in a list is not passed on",
			talk: plain("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket , H2C\r\nHTTP2-Settings: AAMAAABk\r\n")},
		{promise: "Upgrade that Connection does not name is not passed on", talk: plain("Upgrade: websocket\r\n")},
		{promise: "an upgrade with a body is not passed on", talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host,
				"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody")
			backend := c.origins[0].accept()
			require.Empty(c.t, backend.request().named("Upgrade"))
			backend.send(okay)
			client.answer()
			c.counts(1)
		}},
		{promise: "a tunnel is cut by Close", talk: func(c *talk) {
			client := c.client().send(websocket)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(switched)
			client.until("\r\n\r\n")
			client.send("ping")
			backend.expect("ping")
			begin := c.clk.Now()
			c.server.Close()
			c.soon(begin, 2*time.Second)
			client.cut()
			backend.cut()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// plain sends a wish that is not passed on.
func plain(fields string) func(*talk) {
	return func(c *talk) {
		client := c.client().send("GET / HTTP/1.1\r\n", host, fields, "\r\n")
		backend := c.origins[0].accept()
		m := backend.request()
		for _, name := range []string{"Upgrade", "Connection", "HTTP2-Settings"} {
			require.Empty(c.t, m.named(name))
		}
		backend.send(okay)
		require.Equal(c.t, "ok", client.answer().body)
		c.counts(1)
	}
}
