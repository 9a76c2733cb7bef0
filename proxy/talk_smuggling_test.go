package proxy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
)

func TestASmuggledRequestIsRefusedAndTheBackendNeverSeesAByte(t *testing.T) {
	var cases []conversation
	for name, bytes := range smuggled {
		cases = append(cases, conversation{promise: name, tune: withoutHTTP2, talk: func(c *talk) {
			client := c.client().send(bytes)
			m := client.answer()
			require.Contains(c.t, []string{"400", "501", "505"}, m.start[:3])
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			client.ended()
			c.dialled = 0
			c.counts(0, proxy.FailBadRequest)
		}})
	}
	cases = append(cases, conversation{promise: "a bad chunk ends both connections", talk: func(c *talk) {
		client := c.client().send(line, "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
		backend := c.origins[0].accept()
		backend.head()
		client.send("0x1\r\nc\r\n0\r\n\r\n", hidden)
		require.Equal(c.t, "400 Bad Request", client.answer().start)
		rest, _ := backend.raw()
		require.Equal(c.t, "2\r\nab\r\n", rest)
		c.retires(pool.ReasonAborted)
		c.counts(0, proxy.FailBadRequest)
	}})
	converse(t, cases)
}

func TestFieldsBetweenTheHopsAreOurs(t *testing.T) {
	// seen sends the fields and returns the request that the backend got.
	seen := func(c *talk, fields string) *message {
		client := c.client().send("GET / HTTP/1.1\r\n", host, fields, "\r\n")
		backend := c.origins[0].accept()
		m := backend.request()
		backend.send(okay)
		client.answer()
		c.counts(1)
		return m
	}
	ours := func(c *talk, m *message) {
		c.t.Helper()
		require.Equal(c.t, []string{c.clientIP}, m.named("X-Forwarded-For"))
		require.Equal(c.t, []string{"http"}, m.named("X-Forwarded-Proto"))
		require.Equal(c.t, []string{"a.test"}, m.named("X-Forwarded-Host"))
		require.Equal(c.t, []string{"a.test"}, m.named("Host"))
	}
	converse(t, []conversation{
		{promise: "ours are set", talk: func(c *talk) {
			m := seen(c, "")
			ours(c, m)
			require.Equal(c.t, []string{"1.1 wavepool"}, m.named("Via"))
		}},
		{promise: "spoofed ones are dropped", talk: func(c *talk) {
			m := seen(c, "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\nX-FORWARDED-HOST: evil\r\n"+
				"X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Server: evil\r\n")
			ours(c, m)
			for _, name := range []string{"X-Real-IP", "Forwarded", "X_Forwarded_For", "X-Forwarded-Server"} {
				require.Empty(c.t, m.named(name), name)
			}
		}},
		{promise: "hop by hop fields stay here, and so does what Connection names", talk: func(c *talk) {
			m := seen(c, "Connection: keep-alive, x-secret, X-FORWARDED-FOR, host, authorization\r\nKeep-Alive: 5\r\n"+
				"X-Secret: s\r\nX-Open: o\r\nTE: trailers\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\nProxy: evil\r\n"+
				"Authorization: Basic x\r\n")
			ours(c, m)
			require.Equal(c.t, []string{"o"}, m.named("X-Open"))
			require.Equal(c.t, []string{"Basic x"}, m.named("Authorization"))
			for _, name := range []string{"Connection", "Keep-Alive", "X-Secret", "TE", "Proxy-Authorization",
				"Proxy-Connection", "Proxy"} {
				require.Empty(c.t, m.named(name), name)
			}
		}},
		{promise: "the absolute form wins over Host", talk: func(c *talk) {
			client := c.client().send("GET http://b.test/p?q HTTP/1.1\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, "GET /p?q", m.start)
			require.Equal(c.t, []string{"b.test"}, m.named("Host"))
			backend.send(okay)
			client.answer()
			c.counts(1)
		}},
		{promise: "an answer loses its hop by hop fields", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\n",
				"Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n")
			m := client.answer()
			require.Empty(c.t, m.named("X-Hop"))
			require.Empty(c.t, m.named("Keep-Alive"))
			require.Equal(c.t, []string{"2"}, m.named("X-End"))
			require.Equal(c.t, []string{"a", "b"}, m.named("Set-Cookie"))
			c.counts(1)
		}},
	})
}

