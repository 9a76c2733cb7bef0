package proxy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// onListener changes the only listener.
func onListener(set func(l *config.Listener)) func(*config.Config) {
	return func(s *config.Config) { set(&s.Listeners[0]) }
}

// trusting makes the clients of both worlds trusted proxies.
func trusting(l *config.Listener) { l.TrustedProxies = []string{"10.0.0.0/24", "127.0.0.1"} }

// relayed sends a GET with those fields and returns what the backend got of it.
func (c *talk) relayed(client *peer, backend **peer, fields ...string) *message {
	c.t.Helper()
	client.send("GET / HTTP/1.1\r\n", host, strings.Join(append(fields, ""), "\r\n"), crlf)
	if *backend == nil {
		*backend = c.origins[0].accept()
	}
	m := (*backend).request()
	(*backend).send(okay)
	require.Equal(c.t, "ok", client.answer().body)
	return m
}

var spoofs = []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6",
	"X-Real-IP: 6.6.6.6", "X-Request-ID: theirs"}

func TestForwardingFieldsFollowTheSettings(t *testing.T) {
	everything := func(l *config.Listener) { l.Forwarded, l.RequestID = config.ForwardedBoth, "X-Request-ID" }
	digits := regexp.MustCompile(`^[0-9a-f]{32}$`)
	converse(t, []conversation{
		{promise: "a stranger's are replaced", tune: onListener(everything), talk: func(c *talk) {
			var backend *peer
			client := c.client()
			m := c.relayed(client, &backend, spoofs...)
			require.Equal(c.t, []string{c.clientIP}, m.named("X-Forwarded-For"))
			require.Equal(c.t, []string{"http"}, m.named("X-Forwarded-Proto"))
			require.Equal(c.t, []string{"a.test"}, m.named("X-Forwarded-Host"))
			require.Equal(c.t, []string{"for=" + c.clientIP + ";proto=http;host=a.test"}, m.named("Forwarded"))
			require.Empty(c.t, m.named("X-Real-IP"))
			first := m.named("X-Request-ID")
			require.Len(c.t, first, 1)
			require.Regexp(c.t, digits, first[0])
			second := c.relayed(client, &backend).named("X-Request-ID")
			require.Regexp(c.t, digits, second[0])
			require.NotEqual(c.t, first, second)
			c.counts(2)
		}},
		{promise: "a trusted proxy's are continued", tune: onListener(func(l *config.Listener) { everything(l); trusting(l) }),
			talk: func(c *talk) {
				var backend *peer
				client := c.client()
				m := c.relayed(client, &backend, spoofs...)
				require.Equal(c.t, []string{"6.6.6.6, " + c.clientIP}, m.named("X-Forwarded-For"))
				require.Equal(c.t, []string{"https"}, m.named("X-Forwarded-Proto"))
				require.Equal(c.t, []string{"evil"}, m.named("X-Forwarded-Host"))
				require.Equal(c.t, []string{"for=6.6.6.6, for=" + c.clientIP + ";proto=http;host=a.test"}, m.named("Forwarded"))
				require.Equal(c.t, []string{"6.6.6.6"}, m.named("X-Real-IP"))
				require.Equal(c.t, []string{"theirs"}, m.named("X-Request-ID"))
				for _, bad := range []string{"X-Request-ID: " + strings.Repeat("a", 129), "X-Request-ID: a b", "X-Request-ID:"} {
					require.Regexp(c.t, digits, c.relayed(client, &backend, bad).named("X-Request-ID")[0])
				}
				longest := strings.Repeat("a", 128)
				require.Equal(c.t, []string{longest}, c.relayed(client, &backend, "X-Request-ID: "+longest).named("X-Request-ID"))
				c.counts(5)
			}},
		{promise: "nothing is told when that is off", tune: onListener(func(l *config.Listener) { l.Forwarded = config.ForwardedOff }),
			talk: func(c *talk) {
				var backend *peer
				m := c.relayed(c.client(), &backend, spoofs...)
				require.Equal(c.t, []string{"Host: a.test", "X-Request-ID: theirs", "Via: 1.1 wavepool"}, m.fields)
				c.counts(1)
			}},
		{promise: "an address that is no trusted proxy's is a stranger's",
			tune: onListener(func(l *config.Listener) { l.TrustedProxies = []string{"192.0.2.0/24", "::/0"} }), talk: func(c *talk) {
				var backend *peer
				m := c.relayed(c.client(), &backend, spoofs...)
				require.Equal(c.t, []string{c.clientIP}, m.named("X-Forwarded-For"))
				c.counts(1)
			}},
	})
}

