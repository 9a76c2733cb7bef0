package proxy_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func TestClientsThatLeaveCostOneRequestAndNoMore(t *testing.T) {
	converse(t, []conversation{
		{promise: "half way in its head", talk: func(c *talk) {
			c.client().send("GET / HTTP/1.1\r\nHos").close()
			c.origins[0].untouched()
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "half way in its head by a reset", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\nHos")
			c.settle()
			client.abort()
			c.origins[0].untouched()
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "half way in its body", talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 100\r\n\r\nhalf")
			backend := c.origins[0].accept()
			backend.head()
			client.close()
			backend.expect("half")
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "half way in a chunk", talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n64\r\nhalf")
			backend := c.origins[0].accept()
			backend.head()
			client.close()
			backend.expect("4\r\nhalf\r\n")
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "half way in its answer", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", pattern(5000))
			client.until("\r\n\r\n")
			client.abort()
			c.settle()
			// The proxy learns it by writing. How much the backend gets rid of before is the kernel's affair.
			c.aside(func() {
				for range 200 {
					if _, err := backend.nc.Write(make([]byte, 30000)); err != nil {
						return
					}
				}
			})
			c.asides.Wait()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailClientGone)
		}},
		{promise: "before a short answer came, whose connection is kept", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			client.abort()
			c.settle()
			backend.send(okay)
			c.settle()
			c.exchange(c.client(), backend)
			c.counts(1, proxy.FailClientGone)
		}},
	})
}

func TestAHeadHasItsTimeAndNoMore(t *testing.T) {
	converse(t, []conversation{
		{promise: "a head that trickles is refused at the head timeout after the accept", virtual: true, tune: clientTimes,
			talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client()
				c.clk.Sleep(4 * time.Second)
				c.aside(func() {
					for _, b := range []byte("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n") {
						if _, err := client.nc.Write([]byte{b}); err != nil {
							return
						}
						c.clk.Sleep(time.Second)
					}
				})
				m := client.answer()
				require.Equal(c.t, "408 Request Timeout", m.start)
				require.Equal(c.t, []string{"close"}, m.named("Connection"))
				elapsed(c, begin, 10*time.Second)
				c.origins[0].untouched()
				c.counts(0, proxy.FailHeadTimeout)
			}},
		{promise: "a later head has its time from its first byte", virtual: true, tune: clientTimes, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.clk.Sleep(15 * time.Second)
			begin := c.clk.Now()
			client.send("G")
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, 10*time.Second)
			c.counts(1, proxy.FailHeadTimeout)
		}},
	})
}

func TestSilentClientsHaveTheirTimeAndNoMore(t *testing.T) {
	converse(t, []conversation{
		{promise: "a client that says nothing is closed quietly", virtual: true, tune: clientTimes, talk: func(c *talk) {
			begin := c.clk.Now()
			client := c.client()
			client.ended()
			elapsed(c, begin, 10*time.Second)
			c.counts(0)
		}},
		{promise: "an idle client is closed quietly at the idle timeout", virtual: true, tune: clientTimes,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send(okay)
				client.answer()
				begin := c.clk.Now()
				client.ended()
				elapsed(c, begin, 30*time.Second)
				c.retires(pool.ReasonIdleTimeout)
				c.counts(1)
			}},
		{promise: "a body that stalls for a minute is refused", virtual: true, tune: anyRate, talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 100\r\n\r\nhalf")
			c.origins[0].accept().head()
			begin := c.clk.Now()
			require.Equal(c.t, "408 Request Timeout", client.answer().start)
			elapsed(c, begin, time.Minute)
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailBodyTimeout)
		}},
	})
}

func TestSlowSidesDoNotHoldTheOther(t *testing.T) {
	converse(t, []conversation{
		{promise: "a client that does not read its answer is cut off within two minutes", virtual: true,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				c.aside(func() {
					_, _ = backend.nc.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + pattern(5000000)))
				})
				begin := c.clk.Now()
				c.asides.Wait() // the backend's connection dies with the request
				require.Greater(c.t, c.clk.Since(begin), time.Minute)
				require.Less(c.t, c.clk.Since(begin), 3*time.Minute)
				_, _ = client.raw()
				c.retires(pool.ReasonAborted)
				c.counts(0, proxy.FailClientGone)
			}},
		{promise: "a backend that does not read a body is given up within two minutes", virtual: true,
			talk: func(c *talk) {
				client := c.client()
				c.aside(func() { _, _ = client.nc.Write([]byte(upload(5000000))) })
				c.origins[0].accept() // and nothing is read from it
				begin := c.clk.Now()
				require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
				require.Less(c.t, c.clk.Since(begin), 3*time.Minute)
				c.retires(pool.ReasonUnanswered)
				c.counts(0, proxy.FailTimeout)
			}},
		{promise: "a slow client does not hold the connection of a backend that has answered", virtual: true,
			talk: func(c *talk) {
				slow := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", pattern(9000))
				c.settle()
				c.exchange(c.client(), backend)
				require.Equal(c.t, pattern(9000), slow.answer().body)
				c.counts(2)
			}},
	})
}

