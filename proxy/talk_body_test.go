package proxy_test

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

const expecting = "POST /u HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"

func TestAnExpectationIsTheBackendsToMeet(t *testing.T) {
	converse(t, []conversation{
		{promise: "a 100 of the backend is passed on and the body follows", talk: func(c *talk) {
			client := c.client().send(expecting)
			backend := c.origins[0].accept()
			require.Equal(c.t, []string{"100-continue"}, backend.head().named("Expect"))
			backend.send("HTTP/1.1 100 Continue\r\n\r\n")
			require.Equal(c.t, "100 Continue", client.answer().start)
			client.send("body")
			backend.expect("body")
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "a final answer without 100 ends both connections", talk: func(c *talk) {
			client := c.client().send(expecting)
			backend := c.origins[0].accept()
			backend.head()
			backend.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
			m := client.answer()
			require.Equal(c.t, "no", m.body)
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			client.ended()
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(1)
		}},
	})
}

func TestInterimAnswersDecideWhoseTimeRuns(t *testing.T) {
	converse(t, []conversation{
		{promise: "a backend that never answers an expectation costs its response timeout", virtual: true, tune: impatient,
			talk: func(c *talk) {
				begin := c.clk.Now()
				client := c.client().send(expecting)
				c.origins[0].accept().head()
				require.Equal(c.t, "504 Gateway Timeout", client.answer().start)
				require.InDelta(c.t, 2, c.clk.Since(begin).Seconds(), 0.1)
				c.retires(pool.ReasonUnanswered)
				c.counts(0, proxy.FailTimeout)
			}},
		{promise: "a client that waits long after the 100 has its own time", virtual: true, tune: impatient,
			talk: func(c *talk) {
				client := c.client().send(expecting)
				backend := c.origins[0].accept()
				backend.head()
				backend.send("HTTP/1.1 100 Continue\r\n\r\n")
				client.answer()
				c.clk.Sleep(20 * time.Second)
				client.send("body")
				backend.expect("body")
				c.clk.Sleep(1900 * time.Millisecond)
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
				c.counts(1)
			}},
		{promise: "other interim answers are passed on too", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", okay)
			require.Equal(c.t, []string{"</a.css>"}, client.answer().named("Link"))
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.counts(2)
		}},
	})
}

func TestInterimAnswersDoNotReplaceTheFinalOne(t *testing.T) {
	converse(t, []conversation{
		{promise: "an HTTP 1.0 client sees no interim answer", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", okay)
			require.Equal(c.t, "200 OK", client.answer().start)
			c.counts(1)
		}},
		{promise: "interim answers are bounded", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20))
			m := client.answer()
			for m.start == "102 Processing" {
				m = client.answer()
			}
			require.Equal(c.t, "502 Bad Gateway", m.start)
			c.retires(pool.ReasonProtocol)
			c.counts(0, proxy.FailBadAnswer)
		}},
		{promise: "a backend that dies after a 100 is answered for with 502", talk: func(c *talk) {
			client := c.client().send(expecting)
			backend := c.origins[0].accept()
			backend.head()
			backend.send("HTTP/1.1 100 Continue\r\n\r\n")
			client.answer()
			client.send("body")
			backend.expect("body")
			backend.close()
			require.Equal(c.t, "502 Bad Gateway", client.answer().start)
			c.retires(pool.ReasonBroken)
			c.counts(0, proxy.FailReset)
		}},
	})
}