func TestMethodsThatAreNotServedAre405(t *testing.T) {
	refused := func(request string) func(*talk) {
		return func(c *talk) {
			m := c.client().send(request).answer()
			require.Equal(c.t, "405 Method Not Allowed", m.start)
			require.Len(c.t, m.named("Allow"), 1)
			c.dialled = 0
			c.counts(0, proxy.FailMethod)
		}
	}
	converse(t, []conversation{
		{promise: "CONNECT", talk: refused("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")},
		{promise: "TRACE", talk: refused("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n")},
	})
}

const (
	hidden = "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n"
	line   = "POST / HTTP/1.1\r\nHost: a.test\r\n"
)

// smuggled are requests that two readers could take for different ones.
var smuggled = map[string]string{
	"CL.TE":                            line + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE.CL":                            line + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\nab\r\n0\r\n\r\n" + hidden,
	"TE.TE with an unknown second":     line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + hidden,
	"TE.TE with two equal":             line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE chunked and identity":          line + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
	"TE xchunked":                      line + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE with a vertical tab":           line + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE with a NUL":                    line + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + hidden,
	"TE on HTTP 1.0":                   "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	"TE folded":                        line + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + hidden,
	"a space before the colon":         line + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
	"a tab before the colon":           line + "Content-Length\t: 5\r\n\r\n" + hidden,
	"two equal lengths":                line + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab" + hidden,
	"two different lengths":            line + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc" + hidden,
	"a list of lengths":                line + "Content-Length: 2, 2\r\n\r\nab" + hidden,
	"a length with a plus":             line + "Content-Length: +2\r\n\r\nab" + hidden,
	"a length with a minus":            line + "Content-Length: -0\r\n\r\n" + hidden,
	"a length in hex":                  line + "Content-Length: 0x2\r\n\r\nab" + hidden,
	"a length with an underscore":      line + "Content-Length: 1_0\r\n\r\n" + hidden,
	"a length too long for any number": line + "Content-Length: 99999999999999999999\r\n\r\n" + hidden,
	"an empty length":                  line + "Content-Length:\r\n\r\n" + hidden,
	"bare line feeds":                  "GET / HTTP/1.1\nHost: a.test\n\n" + hidden,
	"one bare line feed":               "GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n" + hidden,
	"a bare carriage return":           "GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n" + hidden,
	"obs-fold":                         "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n" + hidden,
	"a first field with a space":       "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n" + hidden,
	"two Hosts":                        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n" + hidden,
	"no Host":                          "GET / HTTP/1.1\r\n\r\n" + hidden,
	"an empty Host":                    "GET / HTTP/1.1\r\nHost:\r\n\r\n" + hidden,
	"a Host with a path":               "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n" + hidden,
	"a Host with a user":               "GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n" + hidden,
	"a field without a name":           "GET / HTTP/1.1\r\nHost: a.test\r\n: x\r\n\r\n" + hidden,
	"a NUL in a value":                 "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x00b\r\n\r\n" + hidden,
	"a fragment":                       "GET /#x HTTP/1.1\r\nHost: a.test\r\n\r\n" + hidden,
	"two spaces in the request line":   "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n" + hidden,
	"a tab in the request line":        "GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n" + hidden,
	"the asterisk with GET":            "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n" + hidden,
	"a broken escape":                  "GET /%zz HTTP/1.1\r\nHost: a.test\r\n\r\n" + hidden,
	"HTTP 0.9":                         "GET /\r\n" + hidden,
	"a TLS hello":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"the preface of HTTP 2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
