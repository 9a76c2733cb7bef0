package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy"
)

func TestConnectionsAreReused(t *testing.T) {
	converse(t, []conversation{
		{promise: "a second request reuses both connections", talk: func(c *talk) {
			client := c.client()
			client.send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.exchange(client, backend)
			c.dialled = 1
			c.counts(3)
		}},
		{promise: "two clients share a backend connection one after the other", talk: func(c *talk) {
			one, two := c.client(), c.client()
			one.send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			one.answer()
			c.exchange(two, backend)
			c.exchange(one, backend)
			c.dialled = 1
			c.counts(3)
		}},
		{promise: "a client that says close is closed and the backend connection is kept", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
			backend := c.origins[0].accept()
			require.Empty(c.t, backend.request().named("Connection"), "Connection is hop-by-hop")
			backend.send(okay)
			a := client.answer()
			require.Equal(c.t, []string{"close"}, a.named("Connection"))
			client.ended()
			c.exchange(c.client(), backend)
			c.counts(2)
		}},
	})
}

func TestConnectionsEndAsEitherSideAsks(t *testing.T) {
	converse(t, []conversation{
		{promise: "a backend that says close is not reused and the client is kept", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			require.Empty(c.t, client.answer().named("Connection"))
			client.send(get)
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.retires(pool.ReasonNotReusable)
			c.counts(2)
		}},
		{promise: "a backend that says for how long it keeps idle connections is taken at its word", virtual: true,
			talk: func(c *talk) {
				client := c.client().send(get)
				backend := c.origins[0].accept()
				backend.request()
				backend.send("HTTP/1.1 200 OK\r\nKeep-Alive: max=100, timeout=5\r\nContent-Length: 2\r\n\r\nok")
				require.Empty(c.t, client.answer().named("Keep-Alive"), "it is hop-by-hop")
				c.exchange(client, backend) // an answer that says nothing changes nothing
				c.clk.Sleep(3 * time.Second)
				c.exchange(client, backend)
				pooled := func() *pool.Stats { return &c.server.Stats().Upstreams[0].Backends[0].Pool }
				require.Equal(c.t, 4*time.Second, pooled().LearnedIdleTimeout)
				c.clk.Sleep(4*time.Second + time.Millisecond)
				require.Zero(c.t, pooled().Idle, "retired before the backend closes it under a request")
				c.retires(pool.ReasonPeerIdleTimeout)
				c.counts(3)
			}},
		{promise: "an HTTP 1.0 client is closed after its answer", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Contains(c.t, string(backend.wire), "GET / HTTP/1.1\r\n")
			require.Equal(c.t, []string{"1.0 wavepool"}, m.named("Via"))
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			client.ended()
			c.exchange(c.client(), backend)
			c.counts(2)
		}},
		{promise: "an HTTP 1.0 client without Host gets one at the backend", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.0\r\n\r\n")
			backend := c.origins[0].accept()
			require.Equal(c.t, []string{c.origins[0].addr}, backend.request().named("Host"))
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.counts(1)
		}},
	})
}

func TestHTTP10ClientsAndBackendsAreServedInTheirWay(t *testing.T) {
	converse(t, []conversation{
		{promise: "an HTTP 1.0 client that asks for keep-alive gets it", talk: func(c *talk) {
			const request = "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n"
			client := c.client().send(request)
			backend := c.origins[0].accept()
			for range 2 {
				backend.request()
				backend.send(okay)
				require.Equal(c.t, []string{"keep-alive"}, client.answer().named("Connection"))
				client.send(request)
			}
			backend.request()
			backend.send(okay)
			client.answer()
			c.counts(3)
		}},
		{promise: "an HTTP 1.0 backend connection is not pooled unless it says so", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
			client.answer()
			client.send(get)
			backend.request()
			backend.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
			require.Equal(c.t, "ok", client.answer().body)
			backend.cut()
			c.retires(pool.ReasonNotReusable)
			c.counts(2)
		}},
	})
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	converse(t, []conversation{
		{promise: "pipelined requests are answered in order", talk: func(c *talk) {
			client := c.client().send(
				"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n",
				"POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
				"GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			for _, want := range []string{"GET /1", "POST /2", "GET /3"} {
				require.Equal(c.t, want, backend.request().start)
				backend.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", (want + "      ")[:7])
			}
			for _, want := range []string{"GET /1", "POST /2", "GET /3"} {
				require.Equal(c.t, want, strings.TrimSpace(client.answer().body))
			}
			c.dialled = 1
			c.counts(3)
		}},
		{promise: "a client that pipelines and then ends its stream gets every answer", talk: func(c *talk) {
			client := c.client().send(get, get)
			client.fin()
			backend := c.origins[0].accept()
			for range 2 {
				backend.request()
				backend.send(okay)
				require.Equal(c.t, "ok", client.answer().body)
			}
			client.ended()
			c.counts(2)
		}},
	})
}

func TestStrayBytesAroundRequestsDoNoHarm(t *testing.T) {
	converse(t, []conversation{
		{promise: "an answer arrives whole although the client pipelined behind Connection close", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			client.ended()
			c.counts(1)
		}},
		{promise: "an empty line before a request is forgiven once", talk: func(c *talk) {
			client := c.client().send(crlf, get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			client.send(crlf, crlf)
			require.Equal(c.t, "400 Bad Request", client.answer().start)
			client.ended()
			c.counts(1, proxy.FailBadRequest)
		}},
		{promise: "a connection that says nothing and leaves is no request", talk: func(c *talk) {
			c.client().close()
			c.client().abort()
			c.settle()
			require.Zero(c.t, c.server.Stats().Requests)
			c.counts(0)
		}},
	})
}