func TestLimitsHoldJustOverAndNotJustUnder(t *testing.T) {
	tune := func(s *config.Config) {
		l := &s.Listeners[0]
		l.MaxHeadBytes, l.MaxFields, l.MaxTargetBytes, l.MaxRequestBody = 2000, 10, 100, 1000
	}
	// passes and refused send one request each.
	passes := func(request string) func(c *talk) {
		return func(c *talk) {
			client := c.client().send(request)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "200 OK", client.answer().start)
			c.counts(1)
		}
	}
	refused := func(request, status string, f proxy.Failure) func(c *talk) {
		return func(c *talk) {
			client := c.client().send(request)
			require.Equal(c.t, status, client.answer().start)
			c.origins[0].untouched()
			c.counts(0, f)
		}
	}
	head := func(n int) string {
		const start, end = "GET / HTTP/1.1\r\nHost: a.test\r\nX: ", "\r\n\r\n"
		return start + strings.Repeat("x", n-len(start)-len(end)) + end
	}
	target := func(n int) string {
		return "GET /" + strings.Repeat("t", n-1) + " HTTP/1.1\r\nHost: a.test\r\n\r\n"
	}
	fields := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: a.test\r\n" + strings.Repeat("X: y\r\n", n-1) + "\r\n"
	}
	length := func(n int) string {
		return "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n" + strings.Repeat("b", n)
	}
	chunked := func(n int) string {
		return "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strconv.FormatInt(int64(n-1), 16) + "\r\n" + strings.Repeat("b", n-1) + "\r\n1\r\nb\r\n0\r\n\r\n"
	}
	converse(t, []conversation{
		{promise: "a head of the limit passes", tune: tune, talk: passes(head(2000))},
		{promise: "a head over the limit is 431", tune: tune,
			talk: refused(head(2001), "431 Request Header Fields Too Large", proxy.FailBadRequest)},
		{promise: "as many fields as allowed pass", tune: tune, talk: passes(fields(10))},
		{promise: "one field more is 431", tune: tune,
			talk: refused(fields(11), "431 Request Header Fields Too Large", proxy.FailBadRequest)},
		{promise: "a target of the limit passes", tune: tune, talk: passes(target(100))},
		{promise: "a target over the limit is 414", tune: tune,
			talk: refused(target(101), "414 URI Too Long", proxy.FailBadRequest)},
		{promise: "a body of the limit passes", tune: tune, talk: passes(length(1000))},
		{promise: "a body over the limit is 413", tune: tune,
			talk: refused(length(1001), "413 Content Too Large", proxy.FailTooLarge)},
		{promise: "a chunked body of the limit passes", tune: tune, talk: passes(chunked(1000))},
		{promise: "a chunked body over the limit is 413", tune: tune,
			talk: refused(chunked(1001), "413 Content Too Large", proxy.FailTooLarge)},
		{promise: "a streamed chunked body of the limit passes", tune: tune, quiet: 5 * time.Millisecond,
			talk: streamedBody(1000, "200 OK")},
		{promise: "a streamed chunked body over the limit is 413", tune: tune, quiet: 5 * time.Millisecond,
			talk: streamedBody(1001, "413 Content Too Large")},
	})
}

// streamedBody sends a chunked body in ten pieces, the backend reading along.
func streamedBody(n int, want string) func(*talk) {
	return func(c *talk) {
		client := c.client().send("POST / HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n")
		backend := c.origins[0].accept()
		backend.head()
		for sent := 0; sent < n; {
			k := min(100, n-sent)
			client.send(strconv.FormatInt(int64(k), 16), "\r\n", pattern(k), "\r\n")
			if sent += k; sent <= 1000 {
				backend.until(pattern(k) + "\r\n")
			}
		}
		if want != "200 OK" {
			require.Equal(c.t, want, client.answer().start)
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(0, proxy.FailTooLarge)
			return
		}
		client.send("0\r\n\r\n")
		backend.expect("0\r\n\r\n")
		backend.send(okay)
		require.Equal(c.t, want, client.answer().start)
		c.counts(1)
	}
}

func TestAResetOfAllClientsLeavesNothingBehind(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 5, Latency: time.Millisecond}, func(s *netsim.Sim) {
		w := newSimWorld(t, s, 2, func(c *config.Config) { c.Upstreams[0].Pool.MaxConnections = 2 })
		for _, b := range w.backends {
			b.service = 50 * time.Millisecond
		}
		var work [][]simRequest
		for i := range 8 {
			work = append(work, []simRequest{{method: "PUT", nonce: "n-" + strconv.Itoa(i), body: 30000}})
		}
		w.clk.AfterFunc(60*time.Millisecond, func() { s.ResetConns("client", "proxy") })
		for _, list := range w.runClients(5*time.Second, work) {
			require.Len(t, list, 1)
		}
		w.stop()
	})
}

// anyRate lets clients send bodies as slowly as they like.
func anyRate(s *config.Config) { s.Listeners[0].MinBodyRate = config.Off }

func clientTimes(s *config.Config) {
	s.Listeners[0].HeadTimeout, s.Listeners[0].IdleTimeout = 10*time.Second, 30*time.Second
}

// elapsed checks how much time went by, but for a few round trips.
func elapsed(c *talk, since time.Time, want time.Duration) {
	c.t.Helper()
	require.InDelta(c.t, want.Seconds(), c.clk.Since(since).Seconds(), 0.05)
}