func TestEarlyAnswersArriveWhole(t *testing.T) {
	converse(t, []conversation{
		{promise: "a client gets an answer that comes before it has sent its body", talk: func(c *talk) {
			client := c.client().send("POST /u HTTP/1.1\r\n", host, "Content-Length: 1000000\r\n\r\n", strings.Repeat("x", 1000))
			backend := c.origins[0].accept()
			backend.head()
			backend.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
			m := client.answer()
			require.Equal(c.t, "big", m.body)
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			client.ended()
			client.send(strings.Repeat("x", 1000)) // the proxy still takes what is under way
			backend.expect(strings.Repeat("x", 1000))
			backend.cut()
			c.retires(pool.ReasonAborted)
			c.counts(1)
		}},
		{promise: "a long early answer is passed on whole", talk: func(c *talk) {
			client := c.client().send("POST /u HTTP/1.1\r\n", host, "Content-Length: 1000000\r\n\r\n")
			backend := c.origins[0].accept()
			backend.head()
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n", strings.Repeat("y", 20000))
			c.settle()
			backend.send(strings.Repeat("y", 20000))
			m := client.answer()
			require.Len(c.t, m.body, 40000)
			require.True(c.t, m.whole)
			client.ended()
			c.retires(pool.ReasonAborted)
			c.counts(1)
		}},
	})
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	converse(t, []conversation{
		{promise: "five megabytes go up whole", talk: func(c *talk) {
			client := c.client()
			c.aside(func() { _, _ = io.WriteString(client.nc, upload(large)) })
			backend := c.origins[0].accept()
			m := backend.request()
			c.sameBytes(pattern(large), m.body)
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "five megabytes come down whole, with a length and chunked", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			c.aside(func() {
				_, _ = io.WriteString(backend.nc, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(large)+"\r\n\r\n"+pattern(large))
			})
			c.sameBytes(pattern(large), client.answer().body)
			client.send(get)
			backend.request()
			c.aside(func() { _, _ = io.WriteString(backend.nc, chunkedAnswer(pattern(large), 70000)) })
			m := client.answer()
			c.sameBytes(pattern(large), m.body)
			require.Equal(c.t, []string{"X-End: yes"}, m.trailers)
			c.exchange(client, backend)
			c.dialled = 1
			c.counts(3)
		}},
	})
}

func TestAnAnswerMayStreamWhileTheRequestDoes(t *testing.T) {
	converse(t, []conversation{
		{promise: "an answer may stream while the request still does", talk: func(c *talk) {
			client := c.client().send("POST /echo HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\n\r\n")
			backend := c.origins[0].accept()
			backend.head()
			backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			client.expect("HTTP/1.1 200 OK\r\n")
			client.until("\r\n\r\n")
			for range 3 {
				client.send("4\r\nping\r\n")
				backend.expect("4\r\nping\r\n")
				backend.send("4\r\npong\r\n")
				client.expect("4\r\npong\r\n")
			}
			client.send("0\r\n\r\n")
			backend.expect("0\r\n\r\n")
			backend.send("0\r\n\r\n")
			client.expect("0\r\n\r\n")
			client.ended()
			// The connection was promised to nobody when the head came, but the exchange did end in order.
			c.exchange(c.client(), backend)
			c.dialled = 1
			c.counts(2)
		}},
		{promise: "an answer that began early is not cut by the response timeout", virtual: true,
			tune: func(s *config.Config) { s.Upstreams[0].ResponseTimeout = time.Second },
			talk: func(c *talk) {
				client := c.client().send("POST /echo HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\n")
				backend := c.origins[0].accept()
				backend.head()
				backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				client.until("\r\n\r\n")
				client.send("ping")
				backend.expect("ping")
				c.clk.Sleep(30 * time.Second)
				backend.send("ok")
				client.expect("ok")
				c.counts(1)
			}},
	})
}

// pattern is n bytes in which a lost or repeated piece shows.
func pattern(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i+i/251+i/65521)%26)
	}
	return string(b)
}

func upload(n int) string {
	return "POST /u HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n" + pattern(n)
}

// chunkedAnswer cuts the text into chunks of that size, with a trailer behind them.
func chunkedAnswer(text string, size int) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(text) > 0 {
		n := min(size, len(text))
		b.WriteString(strconv.FormatInt(int64(n), 16) + "\r\n" + text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("0\r\nX-End: yes\r\n\r\n")
	return b.String()
}

const large = 5 << 20

func impatient(s *config.Config) { s.Upstreams[0].ResponseTimeout = 2 * time.Second }