func TestAnswersAreFramedForEachClient(t *testing.T) {
	converse(t, []conversation{
		{promise: "a chunked answer stays chunked", talk: answeredWith(
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n",
			func(c *talk, m *message) {
				require.Equal(c.t, "abcdefg", m.body)
				require.Equal(c.t, []string{"chunked"}, m.named("Transfer-Encoding"))
				require.True(c.t, m.whole)
			})},
		{promise: "trailers come through and forbidden ones do not", talk: answeredWith(
			"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"+
				"X-Sum: 9\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n",
			func(c *talk, m *message) {
				require.Equal(c.t, []string{"X-Sum: 9"}, m.trailers)
				require.Equal(c.t, []string{"X-Sum"}, m.named("Trailer"))
			})},
		{promise: "an empty chunked answer", talk: answeredWith(
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			func(c *talk, m *message) { require.True(c.t, m.whole); require.Empty(t, m.body) })},
		{promise: "204 has neither body nor length", talk: answeredWith("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
			func(c *talk, m *message) {
				require.Equal(c.t, "204 No Content", m.start)
				require.Empty(c.t, m.named("Content-Length"))
				require.Empty(c.t, m.named("Transfer-Encoding"))
			})},
		{promise: "304 keeps the length it declares and has no body", talk: answeredWith(
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
			func(c *talk, m *message) {
				require.Equal(c.t, []string{"500"}, m.named("Content-Length"))
				require.Empty(c.t, m.body)
			})},
	})
}

func TestAnswersToHEADAndToHTTP10AreFramedForThem(t *testing.T) {
	converse(t, []conversation{
		{promise: "the answer to HEAD has a length and no body", talk: func(c *talk) {
			client := c.client().send("HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			require.Equal(c.t, "HEAD /h", backend.request().start)
			backend.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
			require.Equal(c.t, []string{"1234"}, client.answerTo("HEAD").named("Content-Length"))
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "the answer to HEAD may be a chunked one", talk: func(c *talk) {
			client := c.client().send("HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			client.answerTo("HEAD")
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "a chunked answer reaches an HTTP 1.0 client by the end of the connection", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a.test\r\n\r\n")
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
			m := client.answer()
			require.Equal(c.t, "abcde", m.body)
			require.Empty(c.t, m.named("Transfer-Encoding"))
			require.Equal(c.t, []string{"close"}, m.named("Connection"))
			c.exchange(c.client(), backend)
			c.counts(2)
		}},
	})
}

func TestBodiesAreFramedAnewWhereTheyMustBe(t *testing.T) {
	converse(t, []conversation{
		{promise: "an answer that ends with its connection is chunked for the client and not pooled", talk: func(c *talk) {
			client := c.client().send(get)
			backend := c.origins[0].accept()
			backend.request()
			backend.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
			backend.close()
			m := client.answer()
			require.Equal(c.t, "until the end", m.body)
			require.True(c.t, m.whole)
			require.Equal(c.t, []string{"chunked"}, m.named("Transfer-Encoding"))
			client.send(get)
			backend = c.origins[0].accept()
			backend.request()
			backend.send(okay)
			client.answer()
			c.retires(pool.ReasonNotReusable)
			c.counts(2)
		}},
		{promise: "a chunked request is chunked anew and keeps its trailers", talk: func(c *talk) {
			client := c.client().send("POST /u HTTP/1.1\r\n", host, "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n",
				"5;a=b\r\nhello\r\n", "1\r\n!\r\n", "0\r\nX-T: 1\r\nHost: evil\r\n\r\n")
			backend := c.origins[0].accept()
			m := backend.request()
			require.Equal(c.t, "hello!", m.body)
			require.Equal(c.t, []string{"X-T: 1"}, m.trailers)
			require.NotContains(c.t, string(backend.wire), "a=b", "chunk extensions are dropped")
			backend.send(okay)
			client.answer()
			c.counts(1)
		}},
	})
}

func TestRequestBodiesArriveWhole(t *testing.T) {
	converse(t, []conversation{
		{promise: "a request body that comes in pieces arrives whole", talk: func(c *talk) {
			client := c.client().send("PUT /u HTTP/1.1\r\n", host, "Content-Length: 10\r\n\r\n", "01")
			backend := c.origins[0].accept()
			require.Equal(c.t, []string{"10"}, backend.head().named("Content-Length"))
			client.send("2345")
			c.settle()
			client.send("6789")
			backend.expect("0123456789")
			backend.send(okay)
			require.Equal(c.t, "ok", client.answer().body)
			c.exchange(client, backend)
			c.counts(2)
		}},
		{promise: "a GET with a body keeps it", talk: func(c *talk) {
			client := c.client().send("GET / HTTP/1.1\r\n", host, "Content-Length: 3\r\n\r\nabc", get)
			backend := c.origins[0].accept()
			require.Equal(c.t, "abc", backend.request().body)
			backend.send(okay)
			client.answer()
			require.Equal(c.t, "GET /", backend.request().start)
			backend.send(okay)
			client.answer()
			c.counts(2)
		}},
	})
}

// answeredWith lets the backend answer a GET, and sees that the connections are in step afterwards.
func answeredWith(answer string, check func(c *talk, m *message)) func(*talk) {
	return func(c *talk) {
		client := c.client().send(get)
		backend := c.origins[0].accept()
		backend.request()
		backend.send(answer)
		check(c, client.answer())
		c.exchange(client, backend) // the connections are in step still
		c.dialled = 1
		c.counts(2)
	}
}
