package proxy_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

func once(s *config.Config) { s.Upstreams[0].Retry.Attempts = 1 }

func TestAnswersThatCannotBeTrustedAre502AndRetireTheConnection(t *testing.T) {
	bad := map[string]string{
		"garbage":                           "SSH-2.0-OpenSSH_9.9\r\n",
		"an unknown version":                "HTTP/3.0 200 OK\r\n\r\n",
		"a length and chunked":              "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two equal lengths":                 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"two different lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"a length with a sign":              "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
		"an unknown transfer coding":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked in an HTTP 1.0 answer":     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bare line feeds":                   "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"a folded field":                    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"a control byte in a value":         "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"a status that is no number":        "HTTP/1.1 2x0 OK\r\n\r\n",
		"a switch that nobody asked for":    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"a head that is too long":           "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70000) + "\r\n\r\n",
		"an answer to a question of others": "200 OK\r\n\r\n",
	}
	var all []conversation
	for name, answer := range bad {
		all = append(all, conversation{promise: name, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			_, _ = io.WriteString(backend.nc, answer) // the proxy may have hung up before the end
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			client.send(get) // the client's connection goes on
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonProtocol)
			c.counts(1, proxy.FailBadAnswer)
		}})
	}
	converse(t, all)
}

func TestABrokenAnswerIsNeverTakenForAWholeOne(t *testing.T) {
	// broken says how the answer comes, and how the client must see its end.
	type broken struct {
		promise, request, answer string
		reset                    bool // the backend ends it by a reset instead of a FIN
		clientReset              bool // the client cannot see it but by a reset
		why                      pool.Reason
		failure                  proxy.Failure
	}
	all := []broken{
		{promise: "a body short of its length", request: get,
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
		{promise: "a body short of its length after a reset", request: get, reset: true,
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
		{promise: "a chunked body without its end", request: get,
			answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"},
		{promise: "a chunked body that ends in a chunk", request: get,
			answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"},
		{promise: "a chunked body that ends in its trailers", request: get,
			answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX-T: "},
		{promise: "a bad chunk", request: get, why: pool.ReasonProtocol, failure: proxy.FailBadAnswer,
			answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"},
		{promise: "a chunked body without its end for an HTTP 1.0 client", clientReset: true,
			request: "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
			answer:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"},
		{promise: "a close delimited body that ends in a reset", request: get, reset: true,
			answer: "HTTP/1.1 200 OK\r\n\r\nhalf"},
		{promise: "a close delimited body that ends in a reset for an HTTP 1.0 client", reset: true, clientReset: true,
			request: "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n", answer: "HTTP/1.1 200 OK\r\n\r\nhalf"},
	}
	var cases []conversation
	for _, b := range all {
		cases = append(cases, conversation{promise: b.promise, backends: 2, talk: func(c *talk) {
			client := c.client().send(b.request)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(b.answer)
			client.until("half")
			client.r.Discard(client.r.Buffered())
			if b.reset {
				backend.abort()
			} else {
				require.NoError(c.t, backend.nc.Close())
			}
			rest, err := client.raw()
			require.NotContains(c.t, rest, "0\r\n\r\n")
			if b.clientReset {
				require.True(c.t, errors.Is(err, syscall.ECONNRESET), "%v", err)
			}
			c.origins[1].untouched() // what has begun is not tried elsewhere
			if b.why == 0 {
				b.why, b.failure = pool.ReasonBroken, proxy.FailReset
			}
			c.retires(b.why)
			c.counts(0, b.failure)
		}})
	}
	cases = append(cases, conversation{promise: "half a head is 502 and is not tried elsewhere", backends: 2,
		talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Le").close()
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.origins[1].untouched()
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}})
	converse(t, cases)
}

func TestABackendConnectionWithBytesLeftIsNotReused(t *testing.T) {
	converse(t, []conversation{
		{promise: "behind a length", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			require.Equal(c.t, "ok", client.answer().body)
			client.send(get)
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonUnexpectedData)
			c.counts(2)
		}},
		{promise: "behind the answer to HEAD", talk: func(c *talk) {
			client := c.client().send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answerTo("HEAD")
			client.send(get)
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonUnexpectedData)
			c.counts(2)
		}},
		{promise: "later, while it is idle", quiet: 150 * time.Millisecond, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			backend.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
			c.settle()
			client.send(get)
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "200 OK", client.answer().start)
			c.retires(pool.ReasonUnexpectedData)
			c.counts(2)
		}},
	})
}

func TestABackendHasItsTimeAndNoMore(t *testing.T) {
	converse(t, []conversation{
		{promise: "no answer is 504 and is not tried elsewhere", virtual: true, backends: 2, tune: backendTimes, talk: func(c *talk) {
			begin := c.clk.Now()
			client := c.client().send(get)
			c.origins[0].accept().request()
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			elapsed(c, begin, 3*time.Second)
			c.origins[1].untouched()
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
		{promise: "interim answers do not lengthen it", virtual: true, tune: backendTimes, talk: func(c *talk) {
			begin := c.clk.Now()
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			for range 2 {
				c.clk.Sleep(time.Second)
				backend.send("HTTP/1.1 102 Processing\r\n\r\n")
				client.answer()
			}
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			elapsed(c, begin, 3*time.Second)
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
		{promise: "it begins when a streamed body has been sent", virtual: true, tune: backendTimes, talk: func(c *talk) {
			client := c.client().send("POST / HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\n")
			backend := c.origins[0].accept()
			backend.head()
			c.clk.Sleep(9 * time.Second)
			begin := c.clk.Now()
			client.send("body")
			require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
			elapsed(c, begin, 3*time.Second)
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
	})
}

func TestTheWayToABackendHasItsTimeAndNoMore(t *testing.T) {
	converse(t, []conversation{
		{promise: "a body that stops for a minute is broken off", virtual: true, tune: backendTimes, talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			c.clk.Sleep(50 * time.Second)
			backend.send("half")
			begin := c.clk.Now()
			m := client.answer()
			require.Equal(c.t, "half", m.body)
			require.False(c.t, m.whole)
			elapsed(c, begin, time.Minute)
			c.retires(pool.ReasonUnanswered)
			c.counts(0, proxy.FailTimeout)
		}},
		{promise: "a connect that is not answered is 504", virtual: true, backends: 2, tune: backendTimes, talk: func(c *talk) {
			c.sim.SilentDrop("proxy", "backend-1")
			c.sim.SilentDrop("proxy", "backend-2")
			begin := c.clk.Now()
			require.Equal(c.t, "504 Gateway Timeout", c.client().send(get).answer().start)
			elapsed(c, begin, 4*time.Second)
			c.counts(0, proxy.FailConnect)
		}},
		{promise: "a request waits in the queue for its time", virtual: true, tune: func(s *config.Config) {
			s.Upstreams[0].Pool.MaxConnections, s.Upstreams[0].Queue.Timeout = 1, 2*time.Second
		}, talk: func(c *talk) {
			first := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			begin := c.clk.Now()
			m := c.client().send(get).answer()
			require.Equal(c.t, "503 Service Unavailable", m.start)
			require.Equal(c.t, []string{"1"}, m.named("Retry-After"))
			elapsed(c, begin, 2*time.Second)
			backend.send(okay)
			first.answer()
			c.counts(1, proxy.FailQueueTimeout)
		}},
	})
}

func backendTimes(s *config.Config) {
	s.Upstreams[0].ResponseTimeout, s.Upstreams[0].Pool.ConnectTimeout = 3*time.Second, 2*time.Second
}
