package proxy_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

const (
	toldV1 = "PROXY TCP4 192.0.2.1 10.9.9.9 53211 443\r\n"
	// toldV2 says 192.0.2.1:53211 and 10.9.9.9:443, and ALPN h2 and a host behind it.
	toldV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x1a\xc0\x00\x02\x01\x0a\x09\x09\x09\xcf\xdb\x01\xbb\x01\x00\x02h2\x02\x00\x06a.test"
	told6  = "PROXY TCP6 2001:db8::7 2001:db8::1 53211 443\r\n"
	local2 = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// heralded makes the listener expect headers from everywhere.
func heralded(s *config.Config) {
	s.Listeners[0].ProxyProtocol = &config.ProxyProtocol{From: []string{"0.0.0.0/0", "::/0"}}
}

// both is one change of the settings after the other.
func both(all ...func(*config.Config)) func(*config.Config) {
	return func(s *config.Config) {
		for _, f := range all {
			f(s)
		}
	}
}

func logged(s *config.Config) {
	s.AccessLog = &config.AccessLog{Path: "access.log", Format: config.LogText, Fields: []string{"client", "outcome"}}
}

// served carries one request whose client has been told of, and returns what the backend was told.
func (c *talk) served(client *peer) *message {
	c.t.Helper()
	client.send(get)
	backend := c.origins[0].accept()
	m := backend.request()
	backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	require.Equal(c.t, "ok", client.answer().body)
	backend.close()
	return m
}

func TestTheClientIsWhomAProxyBeforeUsTellsOf(t *testing.T) {
	says := func(header, address string) func(*talk) {
		return func(c *talk) {
			client := c.client().send(header)
			require.Equal(t, []string{address}, c.served(client).named("X-Forwarded-For"))
			client.close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}
	}
	converse(t, []conversation{
		{promise: "by version 1", tune: heralded, talk: says(toldV1, "192.0.2.1")},
		{promise: "by version 2, with more than addresses", tune: heralded, talk: says(toldV2, "192.0.2.1")},
		{promise: "by an address of IPv6", tune: heralded, talk: says(told6, "2001:db8::7")},
		{promise: "or who has connected, where nobody is told of", tune: heralded, talk: func(c *talk) {
			for _, header := range []string{local2, "PROXY UNKNOWN\r\n", "PROXY UNKNOWN 1 2 3 4 5 6\r\n"} {
				client := c.client().send(header)
				require.Equal(t, []string{c.clientIP}, c.served(client).named("X-Forwarded-For"))
				client.close()
				c.retires(pool.ReasonNotReusable)
			}
			c.counts(3)
		}},
		{promise: "for every request of a connection, and in the access log", tune: both(heralded, logged), talk: func(c *talk) {
			client := c.client().send(toldV1)
			for range 2 {
				require.Equal(t, []string{"192.0.2.1"}, c.served(client).named("X-Forwarded-For"))
			}
			client.close()
			c.after = append(c.after, func() {
				require.Equal(t, strings.Repeat("client=192.0.2.1:53211 outcome=answered\n", 2), c.log.text.String())
			})
			c.retires(pool.ReasonNotReusable, pool.ReasonNotReusable)
			c.counts(2)
		}},
		{promise: "though the header comes byte by byte, with the request in its last piece", tune: heralded, talk: func(c *talk) {
			client := c.client()
			for _, b := range []byte(toldV2[:len(toldV2)-1]) {
				client.send(string([]byte{b}))
				c.clk.Sleep(time.Millisecond)
			}
			backend := make(chan *message, 1)
			c.aside(func() {
				b := c.origins[0].accept()
				backend <- b.request()
				b.send(okay)
			})
			client.send(toldV2[len(toldV2)-1:] + get)
			require.Equal(t, "ok", client.answer().body)
			require.Equal(t, []string{"192.0.2.1"}, (<-backend).named("X-Forwarded-For"))
			c.counts(1)
		}},
	})
}

func TestWhomAProxyTellsOfIsTheClientOfWhateverFollows(t *testing.T) {
	var p *paper
	converse(t, []conversation{
		{promise: "TLS", files: papers(&p), tune: both(secureFront, heralded), talk: func(c *talk) {
			client := c.client().send(toldV2)
			tc := tls.Client(client.nc, &tls.Config{RootCAs: p.trust, ServerName: "a.test", Time: c.clk.Now})
			require.NoError(t, tc.Handshake())
			client.nc = tc
			m := c.served(client)
			require.Equal(t, []string{"192.0.2.1"}, m.named("X-Forwarded-For"))
			require.Equal(t, []string{"https"}, m.named("X-Forwarded-Proto"))
			client.close()
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
		{promise: "fields that are believed, if such is its address", tune: both(heralded, func(s *config.Config) {
			s.Listeners[0].TrustedProxies = []string{"192.0.2.1"}
		}), talk: func(c *talk) {
			client := c.client().send(toldV1)
			client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n")
			backend := c.origins[0].accept()
			require.Equal(t, []string{"198.51.100.7, 192.0.2.1"}, backend.request().named("X-Forwarded-For"))
			backend.send(okay)
			require.Equal(t, "ok", client.answer().body)
			c.counts(1)
		}},
		{promise: "each stream of HTTP/2", eager: true, tune: both(heralded, logged), talk: func(c *talk) {
			dial := c.dialer.DialContext
			if c.eager != nil {
				dial = c.eager
			}
			nc, err := dial(context.Background(), "tcp", c.front())
			require.NoError(t, err)
			_, err = nc.Write([]byte(toldV2))
			require.NoError(t, err)
			client := c.browserOn(nc)
			c.aside(func() {
				backend := c.origins[0].accept()
				for range 2 {
					require.Equal(t, []string{"192.0.2.1"}, backend.request().named("X-Forwarded-For"))
					backend.send(okay)
				}
			})
			for range 2 {
				require.Equal(t, "ok", c.fetch(client, request("GET", "http://a.test/", nil)).body)
			}
			c.after = append(c.after, func() {
				require.Equal(t, strings.Repeat("client=192.0.2.1:53211 outcome=answered\n", 2), c.log.text.String())
			})
			c.counts(2)
		}},
	})
}

func TestATunnelIsWhatComesBehindTheHeader(t *testing.T) {
	converse(t, []conversation{
		{promise: "and nothing else reaches the backend", tune: both(heralded, tcpMode, logged), talk: func(c *talk) {
			client := c.client().send(toldV2 + "ping")
			backend := c.origins[0].accept()
			backend.expect("ping")
			backend.send("pong")
			client.expect("pong")
			client.fin()
			backend.ended()
			backend.fin()
			client.ended()
			c.after = append(c.after, func() {
				require.Equal(t, "client=192.0.2.1:53211 outcome=answered\n", c.log.text.String())
			})
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

// tcpMode passes everything on.
func tcpMode(s *config.Config) { s.Listeners[0].Protocol = config.ProtocolTCP }

// browserOn is a browser in clear text on a connection that is there already.
func (c *talk) browserOn(nc net.Conn) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nc, nil
	}}
	c.closers = append(c.closers, tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestWhoMustSendAHeaderAndDoesNotIsCutOff(t *testing.T) {
	refused := func(what string) func(*talk) {
		return func(c *talk) {
			client := c.client().send(what)
			client.cut()
			c.await("it is counted", func() bool { return c.server.Stats().HeadersRefused == 1 })
			c.origins[0].untouched()
			c.counts(0)
		}
	}
	var p *paper
	converse(t, []conversation{
		{promise: "a request", tune: heralded, talk: refused(get)},
		{promise: "TLS", files: papers(&p), tune: both(heralded, secureFront), talk: refused("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		{promise: "the preface of HTTP/2", tune: heralded, talk: refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
		{promise: "a header that is malformed", tune: heralded, talk: refused("PROXY TCP4 192.0.2.1 10.9.9.9 53211 0443\r\n" + get)},
		{promise: "a header of datagrams", tune: heralded, talk: refused(strings.Replace(toldV2, "\x21\x11", "\x21\x12", 1) + get)},
		{promise: "a header without end", tune: heralded, talk: refused("PROXY UNKNOWN " + strings.Repeat("x", 94))},
		{promise: "a header too long", tune: heralded, talk: refused("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("x", 100))},
		{promise: "on a TCP listener too", tune: both(heralded, tcpMode), talk: refused("ping")},
		{promise: "one that ends in the middle", tune: heralded, talk: func(c *talk) {
			client := c.client().send(toldV1[:20])
			client.fin()
			client.cut()
			c.counts(0)
		}},
		{promise: "one that is silent, or slow, when its time is over", virtual: true, tune: heralded, talk: func(c *talk) {
			for _, piece := range []int{0, 1, 20} {
				begin := c.clk.Now()
				client := c.client()
				if piece > 0 {
					client.send(toldV1[:piece])
					c.clk.Sleep(4900 * time.Millisecond)
					client.send(toldV1[piece : piece+1]) // which buys no time
				}
				client.cut()
				require.InDelta(t, 5, c.clk.Since(begin).Seconds(), 0.1)
			}
			require.EqualValues(t, 3, c.server.Stats().HeadersRefused)
			c.counts(0)
		}},
		{promise: "and one that takes almost all of it is served", virtual: true, tune: heralded, talk: func(c *talk) {
			client := c.client().send(toldV1[:20])
			c.clk.Sleep(4900 * time.Millisecond)
			client.send(toldV1[20:])
			c.clk.Sleep(5 * time.Second) // a request has its own time
			c.exchange(client, c.acceptAside(client))
			c.counts(2)
		}},
	})
}

// acceptAside lets the client's first request be answered, and returns the connection to the backend.
func (c *talk) acceptAside(client *peer) *peer {
	client.send(get)
	backend := c.origins[0].accept()
	backend.request()
	backend.send(okay)
	require.Equal(c.t, "ok", client.answer().body)
	return backend
}

func TestOnlyListedSourcesAreHeard(t *testing.T) {
	elsewhere := func(s *config.Config) {
		s.Listeners[0].ProxyProtocol = &config.ProxyProtocol{From: []string{"192.0.2.0/24", "2001:db8::1"}}
	}
	converse(t, []conversation{
		{promise: "a header from anywhere else is a bad request", tune: elsewhere, talk: func(c *talk) {
			for _, header := range []string{toldV1, toldV2} {
				client := c.client().send(header + get)
				require.Contains(t, client.answer().start, "400 ")
			}
			c.origins[0].untouched()
			require.Zero(t, c.server.Stats().HeadersRefused)
			c.counts(0, proxy.FailBadRequest, proxy.FailBadRequest)
		}},
		{promise: "and a request from there is served", tune: elsewhere, talk: func(c *talk) {
			require.Equal(t, []string{c.clientIP}, c.served(c.client()).named("X-Forwarded-For"))
			c.retires(pool.ReasonNotReusable)
			c.counts(1)
		}},
	})
}

func TestTheLimitOfASourceCountsTheClientThatWasToldOf(t *testing.T) {
	two := func(s *config.Config) { s.Listeners[0].MaxConnectionsPerSource = 2 }
	converse(t, []conversation{
		{promise: "and not the proxy before us", tune: both(heralded, two), talk: func(c *talk) {
			first := c.client().send(toldV1)
			backend := c.acceptAside(first)
			second := c.client().send(toldV2)
			c.exchange(second, backend)
			c.client().send(toldV1 + get).cut()
			c.exchange(c.client().send(strings.Replace(toldV1, "192.0.2.1", "192.0.2.2", 1)), backend)
			second.close()
			c.await("its place is free", func() bool { return c.server.Stats().Open == 2 })
			c.exchange(c.client().send(toldV1), backend)
			require.EqualValues(t, 1, c.server.Stats().Refused)
			c.counts(4)
		}},
	})
}

func TestAConnectionThatWaitsForItsHeaderHoldsNoDrainLongerThanItsTime(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
		cv := conversation{tune: both(heralded, func(s *config.Config) { s.DrainTimeout = time.Second }), talk: func(c *talk) {
			c.client().send(toldV1[:20])
			c.accepted(1)
			begin := c.clk.Now()
			require.Error(t, c.server.Drain(context.Background()))
			require.Less(t, c.clk.Since(begin), 1100*time.Millisecond)
			c.counts(0)
		}}
		cv.run(t, simTalk(t, s))
	})
}

// Some load balancers open connections in store. One that has sent nothing for a second has no request on its way.
func TestAConnectionWithoutAByteOfItsHeaderIsClosedSoonAfterADrainBegins(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
		long := func(s *config.Config) {
			s.Listeners[0].ProxyProtocol.Timeout, s.DrainTimeout = time.Minute, time.Minute
		}
		cv := conversation{tune: both(heralded, long), talk: func(c *talk) {
			silent, late := c.client(), c.client()
			c.accepted(2)
			c.clk.Sleep(5 * time.Second)
			require.NoError(t, late.nc.SetDeadline(c.clk.Now().Add(time.Minute)))
			late.send(toldV1[:20])
			c.clk.Sleep(10 * time.Millisecond)
			begin := c.clk.Now()
			c.clk.AfterFunc(3*time.Second, func() { late.send(toldV1[20:]); _ = late.nc.Close() })
			require.NoError(t, c.server.Drain(context.Background()), "what has begun to speak is heard")
			require.InDelta(t, 3, c.clk.Since(begin).Seconds(), 0.1)
			silent.ended()
			require.Zero(t, c.server.Stats().HeadersRefused, "it was no fault of theirs")
			c.counts(0)
		}}
		cv.run(t, simTalk(t, s))
	})
}
