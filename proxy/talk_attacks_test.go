package proxy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

// CL.0: a body on a method that usually has none. To whom it is a request of its own, it would be an answer too many.
func TestABodyOnAnyMethodIsABodyForTheBackendToo(t *testing.T) {
	var all []conversation
	for _, method := range []string{"GET", "DELETE", "OPTIONS", "X-OWN"} {
		all = append(all, conversation{promise: method, talk: func(c *talk) {
			client := c.client().send(method, " / HTTP/1.1\r\n", host, "Content-Length: 38\r\n\r\n", hidden)
			require.Len(c.t, hidden, 38)
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, []string{"38"}, m.named("Content-Length"))
			require.Equal(c.t, hidden, m.body)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			client.silent()
			c.exchange(client, backend)
			c.counts(2)
		}})
	}
	converse(t, all)
}

// 0.CL: a backend that answers without reading the body. What it has not read must not become its next request.
func TestAConnectionWithAnUnreadBodyIsNeverReused(t *testing.T) {
	converse(t, []conversation{{promise: "after an early answer the next request has another connection", talk: func(c *talk) {
		client := c.client().send(line, "Content-Length: 5000\r\n\r\n", hidden)
		first := c.origins[0].accept()
		first.head()
		first.send(okay)
		require.Equal(c.t, []string{"close"}, client.answer().named("Connection"))
		client.ended()
		next := c.client().send(get)
		second := c.origins[0].accept()
		require.Equal(c.t, "GET /", second.request().start)
		second.send(okay)
		next.answer()
		rest, _ := first.raw()
		require.NotContains(c.t, rest, "GET / ", "the rest of the body, and no request")
		c.retires(pool.ReasonAborted)
		c.counts(2)
	}}})
}

// CVE-2023-39326 and the class of CVE-2025-22871: what stands around the bytes of a chunk is ours.
func TestChunksAreWrittenAnew(t *testing.T) {
	converse(t, []conversation{{promise: "extensions and leading zeros are dropped", talk: func(c *talk) {
		client := c.client().send(line, "Transfer-Encoding: chunked\r\n\r\n003;evil=\"x\";y\r\nabc\r\n0;z\r\n\r\n")
		backend := c.origins[0].accept()
		backend.until("\r\n\r\n")
		backend.expect("3\r\nabc\r\n0\r\n\r\n")
		backend.send(okay)
		client.answer()
		c.counts(1)
	}}})
}

// RFC 9110 section 6.5.1: what frames, routes or authorizes is no trailer, and no trailer becomes a field of the head.
func TestTrailersOfAClientStayTrailersAndLoseWhatIsForbidden(t *testing.T) {
	converse(t, []conversation{{promise: "over the wire", talk: func(c *talk) {
		client := c.client().send(line, "Transfer-Encoding: chunked\r\nTrailer: X-Sum, Host\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n",
			"Content-Length: 1\r\nTransfer-Encoding: x\r\nHost: evil\r\nAuthorization: evil\r\nX-Forwarded-For: 6.6.6.6\r\n",
			"X_Sum: evil\r\n\r\n")
		backend := c.origins[0].accept()
		m := backend.request()
		require.Equal(c.t, []string{"X-Sum: 9"}, m.trailers)
		require.Empty(c.t, m.named("X-Sum"))
		require.Empty(c.t, m.named("Authorization"))
		require.Equal(c.t, []string{"a.test"}, m.named("Host"))
		backend.send(okay)
		client.answer()
		c.counts(1)
	}}})
}

// CVE-2024-45410 on the way back: what Connection names in a 101 stays between the backend and us.
func TestAnAnswerThatSwitchesLosesItsHopByHopFields(t *testing.T) {
	converse(t, []conversation{{promise: "named in any case", talk: func(c *talk) {
		client := c.client().send(websocket)
		backend := c.origins[0].accept()
		backend.request()
		backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: UPGRADE, x-HOP, set-cookie\r\nUpgrade: websocket\r\n",
			"X-Hop: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\nX-End: 2\r\n\r\n")
		m := client.answer()
		require.Equal(c.t, "101 Switching Protocols", m.start)
		require.Equal(c.t, []string{"Set-Cookie: a", "X-End: 2", "Via: 1.1 wavepool", "Connection: Upgrade", "Upgrade: websocket"}, m.fields)
		client.close()
		backend.cut()
		c.retires(pool.ReasonNotReusable)
		c.counts(1)
	}}})
}

// RFC 9110 section 7.6.2.
func TestOPTIONSGoesAsFarAsMaxForwardsAllows(t *testing.T) {
	converse(t, []conversation{
		{promise: "with 1 it goes on with 0", talk: func(c *talk) {
			client := c.client().send("OPTIONS * HTTP/1.1\r\n", host, "Max-Forwards: 1\r\n\r\n")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, "OPTIONS *", m.start)
			require.Equal(c.t, []string{"0"}, m.named("Max-Forwards"))
			backend.send(okay)
			client.answer()
			c.counts(1)
		}},
		{promise: "with 0 it is answered here", tune: logs, talk: func(c *talk) {
			client := c.client()
			for range 2 {
				client.send("OPTIONS / HTTP/1.1\r\n", host, "Max-Forwards: 0\r\n\r\n")
				m := client.answer()
				require.Equal(c.t, "200 OK", m.start)
				require.Len(c.t, m.named("Allow"), 1)
			}
			client.send("OPTIONS / HTTP/1.1\r\n", host, "Content-Length: 9\r\nMax-Forwards: 0\r\n\r\n")
			require.Equal(c.t, []string{"close"}, client.answer().named("Connection"))
			client.ended()
			c.dialled = 0
			c.counts(3)
			for _, e := range c.logged() {
				require.Equal(c.t, []any{"answered", 200, 0}, []any{e.Outcome, e.Status, len(e.Attempts)})
			}
		}},
		{promise: "a GET is not limited by it", talk: func(c *talk) {
			var backend *peer
			require.Equal(c.t, []string{"0"}, c.relayed(c.client(), &backend, "Max-Forwards: 0").named("Max-Forwards"))
			c.counts(1)
		}},
	})
}

// The table of SECURITY.md says of Proxy and its kin what CVE-2016-5385 (httpoxy) taught.
func TestAProxyFieldReachesNoBackend(t *testing.T) {
	converse(t, []conversation{{promise: "in any case", talk: func(c *talk) {
		var backend *peer
		m := c.relayed(c.client(), &backend, "Proxy: http://evil", "PROXY: http://evil", "Proxy-Authorization: x")
		for _, f := range m.fields {
			require.False(c.t, strings.HasPrefix(strings.ToLower(f), "proxy"), f)
		}
		c.counts(1)
	}}})
}
