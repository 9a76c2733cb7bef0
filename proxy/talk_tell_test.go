package proxy_test

import (
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/proxyproto"
)

func telling(version string) func(*config.Config) {
	return func(s *config.Config) {
		s.Upstreams[0].SendProxy = version
		s.Upstreams[0].Pool.MaxConnections = 10
	}
}

// told reads the header with which a connection must begin.
func (p *peer) told() proxyproto.Header {
	p.c.t.Helper()
	var b []byte
	for {
		n, err := proxyproto.Missing(b)
		require.NoError(p.c.t, err, "%q", b)
		if n == 0 {
			h, err := proxyproto.Parse(b)
			require.NoError(p.c.t, err)
			return h
		}
		more := make([]byte, n)
		_, err = io.ReadFull(p.nc, more)
		require.NoError(p.c.t, err, "%q", b)
		b = append(b, more...)
	}
}

// is checks that a header tells of the client's connection to the proxy.
func (c *talk) is(client *peer, h proxyproto.Header) {
	c.t.Helper()
	require.Equal(c.t, client.nc.LocalAddr().String(), h.Source.String())
	require.Equal(c.t, client.nc.RemoteAddr().String(), h.Destination.String())
}

func TestABackendIsToldWhoseRequestAConnectionCarries(t *testing.T) {
	var p *paper
	one := func(c *talk) {
		client := c.client()
		for range 3 { // a connection each
			client.send(get)
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			require.Equal(t, "GET /", backend.request().start)
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			backend.ended()
			c.retires(pool.ReasonNotReusable)
		}
		c.dialled = 3
		c.counts(3)
	}
	converse(t, []conversation{
		{promise: "by version 1", tune: telling(config.SendProxyV1), talk: one},
		{promise: "by version 2", tune: telling(config.SendProxyV2), talk: one},
		{promise: "before TLS", files: papers(&p), tune: both(secureBack, telling(config.SendProxyV2)), talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			tc := tls.Server(backend.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
			require.NoError(t, tc.Handshake())
			backend.nc = tc
			require.Equal(t, "GET /", backend.request().start)
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			backend.ended() // in order: a TLS alert, which net/http and others tell from a cut
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "with the address that the proxy before us has told", tune: both(heralded, telling(config.SendProxyV1)), talk: func(c *talk) {
			client := c.client().send(told6, get)
			backend := c.origins[0].accept()
			require.Equal(t, proxyproto.Header{
				Source: netip.MustParseAddrPort("[2001:db8::7]:53211"), Destination: netip.MustParseAddrPort("[2001:db8::1]:443"),
			}, backend.told())
			backend.request()
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "also of a stream of HTTP/2", eager: true, tune: telling(config.SendProxyV2), talk: func(c *talk) {
			client := c.browser(nil)
			c.aside(func() {
				backend := c.origins[0].accept()
				h := backend.told()
				require.Equal(t, c.clientIP, h.Source.Addr().String())
				require.Equal(t, c.front(), h.Destination.String())
				backend.request()
				backend.send(okay)
			})
			require.Equal(t, "ok", c.fetch(client, request("GET", "http://a.test/", nil)).body)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestWhatFollowsTheHeaderGoesAsEver(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "a tunnel", tune: both(telling(config.SendProxyV1), tcpMode), talk: func(c *talk) {
			client := c.client().send("ping")
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			backend.expect("ping")
			backend.send("pong")
			client.expect("pong")
			client.fin()
			backend.ended()
			backend.fin()
			client.ended()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "a connection that switches protocols", tune: telling(config.SendProxyV2), talk: func(c *talk) {
			client := c.client().send("GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			backend.request()
			backend.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")
			client.answer()
			client.expect("hello")
			client.close()
			backend.ended()
			backend.close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "a body of megabytes, and another one back", files: papers(&p), tune: both(secureBack, telling(config.SendProxyV2)), talk: func(c *talk) {
			client := c.client()
			c.aside(func() { _, _ = client.nc.Write([]byte(upload(large))) })
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			tc := tls.Server(backend.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
			require.NoError(t, tc.Handshake())
			backend.nc = tc
			c.sameBytes(pattern(large), backend.request().body)
			c.aside(func() { _, _ = backend.nc.Write([]byte(chunkedAnswer(pattern(large), 70000))) })
			c.sameBytes(pattern(large), client.answer().body)
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestNoClientUsesAConnectionThatHasToldOfAnother(t *testing.T) {
	converse(t, []conversation{
		{promise: "though it is free", tune: telling(config.SendProxyV2), talk: func(c *talk) {
			for range 3 {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				c.is(client, backend.told())
				backend.request()
				backend.send(okay)
				require.Equal(t, "ok", client.answer().body)
				c.retires(pool.ReasonNotReusable)
			}
			c.dialled = 3
			c.counts(3)
		}},
		{promise: "and a connection that was made ready beforehand has told of nobody yet", virtual: true,
			tune: both(telling(config.SendProxyV1), func(s *config.Config) { s.Upstreams[0].Pool.MinIdle = 1 }), talk: func(c *talk) {
				backend := c.origins[0].accept()
				backend.silent()
				client := c.client().send(get)
				c.is(client, backend.told())
				backend.request()
				backend.send(okay)
				require.Equal(t, "ok", client.answer().body)
				c.origins[0].accept().silent() // the next one
				c.retires(pool.ReasonNotReusable)
				c.counts(1)
			}},
		{promise: "nor does one that was ready and has died cost a request", virtual: true,
			tune: both(telling(config.SendProxyV1), func(s *config.Config) {
				s.Upstreams[0].Pool.MinIdle, s.Upstreams[0].Pool.ValidateAfter = 1, config.Off
			}), talk: func(c *talk) {
				c.origins[0].accept().abort()
				client := c.client().send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
				c.origins[0].accept().silent() // which is made ready in its place
				backend := c.origins[0].accept()
				c.is(client, backend.told())
				backend.request()
				backend.send(okay)
				require.Equal(t, "ok", client.answer().body)
				c.lenient()
			}},
	})
}

func TestABackendThatCannotBeToldCountsAsOneThatCannotBeReached(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "and the request goes to the next one", backends: 2, files: papers(&p), virtual: true,
			tune: both(secureBack, telling(config.SendProxyV2)), talk: func(c *talk) {
				client := c.client().send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
				bad := c.origins[0].accept()
				c.is(client, bad.told())
				bad.send("220 this is not TLS\r\n")
				good := c.origins[1].accept()
				c.is(client, good.told())
				tc := tls.Server(good.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
				require.NoError(t, tc.Handshake())
				good.nc = tc
				require.Equal(t, "hi", good.request().body)
				good.send(okay)
				require.Equal(t, "ok", client.answer().body)
				c.retires(pool.ReasonBroken, pool.ReasonNotReusable)
				c.counts(1)
			}},
		{promise: "within the time of a connect", files: papers(&p), virtual: true,
			tune: both(secureBack, telling(config.SendProxyV2)), talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client().send(get)
				c.aside(func() {
					for range 2 {
						c.origins[0].accept().told() // and nothing more
					}
				})
				require.Contains(t, client.answer().start, "502 ")
				require.InDelta(t, 10, c.clk.Since(begin).Seconds(), 0.2, "two attempts")
				c.retires(pool.ReasonBroken, pool.ReasonBroken)
				c.counts(0, proxy.FailConnect)
			}},
		{promise: "in a tunnel too", backends: 2, files: papers(&p), virtual: true,
			tune: both(secureBack, telling(config.SendProxyV2), tcpMode), talk: func(c *talk) {
				client := c.client().send("ping")
				bad := c.origins[0].accept()
				bad.told()
				bad.abort()
				good := c.origins[1].accept()
				c.is(client, good.told())
				tc := tls.Server(good.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
				require.NoError(t, tc.Handshake())
				good.nc = tc
				good.expect("ping")
				good.send("pong")
				client.expect("pong")
				client.close()
				good.close()
				c.lenient()
			}},
	})
}

func TestHealthChecksTellOfNobody(t *testing.T) {
	var p *paper
	checked := func(s *config.Config) {
		active := config.DefaultActive()
		active.HTTP = &config.HTTPCheck{Path: "/healthz", Status: config.StatusRange{Low: 200, High: 299}}
		s.Upstreams[0].Health.Active = &active
	}
	converse(t, []conversation{
		{promise: "by LOCAL of version 2, before TLS", files: papers(&p), virtual: true,
			tune: both(checked, secureBack, telling(config.SendProxyV2)), talk: func(c *talk) {
				check := c.origins[0].accept()
				require.Equal(t, proxyproto.Header{Local: true}, check.told())
				tc := tls.Server(check.nc, &tls.Config{Certificates: []tls.Certificate{p.served}, Time: c.clk.Now})
				require.NoError(t, tc.Handshake())
				check.nc = tc
				require.Equal(t, "GET /healthz", check.request().start)
				c.counts(0)
			}},
		{promise: "by UNKNOWN of version 1", virtual: true, tune: both(checked, telling(config.SendProxyV1)), talk: func(c *talk) {
			check := c.origins[0].accept()
			check.expect("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n")
			c.counts(0)
		}},
	})
}

func TestAReloadThatTellsBackendsOtherwiseMakesNewConnections(t *testing.T) {
	converse(t, []conversation{
		{promise: "and the old ones tell nobody's address wrongly", talk: func(c *talk) {
			client := c.client()
			old := c.acceptAside(client)
			next := *c.server.Settings()
			next.Upstreams = append([]config.Upstream(nil), next.Upstreams...)
			next.Upstreams[0].SendProxy = config.SendProxyV1
			changes, err := c.server.Reload(&next)
			require.NoError(t, err)
			require.Equal(t, "upstreams.web.send_proxy: v1 instead of off", strings.Join(changes, "\n"))
			old.ended()
			client.send(get)
			backend := c.origins[0].accept()
			c.is(client, backend.told())
			backend.request()
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			c.clk.Sleep(time.Millisecond)
			c.lenient()
		}},
	})
}