func TestHostIsPassedOrRewritten(t *testing.T) {
	rewrite := func(host string) func(*config.Config) {
		return func(s *config.Config) { s.Upstreams[0].Host = host }
	}
	is := func(want func(c *talk) string) func(*talk) {
		return func(c *talk) {
			var backend *peer
			client := c.client()
			m := c.relayed(client, &backend)
			require.Equal(c.t, []string{want(c)}, m.named("Host"))
			require.Equal(c.t, []string{"a.test"}, m.named("X-Forwarded-Host"))
			client.send("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc") // which has none
			m = backend.request()
			require.Len(c.t, m.named("Host"), 1)
			require.Equal(c.t, "abc", m.body)
			backend.send(okay)
			client.answer()
			c.counts(2)
		}
	}
	converse(t, []conversation{
		{promise: "passed", talk: is(func(*talk) string { return "a.test" })},
		{promise: "a host of its own", tune: rewrite("b.test:81"), talk: is(func(*talk) string { return "b.test:81" })},
		{promise: "the backend's address", tune: rewrite(config.HostBackend), talk: is(func(c *talk) string {
			return strings.TrimSuffix(c.origins[0].addr, ":80")
		})},
		{promise: "each attempt has its own backend's", backends: 2, tune: rewrite(config.HostBackend), talk: func(c *talk) {
			client := c.client().send("PUT /p HTTP/1.1\r\n", host, "Content-Length: 3\r\n\r\nabc")
			first := c.origins[0].accept()
			m := first.request()
			require.Equal(c.t, []string{strings.TrimSuffix(c.origins[0].addr, ":80")}, m.named("Host"))
			first.abort()
			second := c.origins[1].accept()
			m = second.request()
			require.Equal(c.t, []string{strings.TrimSuffix(c.origins[1].addr, ":80")}, m.named("Host"))
			require.Equal(c.t, "abc", m.body)
			second.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonBroken)
			c.counts(1)
		}},
	})
}

// RFC 9110 section 7.6.3, RFC 5842 section 7.2.
func TestARequestThatCameThroughUsTooOftenIsALoop(t *testing.T) {
	through := func(n int) string { return strings.TrimSuffix(strings.Repeat("1.1 wavepool, ", n), ", ") }
	converse(t, []conversation{
		{promise: "just under the limit it passes", talk: func(c *talk) {
			var backend *peer
			m := c.relayed(c.client(), &backend, "Via: "+through(7), "Via: 1.1 other")
			require.Equal(c.t, []string{through(7), "1.1 other", "1.1 wavepool"}, m.named("Via"))
			c.counts(1)
		}},
		{promise: "at the limit it is answered 508", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\n", host, "Via: ", through(5), "\r\nvia: 1.0 x, ", through(3), crlf, crlf)
			require.Equal(c.t, "508 Loop Detected", client.answer().start)
			c.dialled = 0
			c.counts(0, proxy.FailLoop)
		}},
		{promise: "a proxy that is its own backend ends in 508", tune: func(s *config.Config) {
			s.Listeners[0].MaxHops = 2
		}, talk: func(c *talk) {
			// The backend sends back what it gets, as the proxy itself would.
			client := c.client().send(get)
			backend := c.origins[0].accept()
			m := backend.request()
			again := c.client().send("GET / HTTP/1.1\r\n", host, "Via: ", m.named("Via")[0], "\r\nVia: 1.1 wavepool\r\n\r\n")
			require.Equal(c.t, "508 Loop Detected", again.answer().start)
			backend.send("HTTP/1.1 508 Loop Detected\r\nContent-Length: 0\r\n\r\n")
			require.Equal(c.t, "508 Loop Detected", client.answer().start)
			c.counts(1, proxy.FailLoop)
		}},
	})
}
